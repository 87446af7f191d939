//! The system calls about signals, and the table of their rows.

mod action;
mod mask;
mod send;
mod wait;

use action::{rt_sigaction, rt_sigreturn, sigaltstack};
use mask::{rt_sigpending, rt_sigprocmask, rt_sigsuspend};
use send::{kill, pidfd_send_signal, rt_sigqueueinfo, rt_tgsigqueueinfo, tgkill, tkill};
use wait::{pause, restart_syscall, rt_sigtimedwait};

use super::info::INFO_SIZE;
use super::number::{Signal, SignalSet};
use super::signalfd::{signalfd, signalfd4};
use super::timers::calls::{
    alarm, getitimer, setitimer, timer_create, timer_delete, timer_getoverrun, timer_gettime,
    timer_settime,
};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Fd, Syscall};

/// The rows.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(13, rt_sigaction(signal: i32, action: UserPtr<[u64; 4]>, former: UserPtr<[u64; 4]>, size: usize)),
    syscall!(14, rt_sigprocmask(how: u32, set: UserPtr<u64>, former: UserPtr<u64>, size: usize)),
    syscall!(15, rt_sigreturn()),
    syscall!(34, pause()),
    syscall!(36, getitimer(which: i32, value: UserPtr<[i64; 4]>)),
    syscall!(37, alarm(seconds: u32)),
    syscall!(38, setitimer(which: i32, value: UserPtr<[i64; 4]>, former: UserPtr<[i64; 4]>)),
    syscall!(62, kill(pid: i32, signal: i32)),
    syscall!(127, rt_sigpending(set: UserPtr<u64>, size: usize)),
    syscall!(128, rt_sigtimedwait(set: UserPtr<u64>, info: UserPtr<[u8; INFO_SIZE]>, timeout: UserPtr<[i64; 2]>, size: usize)),
    syscall!(129, rt_sigqueueinfo(pid: i32, signal: i32, info: UserPtr<[u8; INFO_SIZE]>)),
    syscall!(130, rt_sigsuspend(set: UserPtr<u64>, size: usize)),
    syscall!(131, sigaltstack(stack: UserPtr<[u64; 3]>, former: UserPtr<[u64; 3]>)),
    syscall!(200, tkill(tid: i32, signal: i32)),
    syscall!(219, restart_syscall()),
    syscall!(222, timer_create(clock: i32, event: UserPtr<[u8; 64]>, id: UserPtr<i32>)),
    syscall!(223, timer_settime(id: i32, flags: i32, value: UserPtr<[i64; 4]>, former: UserPtr<[i64; 4]>)),
    syscall!(224, timer_gettime(id: i32, value: UserPtr<[i64; 4]>)),
    syscall!(225, timer_getoverrun(id: i32)),
    syscall!(226, timer_delete(id: i32)),
    syscall!(234, tgkill(pid: i32, tid: i32, signal: i32)),
    syscall!(282, signalfd(descriptor: Fd, set: UserPtr<u64>, size: usize)),
    syscall!(289, signalfd4(descriptor: Fd, set: UserPtr<u64>, size: usize, flags: u32)),
    syscall!(297, rt_tgsigqueueinfo(pid: i32, tid: i32, signal: i32, info: UserPtr<[u8; INFO_SIZE]>)),
    syscall!(424, pidfd_send_signal(descriptor: Fd, signal: i32, info: UserPtr<[u8; INFO_SIZE]>, flags: u32)),
];

/// Checks the size of a `sigset_t` argument.
///
/// # Errors
/// `EINVAL` unless it is the kernel's.
pub(super) fn check_size(size: usize) -> Result<()> {
    if size == size_of::<SignalSet>() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Reads a `sigset_t`.
pub(super) fn read_set(address: UserPtr<u64>) -> Result<SignalSet> {
    Ok(SignalSet::from_bits(address.read()?))
}

/// The signal that a sending call names; `None` for 0, which only asks whether it could be sent.
fn sendable(number: i32) -> Result<Option<Signal>> {
    match number {
        0 => Ok(None),
        _ => Signal::from_argument(number).map(Some).ok_or(Errno::EINVAL),
    }
}
