//! `multimodule`; see `multimodule::cli`.

use std::process::ExitCode;

/// Messages are made by one thread and dropped by another, which costs glibc's allocator a lock each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    multimodule::cli::multimodule_main(multimodule::tasks::registry)
}
