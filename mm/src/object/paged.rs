//! An object whose content is in memory: a sparse array of frames.
//!
//! Locks: the page cache (`PAGE_CACHE`) guards pages and size together. It is never held while bytes are copied: whoever
//! copies takes a [`FrameRef`] first. Invariant: bytes past the end within the last page are zero, and no page
//! wholly past the end is handed to a mapping.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;

use arch::addr::PAGE_SIZE;
use arch::sync::{Rank, SpinLock};

use super::{Mappers, MemoryObject, ObjectError};
use crate::count::Saturated;
use crate::memory::{Content, FrameRef, Identity, Kind, Memory};
use crate::space::Copies;

/// Largest size in bytes: offsets are signed 64-bit in the file interface.
pub const MAX_BYTES: u64 = i64::MAX as u64 & !(PAGE_SIZE as u64 - 1);

/// What an insertion into the map of pages may allocate: a node on each level, in the worst case.
const MAP_CREDIT_KIB: u32 = 4;

const PAGE: u64 = PAGE_SIZE as u64;

/// A growable array of pages; holes read as zeros.
#[derive(Debug)]
pub struct PagedObject {
    memory: &'static Memory,
    identity: Identity,
    pages: SpinLock<Pages>,
    mappers: Mappers,
}

#[derive(Debug)]
struct Pages {
    bytes: u64,
    frames: BTreeMap<u64, FrameRef>,
}

impl PagedObject {
    /// An object of `bytes` bytes, all holes.
    #[must_use]
    pub fn new(memory: &'static Memory, bytes: u64) -> Self {
        let pages = Pages { bytes, frames: BTreeMap::new() };
        Self {
            memory,
            identity: memory.new_identity(),
            pages: SpinLock::new(Rank::PAGE_CACHE, pages),
            mappers: Mappers::new(),
        }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pages.lock().bytes
    }

    /// Pages that hold memory, for `st_blocks` and for limits.
    #[must_use]
    pub fn resident_pages(&self) -> u64 {
        self.pages.lock().frames.len() as u64
    }

    /// Reads up to `length` bytes from `offset` on, page by page: `copy` gets a frame, the offset in it and a number of bytes,
    /// and returns how many it took. Ends early at the end of the object or when `copy` takes less. No lock is held during
    /// `copy`, which may fault and sleep.
    ///
    /// # Errors
    /// That of `copy`, if nothing was copied before.
    pub fn read_with<E>(
        &self,
        offset: u64,
        length: usize,
        mut copy: impl FnMut(&FrameRef, usize, usize) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut done = 0;
        while done < length {
            let at = offset.saturating_add(done as u64);
            let Some((frame, available)) = self.page_for_reading(at) else { break };
            let within = (at % PAGE) as usize;
            let count = available.min(length - done);
            match copy(&frame, within, count) {
                Ok(copied) => {
                    done += copied;
                    if copied < count {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// The frame with the byte at `offset` and the bytes available in it; the frame of zeros for a hole.
    fn page_for_reading(&self, offset: u64) -> Option<(FrameRef, usize)> {
        let pages = self.pages.lock();
        let left = pages.bytes.checked_sub(offset).filter(|left| *left > 0)?;
        let available = (PAGE - offset % PAGE).min(left) as usize;
        let frame = match pages.frames.get(&(offset / PAGE)) {
            Some(frame) => frame.try_clone(),
            None => FrameRef::acquire(self.memory, self.memory.zero_frame()),
        };
        // A page with two thousand million references cannot be read; it looks like the end.
        frame.ok().map(|frame| (frame, available))
    }

    /// Writes up to `length` bytes from `offset` on, growing the object: `copy` gets a frame, the offset in it and a number of
    /// bytes, and returns how many it supplied. Ends early when it supplies less. No lock is held during `copy`.
    ///
    /// # Errors
    /// That of `copy`, or `ObjectError` converted, if nothing was written before.
    pub fn write_with<E: From<ObjectError>>(
        &self,
        offset: u64,
        length: usize,
        mut copy: impl FnMut(&FrameRef, usize, usize) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut done = 0;
        while done < length {
            let at = offset.saturating_add(done as u64);
            let within = (at % PAGE) as usize;
            let count = (PAGE_SIZE - within).min(length - done);
            let copied = self
                .page_for_writing(at)
                .map_err(E::from)
                .and_then(|frame| copy(&frame, within, count));
            match copied {
                Ok(copied) => {
                    self.grow_to(at + copied as u64, copied);
                    done += copied;
                    if copied < count {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn page_for_writing(&self, offset: u64) -> Result<FrameRef, ObjectError> {
        if offset >= MAX_BYTES {
            return Err(ObjectError::PastEnd);
        }
        self.frame_or_create(offset / PAGE, Past::Allowed)
    }

    fn grow_to(&self, end: u64, copied: usize) {
        if copied > 0 {
            let mut pages = self.pages.lock();
            pages.bytes = pages.bytes.max(end);
        }
    }

    /// Copies bytes from `offset` on into `into`; returns how many there were.
    #[must_use]
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        let length = into.len();
        let copied = self.read_with(offset, length, |frame, within, count| {
            let copied = frame.read(within, &mut into[done..done + count]);
            done += copied;
            Ok::<_, core::convert::Infallible>(copied)
        });
        copied.unwrap_or_else(|never| match never {})
    }

    /// Copies `from` to `offset`, growing the object as needed; returns how many bytes were written.
    ///
    /// # Errors
    /// [`ObjectError`] if nothing was written.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, ObjectError> {
        let mut done = 0;
        self.write_with(offset, from.len(), |frame, within, count| {
            let copied = frame.write(within, &from[done..done + count]);
            done += copied;
            Ok(copied)
        })
    }

    /// Makes the object `bytes` bytes long. Pages past the new end are freed, and taken from every space that maps them;
    /// accesses there end in `SIGBUS`. Hold no lock of rank `SPACE` or above; interrupts on.
    ///
    /// # Errors
    /// [`ObjectError::PastEnd`] when `bytes` is larger than an object can be. [`ObjectError::OutOfMemory`] when the
    /// object has its new size, but some space that shares tables with others could not be given its own: call this again
    /// once there is memory, or pages that are cut off stay mapped there.
    pub fn resize(&self, bytes: u64) -> Result<(), ObjectError> {
        if bytes > MAX_BYTES {
            return Err(ObjectError::PastEnd);
        }
        let first_gone = bytes.div_ceil(PAGE);
        let removed = {
            let mut pages = self.pages.lock();
            let shrinks = bytes < pages.bytes;
            pages.bytes = bytes;
            let last = bytes % PAGE;
            let cut = pages.frames.get(&(bytes / PAGE)).filter(|_| shrinks && last != 0);
            if let Some(frame) = cut {
                frame.zero(last as usize, PAGE_SIZE);
            }
            pages.frames.split_off(&first_gone)
        };
        // Mappings made from here on find the new size. The older ones are found by visiting every space (I13).
        let visited = self
            .mappers
            .visit(|space| space.zap_object(&self.mappers, first_gone, u64::MAX, Copies::Go));
        drop(removed);
        Ok(visited?)
    }

    /// The first page at or above `index` that holds memory (`SEEK_DATA`).
    #[must_use]
    pub fn next_data(&self, index: u64) -> Option<u64> {
        self.pages.lock().frames.range(index..).next().map(|(index, _)| *index)
    }

    /// The first page at or above `index` that is a hole (`SEEK_HOLE`).
    #[must_use]
    pub fn next_hole(&self, index: u64) -> u64 {
        let pages = self.pages.lock();
        let mut hole = index;
        for (present, _) in pages.frames.range(index..) {
            if *present != hole {
                break;
            }
            hole += 1;
        }
        hole
    }

    fn frame_or_create(&self, index: u64, past: Past) -> Result<FrameRef, ObjectError> {
        let full = |Saturated| ObjectError::OutOfMemory;
        let check = |pages: &Pages| {
            let inside = index < pages.bytes.div_ceil(PAGE) || past == Past::Allowed;
            if inside { Ok(()) } else { Err(ObjectError::PastEnd) }
        };
        {
            let pages = self.pages.lock();
            check(&pages)?;
            if let Some(frame) = pages.frames.get(&index) {
                return frame.try_clone().map_err(full);
            }
        }
        // The map of pages may grow by a node.
        let _credit = self.memory.credit(MAP_CREDIT_KIB)?;
        // Zeroed without the lock; somebody else may fill the hole meanwhile.
        let fresh = self.memory.alloc_frame(Kind::Object, Content::Zeroed)?;
        let mut pages = self.pages.lock();
        check(&pages)?;
        match pages.frames.entry(index) {
            Entry::Occupied(present) => present.get().try_clone().map_err(full),
            Entry::Vacant(hole) => hole.insert(fresh).try_clone().map_err(full),
        }
    }
}

/// Whether a page past the end may be created.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    /// For a write that will extend the object.
    Allowed,
    /// For a mapping.
    Refused,
}

impl MemoryObject for PagedObject {
    fn frame_at(&self, index: u64) -> Result<FrameRef, ObjectError> {
        self.frame_or_create(index, Past::Refused)
    }

    fn cached_frame(&self, index: u64) -> Option<FrameRef> {
        self.pages.lock().frames.get(&index)?.try_clone().ok()
    }

    fn mark_dirty(&self, _index: u64) {
        // Memory is the only copy: nothing is ever written back.
    }

    fn punch(&self, index: u64, pages: u64) -> Result<(), ObjectError> {
        let end = index.saturating_add(pages);
        // One by one: cutting the map in three and joining what remains would rebuild it, and allocate as much as it takes.
        let mut from = index;
        loop {
            let mut all = self.pages.lock();
            let Some(found) = all.frames.range(from..end).next().map(|(found, _)| *found) else {
                break;
            };
            let removed = all.frames.remove(&found);
            drop(all);
            // Mappings hold references of their own until they are visited.
            drop(removed);
            from = found + 1;
        }
        let visited =
            self.mappers.visit(|space| space.zap_object(&self.mappers, index, end, Copies::Stay));
        Ok(visited?)
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn mappers(&self) -> &Mappers {
        &self.mappers
    }
}
