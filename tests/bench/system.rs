//! A whole system in a directory of its own: a daemon, which is this program too, and its processes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use multimodule::process::{HostFiles, HostRecord, Pidfd, processes_on_record, read_record};
use multimodule::sdk::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// The first word of this program when it is to be multimodule; hosts and keepers inherit it.
pub(crate) const MULTIMODULE: &str = "multimodule";
/// How long a line may take to come, and an end: machines are loaded.
const SOON: Duration = Duration::from_secs(60);

/// A directory, and what runs in it. When it goes, all that goes.
pub(crate) struct System {
    place: TempDir,
    daemon: Option<Child>,
    lines: Option<Receiver<String>>,
}

impl System {
    /// A system that does not run yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { place: TempDir::with_prefix("multimodule-bench-")?, daemon: None, lines: None })
    }

    /// One that runs by this config, in RON; `{meter}` in it is the meter's path.
    pub(crate) fn running(config: &str) -> Result<Self> {
        let mut system = Self::new()?;
        let meter = format!("{:?}", system.meter());
        std::fs::write(system.config(), config.replace("{meter}", &meter))?;
        system.start()?;
        Ok(system)
    }

    /// Starts its daemon; the last one is gone.
    pub(crate) fn start(&mut self) -> Result {
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(MULTIMODULE).current_dir(self.place.path()).stdin(Stdio::null());
        command.arg("-c").arg(self.config()).arg("-s").arg(self.state()).arg("-T").arg(self.transit());
        command.stdout(writer.try_clone()?).stderr(writer);
        self.daemon = Some(command.spawn()?);
        drop(command);
        // Read as it comes, so that nobody waits for a reader.
        let (tx, rx) = channel();
        std::thread::spawn(move || {
            BufReader::new(reader).lines().map_while(std::result::Result::ok).try_for_each(|line| tx.send(line))
        });
        self.lines = Some(rx);
        Ok(())
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn transit(&self) -> PathBuf {
        self.path().join("transit")
    }

    pub(crate) fn meter(&self) -> PathBuf {
        self.path().join("meter")
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("bench.ron")
    }

    /// Waits until the daemon has said `words` so many times.
    pub(crate) fn wait_for(&self, words: &str, times: usize) -> Result {
        let lines = self.lines.as_ref().ok_or("no daemon was started")?;
        let (end, mut heard, mut last) = (Instant::now() + SOON, 0, String::new());
        while heard < times {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => (heard, last) = (heard + usize::from(line.contains(words)), line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(format!("{words:?} was said {heard} times and not {times}; at last: {last}").into());
                }
            }
        }
        Ok(())
    }

    /// Waits until so many processes can be linked with.
    pub(crate) fn wait_for_links(&self, count: usize) -> Result {
        let end = Instant::now() + SOON;
        let is_link = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "link");
        // The daemon makes the directory.
        let entries = || std::fs::read_dir(self.state()).into_iter().flatten().filter_map(std::result::Result::ok);
        while entries().filter(is_link).count() < count {
            if Instant::now() >= end {
                return Err(format!("not all of {count} processes are there").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Kills the daemon; what it has started goes on.
    pub(crate) fn kill_daemon(&mut self) -> Result {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// Who runs beside the daemon.
    pub(crate) fn processes(&self) -> Result<Vec<HostRecord>> {
        let names = processes_on_record(&self.state())?;
        let records = names.iter().map(|name| read_record(&HostFiles::new(&self.state(), name).process()));
        Ok(records.collect::<std::result::Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Tells each keeper to end, and waits for all of them.
    pub(crate) fn end_processes(&self) -> Result {
        let mut ends = Vec::new();
        for record in self.processes()? {
            if let Some(keeper) = Pidfd::open(&record.keeper_identity())? {
                keeper.signal(Signal::SIGTERM)?;
                ends.push(record.keeper_identity());
            }
        }
        let end = Instant::now() + SOON;
        while ends.iter().any(|keeper| matches!(Pidfd::open(keeper), Ok(Some(_)))) {
            if Instant::now() >= end {
                return Err("a keeper does not end".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn end(&mut self) -> Result {
        if let Some(mut daemon) = self.daemon.take() {
            kill(Pid::from_raw(daemon.id().try_into()?), Signal::SIGINT)?;
            daemon.wait()?;
        }
        self.end_processes()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("something of a bench may be left: {error}");
        }
    }
}
