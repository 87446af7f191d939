//! The reference count of a frame: how many parent entries and other holders point at it.
//!
//! One 32-bit word. Bits 0 to 30 are the count; bit 31 makes the frame *immortal* (the shared zero page): then the
//! count is neither read nor written. A count never wraps: from [`LIMIT`] on, taking another reference fails, and the room above
//! the limit is larger than the number of CPUs that could be between their addition and its undoing.
//!
//! Who may do what:
//! 1. Whoever holds a reference may take another ([`Count::acquire`]) or give its own back ([`Count::release`]).
//! 2. Who finds one ([`Count::is_exclusive`]) while holding a reference is alone, and stays so until it hands out another:
//!    new references come only from existing ones.
//! 3. `release` is a release operation and `is_exclusive` an acquire: what a former holder did to the
//!    frame (the push-down of I3b above all) happens before what the last holder does next. The last `release` is
//!    an acquire as well, so that freeing comes after every other holder's use.

use arch::sync::atomic::{AtomicU32, Ordering};

/// Counts from here on are refused.
#[cfg(not(loom))]
pub const LIMIT: u32 = 0x7000_0000;
/// Small, so that a model reaches it.
#[cfg(loom)]
pub const LIMIT: u32 = 3;

const IMMORTAL: u32 = 1 << 31;

/// An atomic reference count that saturates.
#[derive(Debug)]
pub struct Count(AtomicU32);

/// A count is at its limit; treat it as being out of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Saturated;

/// What a release leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the last holder frees the frame"]
pub enum Released {
    /// Others still hold the frame.
    Shared,
    /// That was the last reference: the caller now owns the frame's remains.
    Last,
}

impl Count {
    /// A count of `references`.
    #[must_use]
    pub fn new(references: u32) -> Self {
        Self(AtomicU32::new(references))
    }

    /// Sets the count of a frame that nobody else can reach.
    pub fn reset(&self, references: u32) {
        self.0.store(references, Ordering::Relaxed);
    }

    /// Makes the frame immortal, for good.
    pub fn make_immortal(&self) {
        self.0.store(IMMORTAL, Ordering::Relaxed);
    }

    /// The count at this instant; 0 for an immortal frame's.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & !IMMORTAL
    }

    /// Whether the frame is immortal. In loom's models none is: loom remembers one last access of each word, and a look at
    /// the word right before each change would keep it from trying the change earlier.
    #[cfg(loom)]
    #[must_use]
    pub fn is_immortal(&self) -> bool {
        false
    }

    /// Whether the frame is immortal.
    #[cfg(not(loom))]
    #[must_use]
    pub fn is_immortal(&self) -> bool {
        self.0.load(Ordering::Relaxed) & IMMORTAL != 0
    }

    /// Takes one more reference. The caller holds one, so no ordering is needed (as in `Arc`).
    ///
    /// # Errors
    /// [`Saturated`] when the count is at its limit; nothing has changed then.
    pub fn acquire(&self) -> Result<(), Saturated> {
        if self.is_immortal() {
            return Ok(());
        }
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before != 0, "a reference to a free frame");
        if before >= LIMIT {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return Err(Saturated);
        }
        Ok(())
    }

    /// Gives one reference back.
    pub fn release(&self) -> Released {
        if self.is_immortal() {
            return Released::Shared;
        }
        // Release pairs with the Acquire below and the one in `is_exclusive`.
        let before = self.0.fetch_sub(1, Ordering::Release);
        debug_assert!(before & !IMMORTAL != 0, "a frame released once too often");
        if before != 1 {
            return Released::Shared;
        }
        arch::sync::atomic::fence(Ordering::Acquire);
        Released::Last
    }

    /// Whether the caller's reference is the only one. Acquire: sees all that former holders did (I3b).
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }

    /// The raw word, for frames that use it for something else (slabs).
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_release_is_told_apart() {
        let count = Count::new(1);
        assert!(count.is_exclusive());
        assert_eq!(count.acquire(), Ok(()));
        assert!(!count.is_exclusive());
        assert_eq!(count.release(), Released::Shared);
        assert_eq!(count.release(), Released::Last);
    }

    #[test]
    fn a_full_count_refuses_and_stays() {
        let count = Count::new(LIMIT);
        assert_eq!(count.acquire(), Err(Saturated));
        assert_eq!(count.get(), LIMIT);
    }

    #[test]
    fn an_immortal_frame_is_never_exclusive_and_never_freed() {
        let count = Count::new(1);
        count.make_immortal();
        assert_eq!(count.acquire(), Ok(()));
        assert_eq!(count.release(), Released::Shared);
        assert_eq!(count.release(), Released::Shared);
        assert!(!count.is_exclusive());
    }
}
