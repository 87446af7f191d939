//! The small shell: `skein-sh --help` says what it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    user::shell::main(&arguments)
}
