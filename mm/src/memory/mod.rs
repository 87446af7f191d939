//! Physical memory: every frame with its record, free lists, and the reference that owns a frame.
//!
//! [`Memory`] is one value for the whole machine. It is made of [`FreeRange`]s, keeps its own arrays in memory that it
//! carves out of them, and lives there itself, so it needs no heap. Frames are handed out as [`FrameRef`]s. Order-0
//! frames come from a cache of the current CPU, which trades batches with the zones (see `zone.rs`).
//!
//! Locks: a CPU's cache (`FRAME_CACHE`), inside it a zone (`FRAMES`); both with interrupts off, so memory may be freed
//! from interrupt handlers. The shards (`FRAME_SHARD`) guard changes to table nodes that take more than one word.
//! Invariant: a frame's count is zero exactly while it is absent, free, or cached.

mod cache;
mod credit;
mod frame_ref;
mod huge;
mod identity;
mod interruption;
mod layout;
mod meta;
mod stats;
mod zone;

use arch::addr::{Frame, PAGE_SIZE};
use arch::paging::Entry;
use arch::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use arch::sync::{Preempt, SpinGuard, SpinLock};
use crossbeam_utils::CachePadded;

pub use crate::raw::FreeRange;
pub use credit::Credit;
pub use frame_ref::FrameRef;
pub use huge::HugePolicy;
pub(crate) use huge::{FRAMES as HUGE_FRAMES, HugePage};
pub use identity::Identity;
pub(crate) use meta::NIL;
pub use meta::{FrameMeta, Kind, Residency};
pub use stats::{FrameCensus, MemoryStats};
pub use zone::MAX_ORDER;

use crate::count::Released;
use crate::counters::Counters;
use crate::error::OutOfMemory;
use crate::raw;
use cache::CacheLock;
use zone::ZoneLock;

/// Locks that guard table nodes. Enough that CPUs seldom meet; a power of two.
const SHARDS: usize = 256;

/// How badly a frame is needed: who may use up how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// For a user page or table: refused while the kernel's own reserve would be touched.
    User,
    /// For the kernel: heap, stacks. Refused only near the very end.
    Kernel,
    /// For work that frees memory or cannot fail any more.
    Critical,
}

/// What a new frame contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Zeros.
    Zeroed,
    /// Anything: the caller overwrites it at once.
    Undefined,
}

/// The machine's physical memory.
#[derive(Debug)]
pub struct Memory {
    /// Number of the frame whose record is first; a multiple of the largest block.
    base: u64,
    /// Where the kernel reaches that frame.
    window: usize,
    metas: &'static [FrameMeta],
    shards: &'static [CachePadded<SpinLock<()>>],
    zones: &'static [CachePadded<ZoneLock>],
    /// Frames per zone, a multiple of the largest block.
    zone_frames: u64,
    caches: &'static [CachePadded<CacheLock>],
    counters: &'static [CachePadded<Counters>],
    /// Frames given to us at the start.
    total: u64,
    /// Frames in zones (not in caches); updated when batches move, so reading it is cheap.
    free: CachePadded<AtomicU64>,
    /// Below this many free frames, [`Urgency::User`] is refused.
    user_floor: u64,
    /// Below this many, [`Urgency::Kernel`] is refused.
    kernel_floor: u64,
    /// Frames promised to system calls while memory is low.
    promised: AtomicU64,
    /// Allocations until the one that fails on purpose; 0 for never.
    fail_after: AtomicU64,
    /// The last [`Identity`] that was given out. Relaxed: all that matters is that each is another.
    identities: CachePadded<AtomicU64>,
    /// Huge pages that are mapped as such. Relaxed: a statistic.
    huge_pages: AtomicU64,
    /// A [`HugePolicy`]. Relaxed.
    huge_policy: AtomicU32,
    /// Whom to ask whether the running thread is to end.
    is_interrupted: spin::Once<fn() -> bool>,
    /// A frame of zeros that private mappings share.
    zero: Frame,
}

impl Memory {
    /// Frames that the machine has for us in all, our own arrays included.
    #[must_use]
    pub fn total_frames(&self) -> u64 {
        self.total
    }

    /// The record of `frame`.
    ///
    /// # Panics
    /// When the frame is outside the memory that this was made of.
    #[must_use]
    pub fn meta(&self, frame: Frame) -> &FrameMeta {
        &self.metas[self.index(frame) as usize]
    }

    /// Finds records as [`meta`](Self::meta) does, many in a row: what it takes for that stays in registers, while this struct is read
    /// again after every atomic operation.
    pub(crate) fn metas(&self) -> impl Fn(Frame) -> &'static FrameMeta + Copy + use<> {
        let (metas, base) = (self.metas, self.base);
        move |frame| &metas[index_above(base, frame) as usize]
    }

    /// The number of the frame's record.
    pub(crate) fn index(&self, frame: Frame) -> u32 {
        index_above(self.base, frame)
    }

    /// The frame whose record has the number `index`.
    pub(crate) fn frame(&self, index: u32) -> Frame {
        Frame::new(self.base + u64::from(index))
    }

    /// The frame that the kernel reaches at `address`: the window is linear over all of our memory.
    pub(crate) fn frame_at_window(&self, address: usize) -> Frame {
        self.frame(((address - self.window) / PAGE_SIZE) as u32)
    }

    /// The lock for changes to the table node in `frame`. Different nodes may share a lock: hold one at a time.
    pub(crate) fn lock_node(&self, frame: Frame) -> SpinGuard<'_, (), Preempt> {
        self.shards[frame.number() as usize % SHARDS].lock()
    }

    /// The frame of zeros. Immortal: references to it are neither counted nor freed.
    #[must_use]
    pub fn zero_frame(&self) -> Frame {
        self.zero
    }

    /// The counters of the current CPU.
    pub(crate) fn count(&self) -> &Counters {
        &self.counters[arch::current_cpu().index() % self.counters.len()]
    }

    pub(crate) fn all_counters(&self) -> impl Iterator<Item = &Counters> {
        self.counters.iter().map(|counters| &**counters)
    }

    /// One frame for a user page or table.
    ///
    /// # Errors
    /// [`OutOfMemory`] when none is left but the kernel's reserve.
    pub fn alloc_frame(
        &'static self,
        kind: Kind,
        content: Content,
    ) -> Result<FrameRef, OutOfMemory> {
        self.alloc_frame_for(kind, content, Urgency::User)
    }

    /// One frame, as urgently as `urgency` says. Takes a spin lock; never sleeps.
    ///
    /// # Errors
    /// [`OutOfMemory`] when too little is left for that urgency.
    pub fn alloc_frame_for(
        &'static self,
        kind: Kind,
        content: Content,
        urgency: Urgency,
    ) -> Result<FrameRef, OutOfMemory> {
        if urgency == Urgency::User {
            self.maybe_fail()?;
        }
        let index = self.cache_take(urgency)?;
        let meta = &self.metas[index as usize];
        meta.set_residency(Residency::default());
        meta.set_kind(kind);
        meta.count.reset(1);
        let frame = self.frame(index);
        if content == Content::Zeroed {
            raw::zero(frame);
        }
        Ok(FrameRef::from_owned(self, frame))
    }

    /// A block of 2^`order` contiguous frames, aligned to its size, for the kernel's own use. Each frame's count is
    /// one. The block comes back frame by frame or whole, by [`free_pages`](Self::free_pages).
    ///
    /// # Errors
    /// [`OutOfMemory`] when no such block is left.
    pub fn alloc_pages(&self, order: u32, urgency: Urgency) -> Result<Frame, OutOfMemory> {
        if order > MAX_ORDER {
            return Err(OutOfMemory);
        }
        let index =
            if order == 0 { self.cache_take(urgency)? } else { self.zone_take(order, urgency)? };
        for meta in &self.metas[index as usize..index as usize + (1 << order)] {
            meta.set_kind(Kind::Kernel);
            meta.count.reset(1);
        }
        Ok(self.frame(index))
    }

    /// Gives back `count` contiguous frames from `first` on, which [`alloc_pages`](Self::alloc_pages) handed out.
    pub fn free_pages(&self, first: Frame, count: u64) {
        for number in 0..count {
            self.free_frame(first.offset(number));
        }
    }

    /// Drops the reference that `entry` holds on a page. Never for tables: those have children.
    pub(crate) fn release_page(&self, entry: Entry) {
        let frame = entry.frame();
        if self.meta(frame).count.release() == Released::Last {
            self.free_frame(frame);
        }
    }

    /// Puts a frame without references back among the free ones.
    pub(crate) fn free_frame(&self, frame: Frame) {
        let index = self.index(frame);
        let meta = &self.metas[index as usize];
        debug_assert!(
            !matches!(meta.kind(), Kind::Free | Kind::FreeTail | Kind::Cached | Kind::Absent),
            "{frame:?} freed twice"
        );
        meta.count.reset(0);
        meta.set_kind(Kind::Cached);
        self.cache_give(index);
    }

    /// Arms the failure hook: the `n`-th allocation of a user frame or credit from now on fails, once. 0 disarms.
    pub fn fail_nth(&self, n: u32) {
        self.fail_after.store(u64::from(n), Ordering::Relaxed);
    }

    fn maybe_fail(&self) -> Result<(), OutOfMemory> {
        // The common case is a read of a line that nobody writes.
        if self.fail_after.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let count_down = |left: u64| left.checked_sub(1);
        match self.fail_after.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down) {
            Ok(1) => Err(OutOfMemory),
            _ => Ok(()),
        }
    }
}

/// The number of the record of `frame`, where the first record is that of frame number `base`.
fn index_above(base: u64, frame: Frame) -> u32 {
    (frame.number() - base) as u32
}
