//! QEMU: its command line (`arguments`), its life as a process (`process`), its control socket
//! (`qmp`), and what the end of a run means (`outcome`).

mod arguments;
mod diagnose;
mod outcome;
mod process;
mod qmp;

pub use arguments::{Boot, Console, Firmware, Start, Timing, arguments};
pub use diagnose::processors;
pub use outcome::Outcome;
pub use process::{Guest, launch};
