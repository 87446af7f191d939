//! Bringing the system up, and taking it down.

pub mod command_line;
