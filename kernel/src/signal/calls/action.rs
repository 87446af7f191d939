//! rt_sigaction(2), sigaltstack(2), rt_sigreturn(2).

use super::check_size;
use signals::Crew;

use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::signal::action::Action;
use crate::signal::altstack::StackDescription;
use crate::signal::handler;
use crate::signal::number::{Signal, SignalSet};
use crate::syscall::Caller;

/// Sets and reads the action for a signal.
pub(super) fn rt_sigaction(
    caller: &mut Caller<'_>,
    signal: i32,
    action: UserPtr<[u64; 4]>,
    former: UserPtr<[u64; 4]>,
    size: usize,
) -> Result {
    check_size(size)?;
    let new = action.read_if_present()?.map(Action::from_words);
    let signal = Signal::from_argument(signal).ok_or(Errno::EINVAL)?;
    if new.is_some() && SignalSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let old = match new {
        None => caller.thread.process().signals().actions.get(signal),
        Some(new) => replace(caller, signal, new),
    };
    former.write_if_present(&old.to_words())?;
    Ok(0)
}

/// Replaces the action; an occurrence that is pending and would now be ignored is gone (POSIX, 2.4.3).
fn replace(caller: &Caller<'_>, signal: Signal, new: Action) -> Action {
    let mut state = caller.thread.process().signals();
    let old = state.actions.replace(signal, new);
    if new.ignores(signal) {
        state.discard(SignalSet::of(&[signal]));
    }
    old
}

/// Sets and reads the alternate stack.
pub(super) fn sigaltstack(
    caller: &mut Caller<'_>,
    stack: UserPtr<[u64; 3]>,
    former: UserPtr<[u64; 3]>,
) -> Result {
    let new = stack.read_if_present()?.map(StackDescription::from_words);
    let rsp = caller.context.rsp;
    let mut state = caller.thread.process().signals();
    let current = &mut state.of_mut(caller.thread).stack;
    let old = current.describe(rsp);
    if let Some(new) = new {
        current.set(new, rsp)?;
    }
    drop(state);
    former.write_if_present(&old.to_words())?;
    Ok(0)
}

/// Ends a handler.
pub(super) fn rt_sigreturn(caller: &mut Caller<'_>) -> Result {
    Ok(handler::sigreturn(caller.thread, caller.context) as usize)
}
