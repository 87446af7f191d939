//! Terminals: the console and pseudo-terminals (tty(4), pty(7)).
//!
//! - [`discipline`] is the line discipline, a pure state machine; [`termios`] its parameters.
//! - [`terminal`] puts a discipline, its locks and a [`Driver`](terminal::Driver) together; [`input`], [`output`],
//!   [`job`] and [`control`] are what can be done with it, [`mod@file`] the open file.
//! - [`serial`] is the console on the first serial port, [`transmitter`] the order in which it sends.
//! - [`pty`] and [`master`] are pseudo-terminals, [`devpts`] the file system with their names.

mod control;
pub mod devpts;
pub mod discipline;
mod file;
mod input;
mod job;
mod master;
mod output;
pub mod pty;
pub mod serial;
mod terminal;
pub mod termios;
#[cfg(test)]
mod tests;
mod transmitter;

pub use file::{Role, TerminalFile};
pub use master::Master;
pub use terminal::Terminal;
