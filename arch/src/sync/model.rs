//! What is under a [`SpinLock`](super::SpinLock) when loom explores interleavings: loom's mutex, in the shape of `spin`'s.
//!
//! loom then knows who waits for whom, and that what was done under the lock is seen by its next holder. Threads of a model
//! share one host thread, and with it the simulated CPU: preemption, interrupts and lock order are not modelled.

use core::cell::UnsafeCell;
use core::fmt::{self, Debug, Formatter};
use core::ops::{Deref, DerefMut};

/// A mutex that loom knows.
pub struct SpinMutex<T: ?Sized> {
    held: loom::sync::Mutex<()>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time: by the holder of `held`, or through an exclusive reference.
unsafe impl<T: ?Sized + Send> Sync for SpinMutex<T> {}

/// Access to the value.
pub struct SpinMutexGuard<'a, T: ?Sized> {
    _held: loom::sync::MutexGuard<'a, ()>,
    value: &'a UnsafeCell<T>,
}

impl<T> SpinMutex<T> {
    /// An unlocked mutex.
    pub fn new(value: T) -> Self {
        Self { held: loom::sync::Mutex::new(()), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinMutex<T> {
    /// Takes the mutex when it is free.
    pub fn lock(&self) -> SpinMutexGuard<'_, T> {
        match self.held.lock() {
            Ok(held) => SpinMutexGuard { _held: held, value: &self.value },
            Err(_) => panic!("a thread of the model panicked with the lock held"),
        }
    }

    /// Takes the mutex if it is free now.
    pub fn try_lock(&self) -> Option<SpinMutexGuard<'_, T>> {
        let held = self.held.try_lock().ok()?;
        Some(SpinMutexGuard { _held: held, value: &self.value })
    }

    /// Whether somebody holds the mutex.
    pub fn is_locked(&self) -> bool {
        self.held.try_lock().is_err()
    }

    /// Exclusive access without locking.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized> Debug for SpinMutex<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinMutex").finish_non_exhaustive()
    }
}

impl<T: ?Sized + Debug> Debug for SpinMutexGuard<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized> Deref for SpinMutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the mutex.
        unsafe { &*self.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the mutex, and is borrowed exclusively.
        unsafe { &mut *self.value.get() }
    }
}
