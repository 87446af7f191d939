//! The benchmark program; see [`user::bench`].

use std::process::ExitCode;

fn main() -> ExitCode {
    user::bench::main()
}
