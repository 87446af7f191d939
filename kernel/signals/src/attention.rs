//! The word by which a thread learns that it has something to do. Key types: [`Attention`], [`AttentionWord`].
//!
//! Written under the signal lock of the thread's process, read by the thread itself without it.

use arch::sync::atomic::{AtomicU32, Ordering};
use sched::ParkMode;

/// Why a thread is to pass through the signal loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Attention {
    /// There may be a signal to deliver, or a stop to take part in.
    Signal = 1 << 0,
    /// The thread is to end.
    Kill = 1 << 0 | 1 << 1,
}

/// The bit that sets [`Attention::Kill`] apart.
const KILL: u32 = 1 << 1;

/// The reasons, as bits of [`Attention`].
#[derive(Debug)]
pub struct AttentionWord(AtomicU32);

impl AttentionWord {
    /// Nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether there is any reason.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// Whether the thread is to end.
    #[inline]
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.0.load(Ordering::Acquire) & KILL != 0
    }

    /// Whether it forbids the thread to sleep in `mode`. Asked after the sleep was announced.
    #[inline]
    #[must_use]
    pub fn forbids(&self, mode: ParkMode) -> bool {
        match mode {
            ParkMode::Uninterruptible => false,
            ParkMode::Interruptible => self.is_set(),
            ParkMode::Killable | ParkMode::Stopped | ParkMode::Traced => self.is_fatal(),
        }
    }

    /// Adds a reason. The caller holds the process's signal lock, and wakes the thread afterwards.
    #[inline]
    pub fn set(&self, reason: Attention) {
        // Release pairs with the loads above: who sees the bit sees what was made pending before.
        self.0.fetch_or(reason as u32, Ordering::Release);
    }

    /// Replaces the reasons. The caller holds the process's signal lock, and is the thread itself or found a reason.
    #[inline]
    pub fn replace(&self, reason: Option<Attention>) {
        self.0.store(reason.map_or(0, |reason| reason as u32), Ordering::Release);
    }
}

impl Default for AttentionWord {
    fn default() -> Self {
        Self::new()
    }
}
