//! What a core file (core(5)) holds of an address space: which pages are there, and their bytes.
//!
//! Unlike [`read_remote`](AddressSpace::read_remote) nothing is faulted in and protection does not count: a page under `PROT_NONE` is read
//! as well, and one that was never touched stays so. For a space whose threads stand still; others get a snapshot of each page.

use arch::addr::{PAGE_SIZE, UserAddr};

use super::remote::frame_of;
use super::{AddressSpace, range_argument};
use crate::error::MmError;
use crate::memory::{FrameRef, Kind};
use crate::raw::table;
use crate::table::cursor::{Cursor, page_range};
use crate::vma::Range;

/// What stands behind a page.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum PageContent {
    /// No entry: zeros, or what the object holds.
    #[default]
    Absent,
    /// A page of the object, or the frame of zeros.
    Shared,
    /// Anonymous memory: it exists nowhere else.
    Anonymous,
}

impl AddressSpace {
    /// Says of each page from `start` on what stands behind it, one element of `contents` for each. Pass a large range in
    /// pieces: the lock is held exclusively meanwhile.
    ///
    /// # Errors
    /// `InvalidArgument` for a range that is not whole pages of user space.
    pub fn page_contents(
        &self,
        start: UserAddr,
        contents: &mut [PageContent],
    ) -> Result<(), MmError> {
        if contents.is_empty() {
            return Ok(());
        }
        let range = range_argument(start, contents.len() as u64 * PAGE_SIZE as u64)?;
        contents.fill(PageContent::Absent);
        let position =
            |page: &Range| ((page.start().as_u64() - start.as_u64()) / PAGE_SIZE as u64) as usize;
        let mut gather = self.gather();
        let _state = self.lock();
        let mut cursor = Cursor::new(self.memory, self.root, &mut gather);
        cursor.for_each_page(range, &mut |cursor, pages, leaf, index| {
            let frame = table(leaf).load(index).frame();
            let anonymous = cursor.memory.meta(frame).kind() == Kind::Anonymous;
            let content = if anonymous { PageContent::Anonymous } else { PageContent::Shared };
            let first = position(&pages);
            contents[first..first + pages.pages() as usize].fill(content);
        });
        Ok(())
    }

    /// Where the first page with an entry is, of the `bytes` bytes from `start` on. Takes as long as there are tables in the range, not as the range is
    /// long.
    pub fn first_page(&self, start: UserAddr, bytes: u64) -> Option<UserAddr> {
        let range = range_argument(start, bytes).ok()?;
        let mut gather = self.gather();
        let _state = self.lock();
        let cursor = Cursor::new(self.memory, self.root, &mut gather);
        cursor.first_page(range).map(|pages| pages.start())
    }

    /// Copies the page at `address`, if there is one. Says whether there was.
    pub fn copy_page(&self, address: UserAddr, into: &mut [u8; PAGE_SIZE]) -> bool {
        let mut found = None;
        {
            let mut gather = self.gather();
            let _state = self.lock();
            let mut cursor = Cursor::new(self.memory, self.root, &mut gather);
            cursor.for_each_page(page_range(address), &mut |cursor, _, leaf, index| {
                let frame = frame_of(table(leaf).load(index), address);
                found = FrameRef::acquire(cursor.memory, frame).ok();
            });
        }
        found.is_some_and(|frame| frame.read(0, into) == PAGE_SIZE)
    }
}
