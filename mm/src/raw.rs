//! The only module of this crate with `unsafe` code: physical memory seen through [`arch::memory::window`].
//!
//! What the rest of the crate gets from here: [`FreeRange`] (memory that somebody vouches for), arrays carved out of that,
//! [`Table`] views, and copies from and to frames. The safe functions rest on one convention of the crate: a
//! [`Frame`] is passed here only by code that owns a reference to it, as the kind in its record says, and table frames
//! are touched through [`Table`] alone.
#![allow(unsafe_code, reason = "sees frames as memory, for the whole crate")]

use core::ptr;

use arch::addr::{Frame, PAGE_SIZE, PhysAddr};
use arch::memory::window;
use arch::paging::{Entry, EntryFlags};
use arch::sync::atomic::{AtomicU64, Ordering};

/// Entries of a table. Under loom tables are small, so that models stay small.
#[cfg(not(loom))]
pub const TABLE_ENTRIES: usize = arch::paging::TABLE_ENTRIES;
/// Entries of a table. Under loom tables are small, so that models stay small.
#[cfg(loom)]
pub const TABLE_ENTRIES: usize = 2;

/// Entries that are looked at together: a cache line. Most tables are nearly empty.
pub(crate) const LINE: usize = if TABLE_ENTRIES < 8 { TABLE_ENTRIES } else { 8 };
/// Cache lines of a table.
pub(crate) const LINES: usize = TABLE_ENTRIES / LINE;

/// The number of the cache line with the entry at `index`.
pub(crate) const fn line_of(index: usize) -> usize {
    index / LINE
}

/// The index of the first entry in cache line number `line`.
pub(crate) const fn line_start(line: usize) -> usize {
    line * LINE
}

/// Physical memory that is free for `mm` to use, as whole frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeRange {
    start: Frame,
    frames: u64,
}

impl FreeRange {
    /// The whole frames within `bytes` bytes from `start` on.
    ///
    /// # Safety
    /// The bytes are RAM, reachable through [`window`] from now on, and nobody else ever touches them.
    #[must_use]
    pub unsafe fn new(start: PhysAddr, bytes: u64) -> Self {
        let first = start.as_u64().div_ceil(PAGE_SIZE as u64);
        let end = (start.as_u64() + bytes) / PAGE_SIZE as u64;
        Self { start: Frame::new(first), frames: end.saturating_sub(first) }
    }

    /// Frames that the caller has just allocated for good.
    pub(crate) fn taken(start: Frame, frames: u64) -> Self {
        Self { start, frames }
    }

    /// The first frame.
    #[must_use]
    pub fn start(&self) -> Frame {
        self.start
    }

    /// The number of frames.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The range without its first `frames` frames, and those.
    pub(crate) fn split_off_front(self, frames: u64) -> (Self, Self) {
        let front = frames.min(self.frames);
        (
            Self { start: self.start, frames: front },
            Self { start: self.start.offset(front), frames: self.frames - front },
        )
    }
}

/// Frames that hold `count` values of type `T`.
pub(crate) fn frames_for<T>(count: usize) -> u64 {
    (size_of::<T>() * count).div_ceil(PAGE_SIZE) as u64
}

/// Turns `range`, which nobody else will get, into an array of `count` values.
pub(crate) fn carve<T>(
    range: FreeRange,
    count: usize,
    mut make: impl FnMut(usize) -> T,
) -> &'static [T] {
    assert!(frames_for::<T>(count) <= range.frames && align_of::<T>() <= PAGE_SIZE);
    let base = window(range.start.start()).cast::<T>();
    for index in 0..count {
        // SAFETY: the range is ours for good by `FreeRange::new`, and large and aligned enough as asserted.
        unsafe { base.add(index).write(make(index)) };
    }
    // SAFETY: all `count` values are initialised; the memory is never given back.
    unsafe { core::slice::from_raw_parts(base, count) }
}

/// A page table: entries that the processor reads, and marks, while we write them. All access is atomic.
#[cfg_attr(not(loom), repr(C, align(4096)))]
#[derive(Debug)]
pub struct Table([AtomicU64; TABLE_ENTRIES]);

impl Table {
    /// An empty table outside any frame, for models and tests of the node protocol.
    #[must_use]
    pub fn empty() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// The entry at `index`. Acquire: pairs with [`store`](Self::store), so that a new child's content is seen.
    #[must_use]
    pub fn load(&self, index: usize) -> Entry {
        Entry::from_bits(self.0[index].load(Ordering::Acquire))
    }

    /// Whether the entry at `index` is not empty.
    pub(crate) fn is_used(&self, index: usize) -> bool {
        self.0[index].load(Ordering::Relaxed) != 0
    }

    /// Whether an entry of cache line number `line` is not empty.
    pub(crate) fn is_line_used(&self, line: usize) -> bool {
        let (lines, _) = self.0.as_chunks::<LINE>();
        lines[line].iter().fold(0, |all, entry| all | entry.load(Ordering::Relaxed)) != 0
    }

    /// Writes the entry at `index`. Release: whoever walks to the child sees its content.
    pub fn store(&self, index: usize, entry: Entry) {
        self.0[index].store(entry.bits(), Ordering::Release);
    }

    /// Replaces the entry at `index` and returns the old one with the marks that the processor set last (I9).
    pub fn swap(&self, index: usize, entry: Entry) -> Entry {
        Entry::from_bits(self.0[index].swap(entry.bits(), Ordering::AcqRel))
    }

    /// Replaces the entry at `index` if it is still `old`; says whether it was.
    #[must_use]
    pub fn replace(&self, index: usize, old: Entry, new: Entry) -> bool {
        let (old, new) = (old.bits(), new.bits());
        self.0[index].compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Sets `flags` at `index` and returns the entry as it was.
    pub fn set(&self, index: usize, flags: EntryFlags) -> Entry {
        Entry::from_bits(self.0[index].fetch_or(flags.bits(), Ordering::AcqRel))
    }

    /// Clears `flags` at `index`.
    pub fn clear(&self, index: usize, flags: EntryFlags) {
        self.0[index].fetch_and(!flags.bits(), Ordering::AcqRel);
    }
}

/// The table in `frame`, which the caller holds a reference to for as long as it uses the view.
pub(crate) fn table<'a>(frame: Frame) -> &'a Table {
    // SAFETY: `frame` is a table by the convention of this module: initialised, and only accessed atomically.
    unsafe { &*window(frame.start()).cast::<Table>() }
}

/// Makes `frame` a root table: an empty user half, and the kernel half of every other (I16).
pub(crate) fn init_root(frame: Frame) {
    // SAFETY: the caller owns the frame and makes it a root table.
    unsafe { arch::memory::init_root(frame) }
}

/// Fills `frame` with zeros.
pub(crate) fn zero(frame: Frame) {
    // SAFETY: the caller owns the frame, which is not shared yet.
    unsafe { ptr::write_bytes(window(frame.start()), 0, PAGE_SIZE) };
}

/// Copies the content of `source` to `destination`.
pub(crate) fn copy(source: Frame, destination: Frame) {
    // SAFETY: both are whole frames that the caller holds; `destination` is not shared yet. User code that still
    // writes `source` elsewhere (a shared file) tears bytes at most, as on any processor.
    unsafe {
        ptr::copy_nonoverlapping(window(source.start()), window(destination.start()), PAGE_SIZE);
    }
}

/// Copies from `frame` at `offset` into `into`, at most to the end of the frame; returns how many bytes.
pub(crate) fn read(frame: Frame, offset: usize, into: &mut [u8]) -> usize {
    let count = into.len().min(PAGE_SIZE.saturating_sub(offset));
    // SAFETY: within a frame that the caller holds.
    unsafe {
        ptr::copy_nonoverlapping(
            window(frame.start()).add(offset.min(PAGE_SIZE)),
            into.as_mut_ptr(),
            count,
        );
    }
    count
}

/// Copies `from` into `frame` at `offset`, at most to the end of the frame; returns how many bytes.
pub(crate) fn write(frame: Frame, offset: usize, from: &[u8]) -> usize {
    let count = from.len().min(PAGE_SIZE.saturating_sub(offset));
    // SAFETY: within a frame that the caller holds.
    unsafe {
        let place = window(frame.start()).add(offset.min(PAGE_SIZE));
        ptr::copy_nonoverlapping(from.as_ptr(), place, count);
    }
    count
}

/// Fills `frame` with zeros from `offset` up to `end`.
pub(crate) fn zero_part(frame: Frame, offset: usize, end: usize) {
    assert!(offset <= end && end <= PAGE_SIZE);
    // SAFETY: within a frame that the caller holds.
    unsafe { ptr::write_bytes(window(frame.start()).add(offset), 0, end - offset) };
}

/// The word at a heap object's start, used as a link while the object is free.
pub(crate) fn load_link(object: usize) -> usize {
    // SAFETY: the heap passes the address of a free object of at least 8 bytes, which only it can reach.
    unsafe { ptr::with_exposed_provenance::<usize>(object).read() }
}

/// Writes the word at a free heap object's start.
pub(crate) fn store_link(object: usize, next: usize) {
    // SAFETY: as for `load_link`.
    unsafe { ptr::with_exposed_provenance_mut::<usize>(object).write(next) }
}

/// Fills `bytes` bytes of a free heap object from `start` on with `pattern`.
pub(crate) fn fill(start: usize, bytes: usize, pattern: u8) {
    // SAFETY: the heap passes a part of a free object, which only it can reach.
    unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(start), pattern, bytes) }
}

/// Whether `bytes` bytes of a free heap object from `start` on all hold `pattern`.
pub(crate) fn is_filled(start: usize, bytes: usize, pattern: u8) -> bool {
    // SAFETY: the heap passes a part of a free object that it filled before, which only it can reach.
    let bytes =
        unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(start), bytes) };
    bytes.iter().all(|byte| *byte == pattern)
}

/// The address at which the kernel reaches `frame`.
pub(crate) fn address(frame: Frame) -> usize {
    window(frame.start()).expose_provenance()
}
