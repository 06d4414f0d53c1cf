//! Where lines leave: standard output, standard error, files, and the buffer of lines for queues.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::handling::{ERROR, Handling, Sink};
use super::line::{Line, LogFormat, Style, system_zone, visible};
use super::log_file::{Appended, LogFile};
use super::queue_line::{Offered, QueueLines, fields_of};
use super::recent::Recent;
use super::settings::{ChannelSettings, FILE_BYTES};
use crate::value::MapView;

/// Which of our streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    #[default]
    Stdout,
    Stderr,
}

/// A stream and how lines look on it.
pub(super) struct Stream {
    pub(super) to: Box<dyn Write + Send>,
    pub(super) style: Style,
}

/// All the ways out.
pub(super) struct Outlet {
    /// What the command line says, or whoever started the daemon anew.
    handling: ArcSwap<Handling>,
    /// What the config says, which goes before it.
    settings: ArcSwap<ChannelSettings>,
    stdout: Mutex<Stream>,
    stderr: Mutex<Stream>,
    files: Mutex<BTreeMap<PathBuf, LogFile>>,
    queues: QueueLines,
    /// For files.
    plain: ArcSwap<Style>,
    pub(super) recent: Recent,
}

impl Stream {
    /// A stream of this process. It has colour if it is a terminal and `NO_COLOR` is unset or empty.
    pub(super) fn of(to: impl Write + IsTerminal + Send + 'static, format: LogFormat) -> Self {
        let colour = has_colour(to.is_terminal(), std::env::var_os("NO_COLOR").as_deref());
        Self { to: Box::new(to), style: Style { format, zone: system_zone, colour } }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = line.format(&self.style);
        self.write_raw(text.as_bytes())
    }

    fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.flush()
    }
}

fn has_colour(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

impl Outlet {
    pub(super) fn new(handling: Handling, stdout: Stream, stderr: Stream, queues: QueueLines) -> Self {
        let plain = ArcSwap::from_pointee(Style { colour: false, ..stderr.style.clone() });
        let handling = ArcSwap::from_pointee(handling);
        let (stdout, stderr, settings) = (Mutex::new(stdout), Mutex::new(stderr), ArcSwap::default());
        Self { handling, settings, stdout, stderr, files: Mutex::default(), queues, plain, recent: Recent::default() }
    }

    /// From now on the config says this; what it said before.
    pub(super) fn configure(&self, settings: Arc<ChannelSettings>) -> Arc<ChannelSettings> {
        self.settings.swap(settings)
    }

    /// From now on the command line says this.
    pub(super) fn handle_by(&self, handling: Handling, format: LogFormat) {
        self.handling.store(Arc::new(handling));
        self.plain.rcu(|plain| Style { format, ..(**plain).clone() });
        for stream in [&self.stdout, &self.stderr] {
            locked(stream).style.format = format;
        }
    }

    /// What the command line says.
    pub(super) fn handled_by(&self) -> (Handling, LogFormat) {
        ((**self.handling.load()).clone(), self.plain.load().format)
    }

    /// Opens all files anew, each with its next line.
    pub(super) fn reopen(&self) {
        locked(&self.files).values_mut().for_each(LogFile::reopen);
    }

    /// Writes a line to where its channel goes, if it passes.
    pub(super) fn write(&self, line: &Line) {
        let settings = self.settings.load();
        let handling = self.handling.load();
        let sink = sink(&settings, &handling, &line.channel);
        if let Some(setting) = settings.channels.get(&line.channel) {
            if setting.has_filters() && !setting.passes(MapView::of(&fields_of(line))) {
                return;
            }
            // The line has its way whether or not these are there.
            let also = setting.endpoints.iter().filter(|queue| !matches!(sink, Sink::Queue(other) if other == *queue));
            also.for_each(|queue| {
                self.queues.offer(queue, line);
            });
        }
        self.recent.keep(line.task.as_deref(), line.format(&self.plain.load()));
        match sink {
            Sink::Stdout => self.to_stdout(line),
            Sink::Stderr => self.to_stderr(line),
            Sink::File(path) => self.to_file(path, line, max_bytes(&settings, &line.channel)),
            Sink::Queue(queue) => {
                if self.queues.offer(queue, line) == Offered::Closed {
                    self.to_stderr(line);
                }
            }
        }
    }

    /// Whether the lines of the channel that is shown as `[TYPE]` go to standard output.
    pub(super) fn shown_on_stdout(&self, shown: &str) -> bool {
        let (settings, handling) = (self.settings.load(), self.handling.load());
        let mut names = settings.channels.keys().map(String::as_str).chain(handling.channels());
        let named = names.find(|name| visible(&name.to_uppercase()) == shown);
        *sink(&settings, &handling, named.unwrap_or(ERROR)) == Sink::Stdout
    }

    /// Writes what another process has written, as it is.
    pub(super) fn relay(&self, bytes: &[u8], to: Way) -> io::Result<()> {
        match to {
            Way::Stdout => locked(&self.stdout).write_raw(bytes),
            Way::Stderr => locked(&self.stderr).write_raw(bytes),
        }
    }

    fn to_stdout(&self, line: &Line) {
        if locked(&self.stdout).write(line).is_err() {
            self.to_stderr(line);
        }
    }

    pub(super) fn to_stderr(&self, line: &Line) {
        // Standard error is the last resort: when it is closed there is nobody left to tell.
        drop(locked(&self.stderr).write(line));
    }

    fn to_file(&self, path: &Path, line: &Line, max_bytes: u64) {
        let mut files = locked(&self.files);
        let file = files.entry(path.to_owned()).or_default();
        let (error, is_written) = match file.append(path, &line.format(&self.plain.load()), max_bytes) {
            Ok(Appended::Whole) => return,
            Ok(Appended::NotRotated(error)) => (error, true),
            Err(error) => (error, false),
        };
        let told = if is_written { &mut file.told_of_rotation } else { &mut file.told };
        let told = std::mem::replace(told, true);
        drop(files);
        if !told {
            let then = if is_written { "it goes on growing" } else { "these lines come here instead" };
            self.explain(line, &format!("{error}; {then}"));
        }
        if !is_written {
            self.to_stderr(line);
        }
    }

    /// Says on standard error, as an error of the moment of `line`, why that line goes another way.
    pub(super) fn explain(&self, line: &Line, reason: &str) {
        let (channel, text) = ("error".to_owned(), reason.to_owned());
        self.to_stderr(&Line { channel, text, task: None, fields: Vec::new(), ..line.clone() });
    }
}

/// Where the lines of a channel go: the config goes before the command line, what is said of the channel before what is
/// said of errors.
fn sink<'s>(settings: &'s ChannelSettings, handling: &'s Handling, channel: &str) -> &'s Sink {
    let named = |channel: &str| {
        let configured = settings.channels.get(channel).and_then(|setting| setting.sink.as_ref());
        configured.or_else(|| handling.named(channel))
    };
    named(channel).or_else(|| named(ERROR)).unwrap_or(&Sink::Stderr)
}

/// How large a file of this channel's lines grows.
fn max_bytes(settings: &ChannelSettings, channel: &str) -> u64 {
    let setting = |channel: &str| settings.channels.get(channel)?.max_bytes;
    setting(channel).or_else(|| setting(ERROR)).unwrap_or(FILE_BYTES)
}

/// What a panic under one of these locks leaves is at worst half a line.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jiff::tz::TimeZone;
    use tokio::sync::mpsc;

    use super::super::line::Level;
    use super::super::queue_line::QueueLine;
    use super::*;
    use crate::fields;
    use crate::value::{Map, Value};

    /// A writer that keeps what it got; a closed one refuses it.
    #[derive(Clone, Default)]
    pub(in super::super) struct Memory {
        bytes: Arc<Mutex<Vec<u8>>>,
        writes: Arc<Mutex<usize>>,
        closed: bool,
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            *locked(&self.writes) += 1;
            locked(&self.bytes).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(locked(&self.bytes).clone()).unwrap()
        }
    }

    /// An outlet with its streams and the lines for queues.
    pub(in super::super) struct Bench {
        pub(in super::super) outlet: Outlet,
        pub(in super::super) stdout: Memory,
        pub(in super::super) stderr: Memory,
        pub(in super::super) queues: mpsc::Receiver<QueueLine>,
    }

    pub(in super::super) fn bench(handling: &str, stdout: Memory) -> Bench {
        let stream = |memory: &Memory| Stream {
            to: Box::new(memory.clone()),
            style: Style { format: LogFormat::Text, zone: || TimeZone::UTC, colour: false },
        };
        let stderr = Memory::default();
        let (lines, queues) = QueueLines::new();
        let outlet = Outlet::new(Handling::parse(handling).unwrap(), stream(&stdout), stream(&stderr), lines);
        Bench { outlet, stdout, stderr, queues }
    }

    fn line(channel: &str) -> Line {
        let time = "2026-11-22T00:20:13Z".parse().unwrap();
        let (channel, text) = (channel.to_owned(), "text".to_owned());
        Line { time, pid: 7, channel, level: Level::Info, task: None, text, fields: Vec::new() }
    }

    #[test]
    fn a_line_goes_where_its_channel_goes_with_one_write() {
        let mut bench = bench("log:1,error:2,alert:Alerts", Memory::default());
        for channel in ["log", "error", "alert", "mine"] {
            bench.outlet.write(&line(channel));
        }
        let prefix = "2026-11-22 00:20:13: (7):";
        assert_eq!(bench.stdout.text(), format!("{prefix} [LOG] text\n"));
        assert_eq!(bench.stderr.text(), format!("{prefix} [ERROR] text\n{prefix} [MINE] text\n"));
        assert_eq!((*locked(&bench.stdout.writes), *locked(&bench.stderr.writes)), (1, 2));
        assert_eq!(bench.queues.try_recv().unwrap().0.as_str(), "Alerts");
    }

    #[test]
    fn a_file_is_made_for_its_user_alone_and_only_with_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("debug.out");
        let bench = bench(&format!("debug:{}", path.display()), Memory::default());
        assert!(!path.exists());
        bench.outlet.write(&line("debug"));
        bench.outlet.write(&line("debug"));
        let expected = "2026-11-22 00:20:13: (7): [DEBUG] text\n".repeat(2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn lines_that_a_file_does_not_take_go_to_standard_error_with_the_reason_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/debug.out");
        let bench = bench(&format!("debug:{}", path.display()), Memory::default());
        bench.outlet.write(&line("debug"));
        bench.outlet.write(&line("debug"));
        let text = bench.stderr.text();
        assert_eq!(text.matches("cannot open").count(), 1, "{text}");
        assert_eq!(text.matches("[DEBUG] text").count(), 2, "{text}");
        std::fs::create_dir(dir.path().join("missing")).unwrap();
        bench.outlet.write(&line("debug"));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    fn configured(bench: &Bench, config: Map) {
        drop(bench.outlet.configure(Arc::new(ChannelSettings::compile(&Value::Map(config)).unwrap())));
    }

    #[test]
    fn the_config_goes_before_the_command_line_and_the_channel_before_that_of_errors() {
        let bench = bench("log:1,error:1,audit:1", Memory::default());
        configured(&bench, fields! { log: fields! { handling: 2 }, error: fields! { handling: 2 } });
        for channel in ["log", "audit", "mine"] {
            bench.outlet.write(&line(channel));
        }
        assert_eq!(bench.stdout.text().matches("[AUDIT]").count(), 1);
        assert_eq!(bench.stderr.text().matches(['L', 'M']).count(), 2, "{}", bench.stderr.text());
        configured(&bench, Map::new());
        bench.outlet.write(&line("log"));
        assert_eq!(bench.stdout.text().matches("[LOG]").count(), 1);
    }

    #[test]
    fn a_line_that_does_not_pass_goes_nowhere_and_endpoints_get_those_that_do() {
        let mut bench = bench("alert:Alerts", Memory::default());
        let exclude = fields! { cold: fields! { text: "cold" } };
        let endpoints = vec!["Alerts", "Pager"];
        configured(&bench, fields! { alert: fields! { exclude_matches: exclude, transit_endpoints: endpoints } });
        bench.outlet.write(&Line { text: "cold".to_owned(), ..line("alert") });
        bench.outlet.write(&line("alert"));
        let mut queues: Vec<_> = std::iter::from_fn(|| bench.queues.try_recv().ok()).map(|line| line.0).collect();
        queues.sort();
        assert_eq!(queues.iter().map(crate::name::QueueName::as_str).collect::<Vec<_>>(), ["Alerts", "Pager"]);
        assert_eq!(bench.stdout.text() + &bench.stderr.text(), "");
    }

    #[test]
    fn a_file_that_cannot_be_set_aside_is_told_once_and_has_every_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.log");
        std::fs::create_dir(dir.path().join("alerts.log.1")).unwrap();
        let bench = bench(&format!("alert:{}", path.display()), Memory::default());
        configured(&bench, fields! { alert: fields! { max_bytes: 16_384 } });
        let long = Line { text: "x".repeat(16_384), ..line("alert") };
        (0..3).for_each(|_| bench.outlet.write(&long));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        assert_eq!(bench.stderr.text().matches("it goes on growing").count(), 1, "{}", bench.stderr.text());
        assert_eq!(bench.stderr.text().lines().count(), 1);
    }

    #[test]
    fn only_a_terminal_has_colour_and_no_color_forbids_it() {
        let check = |is_terminal, no_color: Option<&str>| has_colour(is_terminal, no_color.map(OsStr::new));
        assert!(check(true, None) && check(true, Some("")));
        assert!(!check(true, Some("1")) && !check(false, None));
    }

    #[test]
    fn a_closed_standard_output_loses_no_line() {
        let bench = bench("log:1", Memory { closed: true, ..Memory::default() });
        bench.outlet.write(&line("log"));
        assert!(bench.stderr.text().contains("[LOG] text"));
    }

    #[test]
    fn lines_for_queues_go_to_standard_error_when_nobody_will_take_them() {
        let mut bench = bench("log:Log", Memory::default());
        bench.queues.close();
        bench.outlet.write(&line("log"));
        assert!(bench.stderr.text().contains("[LOG] text"));
    }
}
