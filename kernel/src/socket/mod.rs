//! Sockets of the AF_UNIX family (unix(7)), the only one there is.
//!
//! - [`unix`]: the [`Socket`], its state and its end; [`connect`], [`transmit`] and [`receive`] are its operations.
//! - [`message`]: what travels, in queues and charged to its sender; [`rights`] are open files that travel along,
//!   and [`collect`] closes sockets that travel in circles.
//! - [`names`] finds sockets by address, [`address`] and [`control`] are the layouts of the ABI, [`options`] those of
//!   setsockopt(2).
//! - [`mod@file`] makes an open file of a socket, [`calls`] holds the system calls.

mod address;
mod calls;
mod collect;
mod connect;
mod control;
mod file;
mod message;
mod names;
mod node;
mod options;
mod receive;
mod rights;
#[cfg(test)]
mod tests;
mod transmit;
mod unix;
mod wait;

pub use calls::SYSCALLS;
pub use unix::{Kind, Socket};
