//! Storms of memory operations with every byte checked: `torture --help` says how to use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    user::torture::main()
}
