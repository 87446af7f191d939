//! The signal storm: `storm --help` says how to use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    user::storm::main()
}
