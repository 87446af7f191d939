//! Notifiers that have been woken and have not told yet. Key type: [`Woken`].
//!
//! Each thread has a few places for those that its own wake-ups reach, and tells for itself: at the end of its system call, before it
//! sleeps in the middle of one for as long as others like, and when its files are closed at its end. A thread that waited for another's list
//! would find that one put off its CPU, with the notifier taken and nothing sent yet.
//!
//! What finds no place, and what a thread of the kernel's own causes, goes to a list that all share, whoever delivers next.
//! Nothing that can be watched this way is woken by interrupt handlers: the console has a thread.
//!
//! Locks: places and list, each rank `LEAF`, interrupts off.

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicBool, Ordering};
use arch::sync::{Irq, Rank, SpinLock};
use arrayvec::ArrayVec;
use intrusive_collections::{LinkedList, LinkedListAtomicLink, intrusive_adapter};

use super::Notifier;
use crate::scheduling::{Late, Wake};
use crate::task::{self, Thread, Tid};

/// Places of a thread. One is enough for most calls: a file is rarely watched twice.
const PLACES: usize = 4;

/// What a thread's wake-ups have reached.
pub struct Woken {
    /// Whether there is anything. Touched by the thread itself alone.
    any: AtomicBool,
    notifiers: SpinLock<ArrayVec<Arc<Notifier>, PLACES>, Irq>,
}

impl Woken {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            notifiers: SpinLock::new(Rank::LEAF, ArrayVec::new_const()),
        }
    }

    /// Puts `notifier` down, once. Gives it back if there is no place.
    fn put_down(&self, notifier: Arc<Notifier>) -> Result<(), Arc<Notifier>> {
        let mut notifiers = self.notifiers.lock();
        if notifiers.iter().any(|known| Arc::ptr_eq(known, &notifier)) {
            drop(notifiers);
            // Not the last reference: the other one is in its place, to be taken by this thread.
            drop(notifier);
            return Ok(());
        }
        notifiers.try_push(notifier).map_err(|full| full.element())?;
        self.any.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn take(&self) -> Option<Arc<Notifier>> {
        self.notifiers.lock().pop()
    }
}

impl Default for Woken {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Woken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Woken({})", self.any.load(Ordering::Relaxed))
    }
}

intrusive_adapter!(Notifiers = Arc<Notifier>: Notifier { link => LinkedListAtomicLink });

static SHARED: SpinLock<LinkedList<Notifiers>, Irq> =
    SpinLock::new(Rank::LEAF, LinkedList::new(Notifiers::NEW));
/// Whether the shared list may have something in it.
static ANY_SHARED: AtomicBool = AtomicBool::new(false);

impl Wake for Notifier {
    fn wake(&self) {
        // Others may give the notifier up meanwhile, and this may be an interrupt handler.
        let Some(this) = self.this.upgrade().map(Late::new) else { return };
        let thread = task::try_current().filter(|thread| thread.tid() != Tid::KERNEL);
        let left = match thread {
            Some(thread) => thread.woken.put_down(Arc::clone(&this)).err(),
            None => Some(Arc::clone(&this)),
        };
        if let Some(notifier) = left {
            share(notifier);
        }
    }
}

fn share(notifier: Arc<Notifier>) {
    let mut shared = SHARED.lock();
    if !notifier.is_queued.swap(true, Ordering::Relaxed) {
        shared.push_back(notifier);
    }
    drop(shared);
    // Seen by this thread when it delivers; by others sooner or later.
    ANY_SHARED.store(true, Ordering::Release);
}

/// Sends the signals that wake-ups by `thread`, the calling one, have asked for. Holding no spin lock, and no lock that closing a
/// file takes; costs two loads when there are none.
pub fn deliver(thread: &Thread) {
    if thread.woken.any.load(Ordering::Relaxed) || ANY_SHARED.load(Ordering::Relaxed) {
        deliver_all(thread);
    }
}

#[cold]
fn deliver_all(thread: &Thread) {
    // What is woken from here on, perhaps by what is told, sets the mark again, or is found by the loop.
    thread.woken.any.store(false, Ordering::Relaxed);
    while let Some(notifier) = thread.woken.take() {
        notifier.tell();
    }
    // Acquire and release: what is entered after the swap sets the mark again.
    if !ANY_SHARED.swap(false, Ordering::AcqRel) {
        return;
    }
    loop {
        let mut shared = SHARED.lock();
        let Some(notifier) = shared.pop_front() else { return };
        notifier.is_queued.store(false, Ordering::Relaxed);
        drop(shared);
        notifier.tell();
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Weak;

    use arch::sync::atomic::AtomicU32;

    use super::*;
    use crate::scheduling::LateLink;
    use crate::syscall::Fd;

    fn notifier() -> Arc<Notifier> {
        Arc::new_cyclic(|this| Notifier {
            this: this.clone(),
            link: LinkedListAtomicLink::new(),
            late: LateLink::new(),
            file: Weak::new(),
            descriptor: Fd(3),
            is_queued: AtomicBool::new(false),
            last: AtomicU32::new(0),
        })
    }

    #[test]
    fn a_notifier_has_one_place_however_often_it_is_woken() {
        let woken = Woken::new();
        let notifier = notifier();
        for _ in 0..=PLACES {
            assert!(woken.put_down(notifier.clone()).is_ok());
        }
        assert!(woken.take().is_some_and(|taken| Arc::ptr_eq(&taken, &notifier)));
        assert!(woken.take().is_none());
    }

    #[test]
    fn what_finds_no_place_is_given_back() {
        let woken = Woken::new();
        let notifiers: Vec<_> = (0..=PLACES).map(|_| notifier()).collect();
        for notifier in &notifiers[..PLACES] {
            assert!(woken.put_down(notifier.clone()).is_ok());
        }
        let left = woken.put_down(notifiers[PLACES].clone());
        assert!(left.is_err_and(|left| Arc::ptr_eq(&left, &notifiers[PLACES])));
        assert!(core::iter::from_fn(|| woken.take()).count() == PLACES);
    }

    #[test]
    fn without_a_thread_of_a_process_the_list_takes_it_once() {
        let notifier = notifier();
        notifier.wake();
        notifier.wake();
        assert!(ANY_SHARED.load(Ordering::Relaxed));
        let mut shared = SHARED.lock();
        let taken = core::iter::from_fn(|| shared.pop_front());
        assert_eq!(taken.filter(|taken| Arc::ptr_eq(taken, &notifier)).count(), 1);
    }
}
