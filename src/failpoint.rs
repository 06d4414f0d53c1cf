//! Named steps at which a test may have this process killed. Without the feature `failpoints` a step is no code at all.
//!
//! ```text
//!   failpoint!("commit.record_written");     a step: its group, and what has just been done
//!
//!   MULTIMODULE_FAILPOINTS=DIR               where a test leaves DIR/commit.record_written.3, .2 and .1
//!   each process that comes to the step      takes the highest of them; who takes .1 is killed by SIGKILL
//! ```
//!
//! Invariant: a file is taken by one process (the kernel removes it once), so a step that is armed once kills once,
//! whichever of all the processes comes by, and however often they are started again.
//!
//! `docs/ARCHITECTURE.md` lists the steps; `tests/failpoints.rs` kills at each of them.

/// A step with this name: nothing, unless the feature `failpoints` is on.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reached($name);
    };
}

// No constant could be made of a call: so the compiler sees to it that a step is nothing.
#[cfg(not(feature = "failpoints"))]
const _: () = {
    failpoint!("no.code");
};

/// Names the directory of what is armed.
#[cfg(feature = "failpoints")]
pub(crate) const VARIABLE: &str = "MULTIMODULE_FAILPOINTS";

/// How many times a step can be let pass before it kills, and one more.
#[cfg(feature = "failpoints")]
const MOST_HITS: u32 = 9;

/// This process is at the step `name`.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(name: &str) {
    static DIRECTORY: std::sync::OnceLock<Option<std::path::PathBuf>> = std::sync::OnceLock::new();
    let Some(directory) = DIRECTORY.get_or_init(|| std::env::var_os(VARIABLE).map(Into::into)) else { return };
    let armed = |hits: u32| directory.join(format!("{name}.{hits}"));
    if !armed(1).exists() {
        return;
    }
    let taken = (1..=MOST_HITS).rev().find(|hits| std::fs::remove_file(armed(*hits)).is_ok());
    if taken == Some(1) {
        let killed = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        unreachable!("this process lives on after a SIGKILL: {killed:?}");
    }
}
