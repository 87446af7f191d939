//! The first process: `init --help` says what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    user::init::main(&arguments)
}
