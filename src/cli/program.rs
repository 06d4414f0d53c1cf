//! The program `multimodule`: its command line, and from there the daemon.

use std::process::ExitCode;

use super::exit::Exit;
use super::open_transit::parse;
use super::options::Options;

/// Reads the command line of this process and runs the daemon that `run` is. Help, version and usage errors are
/// answered here.
pub fn multimodule_main(run: impl FnOnce(Options) -> Exit) -> ExitCode {
    let exit = match parse(std::env::args_os()) {
        Ok(options) => run(options),
        Err(exit) => exit,
    };
    exit.into()
}
