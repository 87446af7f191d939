//! Huge pages in the tree (I15): mapping one, and splitting one where only a part of it changes.

use arch::addr::{Frame, UserAddr};
use arch::paging::Entry;

use crate::count::Saturated;
use crate::counters::add;
use crate::error::OutOfMemory;
use crate::memory::{Content, HUGE_FRAMES, HugePage, Kind, Residency};
use crate::raw::table;
use crate::table::cursor::{Cursor, Path};
use crate::table::entry::{Writes, huge_entry, index, part_of_huge, span, table_entry};
use crate::vma::{Protection, Range};

/// The level of the tables whose entries map huge pages.
pub(crate) const HUGE_LEVEL: u32 = 2;
/// Bytes of a huge page.
pub(crate) const HUGE_BYTES: u64 = span(HUGE_LEVEL);

/// The aligned range of a huge page that holds `address`.
pub(crate) fn huge_range(address: UserAddr) -> Option<Range> {
    let start = address.as_u64() / HUGE_BYTES * HUGE_BYTES;
    Range::of_length(UserAddr::try_new(start)?, HUGE_BYTES)
}

impl Cursor<'_, '_> {
    /// The entry of the level 2 table on `path` for `address`, which may be a huge page's.
    pub(crate) fn huge_slot(&self, path: &Path, address: UserAddr) -> Entry {
        table(path.at(HUGE_LEVEL)).load(index(address, HUGE_LEVEL))
    }

    /// Maps `page` at `address` if nothing is there, and says whether it did. The path is owned down to level 2.
    pub(crate) fn install_huge(
        &mut self,
        path: &Path,
        address: UserAddr,
        page: HugePage,
        protection: Protection,
    ) -> bool {
        let node = path.at(HUGE_LEVEL);
        let _node = self.memory.lock_node(node);
        if self.huge_slot(path, address) != Entry::EMPTY {
            return false;
        }
        let entry = huge_entry(page.into_entry(), protection, Writes::Direct);
        table(node).store(index(address, HUGE_LEVEL), entry);
        self.account_above(HUGE_LEVEL, path, Residency::HUGE, 1);
        add(&self.memory.count().huge_faults, 1);
        true
    }

    /// Replaces the entry of a huge page for `address` in the exclusively owned table `parent` at level 2, whose lock the caller
    /// holds, by a table with an entry for each of its frames. Nothing is copied and the resident set stays as it is.
    ///
    /// The frames that others map as well get a reference each; what nobody else maps as a whole changes hands. Either way each
    /// frame can then be copied, unmapped and protected like any other.
    ///
    /// # Errors
    /// [`OutOfMemory`] without a frame for the table; nothing has changed then.
    pub(crate) fn split_huge(
        &mut self,
        parent: Frame,
        address: UserAddr,
    ) -> Result<Frame, OutOfMemory> {
        let (memory, at) = (self.memory, index(address, HUGE_LEVEL));
        let first = table(parent).load(at).frame();
        let fresh = self.alloc_table(Content::Undefined)?;
        let is_only = memory.meta(first).huge_count().is_exclusive();
        if !is_only {
            memory.acquire_each(first).map_err(|Saturated| OutOfMemory)?;
        }
        // Break before make: some processors do not bear two sizes of one page in their TLBs, whatever both say. Faults
        // of other threads wait for the table's lock meanwhile.
        let old = table(parent).swap(at, Entry::EMPTY);
        if let Some(range) = huge_range(address) {
            self.gather.invalidate(range);
            self.gather.flush_now();
        }
        for number in 0..HUGE_FRAMES {
            table(fresh.frame()).store(number as usize, part_of_huge(old, number));
        }
        fresh.meta().set_present(HUGE_FRAMES as u32, 0);
        fresh.meta().set_residency(Residency::HUGE);
        let fresh = fresh.into_entry();
        table(parent).store(at, table_entry(fresh));
        match is_only {
            true => memory.dissolve_huge(first),
            false => memory.release_huge(first),
        }
        debug_assert!(memory.meta(fresh).kind() == Kind::Table);
        add(&memory.count().huge_splits, 1);
        Ok(fresh)
    }
}
