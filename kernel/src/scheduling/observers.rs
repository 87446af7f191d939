//! Who is told of every wake-up of a wait queue: poll tables, epoll instances.
//!
//! Key types: [`Wake`], [`Registration`]. Observers are called without any lock of the queue, so they may take
//! locks of their own of whatever rank their callers permit.
//!
//! Locks: the list, rank `WAIT_QUEUE`, taken with interrupts off and released before anybody is called.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::{Irq, Rank, SpinLock};
use arrayvec::ArrayVec;

use sched::WakeMask;

use super::block::wake_thread;
use super::late::{HeldLate, Late, LateLink};
use crate::errno::{Errno, Result};
use crate::held_late;
use crate::task::Thread;

/// Somebody who wants to know that a wait queue was woken.
pub trait Wake: LetGo + Send + Sync {
    /// The queue was woken. May be called from an interrupt handler and with spin locks held: it must not sleep.
    /// It may also be called once more while the registration is being dropped.
    fn wake(&self);
}

/// What can be let go of in an interrupt handler: see [`Late`].
pub trait LetGo {
    /// Gives the reference up later.
    fn let_go(self: Arc<Self>);
}

impl<T: HeldLate> LetGo for T {
    fn let_go(self: Arc<Self>) {
        drop(Late::new(self));
    }
}

/// An observer that wakes one thread from whatever it waits for, to look again.
pub struct ThreadWaker {
    thread: Arc<Thread>,
    late: LateLink<ThreadWaker>,
}

held_late!(ThreadWaker, late);

impl ThreadWaker {
    /// Wakes `thread`.
    #[must_use]
    pub fn new(thread: Arc<Thread>) -> Self {
        Self { thread, late: LateLink::new() }
    }
}

impl Wake for ThreadWaker {
    fn wake(&self) {
        wake_thread(&self.thread, WakeMask::EVENT);
    }
}

/// The observers of one queue. The list is shared with the registrations, so that either may go first.
pub(super) struct Observers(SpinLock<Option<Arc<List>>, Irq>);

/// Observers by ascending key.
struct List(SpinLock<Entries, Irq>);

#[derive(Default)]
struct Entries {
    entries: Vec<(u64, Arc<dyn Wake>)>,
    next_key: u64,
}

/// How many observers are called between two looks at the list.
const BATCH: usize = 8;

impl Observers {
    pub(super) const fn new() -> Self {
        Self(SpinLock::new(Rank::WAIT_QUEUE, None))
    }

    pub(super) fn register(&self, observer: Arc<dyn Wake>) -> Result<Registration> {
        let list = self.list();
        let mut entries = list.0.lock();
        entries.entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let key = entries.next_key;
        entries.next_key += 1;
        entries.entries.push((key, observer));
        drop(entries);
        Ok(Registration { list, key })
    }

    fn list(&self) -> Arc<List> {
        if let Some(list) = &*self.0.lock() {
            return Arc::clone(list);
        }
        // Made outside the lock, which interrupt handlers take.
        let made = Arc::new(List(SpinLock::new(Rank::WAIT_QUEUE, Entries::default())));
        Arc::clone(self.0.lock().get_or_insert(made))
    }

    /// Calls each observer once.
    pub(super) fn notify(&self) {
        let Some(list) = self.0.lock().clone() else { return };
        let mut from = 0;
        loop {
            let batch: ArrayVec<(u64, Arc<dyn Wake>), BATCH> = {
                let entries = list.0.lock();
                let first = entries.entries.partition_point(|(key, _)| *key < from);
                entries.entries[first..].iter().take(BATCH).cloned().collect()
            };
            let Some((last, _)) = batch.last() else { return };
            from = last + 1;
            for (_, observer) in batch {
                observer.wake();
                // Its registration may have been dropped meanwhile.
                observer.let_go();
            }
        }
    }
}

/// An observer's place in a queue; given up when dropped.
#[must_use = "the observer is forgotten at once if its registration is not kept"]
pub struct Registration {
    list: Arc<List>,
    key: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.list.0.lock();
        let position = entries.entries.binary_search_by_key(&self.key, |(key, _)| *key);
        let removed = position.ok().map(|position| entries.entries.remove(position));
        drop(entries);
        // Outside the lock: this may be the last reference to the observer.
        drop(removed);
    }
}

impl core::fmt::Debug for Registration {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Registration({})", self.key)
    }
}
