//! `mincore(2)`.

use arch::addr::{PAGE_SIZE, UserAddr};

use super::{AddressSpace, range_argument};
use crate::error::MmError;
use crate::table::cursor::Cursor;
use crate::vma::Range;

impl AddressSpace {
    /// Sets one byte of `present` for each of its pages from `start` on: 1 if touching it would not need storage, 0 otherwise.
    /// Pass a large range in pieces: the lock is held exclusively meanwhile.
    ///
    /// # Errors
    /// `InvalidArgument` for a misaligned start; `NoMemory` for a hole.
    pub fn resident(&self, start: UserAddr, present: &mut [u8]) -> Result<(), MmError> {
        if present.is_empty() && start.is_page_aligned() {
            return Ok(());
        }
        let bytes = present.len() as u64 * PAGE_SIZE as u64;
        let range = range_argument(start, bytes)?;
        let mut gather = self.gather();
        let state = self.lock();
        if !state.areas.covers(range) {
            return Err(MmError::NoMemory);
        }
        present.fill(0);
        let position =
            |page: &Range| ((page.start().as_u64() - start.as_u64()) / PAGE_SIZE as u64) as usize;
        let mut cursor = Cursor::new(self.memory, self.root, &mut gather);
        cursor.for_each_page(range, &mut |_, pages, _, _| {
            let first = position(&pages);
            present[first..first + pages.pages() as usize].fill(1);
        });
        for vma in state.areas.overlapping(range) {
            let Some(part) = vma.range.intersect(&range) else { continue };
            for page in 0..part.pages() {
                let address = part.start().checked_add(page * PAGE_SIZE as u64);
                let Some((address, byte)) =
                    address.map(|address| (address, &mut present[position(&part) + page as usize]))
                else {
                    continue;
                };
                if *byte == 0 {
                    let cached = vma.object_at(address).and_then(|(object, offset)| {
                        object.cached_frame(offset / PAGE_SIZE as u64)
                    });
                    *byte = u8::from(cached.is_some());
                }
            }
        }
        Ok(())
    }
}
