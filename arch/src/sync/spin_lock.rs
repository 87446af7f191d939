//! Mutual exclusion by spinning. Key types: [`SpinLock`], its guard, and the two ways to [`Hold`] a CPU.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use super::Rank;
#[cfg(loom)]
use super::model::{SpinMutex, SpinMutexGuard};
#[cfg(not(loom))]
use crate::{interrupts, preempt};

#[cfg(not(loom))]
type SpinMutex<T> = spin::mutex::SpinMutex<T, super::Serve>;
#[cfg(not(loom))]
type SpinMutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

/// What a lock's guard holds off on its CPU.
pub trait Hold {
    /// What must be remembered to undo the hold.
    type State: Copy;
    /// Starts to hold.
    fn acquire() -> Self::State;
    /// Ends the hold. May switch to another thread if one waits and nothing else holds.
    fn release(state: Self::State);
}

/// Preemption is off while the lock is held. For state that no interrupt handler touches.
#[derive(Debug)]
pub struct Preempt;

/// Interrupts and preemption are off while the lock is held. For state that interrupt handlers touch.
#[derive(Debug)]
pub struct Irq;

#[cfg(not(loom))]
impl Hold for Preempt {
    type State = ();
    fn acquire() {
        preempt::disable();
    }
    fn release((): ()) {
        preempt::enable();
    }
}

#[cfg(not(loom))]
impl Hold for Irq {
    type State = interrupts::Saved;
    fn acquire() -> interrupts::Saved {
        let saved = interrupts::disable();
        preempt::disable();
        saved
    }
    fn release(saved: interrupts::Saved) {
        interrupts::restore(saved);
        preempt::enable();
    }
}

#[cfg(loom)]
impl Hold for Preempt {
    type State = ();
    fn acquire() {}
    fn release((): ()) {}
}

#[cfg(loom)]
impl Hold for Irq {
    type State = ();
    fn acquire() {}
    fn release((): ()) {}
}

/// A spin lock around a `T`, built on `spin`'s, with a rank and a hold.
#[derive(Debug)]
pub struct SpinLock<T: ?Sized, H: Hold = Preempt> {
    rank: Rank,
    hold: PhantomData<fn() -> H>,
    inner: SpinMutex<T>,
}

impl<T, H: Hold> SpinLock<T, H> {
    /// An unlocked lock of `rank` around `value`.
    #[cfg(not(loom))]
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, hold: PhantomData, inner: SpinMutex::<T>::new(value) }
    }

    /// An unlocked lock of `rank` around `value`.
    #[cfg(loom)]
    pub fn new(rank: Rank, value: T) -> Self {
        Self { rank, hold: PhantomData, inner: SpinMutex::new(value) }
    }

    /// The value, when nobody can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized, H: Hold> SpinLock<T, H> {
    /// Takes the lock, spinning until it is free.
    ///
    /// # Panics
    /// In builds with debug assertions, when the lock order is broken.
    pub fn lock(&self) -> SpinGuard<'_, T, H> {
        let state = H::acquire();
        #[cfg(all(debug_assertions, not(loom)))]
        preempt::note_lock(self.rank);
        self.guard(state, self.acquire())
    }

    /// Takes a second lock of the same rank. The caller has a rule that orders the two (by address, by CPU).
    pub fn lock_nested(&self) -> SpinGuard<'_, T, H> {
        let state = H::acquire();
        #[cfg(all(debug_assertions, not(loom)))]
        preempt::note_nested_lock(self.rank);
        self.guard(state, self.acquire())
    }

    /// Takes the lock if it is free now. Never waits, so it is outside the lock order.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T, H>> {
        let state = H::acquire();
        let Some(inner) = self.inner.try_lock() else {
            H::release(state);
            return None;
        };
        #[cfg(all(debug_assertions, not(loom)))]
        preempt::note_nested_lock(self.rank);
        Some(self.guard(state, inner))
    }

    /// Whether somebody holds the lock at this instant.
    pub fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }

    /// Exclusive access without locking: nobody else can have the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Releases the lock that another context acquired and whose guard was forgotten. Not in models, where guards are passed on.
    ///
    /// The run-queue lock is handed from the thread that is switched out to the one that is switched in.
    /// The hold (interrupts, preemption) is left as it is: the caller ends it.
    ///
    /// # Safety
    /// The lock is held, its guard was passed to [`core::mem::forget`], and no other reference to the value is live.
    #[cfg(not(loom))]
    pub unsafe fn force_unlock(&self) {
        #[cfg(all(debug_assertions, not(loom)))]
        preempt::forget_lock(self.rank);
        // SAFETY: by this function's contract the lock is held and its guard is gone.
        unsafe { self.inner.force_unlock() }
    }

    /// Takes the inner lock. To wait for it is left to a function of its own: most often it is free.
    #[cfg(not(loom))]
    #[inline]
    fn acquire(&self) -> SpinMutexGuard<'_, T> {
        match self.inner.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    #[cfg(not(loom))]
    #[cold]
    #[inline(never)]
    fn wait(&self) -> SpinMutexGuard<'_, T> {
        self.inner.lock()
    }

    /// Takes the inner lock.
    #[cfg(loom)]
    fn acquire(&self) -> SpinMutexGuard<'_, T> {
        self.inner.lock()
    }

    fn guard<'a>(&'a self, state: H::State, inner: SpinMutexGuard<'a, T>) -> SpinGuard<'a, T, H> {
        SpinGuard { rank: self.rank, state, inner: ManuallyDrop::new(inner), not_send: PhantomData }
    }
}

/// Access to the value of a [`SpinLock`]; dropping it releases the lock. Bound to the CPU that took it.
#[must_use = "the lock is released at once if the guard is not kept"]
#[derive(Debug)]
pub struct SpinGuard<'a, T: ?Sized, H: Hold = Preempt> {
    rank: Rank,
    state: H::State,
    inner: ManuallyDrop<SpinMutexGuard<'a, T>>,
    not_send: PhantomData<*mut ()>,
}

impl<T: ?Sized, H: Hold> Deref for SpinGuard<'_, T, H> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized, H: Hold> DerefMut for SpinGuard<'_, T, H> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized, H: Hold> Drop for SpinGuard<'_, T, H> {
    fn drop(&mut self) {
        #[cfg(all(debug_assertions, not(loom)))]
        preempt::forget_lock(self.rank);
        #[cfg(any(not(debug_assertions), loom))]
        let _ = self.rank;
        // SAFETY: `inner` is not used again; the lock must be free before the hold ends.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
        H::release(self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_holds_off_preemption_until_dropped() {
        let lock: SpinLock<u32> = SpinLock::new(Rank::LEAF, 1);
        let before = preempt::count();
        let mut guard = lock.lock();
        assert_eq!(preempt::count(), before + 1);
        *guard += 1;
        assert!(lock.is_locked());
        drop(guard);
        assert_eq!(preempt::count(), before);
        assert_eq!(lock.into_inner(), 2);
    }

    #[test]
    fn an_irq_guard_restores_the_interrupt_state() {
        let lock: SpinLock<(), Irq> = SpinLock::new(Rank::LEAF, ());
        assert!(interrupts::enabled());
        let guard = lock.lock();
        assert!(!interrupts::enabled());
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert!(interrupts::enabled());
    }
}
