//! The preempt count and the preemption request of the running CPU; in builds with debug assertions also the
//! locks it holds.
//!
//! Both are in one word, [`CpuArea::preempt`]: bits 0 to 30 count the holds, and bit 31 is *clear* while preemption is
//! requested. So the word is zero exactly when the CPU should switch here and now, and the decrement that gives up the last
//! hold says so by itself. (Linux keeps its own the same way.)
//!
//! The word is changed by one GS-relative instruction at a time, so that a thread cannot be moved between finding its CPU and
//! the change, and an interrupt handler's change is not lost.

use core::arch::asm;
use core::mem::offset_of;

use super::interrupts;
use super::percpu::{self, CpuArea};
use crate::sync::Rank;

/// The bit that is clear while preemption is requested.
const NOT_REQUESTED: u32 = 1 << 31;
/// No holds, no request.
pub(super) const INITIAL: u32 = NOT_REQUESTED;

/// Forbids preemption on this CPU until the matching [`enable`]. Nests.
pub fn disable() {
    // SAFETY: one instruction on this CPU's own word. Not `nomem`: accesses must not move ahead of it.
    unsafe {
        asm!("inc dword ptr gs:[{}]", const offset_of!(CpuArea, preempt), options(nostack));
    }
}

/// Undoes one [`disable`]; preempts at once if that was the last one, a request is pending and interrupts are on.
#[inline]
pub fn enable() {
    debug_assert!((1..1 << 30).contains(&count()), "preemption enabled more often than disabled");
    // SAFETY: one instruction on this CPU's own word, and a jump.
    unsafe {
        asm!("dec dword ptr gs:[{}]", "jz {}", const offset_of!(CpuArea, preempt),
            label { preempt_now() },
            options(nostack));
    }
}

#[cold]
fn preempt_now() {
    if interrupts::enabled()
        && let Some(handlers) = super::handlers()
    {
        (handlers.preempt)();
    }
}

/// How many holds on preemption this CPU has.
#[must_use]
pub fn count() -> u32 {
    word() & !NOT_REQUESTED
}

/// Asks that this CPU's thread be preempted as soon as nothing holds it off.
pub fn request() {
    // SAFETY: one instruction on this CPU's own word.
    unsafe {
        asm!("and dword ptr gs:[{}], {}", const offset_of!(CpuArea, preempt),
            const !NOT_REQUESTED, options(nostack));
    }
}

/// Whether preemption of this CPU is requested.
#[must_use]
pub fn requested() -> bool {
    word() & NOT_REQUESTED == 0
}

/// Takes the request back: the scheduler is looking.
pub fn clear_request() {
    // SAFETY: one instruction on this CPU's own word.
    unsafe {
        asm!("or dword ptr gs:[{}], {}", const offset_of!(CpuArea, preempt),
            const NOT_REQUESTED, options(nostack));
    }
}

fn word() -> u32 {
    let word: u32;
    // SAFETY: one load of this CPU's own word.
    unsafe {
        asm!("mov {:e}, gs:[{}]", out(reg) word, const offset_of!(CpuArea, preempt),
            options(nostack, preserves_flags));
    }
    word
}

/// Checks the lock order and records that a lock of `rank` is being taken.
pub fn note_lock(rank: Rank) {
    with_held(|held| held.push(rank));
}

/// Records a lock that is taken outside the order: a second one of its rank, or by `try_lock`.
pub fn note_nested_lock(rank: Rank) {
    with_held(|held| held.push_nested(rank));
}

/// Records the release of a lock of `rank`.
pub fn forget_lock(rank: Rank) {
    with_held(|held| held.pop(rank));
}

/// Runs an interrupt handler, whose locks are a sequence of their own. Interrupts are off.
pub(super) fn in_interrupt(handler: impl FnOnce()) {
    #[cfg(debug_assertions)]
    let floor = with_held(crate::sync::HeldLocks::enter_interrupt);
    handler();
    #[cfg(debug_assertions)]
    with_held(|held| held.leave_interrupt(floor));
}

/// Calls `visit` with the name of each lock that this CPU holds, outermost first. For panic messages.
pub fn held_locks(mut visit: impl FnMut(&'static str)) {
    with_held(|held| held.held().iter().for_each(|(_, name)| visit(name)));
}

fn with_held<R>(change: impl FnOnce(&mut crate::sync::HeldLocks) -> R) -> R {
    let saved = interrupts::disable();
    // SAFETY: interrupts are off, so nothing else on this CPU touches its list, and no other CPU does.
    let result = change(unsafe { &mut (*percpu::area()).held_locks });
    interrupts::restore(saved);
    result
}
