//! Huge pages: blocks of 512 frames that one entry of a level 2 table maps (I15).
//!
//! A huge page is counted twice. Its first frame's record holds a *huge count*: the entries that map the block as a whole. And
//! each of the 512 frames has its own count, as every frame has: one reference that the block holds as long as the
//! huge count is above zero, and one for each entry of a level 1 table that maps the frame by itself. So
//!
//! - copying a table shares a huge page with one increment, whatever the page's size;
//! - a huge page that somebody has split is shared frame by frame with those who have not;
//! - when the last entry that maps the whole goes, the block's references go, and each frame belongs to whoever still maps it,
//!   to be written in place by the last of them, or is free.
//!
//! The counts obey the rules of every count (`count.rs`). Who finds one in the huge count on an exclusive path is the only one to
//! map the whole; the page is its own if each frame's count is one besides ([`Memory::owns_huge`]). Somebody else who split the
//! page may still map some of it.

use arch::addr::Frame;
use arch::paging::Entry;
use arch::sync::atomic::Ordering;

use super::{Kind, Memory, Urgency};
use crate::count::{Count, Released, Saturated};
use crate::error::OutOfMemory;
use crate::raw;

/// The order of a huge page's block.
const ORDER: u32 = 9;
/// Frames of a huge page.
pub(crate) const FRAMES: u64 = 1 << ORDER;

/// Which areas get huge pages where these fit: `/sys/kernel/mm/transparent_hugepage/enabled`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum HugePolicy {
    /// All private anonymous areas without `MADV_NOHUGEPAGE`.
    Always = 1,
    /// Those with `MADV_HUGEPAGE`. The default: a fork's first writes copy single pages either way, but a huge page is cleared
    /// whole at its first touch and keeps 2 MiB for it, which only the program can know to be worth it.
    Madvise = 2,
    /// None. Huge pages that exist stay.
    Never = 3,
}

/// A huge page that nothing maps yet. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct HugePage {
    memory: &'static Memory,
    first: Frame,
}

impl HugePage {
    /// Hands the page over to an entry; the huge count is one.
    pub(crate) fn into_entry(self) -> Frame {
        let first = self.first;
        core::mem::forget(self);
        first
    }
}

impl Drop for HugePage {
    fn drop(&mut self) {
        self.memory.release_huge(self.first);
    }
}

impl Memory {
    /// Which areas get huge pages.
    #[must_use]
    pub fn huge_policy(&self) -> HugePolicy {
        // Relaxed: a setting that orders nothing.
        match self.huge_policy.load(Ordering::Relaxed) {
            bits if bits == HugePolicy::Always as u32 => HugePolicy::Always,
            bits if bits == HugePolicy::Never as u32 => HugePolicy::Never,
            _ => HugePolicy::Madvise,
        }
    }

    /// Sets which areas get huge pages from now on.
    pub fn set_huge_policy(&self, policy: HugePolicy) {
        self.huge_policy.store(policy as u32, Ordering::Relaxed);
    }

    /// Huge pages that are mapped as such (`AnonHugePages`, in units of 2 MiB).
    #[must_use]
    pub fn huge_pages(&self) -> u64 {
        self.huge_pages.load(Ordering::Relaxed)
    }

    /// A huge page of zeros for a user. Clearing it takes long, so no lock is held and preemption is on.
    ///
    /// # Errors
    /// [`OutOfMemory`] when no such block is free: the caller makes do with single frames.
    pub(crate) fn alloc_huge(&'static self) -> Result<HugePage, OutOfMemory> {
        debug_assert_eq!(arch::preempt::count(), 0, "2 MiB are cleared under a lock");
        self.maybe_fail()?;
        if self.spare(Urgency::User) < FRAMES {
            return Err(OutOfMemory);
        }
        // The CPUs' caches are not drained for it: that would cost more than the huge page is worth.
        let index = self.zone_take_any(ORDER).ok_or(OutOfMemory)?;
        let first = self.frame(index);
        for meta in &self.metas[index as usize..(index as usize) + FRAMES as usize] {
            meta.set_kind(Kind::Anonymous);
            meta.count.reset(1);
        }
        self.meta(first).huge_count().reset(1);
        self.huge_pages.fetch_add(1, Ordering::Relaxed);
        (0..FRAMES).for_each(|number| raw::zero(first.offset(number)));
        Ok(HugePage { memory: self, first })
    }

    /// The count that an entry of a level 2 table holds a reference to: a table's, or a huge page's.
    pub(crate) fn count_of(&self, entry: Entry) -> &Count {
        let meta = self.meta(entry.frame());
        if entry.is_huge() { meta.huge_count() } else { &meta.count }
    }

    /// Whether nobody but the caller, who holds a reference by an entry on an exclusive path, maps the huge page at `first` or a
    /// frame of it. Looks at 512 records, which is little beside the faults that it saves.
    pub(crate) fn owns_huge(&self, first: Frame) -> bool {
        let start = self.index(first) as usize;
        let mut metas = self.metas[start..start + FRAMES as usize].iter();
        self.meta(first).huge_count().is_exclusive() && metas.all(|meta| meta.count.is_exclusive())
    }

    /// An entry for the huge page at `first` is gone. With the last, the block's references on its frames go.
    pub(crate) fn release_huge(&self, first: Frame) {
        if self.meta(first).huge_count().release() == Released::Shared {
            return;
        }
        self.huge_pages.fetch_sub(1, Ordering::Relaxed);
        let start = self.index(first) as usize;
        let metas = &self.metas[start..start + FRAMES as usize];
        // Whoever finds a count of one here is alone: with the last huge entry gone, nobody can take another.
        if metas.iter().all(|meta| meta.count.is_exclusive()) {
            metas.iter().for_each(|meta| meta.count.reset(0));
            self.zone_give(start as u32, ORDER);
            return;
        }
        for number in 0..FRAMES {
            let frame = first.offset(number);
            if self.meta(frame).count.release() == Released::Last {
                self.free_frame(frame);
            }
        }
    }

    /// The only entry for the huge page at `first` becomes 512 entries, which take over the block's references.
    pub(crate) fn dissolve_huge(&self, first: Frame) {
        debug_assert!(self.meta(first).huge_count().is_exclusive());
        self.meta(first).huge_count().reset(0);
        self.huge_pages.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a reference on each frame of the huge page at `first`, for entries of a level 1 table.
    ///
    /// # Errors
    /// [`Saturated`]; nothing has changed then.
    pub(crate) fn acquire_each(&self, first: Frame) -> Result<(), Saturated> {
        for number in 0..FRAMES {
            if let Err(full) = self.meta(first.offset(number)).count.acquire() {
                for taken in 0..number {
                    let released = self.meta(first.offset(taken)).count.release();
                    debug_assert_eq!(released, Released::Shared, "the block holds the frame");
                }
                return Err(full);
            }
        }
        Ok(())
    }
}
