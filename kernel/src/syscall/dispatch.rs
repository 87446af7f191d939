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
#[inline]
pub fn dispatch(caller: &mut Caller<'_>) -> Result {
    let number = caller.number();
    let Some(syscall) = table::find(number) else {
        return unknown(caller, number);
    };
    let _credit = match pressure::call_credit() {
        Ok(credit) => credit,
        Err(_) if works_without_credit(number) => None,
        Err(_) => pressure::wait_for_call_credit(caller.thread)?,
    };
    if recorder::wants(Event::SystemCall) || trace::enabled() {
        return observed(syscall, caller);
    }
    run(syscall, caller)
}

/// Runs the call, and what it leaves to be done at its end.
#[inline(always)]
fn run(syscall: &Syscall, caller: &mut Caller<'_>) -> Result {
    let result = (syscall.run)(caller);
    asynchronous::deliver(caller.thread);
    result
}

/// Runs the call between two records of the trace, or two lines of the log, or both.
#[cold]
#[inline(never)]
fn observed(syscall: &Syscall, caller: &mut Caller<'_>) -> Result {
    let tid = caller.thread.tid();
    let is_recorded = recorder::wants(Event::SystemCall);
    if is_recorded {
        recorder::record(Event::SystemCall, tid, caller.number(), 0);
    }
    let entry = trace::enabled().then(|| trace::Entry::new(syscall, caller));
    let result = run(syscall, caller);
    if let Some(entry) = entry {
        entry.finish(&result);
    }
    if is_recorded {
        let value = match &result {
            Ok(value) => *value as u64,
            Err(errno) => errno.to_register(),
        };
        recorder::record(Event::SystemCallEnd, tid, value, 0);
    }
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
