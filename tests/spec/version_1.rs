//! A host as a program before this one made it: version 1 of the control protocol, frozen.
//!
//! The types stand here as they were then, and nothing of the library's own link is used: what is written here does not
//! change when the protocol goes on. The host runs no task. It says in its log what it is asked, and answers.
//! It also plays hosts of other versions: their first words are the same.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use multimodule::name::TaskName;
use multimodule::process::{Argument, ByteLock, Caps, HostLock, HostRecord, KeeperOrder, NONCE_VARIABLE, Spawner};
use multimodule::restart::Policy;
use serde::{Deserialize, Serialize};

use crate::world::World;

/// The number that it names as its version; where it is not set, this program is no such host.
const PROTOCOL: &str = "MULTIMODULE_SPEC_PROTOCOL";
/// Set: it lets go of every daemon once it has said Hello.
const REFUSES: &str = "MULTIMODULE_SPEC_REFUSES";
/// Names the state directory.
const STATE: &str = "MULTIMODULE_SPEC_STATE";
/// Names the process that it is.
const NAME: &str = "MULTIMODULE_SPEC_PROCESS";
/// How this program is called to be that host.
const WORDS: [&str; 4] = ["--exact", "version_1::this_program_can_be_a_host_of_version_1", "--nocapture", "--quiet"];
/// Which program it says to be.
pub(crate) const PROGRAM: &str = "multimodule 0.0.9 (a fixture)";
/// At this level it prints more than a log file holds.
pub(crate) const TALKATIVE: u32 = 2;
/// What every test needs.
const DISK: &str = "the world is writable";
const SOCKETS: &str = "there are sockets";
/// How many lines of a thousand bytes that is: over 11 MiB.
const LINES: usize = 12_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum ToHost {
    Configure { generation: u64 },
    SetLevel { level: u32 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum ToDaemon {
    Configured { generation: u64, faults: Vec<String> },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct HostHello {
    version: u32,
    nonce: String,
    process: String,
    program: String,
    generation: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum FromDaemon {
    Hello { version: u32, reply: IpcSender<FromHost> },
    Message(ToHost),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum FromHost {
    Hello(HostHello),
    Message(ToDaemon),
}

/// What the host is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OtherHost {
    /// The name of the process.
    pub(crate) process: &'static str,
    /// The version that it names.
    pub(crate) protocol: u32,
    /// Whether it lets go of every daemon.
    pub(crate) refuses: bool,
}

impl World {
    /// Starts it, kept by a keeper, as an earlier daemon did.
    pub(crate) fn start_other_host(&self, host: OtherHost) -> HostRecord {
        DirBuilder::new().recursive(true).mode(0o700).create(self.state()).expect("the world is writable");
        let argument = |text: &str| Argument::new(text).expect("no zero in it");
        let path = |path: PathBuf| Argument::new(path).expect("no zero in it");
        let variable = |name: &str, value: &dyn std::fmt::Display| argument(&format!("{name}={value}"));
        let mut environment = vec![
            variable("PATH", &"/usr/bin:/bin"),
            variable(PROTOCOL, &host.protocol),
            variable(NAME, &host.process),
            variable(STATE, &self.state().display()),
        ];
        environment.extend(host.refuses.then(|| variable(REFUSES, &1)));
        let order = KeeperOrder {
            name: TaskName::new(host.process).expect("a name"),
            state_dir: path(self.state()),
            arguments: ["spec"].into_iter().chain(WORDS).map(argument).collect(),
            environment,
            directory: path(self.path().to_owned()),
            restart: Policy::default(),
            program_text: PROGRAM.to_owned(),
            caps: Caps::default(),
            entries: String::new(),
        };
        let program = File::open(std::env::current_exe().expect("this program has a path")).expect("it is there");
        let mut spawner = Spawner::start(Path::new(env!("CARGO_BIN_EXE_multimodule"))).expect("a spawner");
        spawner.spawn(&order, program.as_fd()).expect("a keeper");
        self.wait_for("the host's link", || fs::metadata(self.state().join(format!("{}.link", host.process))).ok());
        self.process(host.process)
    }
}

#[test]
fn this_program_can_be_a_host_of_version_1() {
    let Ok(protocol) = std::env::var(PROTOCOL) else { return };
    let state_dir = PathBuf::from(std::env::var_os(STATE).unwrap());
    let process = std::env::var(NAME).unwrap();
    let _lock = HostLock::try_take(&state_dir, &TaskName::new(&process).unwrap()).unwrap().expect("no other host");
    let sockets = state_dir.join("run").join(format!("{process}.link"));
    DirBuilder::new().recursive(true).mode(0o700).create(&sockets).unwrap();
    tempfile::env::override_temp_dir(&sockets).unwrap();
    let hello = HostHello {
        version: protocol.parse().unwrap(),
        nonce: std::env::var(NONCE_VARIABLE).unwrap(),
        process: process.clone(),
        program: PROGRAM.to_owned(),
        generation: 0,
    };
    // A signal ends it: as any program it leaves its files behind then.
    loop {
        let (server, address) = IpcOneShotServer::<FromDaemon>::new().unwrap();
        let _listening = publish(&state_dir, &process, Path::new(&address).strip_prefix(&sockets).unwrap());
        match server.accept().unwrap() {
            (daemon, FromDaemon::Hello { version, reply }) => serve(&daemon, version, &reply, &hello),
            (_, FromDaemon::Message(order)) => println!("fixture: {order:?} before a Hello"),
        }
    }
}

/// The link file of format 1, and the lock that says that somebody listens.
fn publish(state_dir: &Path, process: &str, socket: &Path) -> File {
    let (path, beside) = (state_dir.join(format!("{process}.link")), state_dir.join(format!("{process}.link.tmp")));
    let mut file = File::create(&beside).expect(DISK);
    writeln!(file, "multimodule link 1 {}", socket.display()).expect(DISK);
    assert!(ByteLock { byte: 0 }.try_take(&file).expect(DISK));
    fs::rename(beside, path).expect(DISK);
    file
}

fn serve(daemon: &IpcReceiver<FromDaemon>, version: u32, reply: &IpcSender<FromHost>, hello: &HostHello) {
    println!("fixture: a daemon of protocol {version}");
    if reply.send(FromHost::Hello(hello.clone())).is_err() || std::env::var_os(REFUSES).is_some() {
        return;
    }
    loop {
        match daemon.recv() {
            Ok(FromDaemon::Message(ToHost::Configure { generation })) => {
                println!("fixture: configure");
                let answer = ToDaemon::Configured { generation, faults: Vec::new() };
                if reply.send(FromHost::Message(answer)).is_err() {
                    return println!("fixture: the daemon is gone");
                }
            }
            Ok(FromDaemon::Message(ToHost::SetLevel { level })) => {
                (0..if level == TALKATIVE { LINES } else { 0 }).for_each(|_| println!("{}", "x".repeat(1000)));
                println!("fixture: level {level}");
            }
            Ok(FromDaemon::Hello { .. }) => println!("fixture: not understood: a second Hello"),
            Err(ipc_channel::IpcError::SerializationError(error)) => println!("fixture: not understood: {error}"),
            Err(_) => return println!("fixture: the daemon is gone"),
        }
    }
}

/// Sends `message` over a real channel and looks at what arrives, byte by byte.
fn check<T, const N: usize>(message: &T, expected: [u8; N])
where
    T: Serialize + for<'de> Deserialize<'de> + Clone,
    [u8; N]: Serialize + for<'de> Deserialize<'de>,
{
    let (tx, rx) = ipc::channel::<T>().expect(SOCKETS);
    tx.send(message.clone()).expect(SOCKETS);
    tx.send(message.clone()).expect(SOCKETS);
    let bytes = rx.to_opaque().to::<[u8; N]>();
    assert_eq!(bytes.recv().expect(SOCKETS), expected);
    assert!(bytes.to_opaque().to::<([u8; N], u8)>().recv().is_err(), "there are more bytes than {expected:?}");
}

#[test]
fn the_frozen_types_have_the_bytes_of_version_1() {
    check(&FromDaemon::Message(ToHost::Configure { generation: 300 }), [1, 0, 172, 2]);
    check(&FromDaemon::Message(ToHost::SetLevel { level: 3 }), [1, 1, 3]);
    let faults = vec!["a".to_owned(), "bc".to_owned()];
    check(&FromHost::Message(ToDaemon::Configured { generation: 2, faults }), [1, 0, 2, 2, 1, b'a', 2, b'b', b'c']);
    let hello = HostHello { version: 1, nonce: "n".into(), process: "p".into(), program: "q".into(), generation: 4 };
    check(&FromHost::Hello(hello), [0, 1, 1, b'n', 1, b'p', 1, b'q', 4]);
}
