//! Shared or exclusive access by sleeping: [`RwLock`].
//!
//! Writers come first: while one waits, new readers do too. So a thread must not take a read lock that it holds already.
#![allow(unsafe_code, reason = "is a lock")]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use arch::sync::atomic::{AtomicU32, Ordering};

use super::WaitQueue;
use super::block::assert_may_sleep;

/// The bit of the state that says that a writer has the lock; the others count readers.
const WRITER: u32 = 1 << 31;

/// A value that many threads may read, or one may write.
pub struct RwLock<T: ?Sized> {
    state: AtomicU32,
    /// Writers that wait. Readers stand back for them.
    writers: AtomicU32,
    read_queue: WaitQueue,
    write_queue: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: readers share the value and a writer has it alone, as with any reader-writer lock.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: moving the lock moves the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T> RwLock<T> {
    /// An unlocked lock around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            read_queue: WaitQueue::new(),
            write_queue: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Shared access; sleeps while a writer has the lock or waits for it.
    pub fn read(&self) -> ReadGuard<'_, T> {
        assert_may_sleep();
        match self.try_read() {
            Some(guard) => guard,
            None => self.read_queue.wait_uninterruptible(|| self.try_read()),
        }
    }

    /// Exclusive access; sleeps while anybody has the lock.
    pub fn write(&self) -> WriteGuard<'_, T> {
        assert_may_sleep();
        if let Some(guard) = self.try_write() {
            return guard;
        }
        self.writers.fetch_add(1, Ordering::Relaxed);
        let guard = self.write_queue.wait_uninterruptible(|| self.try_write());
        self.writers.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Shared access if no writer has the lock or waits for it.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        if self.writers.load(Ordering::Relaxed) > 0 {
            return None;
        }
        // Acquire pairs with the release of a writer.
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                (state & WRITER == 0).then_some(state + 1)
            })
            .ok()
            .map(|_| ReadGuard { lock: self, not_send: PhantomData })
    }

    /// Exclusive access if nobody has the lock.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // Acquire pairs with the release of the last reader or writer.
        self.state
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| WriteGuard { lock: self, not_send: PhantomData })
    }

    /// Exclusive access without locking: nobody else can have the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The lock is free now. A woken writer that was too late sleeps on and keeps readers out; whoever has the lock then
    /// calls this again.
    fn wake_next(&self) {
        self.write_queue.wake_one();
        self.read_queue.wake_all();
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> core::fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RwLock({:#x})", self.state.load(Ordering::Relaxed))
    }
}

/// Shared access to the value of an [`RwLock`].
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct ReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

/// Exclusive access to the value of an [`RwLock`].
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct WriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: while a reader is counted there is no writer.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the writer's bit is set, so this guard is the only way to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        if self.lock.state.fetch_sub(1, Ordering::Release) == 1 {
            self.lock.wake_next();
        }
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.state.store(0, Ordering::Release);
        self.lock.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_excludes() {
        let lock = RwLock::new(1);
        let (first, second) = (lock.read(), lock.try_read());
        assert_eq!((*first, second.as_deref().copied()), (1, Some(1)));
        assert!(lock.try_write().is_none());
        drop((first, second));
        *lock.write() += 1;
        assert_eq!(*lock.read(), 2);
    }
}
