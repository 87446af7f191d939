//! How a waiter and its waker part: [`Stand`].
//!
//! A waiter is a node on the stack of the thread that waits. A waker unlinks it, wakes the thread, and needs the node for
//! both; the thread may run at once on another CPU, and return from the function that the node belongs to. So the waker says
//! when it is done, and the thread waits for that: hardly ever, and not for long, as wakers hold a spin lock.
//!
//! ```text
//!     Waiting ── choose() ──▶ Chosen ── release() ──▶ Released
//!        ▲                                                │
//!        └──────────────────── begin() ◀──────────────────┘
//! ```
//!
//! The first two steps are the waker's, under the lock of the list that the waiter was linked in; the last is the waiter's own
//! (`tests/loom_stand.rs`).

use arch::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const CHOSEN: u8 = 1;
const RELEASED: u8 = 2;

/// Where a waiter stands with its wakers; at first it waits. See the module's documentation.
#[derive(Debug, Default)]
pub struct Stand(AtomicU8);

impl Stand {
    /// Whether a waker has chosen this waiter and unlinked it.
    #[inline]
    #[must_use]
    pub fn is_woken(&self) -> bool {
        // Acquire pairs with the release in `choose`: what was waited for is seen.
        self.0.load(Ordering::Acquire) != WAITING
    }

    /// The waiter waits (again). By its thread, while it is not linked.
    #[inline]
    pub fn begin(&self) {
        self.0.store(WAITING, Ordering::Relaxed);
    }

    /// A waker has unlinked the waiter, and wakes its thread next.
    #[inline]
    pub fn choose(&self) {
        self.0.store(CHOSEN, Ordering::Release);
    }

    /// The last thing that the waker does with the waiter.
    #[inline]
    pub fn release(&self) {
        // Release pairs with the acquire in `await_release`.
        self.0.store(RELEASED, Ordering::Release);
    }

    /// Waits until the waker is done. For the thread of a waiter that [was woken](Self::is_woken).
    #[inline]
    pub fn await_release(&self) {
        while self.0.load(Ordering::Acquire) != RELEASED {
            arch::relax();
        }
    }
}
