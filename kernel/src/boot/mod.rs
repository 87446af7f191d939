//! Bringing the system up, and taking it down.

pub mod command_line;
mod first_program;
mod start;

pub use start::start;
