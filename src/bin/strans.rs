//! `strans`; see `multimodule::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    multimodule::cli::strans_main()
}
