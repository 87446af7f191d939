//! The pages of a regular file: a [`PagedObject`] that charges the instance for what it holds.
//!
//! Mappings reach the object directly, so the charge follows what is there rather than who made it: after each
//! operation [`settle`](LimitedObject::settle) corrects it by the difference. Whether there is room is asked before a
//! page is made; CPUs that ask at once may exceed the limit by a page each.

use alloc::sync::Arc;

use arch::addr::PAGE_SIZE;
use arch::sync::atomic::{AtomicU64, Ordering};
use mm::memory::Identity;
use mm::object::{Mappers, MemoryObject, ObjectError, PagedObject};
use mm::{FrameRef, Memory};
use spin::Once;

use super::space::Space;
use crate::errno::{Errno, Result};
use crate::memory::pressure;
use crate::task;

const PAGE: u64 = PAGE_SIZE as u64;

static MEMORY: Once<&'static Memory> = Once::new();

/// Tells tmpfs where its pages come from: once, at boot.
pub fn set_memory(memory: &'static Memory) {
    MEMORY.call_once(|| memory);
}

fn memory() -> Result<&'static Memory> {
    #[cfg(test)]
    set_memory(tests::simulated());
    MEMORY.get().copied().ok_or(Errno::ENOMEM)
}

fn errno(error: ObjectError) -> Errno {
    match error {
        ObjectError::PastEnd => Errno::EFBIG,
        ObjectError::OutOfMemory => Errno::ENOMEM,
        ObjectError::Io => Errno::ENOSPC,
    }
}

/// Takes pages from everybody who maps them by `step`, which is repeated while memory is short: what is cut off must not
/// stay mapped. Sleeps then.
///
/// # Errors
/// Those of `step`; `ENOMEM` only to a thread that is to end itself.
fn until_done(mut step: impl FnMut() -> Result<()>) -> Result<()> {
    match task::try_current() {
        Some(thread) => pressure::retry(&thread, step),
        None => step(),
    }
}

/// The object that mappings and system calls share.
struct LimitedObject {
    space: Arc<Space>,
    pages: PagedObject,
    /// Blocks that the instance was charged for. Only [`settle`](Self::settle) changes it; relaxed, it guards nothing.
    charged: AtomicU64,
}

impl LimitedObject {
    /// Whether page `index` is there or may be made.
    fn has_room(&self, index: u64) -> core::result::Result<(), ObjectError> {
        if self.space.is_full() && self.pages.cached_frame(index).is_none() {
            return Err(ObjectError::Io);
        }
        Ok(())
    }

    /// Brings the charge in line with the pages that are there. Concurrent calls add up to the right sum.
    fn settle(&self) {
        let now = self.pages.resident_pages();
        let before = self.charged.swap(now, Ordering::Relaxed);
        self.space.adjust_blocks(before, now);
    }
}

impl Drop for LimitedObject {
    fn drop(&mut self) {
        self.space.adjust_blocks(*self.charged.get_mut(), 0);
    }
}

impl MemoryObject for LimitedObject {
    fn frame_at(&self, index: u64) -> core::result::Result<FrameRef, ObjectError> {
        if let Some(frame) = self.pages.cached_frame(index) {
            return Ok(frame);
        }
        self.has_room(index)?;
        let frame = self.pages.frame_at(index);
        self.settle();
        frame
    }

    fn cached_frame(&self, index: u64) -> Option<FrameRef> {
        self.pages.cached_frame(index)
    }

    fn mark_dirty(&self, index: u64) {
        self.pages.mark_dirty(index);
    }

    fn punch(&self, index: u64, pages: u64) -> core::result::Result<(), ObjectError> {
        let result = self.pages.punch(index, pages);
        self.settle();
        result
    }

    fn identity(&self) -> Identity {
        self.pages.identity()
    }

    fn mappers(&self) -> &Mappers {
        self.pages.mappers()
    }
}

/// The pages of one file.
pub struct Pages(Arc<LimitedObject>);

impl Pages {
    /// No pages, charged to `space`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(space: Arc<Space>) -> Result<Self> {
        let pages = PagedObject::new(memory()?, 0);
        Ok(Self(Arc::new(LimitedObject { space, pages, charged: AtomicU64::new(0) })))
    }

    /// What mappings map.
    pub fn object(&self) -> Arc<dyn MemoryObject> {
        self.0.clone()
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.0.pages.size()
    }

    /// How many pages there are.
    pub fn count(&self) -> u64 {
        self.0.pages.resident_pages()
    }

    /// Copies bytes from `offset` on into `into`; fewer at the end of the file.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        self.0.pages.read_at(offset, into)
    }

    /// Copies into the page at `offset`, at most to its end, makes it if need be, and moves the end of the file.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`, `EFBIG`.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result {
        let count = from.len().min(PAGE_SIZE - (offset % PAGE) as usize);
        self.0.has_room(offset / PAGE).map_err(errno)?;
        let written = self.0.pages.write_at(offset, &from[..count]).map_err(errno);
        self.0.settle();
        written
    }

    /// Sets the size.
    ///
    /// # Errors
    /// `EFBIG`.
    pub fn resize(&self, size: u64) -> Result<()> {
        let result = until_done(|| self.0.pages.resize(size).map_err(errno));
        self.0.settle();
        result
    }

    /// Makes a hole of the bytes `start .. end`.
    ///
    /// # Errors
    /// Those of the object.
    pub fn punch(&self, start: u64, end: u64) -> Result<()> {
        let (first_whole, last_whole) = (start.div_ceil(PAGE), end / PAGE);
        if first_whole > last_whole {
            // Both ends lie within one page.
            self.zero(start, end);
            return Ok(());
        }
        self.zero(start, first_whole * PAGE);
        self.zero(last_whole * PAGE, end);
        if first_whole < last_whole {
            until_done(|| self.0.punch(first_whole, last_whole - first_whole).map_err(errno))?;
        }
        Ok(())
    }

    /// Fills `start .. end`, which lie in one page, with zeros, if that page is there.
    fn zero(&self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if let Some(frame) = self.0.pages.cached_frame(start / PAGE) {
            let from = (start % PAGE) as usize;
            frame.zero(from, from + (end - start) as usize);
        }
    }

    /// Makes the pages of `start .. end` as far as they lie within the file.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`; pages made before stay.
    pub fn reserve(&self, start: u64, end: u64) -> Result<()> {
        let end = end.min(self.size());
        let result = (start / PAGE..end.div_ceil(PAGE)).try_for_each(|index| {
            self.0.has_room(index)?;
            self.0.pages.frame_at(index).map(|_| ())?;
            // Counted page by page, so that the limit is met in time.
            self.0.settle();
            Ok(())
        });
        result.map_err(errno)
    }

    /// The first page at or after `index` that is there.
    pub fn next_page(&self, index: u64) -> Option<u64> {
        self.0.pages.next_data(index)
    }

    /// The first page at or after `index` that is a hole.
    pub fn next_hole(&self, index: u64) -> u64 {
        self.0.pages.next_hole(index)
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "vouches for simulated memory")]
mod tests {
    use std::boxed::Box;

    use arch::memory::SimulatedMemory;
    use mm::FreeRange;

    use super::*;

    /// Memory for all tests of this crate that make files.
    pub fn simulated() -> &'static Memory {
        static SIMULATED: Once<&'static Memory> = Once::new();
        SIMULATED.call_once(|| {
            let block = Box::leak(Box::new(SimulatedMemory::new(64 << 20)));
            // SAFETY: the block is leaked, so it stays reachable, and nobody else knows it.
            let range = unsafe { FreeRange::new(block.start(), block.bytes() as u64) };
            Memory::new([range], 1)
        })
    }
}
