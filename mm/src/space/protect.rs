//! `mprotect(2)`.

use arch::addr::UserAddr;

use super::{AddressSpace, State, range_argument};
use crate::error::MmError;
use crate::raw::table;
use crate::table::cursor::Cursor;
use crate::table::entry::{is_empty, needs_flush, reprotected};
use crate::table::gather::Gather;
use crate::vma::tree::{MAX_AREAS, Tree};
use crate::vma::{Protection, Range, VmaFlags};

/// How much is done under one hold of the lock: 64 tables of pages.
const STEP_BYTES: u64 = 128 << 20;

impl AddressSpace {
    /// Changes the protection of `length` bytes from `start` on. The write bit is taken from entries where it must go, and
    /// given at once only to pages that this space holds alone; elsewhere it comes by faults (I8). A large range is done in steps, between which other threads run.
    ///
    /// # Errors
    /// `InvalidArgument` for a misaligned start; `NoMemory` for a hole (everything below it has changed) or for want of
    /// memory; `AccessDenied` where a file does not permit it.
    pub fn protect(
        &self,
        start: UserAddr,
        length: u64,
        protection: Protection,
    ) -> Result<(), MmError> {
        if length == 0 && start.is_page_aligned() {
            return Ok(());
        }
        let mut rest = range_argument(start, length)?;
        loop {
            let end =
                rest.start().checked_add(STEP_BYTES).map_or(rest.end(), |end| end.min(rest.end()));
            let step = Range::new(rest.start(), end).ok_or(MmError::InvalidArgument)?;
            self.protect_step(step, protection)?;
            match Range::new(end, rest.end()) {
                Some(next) => rest = next,
                None => return Ok(()),
            }
        }
    }

    fn protect_step(&self, range: Range, protection: Protection) -> Result<(), MmError> {
        let mut gather = self.gather();
        let mut state = self.lock();
        let outcome = self.protect_locked(&mut state, range, protection, &mut gather);
        let stale = gather.flush();
        drop(state);
        drop(stale);
        outcome.map(drop)
    }

    fn protect_locked(
        &self,
        state: &mut State,
        range: Range,
        protection: Protection,
        gather: &mut Gather<'_>,
    ) -> Result<Tree, MmError> {
        if state.areas.len() + 2 > MAX_AREAS {
            return Err(MmError::NoMemory);
        }
        let (reachable, verdict) = state.permitted_prefix(range, protection);
        let Some(range) = reachable else { return verdict.map(|()| Tree::default()) };
        // A shared table spans one meaning (I12): each is copied before its entries change. Nothing has changed if that fails.
        let mut cursor = Cursor::new(self.memory, self.root, gather);
        cursor.own_all(range)?;
        let old = state.areas.update(range, |vma| vma.protection = protection);
        state.totals.subtract(&old);
        for part in old.iter() {
            let changed = crate::vma::Vma { protection, ..crate::vma::Vma::clone(part) };
            state.totals.add(&changed);
        }
        reprotect(&mut cursor, range, protection);
        verdict.map(|()| old)
    }
}

/// Rewrites the entries of `range`, whose tables are owned.
fn reprotect(cursor: &mut Cursor<'_, '_>, range: Range, protection: Protection) {
    cursor.for_each_page(range, &mut |cursor, page, leaf, index| loop {
        let old = table(leaf).load(index);
        let new = reprotected(old, cursor.memory, protection);
        debug_assert!(!is_empty(new));
        // The processor may set marks at any moment; a swap that finds others is made again (I9).
        if table(leaf).replace(index, old, new) {
            if needs_flush(old, new) {
                cursor.gather.invalidate(page);
            }
            break;
        }
    });
}

impl State {
    /// The part of `range` up to the first hole or the first area that does not permit `protection`, and what is wrong there.
    fn permitted_prefix(
        &self,
        range: Range,
        protection: Protection,
    ) -> (Option<Range>, Result<(), MmError>) {
        let mut reached = range.start();
        let mut verdict = Ok(());
        for vma in self.areas.overlapping(range) {
            if vma.start() > reached {
                break;
            }
            if !vma.allowed.contains(protection) {
                verdict = Err(MmError::AccessDenied);
                break;
            }
            reached = vma.end().min(range.end());
        }
        if verdict.is_ok() && reached < range.end() {
            verdict = Err(MmError::NoMemory);
        }
        (Range::new(range.start(), reached), verdict)
    }
}

impl AddressSpace {
    /// Changes the flags of the areas in `range`, splitting and joining as needed. Holes stay holes.
    pub(super) fn change_flags(
        &self,
        state: &mut State,
        range: Range,
        set: VmaFlags,
        clear: VmaFlags,
    ) -> Result<Tree, MmError> {
        if state.areas.len() + 2 > MAX_AREAS {
            return Err(MmError::NoMemory);
        }
        let old = state.areas.update(range, |vma| vma.flags = (vma.flags - clear) | set);
        state.totals.subtract(&old);
        for part in old.iter() {
            let changed = crate::vma::Vma {
                flags: (part.flags - clear) | set,
                ..crate::vma::Vma::clone(part)
            };
            state.totals.add(&changed);
        }
        Ok(old)
    }
}
