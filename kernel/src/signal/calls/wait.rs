//! rt_sigtimedwait(2), pause(2), restart_syscall(2).

use arch::clock;
use arch::time::Nanos;

use super::{check_size, read_set};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::scheduling::{ParkMode, block_current};
use crate::signal::info::{INFO_SIZE, SignalInfo};
use crate::signal::number::{Signal, SignalSet};
use crate::signal::{deliver, timers};
use crate::syscall::Caller;
use crate::task::Thread;

/// Takes a pending signal of a set, or waits for one.
pub(super) fn rt_sigtimedwait(
    caller: &mut Caller<'_>,
    set: UserPtr<u64>,
    info: UserPtr<[u8; INFO_SIZE]>,
    timeout: UserPtr<[i64; 2]>,
    size: usize,
) -> Result {
    check_size(size)?;
    let set = read_set(set)?.difference(SignalSet::UNBLOCKABLE);
    let timeout = timeout.read_if_present()?.map(parse_time).transpose()?;
    let (signal, taken) = wait_for(caller.thread, set, timeout)?;
    info.write_if_present(&taken.to_bytes())?;
    Ok(usize::from(signal.number()))
}

/// Waits for a signal of `set` at most `timeout`.
///
/// # Errors
/// `EAGAIN` when none came in time, `EINTR` when another signal came.
fn wait_for(
    thread: &Thread,
    set: SignalSet,
    timeout: Option<Nanos>,
) -> Result<(Signal, SignalInfo)> {
    // Who only looks waits for nothing: a blocked signal that it awaited would never let it back to user mode.
    let only_looks = timeout == Some(Nanos::ZERO);
    if let Some(taken) = take(thread, set, if only_looks { SignalSet::EMPTY } else { set }) {
        return Ok(taken);
    }
    if only_looks {
        return Err(Errno::EAGAIN);
    }
    let deadline = timeout.map(|timeout| clock::now().saturating_add(timeout));
    let ended = block_current(ParkMode::Interruptible, deadline, || false);
    match (take(thread, set, SignalSet::EMPTY), ended) {
        (Some(taken), _) => Ok(taken),
        (None, Err(crate::scheduling::WaitEnd::TimedOut)) => Err(Errno::EAGAIN),
        (None, _) => Err(Errno::EINTR),
    }
}

/// Takes a signal of `set`. If there is none, those of `awaited` wake the thread from now on although they are blocked.
fn take(thread: &Thread, set: SignalSet, awaited: SignalSet) -> Option<(Signal, SignalInfo)> {
    let process = thread.process();
    let mut state = process.signals();
    let blocked = SignalSet::ALL.difference(set);
    let taken = deliver::dequeue(&mut state, thread, blocked);
    state.of_mut(thread).awaited = if taken.is_some() { SignalSet::EMPTY } else { awaited };
    state.refresh(thread);
    drop(state);
    let (signal, mut info) = taken?;
    timers::note_delivery(process, &mut info);
    Some((signal, info))
}

/// A `timespec` as a span.
fn parse_time([seconds, nanoseconds]: [i64; 2]) -> Result<Nanos> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| Errno::EINVAL)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok(Nanos::from_secs(seconds).saturating_add(Nanos(nanoseconds)))
}

/// Waits for a signal.
pub(super) fn pause(_caller: &mut Caller<'_>) -> Result {
    // Nothing but a signal ends it.
    let _interrupted = block_current(ParkMode::Interruptible, None, || false);
    Err(Errno::ERESTARTNOHAND)
}

/// Goes on with the call that was interrupted, as it left word in the thread.
pub(super) fn restart_syscall(caller: &mut Caller<'_>) -> Result {
    let restart = caller.thread.take_restart().ok_or(Errno::EINTR)?;
    restart.run(caller)
}
