//! An event that happens once and is waited for: [`Completion`].

use arch::sync::atomic::{AtomicBool, Ordering};

use super::WaitQueue;
use crate::errno::Result;

/// Something that will be complete at some time, and stays so.
#[derive(Debug, Default)]
pub struct Completion {
    done: AtomicBool,
    queue: WaitQueue,
}

impl Completion {
    /// Not complete yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { done: AtomicBool::new(false), queue: WaitQueue::new() }
    }

    /// It is complete: wakes all who wait. What was written before is seen by them.
    pub fn complete(&self) {
        self.done.store(true, Ordering::Release);
        self.queue.wake_all();
    }

    /// Whether it is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Waits until it is complete.
    pub fn wait(&self) {
        self.queue.wait_uninterruptible(|| self.is_complete().then_some(()));
    }

    /// Waits until it is complete or the thread is to end.
    ///
    /// # Errors
    /// `ERESTARTSYS` when the thread is to end.
    pub fn wait_killable(&self) -> Result<()> {
        self.queue.wait_killable(|| self.is_complete().then_some(()))
    }
}
