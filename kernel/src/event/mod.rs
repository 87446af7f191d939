//! Event sources and multiplexing: eventfd, timerfd, poll, select, epoll.
//!
//! - [`counter`] is eventfd(2), [`timer`] timerfd_create(2).
//! - [`readiness`] waits until one of many files is ready; [`poll`] and [`select`] are the system calls over it.
//! - [`epoll`] keeps the set of files between calls.
//! - [`timeout`] reads the ways in which a program says how long to wait.

mod counter;
mod epoll;
mod poll;
mod readiness;
mod select;
mod timeout;
mod timer;

pub use epoll::EventPoll;
pub use timer::TimerFile;

use crate::syscall::Syscall;

/// The system calls of this module, by area.
pub const SYSCALLS: &[&[Syscall]] =
    &[counter::SYSCALLS, epoll::SYSCALLS, poll::SYSCALLS, select::SYSCALLS, timer::SYSCALLS];
