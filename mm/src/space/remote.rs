//! Reading and writing another process's memory: `/proc/PID/{cmdline,environ,mem}`, `process_vm_readv`.
//!
//! The page is faulted in for the access, then its frame is referenced under the lock, and copied without it. Writes go only to
//! frames that the space holds alone or shares on purpose (I11). A stack does not grow for it.

use arch::addr::{Frame, UserAddr};
use arch::context::Access;
use arch::paging::Entry;

use super::{AddressSpace, Limits};
use crate::error::{FaultError, MmError};
use crate::memory::FrameRef;
use crate::raw::{self, table};
use crate::table::cursor::{Cursor, Missing, page_range};
use crate::table::entry::index;

impl AddressSpace {
    /// Copies from `address` on into `into`; returns how many bytes could be read.
    ///
    /// # Errors
    /// `BadAddress` if not even the first byte can be read; `NoMemory`.
    pub fn read_remote(&self, address: UserAddr, into: &mut [u8]) -> Result<usize, MmError> {
        self.each_page(address, into.len(), Access::Read, |frame, offset, done, count| {
            frame.read(offset, &mut into[done..done + count])
        })
    }

    /// Copies `from` to `address` on; returns how many bytes could be written.
    ///
    /// # Errors
    /// `BadAddress` if not even the first byte can be written; `NoMemory`.
    pub fn write_remote(&self, address: UserAddr, from: &[u8]) -> Result<usize, MmError> {
        // With the lock held over the copy, so that no fork gets in between.
        self.each_page(address, from.len(), Access::Write, |frame, offset, done, count| {
            raw::write(frame.frame(), offset, &from[done..done + count])
        })
    }

    fn each_page(
        &self,
        address: UserAddr,
        length: usize,
        access: Access,
        mut copy: impl FnMut(&FrameRef, usize, usize, usize) -> usize,
    ) -> Result<usize, MmError> {
        let mut done = 0;
        while done < length {
            let Some(at) = address.checked_add(done as u64).filter(|at| *at < UserAddr::END) else {
                break;
            };
            let count = (arch::addr::PAGE_SIZE - at.page_offset()).min(length - done);
            let step = |frame: &FrameRef| copy(frame, at.page_offset(), done, count);
            match self.with_page(at, access, step) {
                Ok(copied) => done += copied,
                Err(_) if done > 0 => break,
                Err(FaultError::NoMemory) => return Err(MmError::NoMemory),
                Err(_) => return Err(MmError::BadAddress),
            }
        }
        if done == 0 && length > 0 { Err(MmError::BadAddress) } else { Ok(done) }
    }

    /// Calls `act` with the frame at `address`, present and fit for `access`, under the exclusive lock.
    fn with_page(
        &self,
        address: UserAddr,
        access: Access,
        mut act: impl FnMut(&FrameRef) -> usize,
    ) -> Result<usize, FaultError> {
        loop {
            self.handle_fault(address.to_virt(), access, &Limits::NO_GROWTH)?;
            let mut gather = self.gather();
            let state = self.lock();
            let mut cursor = Cursor::new(self.memory, self.root, &mut gather);
            let mut entry = None;
            cursor.for_each_page(page_range(address), &mut |_, _, leaf, at| {
                entry = Some(table(leaf).load(at));
            });
            let Some(entry) = entry.filter(|entry| entry.is_present()) else { continue };
            if access == Access::Write {
                // A fork may have come between: then the path or the page is shared again, and the fault is taken again.
                let path = cursor.own_path(address, Missing::Stop);
                let fresh =
                    path.map(|path| path.map(|path| table(path.leaf()).load(index(address, 1))));
                if !matches!(fresh, Ok(Some(entry)) if entry.is_writable()) {
                    // Also when memory ran out half-way: what was copied before is flushed (I4).
                    let stale = gather.flush();
                    drop(state);
                    drop(stale);
                    fresh?;
                    continue;
                }
            }
            let frame = FrameRef::acquire(self.memory, frame_of(entry, address));
            let copied = frame.as_ref().map(&mut act);
            let stale = gather.flush();
            drop(state);
            drop(stale);
            let copied = copied.map_err(|_| FaultError::NoMemory);
            drop(frame);
            return copied;
        }
    }
}

/// The frame that holds `address`, which `entry` maps, perhaps as a part of a huge page.
pub(super) fn frame_of(entry: Entry, address: UserAddr) -> Frame {
    let number = if entry.is_huge() { index(address, 1) as u64 } else { 0 };
    entry.frame().offset(number)
}
