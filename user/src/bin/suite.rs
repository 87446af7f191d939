//! The guest test suite: `suite --help` says how to use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    user::suite::main()
}
