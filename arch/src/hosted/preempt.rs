//! The simulated preempt count of each host thread, and the locks that it holds.

use core::cell::{Cell, RefCell};
use std::thread_local;

use crate::sync::{HeldLocks, Rank};

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static REQUESTED: Cell<bool> = const { Cell::new(false) };
    static HELD: RefCell<HeldLocks> = const { RefCell::new(HeldLocks::new()) };
}

/// Forbids preemption on this CPU until the matching [`enable`]. Nests.
pub fn disable() {
    COUNT.set(COUNT.get() + 1);
}

/// Undoes one [`disable`].
pub fn enable() {
    COUNT.set(COUNT.get().checked_sub(1).expect("preemption enabled more often than disabled"));
}

/// How many holds on preemption this CPU has.
#[must_use]
pub fn count() -> u32 {
    COUNT.get()
}

/// Asks for preemption; a test looks at [`requested`].
pub fn request() {
    REQUESTED.set(true);
}

/// Whether preemption was requested.
#[must_use]
pub fn requested() -> bool {
    REQUESTED.get()
}

/// Takes the request back.
pub fn clear_request() {
    REQUESTED.set(false);
}

/// Checks the lock order and records that a lock of `rank` is being taken.
pub fn note_lock(rank: Rank) {
    HELD.with_borrow_mut(|held| held.push(rank));
}

/// Records a lock that is taken outside the order: a second one of its rank, or by `try_lock`.
pub fn note_nested_lock(rank: Rank) {
    HELD.with_borrow_mut(|held| held.push_nested(rank));
}

/// Records the release of a lock of `rank`.
pub fn forget_lock(rank: Rank) {
    HELD.with_borrow_mut(|held| held.pop(rank));
}

/// Calls `visit` with the name of each lock that this CPU holds, outermost first.
pub fn held_locks(mut visit: impl FnMut(&'static str)) {
    HELD.with_borrow(|held| held.held().iter().for_each(|&(_, name)| visit(name)));
}
