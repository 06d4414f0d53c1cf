//! Which processes are below one, and which bear the mark of a start.
//!
//! What `/proc` tells is never of one moment. So whoever is found is known by identity, the identity of each parent
//! is looked at again after its children were read, and whoever signals opens a verified handle first. A process may
//! still be missed by one look, never by all: who wants an end looks again until nothing is found.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use super::nonce::NONCE_VARIABLE;
use super::stat::ProcessStat;
use super::{BootId, FileError, Nonce, ProcessIdentity, ProcessRef};

/// How thorough a look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// By the kernel's lists of children where it has them; they may miss one while another ends.
    Quick,
    /// By one look at every process.
    Thorough,
}

/// The living processes below `root`, itself not among them. Zombies do not live.
pub(super) fn processes_below(root: &ProcessIdentity, look: Look) -> Result<Vec<ProcessIdentity>, FileError> {
    let found = below(vec![root.reference()], look)?;
    Ok(found.into_iter().map(|process| process.of_boot(&root.boot)).collect())
}

/// The living processes of our user that have `nonce` in their environment, the process `also` if it lives, and all
/// below them.
pub(super) fn processes_marked(
    nonce: &Nonce,
    also: Option<&ProcessIdentity>,
    look: Look,
) -> Result<Vec<ProcessIdentity>, FileError> {
    let boot = BootId::current()?;
    let mut roots = Vec::new();
    if let Some(process) = also.filter(|process| process.boot == boot) {
        let stat = ProcessStat::of(process.pid)?;
        let lives = stat.is_some_and(|stat| stat.alive && stat.start_ticks == process.start_ticks);
        roots.extend(lives.then(|| process.reference()));
    }
    for stat in ProcessStat::all()?.into_iter().filter(|stat| stat.alive) {
        if is_marked(stat.pid, nonce) {
            roots.push(ProcessRef { pid: stat.pid, start_ticks: stat.start_ticks });
        }
    }
    let mut found: HashSet<ProcessRef> = roots.iter().copied().collect();
    found.extend(below(roots, look)?);
    Ok(found.into_iter().map(|process| process.of_boot(&boot)).collect())
}

fn below(mut parents: Vec<ProcessRef>, look: Look) -> Result<Vec<ProcessRef>, FileError> {
    let table = match look {
        Look::Quick if has_lists() => None,
        Look::Quick | Look::Thorough => Some(ProcessStat::all()?),
    };
    let mut found = Vec::new();
    let mut seen: HashSet<ProcessRef> = parents.iter().copied().collect();
    while let Some(parent) = parents.pop() {
        for child in children(parent, table.as_deref())? {
            let process = ProcessRef { pid: child.pid, start_ticks: child.start_ticks };
            if child.alive && seen.insert(process) {
                found.push(process);
                parents.push(process);
            }
        }
    }
    Ok(found)
}

/// The children of that very process: none, if its pid has passed to another.
fn children(parent: ProcessRef, table: Option<&[ProcessStat]>) -> Result<Vec<ProcessStat>, FileError> {
    let children = match table {
        Some(table) => table.iter().filter(|stat| stat.parent == parent.pid).copied().collect(),
        None => listed_children(parent.pid)?,
    };
    let still = ProcessStat::of(parent.pid)?.is_some_and(|stat| stat.start_ticks == parent.start_ticks);
    Ok(if still { children } else { Vec::new() })
}

/// Whether this kernel has lists of children (`CONFIG_PROC_CHILDREN`).
fn has_lists() -> bool {
    std::fs::exists("/proc/thread-self/children").unwrap_or(false)
}

/// The children that the kernel lists for each thread of `pid`.
fn listed_children(pid: u32) -> Result<Vec<ProcessStat>, FileError> {
    let mut children = Vec::new();
    // A process or a thread that has ended since has no children any more.
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Ok(children) };
    for thread in threads.flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in list.split_ascii_whitespace().filter_map(|word| word.parse().ok()) {
            children.extend(ProcessStat::of(child)?.filter(|stat| stat.parent == pid));
        }
    }
    Ok(children)
}

/// Whether a process has the mark and is of our user; of any user, if we are root: its tasks may be others'. One whose
/// environment may not be read is not ours.
fn is_marked(pid: u32, nonce: &Nonce) -> bool {
    let own = nix::unistd::Uid::effective();
    let is_ours = |metadata: std::fs::Metadata| own.is_root() || metadata.uid() == own.as_raw();
    std::fs::metadata(format!("/proc/{pid}")).is_ok_and(is_ours)
        && environment(pid).is_ok_and(|bytes| has_mark(&bytes, nonce))
}

/// Whether an environment holds the mark `nonce`.
pub(super) fn has_mark(environment: &[u8], nonce: &Nonce) -> bool {
    let mark = format!("{NONCE_VARIABLE}={nonce}");
    environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
}

/// The environment with which its program was started: at most what the kernel takes at its largest, 6 MiB.
pub(super) fn environment(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/environ"))?.take(6 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell with a child that has a child; each prints its pid, and all end with the shell's standard input.
    fn family(nonce: &Nonce) -> (Child, Vec<u32>) {
        let script = "sh -c 'echo $$; sh -c \"echo \\$\\$; cat\"; :' <&0 & echo $$; wait";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("exec 3<&0; {}", script.replace("<&0", "<&3"))]);
        command.env(NONCE_VARIABLE, nonce.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().take(3);
        let mut pids: Vec<u32> = lines.map(|line| line.unwrap().parse().unwrap()).collect();
        pids.sort_unstable();
        (child, pids)
    }

    fn pids(mut found: Vec<ProcessIdentity>) -> Vec<u32> {
        found.sort_unstable_by_key(|process| process.pid);
        found.into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn everything_below_a_process_is_found_by_either_look() {
        let nonce = Nonce::fresh().unwrap();
        let (mut child, family) = family(&nonce);
        let root = ProcessIdentity::of(child.id()).unwrap().unwrap();
        for look in [Look::Quick, Look::Thorough] {
            let below = pids(processes_below(&root, look).unwrap());
            assert!(!below.contains(&child.id()), "the root is not below itself");
            assert!(family.iter().all(|pid| *pid == child.id() || below.contains(pid)), "{family:?} {below:?}");
            let marked = pids(processes_marked(&nonce, None, look).unwrap());
            assert!(family.iter().all(|pid| marked.contains(pid)), "{family:?} {marked:?}");
            let stranger = ProcessIdentity { start_ticks: root.start_ticks + 1, ..root.clone() };
            assert_eq!(processes_below(&stranger, look).unwrap(), [], "another process has that pid");
        }
        assert_eq!(processes_marked(&Nonce::fresh().unwrap(), None, Look::Quick).unwrap(), []);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(processes_below(&root, Look::Thorough).unwrap(), []);
    }
}
