//! Mutual exclusion by sleeping: [`Mutex`].
//!
//! For state that is held across user-memory accesses, allocation or other sleeps. Not for interrupt handlers, and not while a spin
//! lock is held. Not recursive. An unlocked mutex costs one atomic operation to take and one to release.
#![allow(unsafe_code, reason = "is a lock")]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use arch::sync::atomic::{AtomicBool, Ordering};

use super::WaitQueue;
use super::block::assert_may_sleep;
use crate::errno::Result;

/// A value that one thread at a time may use.
pub struct Mutex<T: ?Sized> {
    locked: AtomicBool,
    queue: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the value, so sharing the mutex only moves it between threads.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: moving the mutex moves the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            locked: AtomicBool::new(false),
            queue: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, sleeping until it is free.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        assert_may_sleep();
        match self.try_lock() {
            Some(guard) => guard,
            None => self.wait_for_lock(),
        }
    }

    /// Out of line, so that what every caller gets is the one atomic operation of an unlocked mutex.
    #[cold]
    #[inline(never)]
    fn wait_for_lock(&self) -> MutexGuard<'_, T> {
        self.queue.wait_uninterruptible(|| self.try_lock())
    }

    /// Takes the lock, sleeping until it is free or a signal is pending.
    ///
    /// # Errors
    /// `ERESTARTSYS` when a signal is pending.
    pub fn lock_interruptible(&self) -> Result<MutexGuard<'_, T>> {
        self.queue.wait_until(|| self.try_lock())
    }

    /// Takes the lock, sleeping until it is free or the thread is to end.
    ///
    /// # Errors
    /// `ERESTARTSYS` when the thread is to end.
    pub fn lock_killable(&self) -> Result<MutexGuard<'_, T>> {
        self.queue.wait_killable(|| self.try_lock())
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Acquire pairs with the release in the guard's drop.
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| MutexGuard { mutex: self, not_send: PhantomData })
    }

    /// Exclusive access without locking: nobody else can have the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized + core::fmt::Debug> core::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Access to the value of a [`Mutex`]; dropping it releases the lock.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held by its owner.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.locked.store(false, Ordering::Release);
        self.mutex.queue.wake_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutex_excludes_until_its_guard_is_dropped() {
        let mutex = Mutex::new(1);
        let mut guard = mutex.lock();
        *guard += 1;
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert_eq!(mutex.into_inner(), 2);
    }
}
