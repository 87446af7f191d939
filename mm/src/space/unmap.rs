//! `munmap(2)`, and removing what truncation cuts off.

use arch::addr::{PAGE_SIZE, UserAddr};

use super::{AddressSpace, State, range_argument};
use crate::error::{MmError, OutOfMemory};
use crate::object::Mappers;
use crate::table::cursor::Cursor;
use crate::table::gather::Gather;
use crate::vma::tree::{MAX_AREAS, Tree};
use crate::vma::{Range, Vma};

/// What becomes of a private mapping's own copies when the pages of its object go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Copies {
    /// They go as well: the object ends before them.
    Go,
    /// They stay: the object has a hole there now.
    Stay,
}

impl AddressSpace {
    /// Removes every mapping in `length` bytes from `start` on. Holes are no error. Waits for one shootdown, whatever the size.
    ///
    /// The time under the lock is bounded by the tables on the two edges; what was mapped is freed afterwards.
    ///
    /// # Errors
    /// `InvalidArgument` for a misaligned or empty range; `NoMemory` when an edge needs tables or an area that cannot be
    /// had. Nothing is unmapped then.
    pub fn unmap(&self, start: UserAddr, length: u64) -> Result<(), MmError> {
        let range = range_argument(start, length).map_err(|_| MmError::InvalidArgument)?;
        let mut gather = self.gather();
        let mut state = self.lock();
        let outcome = self.clear(&mut state, range, &mut gather);
        let stale = gather.flush();
        drop(state);
        drop(stale);
        outcome.map(drop)
    }

    /// Removes areas and pages of `range`, and returns the areas, to be dropped after the lock. On failure nothing is removed.
    pub(super) fn clear(
        &self,
        state: &mut State,
        range: Range,
        gather: &mut Gather<'_>,
    ) -> Result<Tree, MmError> {
        let splits = state.areas.find(range.start()).is_some_and(|vma| vma.end() > range.end());
        if splits && state.areas.len() + 1 > MAX_AREAS {
            return Err(MmError::NoMemory);
        }
        if state.areas.overlapping(range).next().is_none() {
            return Ok(Tree::default());
        }
        self.note_peak(&mut state.totals);
        let mut cursor = Cursor::new(self.memory, self.root, gather);
        cursor.own_edges(range)?;
        let removed = state.areas.remove(range);
        state.totals.subtract(&removed);
        cursor.zap(range);
        Ok(removed)
    }

    /// Takes the pages `first .. end` of the object behind `mappers` out of this space (I13), and private copies of these pages
    /// if `copies` says so.
    ///
    /// Shared tables are copied for it, from the kernel's reserve if need be.
    ///
    /// # Errors
    /// When even that is used up. What is done stays done; the caller waits for memory and calls again, because a
    /// truncated page must not stay mapped.
    pub(crate) fn zap_object(
        &self,
        mappers: &Mappers,
        first: u64,
        end: u64,
        copies: Copies,
    ) -> Result<(), OutOfMemory> {
        let mut next = UserAddr::NULL;
        loop {
            let mut gather = self.gather();
            let mut state = self.lock();
            let found = state.areas.iter_from(next).find_map(|vma| {
                let part = object_part(vma, mappers, first, end)?;
                let keeps = copies == Copies::Stay && !vma.is_shared();
                Some((part, vma.end(), if keeps { Copies::Stay } else { Copies::Go }))
            });
            let Some((range, area_end, copies)) = found else { return Ok(()) };
            self.note_peak(&mut state.totals);
            let mut cursor = Cursor::new(self.memory, self.root, &mut gather).critical();
            let outcome = match copies {
                Copies::Go => cursor.own_edges(range).map(|()| cursor.zap(range)),
                Copies::Stay => cursor.zap_objects(range),
            };
            let stale = gather.flush();
            drop(state);
            drop(stale);
            outcome?;
            next = area_end;
        }
    }
}

/// The part of `vma` that maps the pages `first .. end` of the object behind `mappers`.
fn object_part(vma: &Vma, mappers: &Mappers, first: u64, end: u64) -> Option<Range> {
    let (object, offset) = vma.object_at(vma.start())?;
    if !core::ptr::eq(object.mappers(), mappers) {
        return None;
    }
    let base = offset / PAGE_SIZE as u64;
    let pages = vma.range.pages();
    let from = first.saturating_sub(base).min(pages);
    let to = end.saturating_sub(base).min(pages);
    let at = |page: u64| vma.start().checked_add(page * PAGE_SIZE as u64);
    Range::new(at(from)?, at(to)?)
}
