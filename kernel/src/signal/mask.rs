//! The signal mask of a thread: changing it, and calls that wait with a mask of their own.

use signals::taker;

use super::number::SignalSet;
use super::state::ProcessSignals;
use crate::task::{Thread, current};

/// Makes `mask` the mask of `thread`, the calling one. What it newly blocks and others can take goes to them.
pub(super) fn set(state: &mut ProcessSignals, thread: &Thread, mask: SignalSet) {
    let mask = mask.difference(SignalSet::UNBLOCKABLE);
    let former = core::mem::replace(&mut state.of_mut(thread).blocked, mask);
    let newly_blocked = mask.difference(former);
    if !newly_blocked.is_empty() {
        taker::retarget(state, thread, newly_blocked);
    }
    state.refresh(thread);
}

/// Makes `mask` the mask of the calling thread until it goes back to user mode: a handler that runs then runs with
/// the former mask saved in its frame, and without a handler the former mask is put back.
///
/// For calls that wait with a mask of their own: sigsuspend, ppoll, pselect, epoll_pwait. Such a call that ends
/// *without* having been interrupted calls [`restore`] instead.
pub fn replace_for_call(mask: SignalSet) {
    let thread = current();
    let mut state = thread.process().signals();
    let own = state.of_mut(&thread);
    let former = own.blocked;
    own.restored.get_or_insert(former);
    thread.set_restores_mask(true);
    set(&mut state, &thread, mask);
}

/// Puts back the mask that [`replace_for_call`] replaced, at once.
pub fn restore() {
    let thread = current();
    let mut state = thread.process().signals();
    thread.set_restores_mask(false);
    if let Some(mask) = state.of_mut(&thread).restored.take() {
        set(&mut state, &thread, mask);
    }
}

/// The mask of the calling thread.
#[must_use]
pub fn get() -> SignalSet {
    let thread = current();
    thread.process().signals().of(&thread).blocked
}
