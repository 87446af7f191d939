//! `msync(2)`.
//!
//! Shared mappings *are* the object's pages, so nothing needs to be moved: what storage there is below the object was told of
//! the writes when they were let through (I9).

use arch::addr::UserAddr;

use super::{AddressSpace, range_argument};
use crate::error::MmError;
use crate::vma::VmaFlags;

/// What `msync` is to do besides checking its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// `MS_ASYNC` or `MS_SYNC` alone.
    Write,
    /// With `MS_INVALIDATE`: an error if pages are locked.
    Invalidate,
}

impl AddressSpace {
    /// Checks the range and reports what stands in the way.
    ///
    /// # Errors
    /// `InvalidArgument` for a misaligned start; `NoMemory` for a hole; `Busy` if pages are to be invalidated but are locked.
    pub fn sync(&self, start: UserAddr, length: u64, mode: SyncMode) -> Result<(), MmError> {
        if length == 0 && start.is_page_aligned() {
            return Ok(());
        }
        let range = range_argument(start, length)?;
        let areas = self.areas();
        let locked = areas.overlapping(range).any(|vma| vma.flags.contains(VmaFlags::LOCKED));
        if mode == SyncMode::Invalidate && locked {
            return Err(MmError::Busy);
        }
        if areas.covers(range) { Ok(()) } else { Err(MmError::NoMemory) }
    }
}
