//! One line of a channel, and how it reads.

use std::fmt::Write;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: Timestamp,
    pub(super) pid: u32,
    pub(super) channel: String,
    pub(super) level: Level,
    pub(super) task: Option<String>,
    pub(super) text: String,
}

/// How a sink shows lines.
#[derive(Debug, Clone)]
pub(super) struct Style {
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
const INDENT: &str = "    ";

impl Line {
    /// The line as it is written, with its line break. Line breaks in the text are followed by an indent; what a
    /// terminal would obey is shown as `\u{1b}`.
    pub(super) fn format(&self, style: &Style) -> String {
        let time = self.time.to_zoned((style.zone)()).strftime("%Y-%m-%d %H:%M:%S");
        let (dim, colour, reset) = self.colours(style.colour);
        let (pid, channel) = (self.pid, self.channel.to_uppercase());
        let ends = if colour.is_empty() { "" } else { reset };
        let mut line = format!("{dim}{time}: ({pid}):{reset} [{colour}{}{ends}] ", visible(&channel));
        let mut texts = self.text.trim_end().lines();
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
        };
        assert_eq!(line.format(&Style { zone, colour }), expected);
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
