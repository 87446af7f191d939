//! The thread that runs on this CPU: [`current`].
//!
//! The scheduler calls [`set_current`] at each switch, with the incoming thread; it keeps that thread alive until
//! the next switch on that CPU has finished.
#![allow(unsafe_code, reason = "keeps the current thread as a pointer per CPU")]

use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ops::Deref;

use super::thread::Thread;

/// A reference to the thread that holds it. It cannot leave its thread, so the thread outlives it.
#[derive(Clone, Copy)]
pub struct CurrentThread(&'static Thread, PhantomData<*mut ()>);

impl CurrentThread {
    /// A counted reference to the same thread.
    #[must_use]
    pub fn to_arc(self) -> Arc<Thread> {
        let thread = arch::thread::current().cast::<Thread>();
        // SAFETY: `self` is the current thread, so the pointer is that of the counted reference that `set_current` was given,
        // which is alive while the thread runs.
        unsafe {
            Arc::increment_strong_count(thread);
            Arc::from_raw(thread)
        }
    }
}

impl Deref for CurrentThread {
    type Target = Thread;
    fn deref(&self) -> &Thread {
        self.0
    }
}

/// The thread that runs this.
///
/// # Panics
/// Before the scheduler runs its first thread on this CPU.
#[must_use]
pub fn current() -> CurrentThread {
    try_current().expect("no thread runs here yet")
}

/// The thread that runs this, or `None` before the scheduler runs its first thread on this CPU.
#[must_use]
pub fn try_current() -> Option<CurrentThread> {
    // SAFETY: null or set by `set_current`, whose contract keeps the thread alive while it runs; the reference stays
    // with the running thread, for `CurrentThread` is neither `Send` nor `Sync`.
    let thread = unsafe { arch::thread::current().cast::<Thread>().as_ref() }?;
    Some(CurrentThread(thread, PhantomData))
}

/// Makes `thread` the one that runs on this CPU.
///
/// # Safety
/// Preemption is off; this CPU is about to run `thread`, or runs it already; and the caller keeps the reference alive
/// until this CPU has switched away from it.
pub unsafe fn set_current(thread: &Arc<Thread>) {
    arch::thread::set_current(Arc::as_ptr(thread).cast());
}
