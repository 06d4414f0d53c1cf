//! What a config says a task's process may use up: hard caps, which the kernel keeps.
//!
//! Plain data: what is not said is `None`, and is not limited. What the kernel can do about each of them on a machine
//! is for whoever starts processes to find out.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::notes::Notes;
use crate::value::Value;

/// The least memory: with less a host does not start.
const MIN_MEMORY_BYTES: u64 = 16 << 20;

/// The least CPU time: what the kernel counts in.
const MIN_CPU_TIME: Duration = Duration::from_secs(1);

/// Open files: what a host itself takes, up to what a kernel usually gives to a process (`fs.nr_open`).
const FILES: RangeInclusive<u32> = 64..=1_048_576;

/// Processes and threads: those of a host itself, up to as many as a kernel tells apart (`kernel.pid_max`).
const PROCESSES: RangeInclusive<u32> = 16..=4_194_304;

/// The smallest bound of a file: the queues' files, which a host writes, grow up to this size.
const MIN_FILE_BYTES: u64 = 16 << 20;

/// From the most favoured to the least.
const NICE: RangeInclusive<i64> = -20..=19;

/// The longest name of a user or a group in bytes, as the C library has it (`LOGIN_NAME_MAX`).
const MAX_ACCOUNT_BYTES: usize = 255;

/// A task's `limits: (...)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitSettings {
    /// Bytes of memory, at least 16 MiB.
    pub memory: Option<u64>,
    /// CPU time of each process, at least 1 s.
    pub cpu_time: Option<Duration>,
    /// Open files of each process, from 64 to 1,048,576.
    pub files: Option<u32>,
    /// Processes and threads, from 16 to 4,194,304.
    pub processes: Option<u32>,
    /// Bytes of each file that it writes, at least 16 MiB.
    pub file_size: Option<u64>,
    /// How favoured it is, from -20 to 19; below 0 takes a privilege.
    pub nice: Option<i8>,
    /// The user that it runs as, by name or number.
    pub user: Option<String>,
    /// The group that it runs as, by name or number.
    pub group: Option<String>,
    /// Whether it can never gain privileges.
    pub no_new_privs: Option<bool>,
}

const KEYS: [&str; 9] =
    ["memory", "cpu_time", "files", "processes", "file_size", "nice", "user", "group", "no_new_privs"];

impl LimitSettings {
    pub(super) fn read(value: &Value, notes: &mut Notes<'_>) -> Self {
        let mut settings = Self::default();
        for (key, value) in notes.map(value).iter().flat_map(|map| map.iter()) {
            settings.read_key(key, value, notes);
        }
        settings
    }

    fn read_key(&mut self, key: &str, value: &Value, notes: &mut Notes<'_>) {
        match key {
            "memory" => self.memory = bytes(value, MIN_MEMORY_BYTES, "a process does not start", &mut notes.below(key)),
            "cpu_time" => self.cpu_time = cpu_time(value, &mut notes.below(key)),
            "files" => self.files = notes.below(key).count_in(value, FILES),
            "processes" => self.processes = notes.below(key).count_in(value, PROCESSES),
            "file_size" => {
                self.file_size = bytes(value, MIN_FILE_BYTES, "the queues' files do not fit", &mut notes.below(key));
            }
            "nice" => self.nice = nice(value, &mut notes.below(key)),
            "user" | "group" => {
                let name = account(value, &mut notes.below(key));
                if key == "user" { self.user = name } else { self.group = name }
            }
            "no_new_privs" => self.no_new_privs = notes.below(key).typed(value),
            _ => notes.unknown_key(key, KEYS),
        }
    }
}

fn bytes(value: &Value, least: u64, otherwise: &str, notes: &mut Notes<'_>) -> Option<u64> {
    let bytes = notes.bytes(value)?;
    if bytes < least {
        notes.note(&format!("below {least} bytes {otherwise}"), None);
    }
    (bytes >= least).then_some(bytes)
}

fn cpu_time(value: &Value, notes: &mut Notes<'_>) -> Option<Duration> {
    let time = notes.time(value)?;
    if time < MIN_CPU_TIME {
        notes.note("CPU time is counted in seconds, so the least is 1 s", None);
    }
    (time >= MIN_CPU_TIME).then_some(time)
}

fn nice(value: &Value, notes: &mut Notes<'_>) -> Option<i8> {
    let found: i64 = notes.typed(value)?;
    let nice = i8::try_from(found).ok().filter(|_| NICE.contains(&found));
    if nice.is_none() {
        let (least, most) = (NICE.start(), NICE.end());
        notes.note(&format!("expected an integer from {least} to {most}, found {found}"), None);
    }
    nice
}

/// Whether there is such an account is not known here, for a config is read on other machines too.
fn account(value: &Value, notes: &mut Notes<'_>) -> Option<String> {
    let name = match value {
        Value::Int(number) if u32::try_from(*number).is_ok() => number.to_string(),
        Value::Text(text) => text.to_string(),
        other => {
            notes.note(&format!("expected a name or a number, found {}", other.kind()), None);
            return None;
        }
    };
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/' | ',');
    let is_name = (1..=MAX_ACCOUNT_BYTES).contains(&name.len()) && !name.contains(is_odd);
    if !is_name {
        notes.note(&format!("{name:?} is no name of a user or a group"), None);
    }
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::path::ValuePath;
    use crate::fields;
    use crate::value::Map;

    fn read(limits: impl Into<Value>) -> (LimitSettings, Vec<String>) {
        let mut faults = Vec::new();
        let settings =
            LimitSettings::read(&limits.into(), &mut Notes::new(ValuePath::default().key("limits"), &mut faults));
        (settings, faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect())
    }

    #[test]
    fn what_is_said_is_limited_and_nothing_else() {
        let all = fields! { memory: "512MiB", cpu_time: "1h", files: 256, processes: 64, file_size: "1GiB", nice: 10,
        user: "nobody", group: 65534, no_new_privs: true };
        let expected = LimitSettings {
            memory: Some(512 << 20),
            cpu_time: Some(Duration::from_secs(3600)),
            files: Some(256),
            processes: Some(64),
            file_size: Some(1 << 30),
            nice: Some(10),
            user: Some("nobody".to_owned()),
            group: Some("65534".to_owned()),
            no_new_privs: Some(true),
        };
        assert_eq!(read(all), (expected, Vec::new()));
        assert_eq!(read(Map::new()), (LimitSettings::default(), Vec::new()));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_told() {
        let cases = [
            (Value::from(4), "limits: expected a map, found an integer"),
            (fields! { memroy: 1 }.into(), "limits.memroy: unknown key \"memroy\""),
            (fields! { memory: "1MiB" }.into(), "limits.memory: below 16777216 bytes a process does not start"),
            (fields! { memory: -1 }.into(), "limits.memory: a size is at least 1 byte"),
            (fields! { memory: "lots" }.into(), "limits.memory: \"lots\" is no size"),
            (fields! { cpu_time: 0.5 }.into(), "limits.cpu_time: CPU time is counted in seconds, so the least is 1 s"),
            (fields! { cpu_time: "soon" }.into(), "limits.cpu_time: \"soon\" is no time"),
            (fields! { files: 3 }.into(), "limits.files: expected an integer from 64 to 1048576, found 3"),
            (fields! { processes: 0 }.into(), "limits.processes: expected an integer from 16 to 4194304, found 0"),
            (fields! { file_size: 1 }.into(), "limits.file_size: below 16777216 bytes the queues' files do not fit"),
            (fields! { nice: 20 }.into(), "limits.nice: expected an integer from -20 to 19, found 20"),
            (fields! { nice: -21 }.into(), "limits.nice: expected an integer from -20 to 19, found -21"),
            (fields! { user: "" }.into(), "limits.user: \"\" is no name of a user or a group"),
            (fields! { user: "a:b" }.into(), "limits.user: \"a:b\" is no name of a user or a group"),
            (fields! { user: -1 }.into(), "limits.user: expected a name or a number, found an integer"),
            (fields! { group: true }.into(), "limits.group: expected a name or a number, found a boolean"),
            (fields! { no_new_privs: "x" }.into(), "limits.no_new_privs: expected a boolean, found the text \"x\""),
        ];
        for (limits, expected) in cases {
            assert_eq!(read(limits).1, [expected]);
        }
    }
}
