//! Heap credit: the promise that a system call's small allocations will not fail.
//!
//! On stable Rust a failed infallible allocation aborts the kernel. So a system call asks for credit before it does
//! anything, and returns `ENOMEM` if there is none; whatever grows with a user's number uses `try_reserve` besides.
//!
//! While free memory is above the floor at which *user* frames are refused, credit costs one read of a shared word:
//! the reserve below that floor is untouched, and only the kernel draws on it. Once free memory is below it, each
//! credit is deducted from what is left until it is dropped, and refused when the remainder would reach the
//! kernel's own floor. The calls that got their credit before memory became low are not deducted; there are no more
//! of them than threads inside the kernel, and the reserve is several times what these commonly take.

use arch::addr::PAGE_SIZE;
use arch::sync::atomic::Ordering;

use super::{Memory, Urgency};
use crate::error::OutOfMemory;

/// A promise of kernel memory; dropping it ends the promise.
#[derive(Debug)]
#[must_use = "the promise ends when this is dropped"]
pub struct Credit {
    memory: &'static Memory,
    /// 0 when memory was plentiful.
    frames: u64,
}

impl Memory {
    /// Promises `kib` KiB of kernel memory to the caller's small allocations. Takes no lock.
    ///
    /// # Errors
    /// [`OutOfMemory`] when memory is so low that the promise might not be kept.
    pub fn credit(&'static self, kib: u32) -> Result<Credit, OutOfMemory> {
        self.maybe_fail()?;
        let free = self.free.load(Ordering::Relaxed);
        if free >= self.user_floor {
            return Ok(Credit { memory: self, frames: 0 });
        }
        let frames = (u64::from(kib) * 1024).div_ceil(PAGE_SIZE as u64);
        // Relaxed: a count that synchronises nothing else.
        let promised = self.promised.fetch_add(frames, Ordering::Relaxed) + frames;
        let credit = Credit { memory: self, frames };
        if free < self.kernel_floor + promised {
            return Err(OutOfMemory);
        }
        Ok(credit)
    }
}

impl Memory {
    /// Whether [`credit`](Self::credit) would be granted at present without a deduction: so much memory is free that nobody
    /// needs to ask.
    #[inline]
    #[must_use]
    pub fn is_plentiful(&self) -> bool {
        self.fail_after.load(Ordering::Relaxed) == 0
            && self.free.load(Ordering::Relaxed) >= self.user_floor
    }

    /// Whether a request of this urgency may fail at present. A hint: others take and give meanwhile.
    #[must_use]
    pub fn is_short(&self, urgency: Urgency) -> bool {
        self.spare(urgency) == 0
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        if self.frames > 0 {
            self.memory.promised.fetch_sub(self.frames, Ordering::Relaxed);
        }
    }
}
