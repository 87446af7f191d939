//! Moving pages within one tree, for `mremap`. The space lock is held exclusively.
//!
//! Everything that can fail happens in [`Shift::prepare`]: the tables at the old place become exclusive (I12), those at
//! the new place come into being. [`Shift::perform`] then moves entries, or whole level 1 tables where both places have
//! the same offset within them; a shared table moves as it is, since nothing in it depends on its address. References move
//! along, so no count changes; the old place is gathered for the flush.

use arch::addr::{Frame, PAGE_SIZE, UserAddr};
use arch::paging::Entry;

use crate::error::OutOfMemory;
use crate::memory::Residency;
use crate::raw::table;
use crate::table::cursor::{Cursor, Missing};
use crate::table::entry::{index, residency_below, residency_of, span};
use crate::vma::Range;

/// How pages get from one place to another.
#[derive(Clone, Copy)]
pub(crate) struct Shift {
    from: UserAddr,
    to: UserAddr,
    /// Both places have the same offset in what a level 1 table spans, so that whole tables can move.
    tables: bool,
}

impl Shift {
    /// From the start of `old` to the start of `new`.
    pub(crate) fn between(old: Range, new: Range) -> Self {
        let (from, to) = (old.start(), new.start());
        Self { from, to, tables: from.as_u64() % span(2) == to.as_u64() % span(2) }
    }

    fn target(&self, address: UserAddr) -> UserAddr {
        let offset = address.as_u64() - self.from.as_u64();
        self.to.checked_add(offset).expect("the new range lies in user space")
    }

    /// The range cut along level 1 tables, of the old place; with whether a part is a whole table.
    fn chunks(self, range: Range) -> impl Iterator<Item = (Range, bool)> {
        let mut from = range.start();
        core::iter::from_fn(move || {
            let boundary = (from.as_u64() / span(2) + 1) * span(2);
            let end = UserAddr::try_new(boundary).map_or(range.end(), |end| end.min(range.end()));
            let chunk = Range::new(from, end)?;
            from = end;
            Some((chunk, self.tables && chunk.bytes() == span(2)))
        })
    }

    /// Owns the old tables that change and creates the new ones, where there is anything to move.
    pub(crate) fn prepare(
        self,
        cursor: &mut Cursor<'_, '_>,
        range: Range,
    ) -> Result<(), OutOfMemory> {
        for (chunk, whole) in self.chunks(range) {
            let lowest = if whole { 2 } else { 1 };
            let Some(_) = cursor.own_down_to(lowest, chunk.start(), Missing::Stop)? else {
                continue;
            };
            let mut address = chunk.start();
            while address < chunk.end() {
                let target = self.target(address);
                cursor.own_down_to(lowest, target, Missing::Create)?;
                let next = (target.as_u64() / span(2) + 1) * span(2) - target.as_u64();
                match address.checked_add(next) {
                    Some(next) => address = next,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Moves. The tables are prepared, so nothing is allocated.
    pub(crate) fn perform(
        self,
        cursor: &mut Cursor<'_, '_>,
        range: Range,
    ) -> Result<(), OutOfMemory> {
        for (chunk, whole) in self.chunks(range) {
            if whole {
                self.move_table(cursor, chunk)?;
            } else {
                self.move_pages(cursor, chunk)?;
            }
        }
        Ok(())
    }

    fn move_table(self, cursor: &mut Cursor<'_, '_>, chunk: Range) -> Result<(), OutOfMemory> {
        let Some(from) = cursor.own_down_to(2, chunk.start(), Missing::Stop)? else {
            return Ok(());
        };
        let target = self.target(chunk.start());
        let Some(to) = cursor.own_down_to(2, target, Missing::Stop)? else { return Ok(()) };
        // A table of pages, or a huge page, which moves as it is.
        let entry = table(from.at(2)).swap(index(chunk.start(), 2), Entry::EMPTY);
        if entry == Entry::EMPTY {
            return Ok(());
        }
        let residency = residency_below(cursor.memory, entry, 2);
        // What is left of an earlier mapping at the new place is an empty table, if anything.
        let replaced = table(to.at(2)).swap(index(target, 2), entry);
        cursor.account_above(2, &from, -residency, -1);
        let added = i32::from(replaced == Entry::EMPTY);
        cursor.account_above(2, &to, residency, added);
        if let Some(target) = Range::of_length(target, span(2)).filter(|_| replaced != Entry::EMPTY)
        {
            cursor.gather.table(target, replaced.frame(), 1);
        }
        cursor.gather.invalidate(chunk);
        Ok(())
    }

    fn move_pages(self, cursor: &mut Cursor<'_, '_>, chunk: Range) -> Result<(), OutOfMemory> {
        let Some(from) = cursor.own_path(chunk.start(), Missing::Stop)? else { return Ok(()) };
        for page in 0..chunk.pages() {
            let address =
                chunk.start().checked_add(page * PAGE_SIZE as u64).unwrap_or(chunk.start());
            let leaf: Frame = from.leaf();
            let entry = table(leaf).swap(index(address, 1), Entry::EMPTY);
            if entry == Entry::EMPTY {
                continue;
            }
            let target = self.target(address);
            let to = cursor.own_path(target, Missing::Create)?;
            let Some(to) = to else { continue };
            table(to.leaf()).store(index(target, 1), entry);
            let residency: Residency = residency_of(cursor.memory.meta(entry.frame()));
            cursor.account_above(1, &from, -residency, -1);
            cursor.account_above(1, &to, residency, 1);
            if let Some(page) = Range::of_length(address, PAGE_SIZE as u64) {
                cursor.gather.invalidate(page);
            }
        }
        Ok(())
    }
}
