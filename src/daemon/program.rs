//! What every program that runs tasks does: the daemon and its hosts.

use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::error::DaemonError;
use crate::name::TaskName;
use crate::process;
use crate::runtime::install_panic_hook;

/// Prepares this process for tasks, and runs `program` to its end; `threads` is how many run tasks, one per CPU if
/// nothing is said.
pub(crate) fn run_in_runtime(
    threads: Option<usize>,
    program: impl Future<Output = Result<(), DaemonError>>,
) -> Result<(), DaemonError> {
    install_panic_hook();
    let kernel = |what| move |source| DaemonError::Kernel { what, source };
    process::raise_descriptor_limit().map_err(kernel("raising the limit of open files"))?;
    process::ignore_file_size_signal().map_err(kernel("ignoring SIGXFSZ"))?;
    process::watch_bus_errors().map_err(kernel("watching for SIGBUS"))?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().map_err(kernel("starting the runtime's threads"))?;
    let outcome = runtime.block_on(program);
    // A task that blocks its thread must not hold up an end that has been decided.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// A process's name in lanes. Two daemons may share a transit, and a lane has one writer: the name tells their
/// state directories apart, and is the same at the next start.
pub(crate) fn process_name(process: &str, state_dir: &Path) -> TaskName {
    // A process's name leaves room for what is appended to it: see `task::MAX_PROCESS_NAME_BYTES`.
    TaskName::new(format!("{process}@{}", state_tag(state_dir)))
        .expect("a process's name with a hash after it is a name")
}

/// What tells a state directory apart from others, in 8 letters.
pub(super) fn state_tag(state_dir: &Path) -> String {
    let path = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    format!("{:08x}", crc32c::crc32c(path.as_os_str().as_bytes()))
}

/// Which program this is, in words, for whoever meets a process of it: version and the file that runs.
pub fn program_text() -> String {
    let file = std::fs::metadata("/proc/self/exe");
    let file = file.map_or_else(
        |_| "unknown file".to_owned(),
        |file| format!("file {}:{} of {}", file.dev(), file.ino(), file.mtime()),
    );
    format!("multimodule {} ({file})", env!("CARGO_PKG_VERSION"))
}
