//! From a trapped `syscall` instruction to its handler.

use arch::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use linux_raw_sys::general as abi;

use super::{Caller, Syscall, table, trace};
use crate::errno::{Errno, Result};
use crate::fs::asynchronous;
use crate::log_warn;
use crate::memory::pressure;
use crate::trace::{self as recorder, Event};

/// Calls whose number has no row: counted, and named once each in the log.
static UNKNOWN: AtomicU64 = AtomicU64::new(0);
static NAMED: [AtomicBool; 512] = [const { AtomicBool::new(false) }; 512];

/// Runs the system call that `caller`'s registers describe.
///
/// # Errors
/// Whatever the handler says; `ENOSYS` for a number without a row; `ENOMEM`, before anything has been done, if memory is
/// too low to promise what a call's small allocations may need and nobody can be killed for it.
pub fn dispatch(caller: &mut Caller<'_>) -> Result {
    let number = caller.number();
    let Some(syscall) = table::find(number) else {
        return unknown(caller, number);
    };
    let _credit = match works_without_credit(number) {
        true => None,
        false => Some(pressure::call_credit(caller.thread)?),
    };
    if recorder::wants(Event::SystemCall) {
        return recorded(syscall, caller);
    }
    if !trace::enabled() {
        let result = (syscall.run)(caller);
        asynchronous::deliver();
        return result;
    }
    let entry = trace::Entry::new(syscall, caller);
    let result = (syscall.run)(caller);
    asynchronous::deliver();
    entry.finish(&result);
    result
}

/// Runs the call between two records of the trace.
#[cold]
fn recorded(syscall: &Syscall, caller: &mut Caller<'_>) -> Result {
    let tid = caller.thread.tid();
    recorder::record(Event::SystemCall, tid, caller.number(), 0);
    let result = (syscall.run)(caller);
    let value = match &result {
        Ok(value) => *value as u64,
        Err(errno) => errno.to_register(),
    };
    recorder::record(Event::SystemCallEnd, tid, value, 0);
    result
}

/// Calls that must work when memory is used up and allocate nothing that cannot fail: those that end a thread, and the return
/// from a handler, whose error nobody would look at.
fn works_without_credit(number: u64) -> bool {
    let calls = [abi::__NR_exit, abi::__NR_exit_group, abi::__NR_rt_sigreturn];
    calls.iter().any(|&call| u64::from(call) == number)
}

/// How many calls without a row have been made since boot.
#[must_use]
pub fn unknown_calls() -> u64 {
    UNKNOWN.load(Ordering::Relaxed)
}

#[cold]
fn unknown(caller: &Caller<'_>, number: u64) -> Result {
    // Relaxed: a statistic, and a flag that only decides who prints.
    UNKNOWN.fetch_add(1, Ordering::Relaxed);
    let seen = usize::try_from(number).ok().and_then(|index| NAMED.get(index));
    if seen.is_some_and(|named| !named.swap(true, Ordering::Relaxed)) {
        log_warn!(
            "system call {number} is not implemented (first used by {})",
            caller.thread.name()
        );
    }
    Err(Errno::ENOSYS)
}
