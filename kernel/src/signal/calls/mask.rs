//! rt_sigprocmask(2), rt_sigpending(2), rt_sigsuspend(2).

use linux_raw_sys::general as abi;

use super::{check_size, read_set};
use crate::errno::{Errno, Result};
use crate::memory::user::{UserPtr, write_bytes};
use crate::scheduling::{ParkMode, block_current};
use crate::signal::mask;
use crate::signal::number::SignalSet;
use crate::syscall::Caller;

/// Changes and reads the signal mask.
pub(super) fn rt_sigprocmask(
    caller: &mut Caller<'_>,
    how: u32,
    set: UserPtr<u64>,
    former: UserPtr<u64>,
    size: usize,
) -> Result {
    check_size(size)?;
    let change = set.read_if_present()?.map(SignalSet::from_bits);
    let mut state = caller.thread.process().signals();
    let old = state.of(caller.thread).blocked;
    if let Some(change) = change {
        let new = match how {
            abi::SIG_BLOCK => old.union(change),
            abi::SIG_UNBLOCK => old.difference(change),
            abi::SIG_SETMASK => change,
            _ => return Err(Errno::EINVAL),
        };
        mask::set(&mut state, caller.thread, new);
    }
    drop(state);
    former.write_if_present(&old.bits())?;
    Ok(0)
}

/// Which blocked signals are pending. A smaller set than the kernel's may be asked for, as on Linux.
pub(super) fn rt_sigpending(caller: &mut Caller<'_>, set: UserPtr<u64>, size: usize) -> Result {
    if size > size_of::<SignalSet>() {
        return Err(Errno::EINVAL);
    }
    let state = caller.thread.process().signals();
    let own = state.of(caller.thread);
    let pending = own.pending.set().union(state.pending.set()).intersection(own.blocked);
    drop(state);
    write_bytes(set.address(), &pending.bits().to_ne_bytes()[..size])?;
    Ok(0)
}

/// Waits for a signal with another mask.
pub(super) fn rt_sigsuspend(_caller: &mut Caller<'_>, set: UserPtr<u64>, size: usize) -> Result {
    check_size(size)?;
    mask::replace_for_call(read_set(set)?);
    // Nothing but a signal ends it.
    let _interrupted = block_current(ParkMode::Interruptible, None, || false);
    Err(Errno::ERESTARTNOHAND)
}
