//! What a config's `limits` are to the kernel, and what of them cannot be had on this machine.

use std::collections::BTreeSet;

use nix::unistd::geteuid;

use super::assembly::Assembly;
use crate::config::LimitSettings;
use crate::name::TaskName;
use crate::process::{Caps, group_number, user_number};

/// The caps of a process, and what stands in their way.
pub(super) fn caps(limits: &LimitSettings) -> (Caps, Vec<String>) {
    let mut faults = Vec::new();
    let mut number = |kind: &str, name: &Option<String>, look_up: fn(&str) -> nix::Result<Option<u32>>| {
        let name = name.as_ref()?;
        match name.parse().map_or_else(|_| look_up(name), |number| Ok(Some(number))) {
            Ok(Some(number)) => Some(number),
            Ok(None) => {
                faults.push(format!("there is no {kind} {name}: it runs as the daemon does"));
                None
            }
            Err(errno) => {
                faults.push(format!(
                    "the {kind} {name} cannot be looked up ({}): it runs as the daemon does",
                    errno.desc()
                ));
                None
            }
        }
    };
    let user = number("user", &limits.user, user_number);
    let group = number("group", &limits.group, group_number);
    let caps = Caps {
        memory_bytes: limits.memory,
        cpu_seconds: limits.cpu_time.map(|time| time.as_secs().max(1)),
        files: limits.files.map(u64::from),
        processes: limits.processes.map(u64::from),
        file_bytes: limits.file_size,
        nice: limits.nice.map(i32::from),
        user,
        group,
        no_new_privileges: limits.no_new_privs.unwrap_or(false),
        cgroup: None,
    };
    faults.extend(caps.lacking(geteuid().as_raw()).into_iter().map(|lacking| lacking.to_string()));
    (caps, faults)
}

/// What of the limits of `assembly` this machine does not enforce, each with the process that it is about.
pub(super) fn lacking(assembly: &Assembly) -> BTreeSet<(TaskName, String)> {
    let processes = assembly.placement.processes.iter();
    let all =
        processes.flat_map(|(name, process)| caps(&process.limits).1.into_iter().map(|fault| (name.clone(), fault)));
    all.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_are_told_to_the_kernel_in_its_units() {
        let limits = LimitSettings {
            memory: Some(64 << 20),
            cpu_time: Some(Duration::from_millis(1500)),
            user: Some("0".to_owned()),
            no_new_privs: Some(true),
            ..LimitSettings::default()
        };
        let (caps, _) = caps(&limits);
        assert_eq!((caps.memory_bytes, caps.cpu_seconds, caps.user), (Some(64 << 20), Some(1), Some(0)));
        assert!(caps.no_new_privileges);
    }

    #[test]
    fn a_user_that_is_not_there_is_told_and_nothing_is_guessed() {
        let limits = LimitSettings { user: Some("nobody-of-that-name".to_owned()), ..LimitSettings::default() };
        let (caps, faults) = caps(&limits);
        assert_eq!(caps.user, None);
        assert!(faults[0].contains("nobody-of-that-name"), "{faults:?}");
    }
}
