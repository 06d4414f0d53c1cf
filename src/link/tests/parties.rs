//! The two programs that the tests start, and what they need to start them.
//!
//! A host answers orders in a way that tests can see: `Configure` as it should, `SetLevel {n}` sends *n* lines at once
//! and then tells how many it could leave, `ReopenLog` tells its descriptors and threads, [`EXIT`] closes the link and
//! ends. It ends by itself when the test does.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::link::{DaemonLink, HostEvent, HostHello, HostLink, LinkError, OUTBOX_MESSAGES, ToDaemon, ToHost, VERSION};
use crate::name::TaskName;

const STATE: &str = "MULTIMODULE_LINK_STATE";
const PROCESS: &str = "MULTIMODULE_LINK_PROCESS";
const HOST_VERSION: &str = "MULTIMODULE_LINK_VERSION";

/// How long a test waits for what must happen, on a machine that others use as well.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A state directory, and the processes around it.
pub(super) struct World {
    pub(super) state_dir: PathBuf,
    _directory: TempDir,
}

/// A process that we started; it is killed when dropped.
pub(super) struct Party(pub(super) Child);

/// The daemon's end in this process.
pub(super) struct Linked {
    pub(super) link: DaemonLink,
    pub(super) hello: HostHello,
    pub(super) messages: Receiver<ToDaemon>,
}

pub(super) fn name(process: &str) -> TaskName {
    TaskName::new(process).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        Self::below("state")
    }

    pub(super) fn below(path: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join(path);
        std::fs::create_dir_all(&state_dir).unwrap();
        Self { state_dir, _directory: directory }
    }

    pub(super) fn host(&self, process: &str) -> Party {
        self.host_of_version(process, VERSION)
    }

    pub(super) fn host_of_version(&self, process: &str, version: u32) -> Party {
        self.party("this_program_can_be_a_host", process, version)
    }

    /// A daemon that is linked when this returns.
    pub(super) fn daemon(&self, process: &str) -> Party {
        self.party("this_program_can_be_a_daemon", process, VERSION)
    }

    fn party(&self, test: &str, process: &str, version: u32) -> Party {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("link::tests::parties::{test}"), "--nocapture", "--quiet"]);
        command.env(STATE, &self.state_dir).env(PROCESS, process).env(HOST_VERSION, version.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = Vec::new();
        let out = child.stdout.as_mut().unwrap();
        while !said.ends_with(b"there\n") {
            let mut byte = [0];
            assert_eq!(out.read(&mut byte).unwrap(), 1, "{process} ended: {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        Party(child)
    }

    pub(super) async fn try_connect(&self, process: &str, patience: Duration) -> Result<Linked, LinkError> {
        try_connect(&self.state_dir, process, patience).await
    }

    /// See [`connect`].
    pub(super) async fn connect(&self, process: &str) -> Linked {
        connect(&self.state_dir, process).await
    }

    /// What lies in the directory of sockets.
    pub(super) fn run_files(&self) -> Vec<String> {
        files(&self.state_dir.join("run"))
    }
}

async fn try_connect(state_dir: &Path, process: &str, patience: Duration) -> Result<Linked, LinkError> {
    let connected = DaemonLink::connect(state_dir, &name(process), patience).await;
    connected.map(|(link, hello, messages)| Linked { link, hello, messages })
}

/// Connects, if need be to the server that the host names when it has seen its last link end.
async fn connect(state_dir: &Path, process: &str) -> Linked {
    let begun = Instant::now();
    loop {
        match try_connect(state_dir, process, DEADLINE).await {
            Ok(linked) => return linked,
            Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(super) fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

impl Linked {
    pub(super) async fn next(&mut self) -> Option<ToDaemon> {
        timeout(DEADLINE, self.messages.recv()).await.expect("the host says something or ends")
    }

    /// Asks, and waits for the line that answers.
    pub(super) async fn line(&mut self, order: ToHost) -> String {
        assert!(self.link.send(order));
        match self.next().await {
            Some(ToDaemon::Configured { faults, .. }) => faults.concat(),
            other => panic!("a line was expected, not {other:?}"),
        }
    }

    pub(super) async fn works(&mut self) {
        assert!(self.link.send(ToHost::Configure { generation: 9 }));
        assert_eq!(self.next().await, Some(ToDaemon::Configured { generation: 9, faults: Vec::new() }));
    }
}

impl Party {
    pub(super) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for an end that it was told of by the link; whether it went well.
    pub(super) fn ends_well(&mut self) -> bool {
        // To wait closes what it reads, and that would end it otherwise.
        let _input = self.0.stdin.take();
        self.0.wait().unwrap().success()
    }

    pub(super) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How many descriptors and threads this process has.
pub(super) fn holdings() -> (usize, usize) {
    (files(Path::new("/proc/self/fd")).len(), files(Path::new("/proc/self/task")).len())
}

fn told() -> Option<(PathBuf, TaskName)> {
    let state_dir = std::env::var_os(STATE)?;
    Some((state_dir.into(), name(&std::env::var(PROCESS).unwrap())))
}

/// Ends this process when the test that started it is gone.
fn end_with_the_test() {
    std::thread::spawn(|| {
        // Nothing is ever written there: it ends with the test.
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(1);
    });
}

fn say_there() {
    println!("there");
    std::io::stdout().flush().unwrap();
}

#[test]
fn this_program_can_be_a_host() {
    let Some((state_dir, process)) = told() else { return };
    end_with_the_test();
    let version = std::env::var(HOST_VERSION).unwrap().parse().unwrap();
    let program = "test".to_owned();
    let hello = HostHello { version, nonce: "nonce".into(), process: process.to_string(), program, generation: 1 };
    let (link, mut events) = HostLink::start(&state_dir, &process, hello).unwrap();
    say_there();
    while let Some(event) = events.blocking_recv() {
        match event {
            HostEvent::Asked(EXIT) => break,
            HostEvent::Asked(order) => obey(&link, &order),
            HostEvent::Linked { .. } | HostEvent::Lost => {}
        }
    }
    drop(link);
    std::process::exit(0);
}

/// The order after which a host of these tests closes its link.
pub(super) const EXIT: ToHost = ToHost::SetLevel { level: u32::MAX };

/// An answer that is only a text.
fn line(text: String) -> ToDaemon {
    ToDaemon::Configured { generation: 0, faults: vec![text] }
}

fn obey(link: &HostLink, order: &ToHost) {
    match order {
        ToHost::Configure { generation } => {
            link.set_generation(*generation);
            assert!(link.send(ToDaemon::Configured { generation: *generation, faults: Vec::new() }));
        }
        ToHost::SetLevel { level } => {
            let left = (0..*level).filter(|n| link.send(line(n.to_string()))).count();
            assert!(left >= OUTBOX_MESSAGES, "{left}");
            std::fs::write(std::env::var_os(STATE).map(PathBuf::from).unwrap().join("left"), left.to_string()).unwrap();
        }
        _ => {
            let (descriptors, threads) = holdings();
            assert!(link.send(line(format!("{descriptors} descriptors, {threads} threads"))));
        }
    }
}

#[tokio::test]
async fn this_program_can_be_a_daemon() {
    let Some((state_dir, process)) = told() else { return };
    end_with_the_test();
    let mut linked = connect(&state_dir, process.as_str()).await;
    say_there();
    while linked.messages.recv().await.is_some() {}
}
