//! The record of one physical frame, 16 bytes.
//!
//! ```text
//!   word 0   count      references, see `count`; a slab keeps its free list here
//!   word 1   state      bits 0..8 kind, 16..32 present entries of a table
//!                       bits 8..16 order of a free block; of a table, in bits 8..14, the cache line where its entries
//!                       began, and in bit 15 whether its accessed marks are complete
//!   word 2   first      table: pages resident below      free, cached, slab: next in a list
//!                       first frame of a huge page: how many entries map it as such, see `huge`
//!   word 3   second     table: of these, file pages      free, slab: previous in the list
//! ```
//!
//! Word 0 is shared freely. The others are written by the frame's exclusive owner only: for a table that is who may
//! modify it (I1), under the space lock held exclusively or the frame's shard lock; for a free frame, who holds the lock of
//! its list. Readers elsewhere (statistics, a copy of a shared table) see values that do not change under them.

use arch::sync::atomic::{AtomicU32, Ordering};

use crate::count::Count;
use crate::raw::{line_of, line_start};
use crate::table::used::Used;

/// What a frame is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// No memory there, or not ours.
    Absent = 0,
    /// First frame of a free block in a zone.
    Free = 1,
    /// Another frame of a free block.
    FreeTail = 2,
    /// In a CPU's cache of free frames.
    Cached = 3,
    /// The kernel's own: heap, stacks, `mm`'s arrays.
    Kernel = 4,
    /// A page table.
    Table = 5,
    /// Private memory of processes.
    Anonymous = 6,
    /// A page of a memory object: file or shared memory.
    Object = 7,
}

impl Kind {
    const fn from_bits(bits: u32) -> Self {
        match bits & 0xff {
            1 => Self::Free,
            2 => Self::FreeTail,
            3 => Self::Cached,
            4 => Self::Kernel,
            5 => Self::Table,
            6 => Self::Anonymous,
            7 => Self::Object,
            _ => Self::Absent,
        }
    }
}

/// In the state of a table: see [`FrameMeta::has_complete_marks`].
const MARKS_COMPLETE: u32 = 1 << 15;

/// The end of a list of frames.
pub(crate) const NIL: u32 = u32::MAX;

/// The record of one frame.
#[repr(C)]
#[derive(Debug)]
pub struct FrameMeta {
    /// References to the frame.
    pub count: Count,
    state: AtomicU32,
    first: Count,
    second: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<FrameMeta>() == 16);

impl FrameMeta {
    /// The record of a frame that is not there.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            count: Count::new(0),
            state: AtomicU32::new(Kind::Absent as u32),
            first: Count::new(0),
            second: AtomicU32::new(0),
        }
    }

    /// What the frame is used for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::from_bits(self.state.load(Ordering::Relaxed))
    }

    pub(crate) fn set_kind(&self, kind: Kind) {
        self.state.store(kind as u32, Ordering::Relaxed);
    }

    /// Marks the frame as the head of a free block of `order`.
    pub(crate) fn set_free(&self, order: u32) {
        self.state.store(Kind::Free as u32 | order << 8, Ordering::Relaxed);
    }

    /// Whether the frame heads a free block of `order`.
    pub(crate) fn is_free_block(&self, order: u32) -> bool {
        self.state.load(Ordering::Relaxed) == Kind::Free as u32 | order << 8
    }

    /// Entries of this table that are not empty.
    pub(crate) fn present(&self) -> u32 {
        self.state.load(Ordering::Relaxed) >> 16
    }

    /// Makes this the record of a table with so many entries, around that at index `near`.
    pub(crate) fn set_present(&self, entries: u32, near: usize) {
        let line = (line_of(near) as u32 & 0x3f) << 8;
        self.state.store(Kind::Table as u32 | line | entries << 16, Ordering::Relaxed);
    }

    /// A search for the entries of this table.
    pub(crate) fn used(&self) -> Used {
        let state = self.state.load(Ordering::Relaxed);
        let near = line_start((state >> 8 & 0x3f) as usize);
        Used::near(near, state >> 16)
    }

    /// From now on no TLB holds a translation by an entry of this table that is not marked as accessed (I18).
    pub(crate) fn complete_marks(&self) {
        // Release: the flush that made it so is over.
        self.state.fetch_or(MARKS_COMPLETE, Ordering::Release);
    }

    /// Whether an entry of this table without an accessed mark is in no TLB.
    pub(crate) fn has_complete_marks(&self) -> bool {
        self.state.load(Ordering::Acquire) & MARKS_COMPLETE != 0
    }

    /// Of the first frame of a huge page: entries that map all of it. Unlike the other words, this one is shared freely.
    pub(crate) fn huge_count(&self) -> &Count {
        &self.first
    }

    /// Pages below this table.
    pub(crate) fn residency(&self) -> Residency {
        Residency {
            pages: i64::from(self.first.word().load(Ordering::Relaxed)),
            shared: i64::from(self.second.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn set_residency(&self, residency: Residency) {
        self.first.word().store(residency.pages as u32, Ordering::Relaxed);
        self.second.store(residency.shared as u32, Ordering::Relaxed);
    }

    /// Adds `delta` to the pages below. Faults of one space on different paths meet here, so it is an atomic addition.
    pub(crate) fn add_residency(&self, delta: Residency) {
        self.first.word().fetch_add(delta.pages as u32, Ordering::Relaxed);
        if delta.shared != 0 {
            self.second.fetch_add(delta.shared as u32, Ordering::Relaxed);
        }
    }

    /// Adds `delta` to the number of entries in use.
    pub(crate) fn add_present(&self, delta: i32) {
        self.state.fetch_add((delta as u32) << 16, Ordering::Relaxed);
    }

    pub(crate) fn next(&self) -> u32 {
        self.first.word().load(Ordering::Relaxed)
    }

    pub(crate) fn set_next(&self, index: u32) {
        self.first.word().store(index, Ordering::Relaxed);
    }

    pub(crate) fn previous(&self) -> u32 {
        self.second.load(Ordering::Relaxed)
    }

    pub(crate) fn set_previous(&self, index: u32) {
        self.second.store(index, Ordering::Relaxed);
    }
}

/// A number of mapped pages, or a change of one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Residency {
    /// All pages, the shared zero page excepted.
    pub pages: i64,
    /// Pages of memory objects among them: files and shared memory.
    pub shared: i64,
}

impl Residency {
    /// One private page.
    pub(crate) const ANONYMOUS: Self = Self { pages: 1, shared: 0 };
    /// One huge page.
    pub(crate) const HUGE: Self = Self { pages: super::huge::FRAMES as i64, shared: 0 };
    /// One page of an object.
    pub(crate) const OBJECT: Self = Self { pages: 1, shared: 1 };
}

impl core::ops::Neg for Residency {
    type Output = Self;
    fn neg(self) -> Self {
        Self { pages: -self.pages, shared: -self.shared }
    }
}

impl core::ops::AddAssign for Residency {
    fn add_assign(&mut self, other: Self) {
        self.pages += other.pages;
        self.shared += other.shared;
    }
}

impl core::ops::Sub for Residency {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { pages: self.pages - other.pages, shared: self.shared - other.shared }
    }
}
