//! A live view of the scheduler: `schedtop --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    user::schedtop::main(&arguments)
}
