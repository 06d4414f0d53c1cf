//! `rtrans`; see `multimodule::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    multimodule::cli::rtrans_main()
}
