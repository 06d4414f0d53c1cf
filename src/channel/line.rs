//! One line of a channel, and how it reads: as text, or as a JSON object.

use std::fmt::Write;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::value::Value;

/// How bad it is, for whoever reads lines as messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub(super) fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The channel of an event that names none.
    pub(super) fn channel(self) -> &'static str {
        match self {
            Self::Error | Self::Warning => "error",
            Self::Info => "log",
            Self::Debug | Self::Trace => "debug",
        }
    }
}

/// What somebody said on a channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) time: Timestamp,
    pub(super) pid: u32,
    pub(super) channel: String,
    pub(super) level: Level,
    pub(super) task: Option<String>,
    /// What was said, without `fields`.
    pub(super) text: String,
    /// What stands beside it, in the order in which it was said.
    pub(super) fields: Vec<(String, Value)>,
}

/// How lines are written, wherever they go; `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `<local time>: (<pid>): [<TYPE>] <text>`
    #[default]
    Text,
    /// A JSON object.
    Json,
}

impl LogFormat {
    /// The format as it is written on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Json].into_iter().find(|format| format.name() == name)
    }
}

/// How a sink shows lines.
#[derive(Debug, Clone)]
pub(super) struct Style {
    pub(super) format: LogFormat,
    /// The zone of the times.
    pub(super) zone: fn() -> TimeZone,
    pub(super) colour: bool,
}

/// This machine's zone, found out with the first line: that reads the whole directory of zones, and a process that says
/// nothing begins without it.
pub(super) fn system_zone() -> TimeZone {
    static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);
    ZONE.clone()
}

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// What stands before the second and each later line of a text, so that it is seen to belong to the first.
pub(super) const INDENT: &str = "    ";

/// How a line in JSON begins.
pub(super) const JSON_BEGIN: &str = "{\"time\":\"";
/// Before the name of a field of an event that has the name of one of ours.
const FOREIGN: &str = "field.";

impl Line {
    /// The line as it is written, with its line break.
    pub(super) fn format(&self, style: &Style) -> String {
        match style.format {
            LogFormat::Text => self.as_text(style),
            LogFormat::Json => self.as_json(),
        }
    }

    /// What was said, with the fields behind it as ` name=value`.
    pub(super) fn whole_text(&self) -> String {
        let mut whole = self.text.clone();
        for (name, value) in &self.fields {
            let text = value.view().scalar_text().unwrap_or_else(|| json(value).to_string().into());
            write!(whole, " {name}={text}").expect("a string takes every text");
        }
        whole
    }

    /// One object in one line: `time` (RFC 3339, UTC), `pid`, `type`, `level`, `task` if a task said it, `text`, and
    /// the fields under their names, or as `field.NAME` where the name is one of these.
    fn as_json(&self) -> String {
        let mut line = format!("{JSON_BEGIN}{:.6}\",\"pid\":{}", self.time, self.pid);
        let mut names = vec!["time", "pid"];
        let mut add = |name: &'static str, text: &str| {
            names.push(name);
            write!(line, ",\"{name}\":{}", Json::from(text)).expect("a string takes every text");
        };
        add("type", &self.channel);
        add("level", self.level.as_str());
        if let Some(task) = &self.task {
            add("task", task);
        }
        add("text", self.text.trim_end());
        for (name, value) in &self.fields {
            let foreign = if names.contains(&name.as_str()) { FOREIGN } else { "" };
            let name = Json::from(format!("{foreign}{name}"));
            write!(line, ",{name}:{}", json(value)).expect("a string takes every text");
        }
        unheard(line) + "}\n"
    }

    /// Line breaks in the text are followed by an indent; what a terminal would obey is shown as `\u{1b}`.
    fn as_text(&self, style: &Style) -> String {
        let time = self.time.to_zoned((style.zone)()).strftime("%Y-%m-%d %H:%M:%S");
        let (dim, colour, reset) = self.colours(style.colour);
        let (pid, channel) = (self.pid, self.channel.to_uppercase());
        let ends = if colour.is_empty() { "" } else { reset };
        let mut line = format!("{dim}{time}: ({pid}):{reset} [{colour}{}{ends}] ", visible(&channel));
        let text = self.whole_text();
        let mut texts = text.trim_end().lines();
        line.push_str(&visible(texts.next().unwrap_or_default()));
        for text in texts {
            line.push('\n');
            line.push_str(INDENT);
            line.push_str(&visible(text));
        }
        line.push('\n');
        line
    }

    fn colours(&self, colour: bool) -> (&'static str, &'static str, &'static str) {
        match self.channel.as_str() {
            _ if !colour => ("", "", ""),
            "error" => (DIM, RED, RESET),
            "alert" => (DIM, YELLOW, RESET),
            _ => (DIM, "", RESET),
        }
    }
}

fn json(value: &Value) -> Json {
    // What has no form in JSON is a number that is not finite: null there.
    serde_json::to_value(value).unwrap_or_default()
}

/// JSON without the control characters that it may hold, and a terminal might obey: they stand in texts alone.
fn unheard(json: String) -> String {
    if !json.chars().any(char::is_control) {
        return json;
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            write!(shown, "\\u{:04x}", u32::from(c)).expect("a string takes every text");
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `text` with nothing in it that a terminal would obey. Tabs stay.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            write!(shown, "{}", c.escape_default()).expect("a string takes every text");
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channel: &str, text: &str, colour: bool, expected: &str) {
        let zone = || TimeZone::fixed(jiff::tz::offset(1));
        let line = Line {
            time: "2026-11-22T00:20:13Z".parse().unwrap(),
            pid: 77,
            channel: channel.to_owned(),
            level: Level::Info,
            task: None,
            text: text.to_owned(),
            fields: Vec::new(),
        };
        assert_eq!(line.format(&Style { format: LogFormat::Text, zone, colour }), expected);
    }

    #[test]
    fn a_line_in_json_is_one_object_with_the_fields_of_its_event() {
        let line = Line {
            time: "2026-11-22T00:20:13.5Z".parse().unwrap(),
            pid: 77,
            channel: "alert".to_owned(),
            level: Level::Warning,
            task: Some("Example1".to_owned()),
            text: "a \"b\"\n\x1b\u{9b}c\n".to_owned(),
            fields: vec![("value".to_owned(), Value::from(1.5)), ("text".to_owned(), Value::from(true))],
        };
        let style = Style { format: LogFormat::Json, zone: || TimeZone::UTC, colour: true };
        let expected = r#"{"time":"2026-11-22T00:20:13.500000Z","pid":77,"type":"alert","level":"warning","#.to_owned()
            + r#""task":"Example1","text":"a \"b\"\n\u001b\u009bc","value":1.5,"field.text":true}"#;
        assert_eq!(line.format(&style), expected.clone() + "\n");
        let read: Json = serde_json::from_str(&expected).unwrap();
        assert_eq!(read["text"], "a \"b\"\n\x1b\u{9b}c");
    }

    #[test]
    fn a_format_is_named_as_it_is_read() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(LogFormat::by_name(format.name()), Some(format));
        }
        assert_eq!(LogFormat::by_name("xml"), None);
    }

    #[test]
    fn a_line_has_local_time_pid_channel_and_text() {
        check("log", "hello", false, "2026-11-22 01:20:13: (77): [LOG] hello\n");
        check("mine", "", false, "2026-11-22 01:20:13: (77): [MINE] \n");
    }

    #[test]
    fn a_text_of_several_lines_stays_one_record() {
        check("error", "a\nb\r\nc\n", false, "2026-11-22 01:20:13: (77): [ERROR] a\n    b\n    c\n");
    }

    #[test]
    fn errors_are_red_alerts_yellow_and_the_time_dim() {
        let time = "\x1b[2m2026-11-22 01:20:13: (77):\x1b[0m";
        check("error", "x", true, &format!("{time} [\x1b[31mERROR\x1b[0m] x\n"));
        check("alert", "x", true, &format!("{time} [\x1b[33mALERT\x1b[0m] x\n"));
        check("log", "x", true, &format!("{time} [LOG] x\n"));
    }

    #[test]
    fn a_text_cannot_speak_to_the_terminal() {
        check("log", "a\x1b[31m\tb\u{7}", false, "2026-11-22 01:20:13: (77): [LOG] a\\u{1b}[31m\tb\\u{7}\n");
    }
}
