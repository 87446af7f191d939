//! Memory objects: what can be mapped besides anonymous memory.
//!
//! A [`MemoryObject`] supplies frames by page number. [`PagedObject`] is the one that keeps its content in memory: the
//! content of tmpfs files, memfds and shared anonymous memory. An object knows which fork [`Family`] maps it, so that
//! truncation finds every table entry (I13).

mod family;
mod paged;

use alloc::sync::Arc;
use core::fmt;

use crate::memory::{FrameRef, Identity};

pub use family::{Family, Mappers};
pub use paged::PagedObject;

/// Why an object has no page to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectError {
    /// The page lies past the end: `SIGBUS`, or end of file.
    PastEnd,
    /// No memory for the page.
    OutOfMemory,
    /// The storage below failed.
    Io,
}

impl From<crate::error::OutOfMemory> for ObjectError {
    fn from(_: crate::error::OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Something whose pages can be mapped.
///
/// Called with the space lock held shared, so implementations take locks of rank `PAGE_CACHE` or above and do not sleep.
pub trait MemoryObject: Send + Sync {
    /// The frame that holds page `index`, created if the page is a hole.
    ///
    /// # Errors
    /// [`ObjectError`]; in particular [`ObjectError::PastEnd`] for pages wholly past the end.
    fn frame_at(&self, index: u64) -> Result<FrameRef, ObjectError>;

    /// The frame that holds page `index` if there is one now; never creates it. For `mincore` and fault-around.
    fn cached_frame(&self, index: u64) -> Option<FrameRef>;

    /// Page `index` is about to be written through a shared mapping (I9).
    fn mark_dirty(&self, index: u64);

    /// Discards `pages` pages from `index` on, mappings included (`MADV_REMOVE`). Copies of them in private mappings stay.
    ///
    /// # Errors
    /// [`ObjectError::Io`] where the object cannot have holes; [`ObjectError::OutOfMemory`] when the pages are gone from the
    /// object, but not from every space that maps them: call this again.
    fn punch(&self, index: u64, pages: u64) -> Result<(), ObjectError>;

    /// What no other object has.
    fn identity(&self) -> Identity;

    /// Who maps this object.
    fn mappers(&self) -> &Mappers;
}

/// The open file behind a mapping, as `/proc/PID/maps` shows it. Implemented by the kernel's files.
pub trait MappedFile: Send + Sync {
    /// Device number, as in `st_dev`.
    fn device(&self) -> u64;
    /// Inode number.
    fn inode(&self) -> u64;
    /// Writes the path.
    ///
    /// # Errors
    /// Those of `out`.
    fn write_path(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// Shared anonymous memory of `bytes` bytes.
pub(crate) fn shared_anonymous(
    memory: &'static crate::memory::Memory,
    bytes: u64,
) -> Arc<PagedObject> {
    Arc::new(PagedObject::new(memory, bytes))
}
