//! A reader-writer spin lock with a rank; preemption is off while it is held.
//!
//! Writers are not starved: `spin`'s upgradeable bit is taken first, which keeps new readers out.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use super::{Rank, Serve};
use crate::preempt;

/// Shared or exclusive access to a `T`. Not for interrupt handlers.
#[derive(Debug)]
pub struct RwSpinLock<T: ?Sized> {
    rank: Rank,
    inner: spin::rwlock::RwLock<T, Serve>,
}

impl<T> RwSpinLock<T> {
    /// An unlocked lock of `rank` around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: spin::rwlock::RwLock::new(value) }
    }
}

impl<T: ?Sized> RwSpinLock<T> {
    /// Shared access; waits while a writer holds the lock or waits for it.
    ///
    /// # Panics
    /// In builds with debug assertions, when the lock order is broken.
    pub fn read(&self) -> ReadGuard<'_, T> {
        preempt::disable();
        #[cfg(debug_assertions)]
        preempt::note_lock(self.rank);
        let inner = ManuallyDrop::new(self.inner.read());
        ReadGuard { rank: self.rank, inner, not_send: PhantomData }
    }

    /// Exclusive access.
    ///
    /// # Panics
    /// In builds with debug assertions, when the lock order is broken.
    pub fn write(&self) -> WriteGuard<'_, T> {
        preempt::disable();
        #[cfg(debug_assertions)]
        preempt::note_lock(self.rank);
        let inner = ManuallyDrop::new(self.inner.upgradeable_read().upgrade());
        WriteGuard { rank: self.rank, inner, not_send: PhantomData }
    }

    /// Exclusive access to a second lock of the same rank. The caller has a rule that orders the two.
    pub fn write_nested(&self) -> WriteGuard<'_, T> {
        preempt::disable();
        #[cfg(debug_assertions)]
        preempt::note_nested_lock(self.rank);
        let inner = ManuallyDrop::new(self.inner.upgradeable_read().upgrade());
        WriteGuard { rank: self.rank, inner, not_send: PhantomData }
    }

    /// Exclusive access without locking: nobody else can have the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

macro_rules! guard {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[must_use = "the lock is released at once if the guard is not kept"]
        #[derive(Debug)]
        pub struct $name<'a, T: ?Sized> {
            rank: Rank,
            inner: ManuallyDrop<$inner>,
            not_send: PhantomData<*mut ()>,
        }

        impl<T: ?Sized> Deref for $name<'_, T> {
            type Target = T;
            fn deref(&self) -> &T {
                &self.inner
            }
        }

        impl<T: ?Sized> Drop for $name<'_, T> {
            fn drop(&mut self) {
                #[cfg(debug_assertions)]
                preempt::forget_lock(self.rank);
                #[cfg(not(debug_assertions))]
                let _ = self.rank;
                // SAFETY: `inner` is not used again; the lock must be free before preemption is back.
                unsafe { ManuallyDrop::drop(&mut self.inner) };
                preempt::enable();
            }
        }
    };
}

guard! {
    /// Shared access to the value of an [`RwSpinLock`].
    ReadGuard, spin::rwlock::RwLockReadGuard<'a, T>
}
guard! {
    /// Exclusive access to the value of an [`RwSpinLock`].
    WriteGuard, spin::rwlock::RwLockWriteGuard<'a, T, Serve>
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
