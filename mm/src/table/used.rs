//! Finding the entries of a table that are not empty: [`Used`].
//!
//! Most tables are nearly empty, and what they have lies together, because programs use memory in a few places. A table's record
//! says how many entries there are and near which one they began (see `meta`); the search goes outwards from there, a
//! cache line at a time, and ends with the last of them. A root's begins at its first entry, so that it ends before the
//! kernel's half, which its record does not count.

use crate::raw::{LINE, LINES, Table, line_of, line_start};

/// A search under way. It keeps its own count, so the table's record may change or be gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Entries that were not found yet.
    left: u32,
    /// What is to be looked at of the present line.
    next: usize,
    end: usize,
    /// Lines from here up were not looked at.
    above: usize,
    /// Lines below here were not looked at.
    below: usize,
}

impl Used {
    /// Looks for `count` entries, of which there are at least so many, around that at index `near`.
    pub(crate) fn near(near: usize, count: u32) -> Self {
        let line = line_of(near);
        Self { left: count, next: 0, end: 0, above: line, below: line }
    }

    /// The index of another entry in use; `None` when all were found.
    pub(crate) fn next(&mut self, table: &Table) -> Option<usize> {
        loop {
            while self.left > 0 && self.next < self.end {
                let index = self.next;
                self.next += 1;
                if table.is_used(index) {
                    self.found(1);
                    return Some(index);
                }
            }
            let line = line_start(self.next_line(table)?);
            (self.next, self.end) = (line, line + LINE);
        }
    }

    /// The number of another line with entries in use, for a caller who looks at all of it and says how many it
    /// [`found`](Self::found); `None` when all were.
    pub(crate) fn next_line(&mut self, table: &Table) -> Option<usize> {
        while self.left > 0 {
            let line = self.step()?;
            if table.is_line_used(line) {
                return Some(line);
            }
        }
        None
    }

    /// So many entries were found.
    pub(crate) fn found(&mut self, entries: u32) {
        self.left = self.left.saturating_sub(entries);
    }

    /// The next line to look at: the one above those that were looked at and the one below, by turns.
    fn step(&mut self) -> Option<usize> {
        let upwards = match (self.above < LINES, self.below > 0) {
            (false, false) => return None,
            (up, down) => up && !(down && (self.above + self.below) % 2 == 1),
        };
        if upwards {
            self.above += 1;
            Some(self.above - 1)
        } else {
            self.below -= 1;
            Some(self.below)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::vec::Vec;

    use arch::addr::Frame;
    use arch::paging::{Entry, EntryFlags};
    use proptest::prelude::*;

    use super::*;
    use crate::raw::TABLE_ENTRIES;

    proptest! {
        #[test]
        fn every_entry_is_found_once_wherever_the_search_begins(
            used in prop::collection::btree_set(0..TABLE_ENTRIES, 0..40),
            near in 0..TABLE_ENTRIES,
        ) {
            let table = Table::empty();
            let entry = Entry::new(Frame::new(7), EntryFlags::PRESENT);
            used.iter().for_each(|&index| table.store(index, entry));
            let mut search = Used::near(near, used.len() as u32);
            let mut found: Vec<usize> =
                core::iter::from_fn(|| search.next(&table)).collect();
            found.sort_unstable();
            prop_assert_eq!(found, used.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_search_ends_where_the_entries_lie_together() {
        let table = Table::empty();
        let entry = Entry::new(Frame::new(7), EntryFlags::PRESENT);
        [500, 501, 511].into_iter().for_each(|index| table.store(index, entry));
        let mut search = Used::near(501, 3);
        while search.next(&table).is_some() {}
        assert!(search.below >= line_of(500) - 1, "looked far below: {search:?}");
    }
}
