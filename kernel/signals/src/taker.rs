//! Which thread takes a signal that was sent to its process, and handing on what it does not take any more.
//!
//! Invariant, whenever the lock is free: if a process-directed signal is pending that some live thread accepts, one of those
//! threads has its attention set, and is awake or has been woken.

use sched::WakeMask;

use crate::attention::Attention;
use crate::crew::{Crew, Member, Part};
use crate::number::{Signal, SignalSet};

/// Wakes a thread that can take `signal`, which was made pending: its target, else the main thread if it can, else one
/// that has nothing to take yet, else any. When all block it, it stays pending.
#[inline]
pub fn wake<C: Crew>(crew: &C, target: Option<&C::Thread>, signal: Signal) {
    let accepts = |thread: &&C::Thread| crew.part(thread).accepts(signal);
    let taker = match target {
        Some(thread) => Some(thread).filter(accepts),
        None => {
            let main = crew.threads().next().filter(accepts);
            let idle = |thread: &&C::Thread| accepts(thread) && !thread.attention().is_set();
            main.or_else(|| crew.threads().find(idle)).or_else(|| crew.threads().find(accepts))
        }
    };
    if let Some(thread) = taker {
        alert(thread);
    }
}

/// Makes `thread` pass through the signal loop soon: ends an interruptible sleep, and interrupts it in user mode.
#[inline]
pub fn alert(thread: &impl Member) {
    thread.attention().set(Attention::Signal);
    thread.wake(WakeMask::SIGNAL);
}

/// Hands what `thread` would have taken to others: it blocks `signals` from now on, or ends.
#[inline]
pub fn retarget<C: Crew>(crew: &C, thread: &C::Thread, signals: SignalSet) {
    let rest = crew.shared_pending().intersection(signals);
    if !rest.is_empty() {
        hand_on(crew, thread, rest);
    }
}

/// Wakes threads other than `thread` that can take the signals in `rest`.
fn hand_on<C: Crew>(crew: &C, thread: &C::Thread, mut rest: SignalSet) {
    for other in crew.threads() {
        let part = crew.part(other);
        if rest.is_empty() || core::ptr::eq(other, thread) || part.is_exiting() {
            continue;
        }
        let takes: SignalSet = rest.iter().filter(|&signal| part.accepts(signal)).collect();
        if takes.is_empty() {
            continue;
        }
        rest = rest.difference(takes);
        if !other.attention().is_set() {
            alert(other);
        }
    }
}

/// `thread` is ending: it takes no more signals, and others take those that it could have taken.
pub fn retire<C: Crew>(crew: &mut C, thread: &C::Thread) {
    let part = crew.part_mut(thread);
    part.set_exiting();
    let taken = SignalSet::ALL.difference(part.blocked());
    if crew.exit().is_none() {
        retarget(crew, thread, taken);
    }
}
