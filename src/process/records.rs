//! What a keeper writes down, and what it is told: plain data. The files are [`record_file`](super::Record)'s.

use serde::{Deserialize, Serialize};

use super::{Argument, BootId, Caps, Nonce, ProcessIdentity, ProcessRef, Record};
use crate::name::TaskName;
use crate::restart::{Policy, UnaskedEnd};

/// `NAME.intent`: what a keeper does next time it starts its host. The keeper writes it when it begins; after that
/// its daemon may rewrite it, and the keeper reads it again before each further start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The process's name.
    pub name: TaskName,
    /// The host's arguments, its own name first.
    pub arguments: Vec<Argument>,
    /// Where the host runs.
    pub directory: Argument,
    /// What follows an end.
    pub restart: Policy,
    /// The program's version, in words.
    pub program: String,
    /// What the host may have at most. A reader that does not know them starts it without.
    #[serde(default, skip_serializing_if = "Caps::is_none")]
    pub caps: Caps,
    /// What the config says of its tasks, for whoever reads why it is parked: a line of `TASK: JSON` each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entries: String,
}

/// `NAME.process`: which processes the running keeper and its host are. It is written before the host's program
/// begins, and stays when they end: whether they live is to be looked at, see [`Pidfd`](super::Pidfd).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The boot in which both run.
    pub boot: BootId,
    /// The pid namespace in which their pids count: the number in the link `/proc/self/ns/pid`.
    pub pid_namespace: u64,
    /// The keeper.
    pub keeper: ProcessRef,
    /// The host.
    pub host: ProcessRef,
    /// The mark of this start, in the host's environment.
    pub nonce: Nonce,
    /// When the host was started: milliseconds since 1970.
    pub started_unix_ms: i64,
    /// How many times this keeper has started it, this one included.
    pub starts: u64,
    /// The program's version, in words.
    pub program: String,
}

impl HostRecord {
    /// The keeper, told from every other process.
    #[must_use]
    pub fn keeper_identity(&self) -> ProcessIdentity {
        self.keeper.of_boot(&self.boot)
    }

    /// The host, told from every other process.
    #[must_use]
    pub fn host_identity(&self) -> ProcessIdentity {
        self.host.of_boot(&self.boot)
    }
}

/// Whether `record` is of this boot of the machine; one of an earlier boot tells of nothing that lives.
#[must_use]
pub fn is_of_this_boot(record: &HostRecord) -> bool {
    BootId::current().is_ok_and(|boot| boot == record.boot)
}

/// How a host ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal; whether it left a core.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether a core was written.
        core: bool,
    },
    /// Its program never began, for this reason.
    NotStarted(String),
    /// Nobody saw it: its keeper was killed too.
    Unseen,
}

impl How {
    /// Whether it was anything but exit code 0.
    #[must_use]
    pub fn failed(&self) -> bool {
        *self != Self::Exited(0)
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signaled { signal, core } => {
                let core = if *core { ", core dumped" } else { "" };
                match nix::sys::signal::Signal::try_from(*signal) {
                    Ok(name) => write!(f, "ended by {}{core}", name.as_str()),
                    Err(_) => write!(f, "ended by signal {signal}{core}"),
                }
            }
            Self::NotStarted(reason) => write!(f, "not started: {reason}"),
            Self::Unseen => f.write_str("ended unseen, its keeper was gone"),
        }
    }
}

/// `NAME.end`: how the last host ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRecord {
    /// The boot in which it ran.
    pub boot: BootId,
    /// The host; none when not even its process could be made.
    pub host: Option<ProcessRef>,
    /// How.
    pub how: How,
    /// Whether somebody asked its keeper to end it, or not to start it again.
    pub asked: bool,
    /// When it was started: milliseconds since 1970.
    pub started_unix_ms: i64,
    /// When it ended: milliseconds since 1970.
    pub ended_unix_ms: i64,
    /// Its own processor time and that of its children that it waited for, outside the kernel, in milliseconds.
    pub user_cpu_ms: u64,
    /// The same inside the kernel.
    pub system_cpu_ms: u64,
    /// The most memory that it, or a child that it waited for, held at once, in KiB.
    pub max_rss_kib: u64,
}

/// `NAME.restarts`: the ends within the budget's window that nobody asked for, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// The boot whose clock counts; the ends of another boot are over.
    pub boot: BootId,
    /// The ends.
    pub ends: Vec<UnaskedEnd>,
    /// Which end was counted last: whoever finds that very end in `NAME.end` does not count it again. Earlier versions
    /// wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<EndId>,
}

/// Which end of a process an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndId {
    /// The host, if there was one: it has one end, whoever saw it.
    pub host: Option<ProcessRef>,
    /// When, in milliseconds since 1970: what tells starts apart that had no host.
    pub unix_ms: i64,
}

impl EndId {
    /// Whether both are one end.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.host == other.host && (self.host.is_some() || self.unix_ms == other.unix_ms)
    }
}

impl EndRecord {
    /// Which end it is.
    #[must_use]
    pub fn id(&self) -> EndId {
        EndId { host: self.host, unix_ms: self.ended_unix_ms }
    }
}

impl Record for Intent {
    const KIND: &'static str = "intent";
    const FORMAT: u32 = 1;
}

impl Record for HostRecord {
    const KIND: &'static str = "process";
    const FORMAT: u32 = 1;
}

impl Record for EndRecord {
    const KIND: &'static str = "end";
    const FORMAT: u32 = 1;
}

impl Record for Restarts {
    const KIND: &'static str = "restarts";
    const FORMAT: u32 = 1;
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::process::record_file::{decode, with_header};
    use crate::process::{read_record, write_record};

    /// The beginning of each kind's text, where a reader is deep in it.
    const BEGINNINGS: [&str; 6] = [
        "",
        "(boot:\"b\",pid_namespace:4,keeper:(pid:1,start_ticks:3),host:",
        "(boot:\"b\",host:Some((pid:2,start_ticks:3)),how:",
        "(boot:\"b\",ends:[(at_ms:1,unix_ms:2,how:",
        "(name:\"T\",arguments:[",
        "(name:\"T\",arguments:[],directory:\"/\",restart:(",
    ];

    /// Either way is right; what must not be is a panic.
    fn read_as_any_kind(body: &[u8]) {
        drop(decode::<Intent>(&with_header::<Intent>(body)));
        drop(decode::<HostRecord>(&with_header::<HostRecord>(body)));
        drop(decode::<EndRecord>(&with_header::<EndRecord>(body)));
        drop(decode::<Restarts>(&with_header::<Restarts>(body)));
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_true_header_are_a_record_or_refused(
            beginning in 0..BEGINNINGS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..100),
            text in "[(){}\\[\\]:,\"a-z0-9\\\\-]{0,60}",
        ) {
            let beginning = BEGINNINGS[beginning].as_bytes();
            read_as_any_kind(&[beginning, &bytes].concat());
            read_as_any_kind(&[beginning, text.as_bytes()].concat());
        }
    }

    #[test]
    fn a_record_that_is_nested_without_end_is_refused() {
        for open in ["(", "[", "{", "Some("] {
            read_as_any_kind(open.repeat(100_000).as_bytes());
            read_as_any_kind(format!("(unknown:{}", open.repeat(100_000)).as_bytes());
        }
    }

    fn check<R: Record + PartialEq + Debug>(record: &R, written: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        write_record(&path, record).unwrap();
        assert_eq!(read_record::<R>(&path).unwrap().as_ref(), Some(record));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().nth(1), Some(written), "what is written down changes only with its format");
    }

    #[test]
    fn records_are_written_in_one_form_that_does_not_change() {
        let boot = BootId::from("b".to_owned());
        let [keeper, host] = [1, 2].map(|pid| ProcessRef { pid, start_ticks: 3 });
        let nonce = "0123456789abcdef0123456789abcdef".parse().unwrap();
        check(
            &HostRecord {
                boot: boot.clone(),
                pid_namespace: 4,
                keeper,
                host,
                nonce,
                started_unix_ms: 5,
                starts: 6,
                program: "v".to_owned(),
            },
            "(boot:\"b\",pid_namespace:4,keeper:(pid:1,start_ticks:3),host:(pid:2,start_ticks:3),\
             nonce:\"0123456789abcdef0123456789abcdef\",started_unix_ms:5,starts:6,program:\"v\")",
        );
        check(
            &EndRecord {
                boot: boot.clone(),
                host: Some(host),
                how: How::Signaled { signal: 9, core: false },
                asked: true,
                started_unix_ms: 5,
                ended_unix_ms: 6,
                user_cpu_ms: 7,
                system_cpu_ms: 8,
                max_rss_kib: 9,
            },
            "(boot:\"b\",host:Some((pid:2,start_ticks:3)),how:Signaled(signal:9,core:false),asked:true,\
             started_unix_ms:5,ended_unix_ms:6,user_cpu_ms:7,system_cpu_ms:8,max_rss_kib:9)",
        );
        let how = How::NotStarted("x".to_owned()).to_string();
        let end = UnaskedEnd { at_ms: 1, unix_ms: 2, how };
        let restarts = Restarts { boot, ends: vec![end], counted: None };
        check(&restarts, "(boot:\"b\",ends:[(at_ms:1,unix_ms:2,how:\"not started: x\")])");
        let counted = Some(EndId { host: Some(ProcessRef { pid: 3, start_ticks: 4 }), unix_ms: 2 });
        let text = "(boot:\"b\",ends:[],counted:Some((host:Some((pid:3,start_ticks:4)),unix_ms:2)))";
        check(&Restarts { ends: Vec::new(), counted, ..restarts }, text);
        let argument = |text: &str| Argument::new(text).unwrap();
        check(
            &Intent {
                name: TaskName::new("T").unwrap(),
                arguments: vec![argument("multimodule"), argument("-m")],
                directory: argument("/"),
                restart: Policy::default(),
                program: "v".to_owned(),
                caps: Caps::default(),
                entries: String::new(),
            },
            "(name:\"T\",arguments:[\"multimodule\",\"-m\"],directory:\"/\",restart:(when:always,\
             backoff:(first_ms:100,max_ms:30000),budget:(max:3,within_ms:60000)),program:\"v\")",
        );
    }

    #[test]
    fn an_end_reads_as_words() {
        for (how, words) in [
            (How::Exited(3), "exited with 3"),
            (How::Signaled { signal: 9, core: false }, "ended by SIGKILL"),
            (How::Signaled { signal: 11, core: true }, "ended by SIGSEGV, core dumped"),
            (How::Signaled { signal: 40, core: false }, "ended by signal 40"),
        ] {
            assert_eq!(how.to_string(), words);
        }
    }
}
