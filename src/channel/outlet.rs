//! Where lines leave: standard output, standard error, files, and the buffer of lines for queues.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;

use super::handling::{Handling, Sink};
use super::line::{Line, Style};
use super::queue_line::{Offered, QueueLines};
use super::recent::Recent;
use crate::process::FileError;

/// A stream and how lines look on it.
pub(super) struct Stream {
    pub(super) to: Box<dyn Write + Send>,
    pub(super) style: Style,
}

/// All the ways out.
pub(super) struct Outlet {
    handling: Handling,
    stdout: Mutex<Stream>,
    stderr: Mutex<Stream>,
    files: Mutex<BTreeMap<PathBuf, LogFile>>,
    queues: QueueLines,
    /// For files.
    plain: Style,
    pub(super) recent: Recent,
}

/// A file that lines are appended to, opened with the first one.
#[derive(Default)]
struct LogFile {
    file: Option<File>,
    /// Its last failure was told; the next one is told again only after a line that was written.
    told: bool,
}

impl Stream {
    /// A stream of this process. It has colour if it is a terminal and `NO_COLOR` is unset or empty.
    pub(super) fn of(to: impl Write + IsTerminal + Send + 'static, zone: TimeZone) -> Self {
        let colour = has_colour(to.is_terminal(), std::env::var_os("NO_COLOR").as_deref());
        Self { to: Box::new(to), style: Style { zone, colour } }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = line.format(&self.style);
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }
}

fn has_colour(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

impl LogFile {
    fn append(&mut self, path: &Path, text: &str) -> Result<(), FileError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open(path).map_err(FileError::of(path, "open"))?,
        };
        // A file that failed is opened again for the next line: its disk may have room by then.
        (&file).write_all(text.as_bytes()).map_err(FileError::of(path, "write"))?;
        self.file = Some(file);
        self.told = false;
        Ok(())
    }
}

/// Non-blocking, for the path may name a FIFO that nobody reads.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)
}

impl Outlet {
    pub(super) fn new(handling: Handling, stdout: Stream, stderr: Stream, queues: QueueLines) -> Self {
        let plain = Style { zone: stderr.style.zone.clone(), colour: false };
        let (stdout, stderr) = (Mutex::new(stdout), Mutex::new(stderr));
        Self { handling, stdout, stderr, files: Mutex::default(), queues, plain, recent: Recent::default() }
    }

    /// Writes a line to where its channel goes.
    pub(super) fn write(&self, line: &Line) {
        self.recent.keep(line.task.as_deref(), line.format(&self.plain));
        match self.handling.sink(&line.channel) {
            Sink::Stdout => self.to_stdout(line),
            Sink::Stderr => self.to_stderr(line),
            Sink::File(path) => self.to_file(path, line),
            Sink::Queue(queue) => {
                if self.queues.offer(queue, line) == Offered::Closed {
                    self.to_stderr(line);
                }
            }
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

    fn to_file(&self, path: &Path, line: &Line) {
        let mut files = locked(&self.files);
        let file = files.entry(path.to_owned()).or_default();
        let Err(error) = file.append(path, &line.format(&self.plain)) else { return };
        let told = std::mem::replace(&mut file.told, true);
        drop(files);
        if !told {
            self.explain(line, &format!("{error}; these lines come here instead"));
        }
        self.to_stderr(line);
    }

    /// Says on standard error, as an error of the moment of `line`, why that line goes another way.
    pub(super) fn explain(&self, line: &Line, reason: &str) {
        let (channel, text) = ("error".to_owned(), reason.to_owned());
        self.to_stderr(&Line { channel, text, task: None, ..line.clone() });
    }
}

/// What a panic under one of these locks leaves is at worst half a line.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::super::line::Level;
    use super::super::queue_line::QueueLine;
    use super::*;

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
            style: Style { zone: TimeZone::UTC, colour: false },
        };
        let stderr = Memory::default();
        let (lines, queues) = QueueLines::new();
        let outlet = Outlet::new(Handling::parse(handling).unwrap(), stream(&stdout), stream(&stderr), lines);
        Bench { outlet, stdout, stderr, queues }
    }

    fn line(channel: &str) -> Line {
        let time = "2026-11-22T00:20:13Z".parse().unwrap();
        let (channel, text) = (channel.to_owned(), "text".to_owned());
        Line { time, pid: 7, channel, level: Level::Info, task: None, text }
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
