//! `mprotect(2)`.

use arch::addr::{PAGE_SIZE, UserAddr};

use super::alter::{Alteration, Progress, STEP_CREDIT_KIB};
use super::{AddressSpace, State, range_argument};
use crate::error::MmError;
use crate::raw::table;
use crate::table::cursor::Cursor;
use crate::table::entry::{is_empty, needs_flush, reprotected};
use crate::table::gather::Gather;
use crate::table::survey::{Leaves, survey};
use crate::vma::tree::Change;
use crate::vma::{Protection, Range};

/// Entries that are looked at under one hold of the lock: as many as 64 tables of pages have.
const LOOKS: u64 = STEP_BYTES / PAGE_SIZE as u64;
/// What is no larger is done at once.
const STEP_BYTES: u64 = 128 << 20;

impl AddressSpace {
    /// Changes the protection of `length` bytes from `start` on. The write bit is taken from entries where it must go, and
    /// given at once only to pages that this space holds alone; elsewhere it comes by faults (I8). What is large is done in
    /// steps, between which other threads run: large by the tables and areas that there are, not by its addresses.
    ///
    /// # Errors
    /// `InvalidArgument` for a misaligned start; `NoMemory` for a hole, for want of memory, or for too many areas;
    /// `AccessDenied` where a file does not permit it; `Interrupted`. What is below the place of the error has changed.
    pub fn protect(
        &self,
        start: UserAddr,
        length: u64,
        protection: Protection,
    ) -> Result<(), MmError> {
        if length == 0 && start.is_page_aligned() {
            return Ok(());
        }
        let range = range_argument(start, length)?;
        let alteration = Alteration::new(range, Change::Protect(protection));
        let mut rest = range;
        loop {
            let reached = self.protect_step(&alteration, rest, protection)?;
            match Range::new(reached, rest.end()) {
                Some(next) => rest = next,
                None => return Ok(()),
            }
            self.memory.check_interruption()?;
        }
    }

    /// Does the first part of `rest`; returns where that ends.
    fn protect_step(
        &self,
        alteration: &Alteration,
        rest: Range,
        protection: Protection,
    ) -> Result<UserAddr, MmError> {
        let _credit = self.memory.credit(STEP_CREDIT_KIB)?;
        let mut gather = self.gather();
        let mut state = self.lock();
        let outcome = self.protect_locked(&mut state, alteration, rest, protection, &mut gather);
        let stale = gather.flush();
        drop(state);
        drop(stale);
        let progress = outcome?;
        progress.outcome.map(|()| progress.reached)
    }

    fn protect_locked(
        &self,
        state: &mut State,
        alteration: &Alteration,
        rest: Range,
        protection: Protection,
        gather: &mut Gather<'_>,
    ) -> Result<Progress, MmError> {
        let range = match rest.bytes() {
            ..=STEP_BYTES => rest,
            _ => survey(self.root, rest, LOOKS, Leaves::Enter).range,
        };
        // A shared table spans one meaning (I12): each is copied before its entries change. Nothing has changed if that fails.
        let mut cursor = Cursor::new(self.memory, self.root, gather);
        cursor.own_all(range)?;
        let progress = state.alter(alteration, range);
        if let Some(changed) = Range::new(range.start(), progress.reached) {
            reprotect(&mut cursor, changed, protection);
        }
        Ok(progress)
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
