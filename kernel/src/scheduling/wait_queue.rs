//! A queue of threads that wait for a condition, and of observers that want to know of every wake-up.
//!
//! ```ignore
//! let byte = queue.wait_until(|| pipe.lock().pop())?;      // the waiter
//! pipe.lock().push(byte); queue.wake_one();                // the waker: first the condition, then the wake-up
//! ```
//!
//! A condition runs without the queue's lock and in a normal state: it may take locks, even [sleeping ones](super::Mutex),
//! and copy to and from user memory. Each thread that waits has a node on its own stack, linked into the queue.
//!
//! Invariants: a node is linked only while the call that made it has not returned; its [`Stand`] says that a waker has unlinked
//! it, and whether that waker is done with it; a wake-up for one that found a waiter who did not need it is passed on, so none
//! is lost.
//!
//! Locks: the list, rank `WAIT_QUEUE`, taken with interrupts off; threads are woken while it is held. Who was woken does not
//! take it again.
#![allow(unsafe_code, reason = "waiters are links on the stacks of the threads that wait")]

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering, fence};
use arch::sync::{Irq, Rank, SpinLock};
use arch::time::Nanos;
use intrusive_collections::{LinkedList, LinkedListAtomicLink, UnsafeRef, intrusive_adapter};
use sched::{ParkMode, Stand, WakeMask};

use super::block::{WaitEnd, assert_may_sleep, block_current, wake_thread};
use super::observers::{Observers, Registration, Wake};
use crate::errno::Result;
use crate::fs::asynchronous;
use crate::task::{self, Thread};

/// A thread in a queue.
struct Waiter {
    link: LinkedListAtomicLink,
    thread: Arc<Thread>,
    /// Written under the queue's lock, by the waker who unlinks the waiter.
    stand: Stand,
}

intrusive_adapter!(Waiters = UnsafeRef<Waiter>: Waiter { link => LinkedListAtomicLink });

/// Threads that wait for something, first come first served.
pub struct WaitQueue {
    waiters: SpinLock<LinkedList<Waiters>, Irq>,
    observers: Observers,
    /// How many waiters and observers there are, for wakers to see without the lock that there are none.
    population: AtomicU32,
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiters: SpinLock::new(Rank::WAIT_QUEUE, LinkedList::new(Waiters::NEW)),
            observers: Observers::new(),
            population: AtomicU32::new(0),
        }
    }

    /// Waits until `condition` returns a value.
    ///
    /// # Errors
    /// `ERESTARTSYS` when a signal is pending instead.
    pub fn wait_until<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T> {
        Ok(self.wait(ParkMode::Interruptible, None, condition)?)
    }

    /// Waits until `condition` returns a value, at most until `deadline` (monotonic; `None` for ever).
    ///
    /// # Errors
    /// Why the wait ended instead.
    pub fn wait_until_deadline<T>(
        &self,
        deadline: Option<Nanos>,
        condition: impl FnMut() -> Option<T>,
    ) -> core::result::Result<T, WaitEnd> {
        self.wait(ParkMode::Interruptible, deadline, condition)
    }

    /// Waits until `condition` returns a value or a fatal signal comes.
    ///
    /// # Errors
    /// `ERESTARTSYS` when the thread is to end; it never reaches user mode.
    pub fn wait_killable<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T> {
        Ok(self.wait(ParkMode::Killable, None, condition)?)
    }

    /// Waits until `condition` returns a value, whatever happens. For waits that are known to be short.
    pub fn wait_uninterruptible<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        #[cfg(test)]
        if task::try_current().is_none() {
            return poll(condition);
        }
        loop {
            if let Ok(value) = self.wait(ParkMode::Uninterruptible, None, &mut condition) {
                return value;
            }
        }
    }

    /// The general wait: until `condition` returns a value, `mode` ends it, or `deadline` passes.
    ///
    /// # Errors
    /// Why the wait ended instead.
    pub fn wait<T>(
        &self,
        mode: ParkMode,
        deadline: Option<Nanos>,
        mut condition: impl FnMut() -> Option<T>,
    ) -> core::result::Result<T, WaitEnd> {
        assert_may_sleep();
        if let Some(value) = condition() {
            return Ok(value);
        }
        let waiter = Waiter::new(task::current().to_arc());
        let membership = Membership { queue: self, waiter: &waiter };
        loop {
            membership.join();
            if let Some(value) = condition() {
                membership.leave_passing_on();
                return Ok(value);
            }
            if mode == ParkMode::Interruptible {
                // Who has woken others and sleeps now, perhaps until they have done something, tells those first that are told by
                // signals. The other modes are for short waits, and for those with locks held.
                asynchronous::deliver(&waiter.thread);
            }
            let end = block_current(mode, deadline, || waiter.stand.is_woken());
            // A waker chose this thread: the condition is asked before anybody else's wake-up can be swallowed.
            if waiter.stand.is_woken()
                && let Some(value) = condition()
            {
                return Ok(value);
            }
            if let Err(end) = end {
                membership.leave_passing_on();
                return Err(end);
            }
        }
    }

    /// Wakes the thread that has waited longest, if any, and notifies every observer.
    pub fn wake_one(&self) {
        self.wake(1);
    }

    /// Wakes every waiting thread and notifies every observer.
    #[inline]
    pub fn wake_all(&self) {
        self.wake(usize::MAX);
    }

    /// Wakes up to `count` waiting threads and notifies every observer.
    #[inline]
    pub fn wake(&self, count: usize) {
        // Pairs with the fence in `join` and `register`: the waker made the condition true, then looks for waiters;
        // the waiter registers, then looks at the condition.
        fence(Ordering::SeqCst);
        let population = self.population.load(Ordering::Relaxed);
        if population & !OBSERVED != 0 {
            self.wake_waiters(count);
        }
        if population & OBSERVED != 0 {
            self.observers.notify();
        }
    }

    /// Wakes one waiting thread for what others left over. Observers have been notified when it came.
    #[inline]
    pub fn pass_on(&self) {
        // As in `wake`.
        fence(Ordering::SeqCst);
        if self.population.load(Ordering::Relaxed) & !OBSERVED != 0 {
            self.wake_waiters(1);
        }
    }

    #[inline(never)]
    fn wake_waiters(&self, count: usize) {
        let mut waiters = self.waiters.lock();
        for _ in 0..count {
            let Some(waiter) = waiters.pop_front() else { break };
            self.population.fetch_sub(1, Ordering::Relaxed);
            // The node stays valid until it is released: its owner waits for that before it returns.
            waiter.stand.choose();
            wake_thread(&waiter.thread, WakeMask::EVENT);
            waiter.stand.release();
        }
    }

    /// Notifies `observer` at each wake-up from now on, until the registration is dropped.
    ///
    /// The caller checks its condition *after* registering.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn register(&self, observer: Arc<dyn Wake>) -> Result<Registration> {
        let registration = self.observers.register(observer)?;
        // Never taken back: a queue that is polled once is likely to be polled again.
        self.population.fetch_or(OBSERVED, Ordering::Relaxed);
        // Pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
        Ok(registration)
    }

    /// Whether a thread waits here at this instant.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        fence(Ordering::SeqCst);
        self.population.load(Ordering::Relaxed) & !OBSERVED != 0
    }
}

/// The bit of the population that stands for observers.
const OBSERVED: u32 = 1 << 31;

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let waiting = self.population.load(Ordering::Relaxed) & !OBSERVED;
        write!(f, "WaitQueue({waiting} waiting)")
    }
}

impl Waiter {
    fn new(thread: Arc<Thread>) -> Self {
        Self { link: LinkedListAtomicLink::new(), thread, stand: Stand::default() }
    }
}

/// A waiter and its queue; takes the waiter out of the queue when dropped.
struct Membership<'a> {
    queue: &'a WaitQueue,
    waiter: &'a Waiter,
}

impl Membership<'_> {
    /// Links the waiter at the end, unless it is linked.
    fn join(&self) {
        let mut waiters = self.queue.waiters.lock();
        if !self.waiter.link.is_linked() {
            self.waiter.stand.begin();
            // SAFETY: the node outlives its place in the list: `self` borrows it and unlinks it when dropped.
            waiters.push_back(unsafe { UnsafeRef::from_raw(self.waiter) });
            self.queue.population.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiters);
        // Pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
    }

    /// Unlinks the waiter. If a waker chose it meanwhile, the next one gets the wake-up.
    fn leave_passing_on(&self) {
        self.leave();
        if self.waiter.stand.is_woken() {
            self.waiter.stand.begin();
            self.queue.wake_waiters(1);
        }
    }

    #[inline]
    fn leave(&self) {
        if self.waiter.stand.is_woken() {
            self.waiter.stand.await_release();
        } else {
            self.unlink();
        }
    }

    /// Unlinks the waiter unless a waker has just done that.
    #[inline(never)]
    fn unlink(&self) {
        let mut waiters = self.queue.waiters.lock();
        if self.waiter.link.is_linked() {
            // SAFETY: a linked waiter is in this queue's list: `join` is the only place that links it.
            unsafe { waiters.cursor_mut_from_ptr(self.waiter) }.remove();
            self.queue.population.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// `condition`'s value, asked for again and again: the threads of host tests are the host's, and none of ours that could sleep.
#[cfg(test)]
fn poll<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(value) = condition() {
            return value;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;

    use super::*;
    use crate::scheduling::{HeldLate, LateLink, initialize};

    #[derive(Default)]
    struct Count(AtomicUsize, LateLink<Count>);

    // SAFETY: a field of the object.
    unsafe impl HeldLate for Count {
        fn late_link(&self) -> &LateLink<Self> {
            &self.1
        }
    }

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_true_condition_does_not_wait() {
        let queue = WaitQueue::new();
        assert_eq!(queue.wait_until(|| Some(7)), Ok(7));
        queue.wake_all();
    }

    #[test]
    fn a_host_test_waits_without_a_thread_of_the_kernel() {
        let mut asked = 0;
        let answer = WaitQueue::new().wait_uninterruptible(|| {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer, 3);
    }

    #[test]
    fn observers_are_notified_until_their_registration_is_dropped() {
        initialize(1, None, 0);
        let queue = WaitQueue::new();
        let count = Arc::new(Count::default());
        let first = queue.register(count.clone()).expect("memory");
        let second = queue.register(count.clone()).expect("memory");
        queue.wake_one();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        drop(first);
        queue.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        drop(second);
        queue.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_registration_may_outlive_its_queue() {
        let queue = WaitQueue::new();
        let registration = queue.register(Arc::new(Count::default())).expect("memory");
        drop(queue);
        drop(registration);
    }
}
