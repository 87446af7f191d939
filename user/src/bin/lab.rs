//! Runs loads as real programs: `lab --help` says how.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    user::lab::main(&arguments)
}
