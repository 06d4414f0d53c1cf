//! `qtrans`; see `multimodule::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    multimodule::cli::qtrans_main()
}
