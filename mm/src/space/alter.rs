//! Changing what areas permit and are, for `mprotect`, `madvise` and `mlock`: a bounded number of areas under one hold of the
//! lock, so that neither other threads nor the heap's credit depend on how many there are.

use arch::addr::UserAddr;

use super::{AddressSpace, State};
use crate::error::MmError;
use crate::vma::Range;
use crate::vma::tree::{Change, MAX_AREAS};

/// Areas that are looked at under one hold of the lock.
pub(super) const AREAS_PER_STEP: usize = 64;

/// What a step may allocate: as many areas with their nodes, and the nodes above these, where fork shares all of them.
pub(super) const STEP_CREDIT_KIB: u32 = 32;

/// A change of the areas in a range, as a system call asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alteration {
    /// Where.
    pub range: Range,
    /// What.
    pub change: Change,
    /// More bytes than this are not locked.
    pub locked_limit: u64,
}

impl Alteration {
    /// Any area of `range` may be changed so.
    pub fn new(range: Range, change: Change) -> Self {
        Self { range, change, locked_limit: u64::MAX }
    }
}

/// How far a step got.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) struct Progress {
    /// What is below has changed.
    pub reached: UserAddr,
    /// What stands in the way there.
    pub outcome: Result<(), MmError>,
}

impl AddressSpace {
    /// Changes flags of the areas in a range. Holes stay holes. What was changed before an error stays so.
    ///
    /// # Errors
    /// `NoMemory` for want of memory, or when there would be too many areas or too many locked bytes; `Interrupted`.
    pub(super) fn change_flags(&self, alteration: &Alteration) -> Result<(), MmError> {
        let mut rest = alteration.range;
        loop {
            let _credit = self.memory.credit(STEP_CREDIT_KIB)?;
            let progress = self.lock().alter(alteration, rest);
            progress.outcome?;
            match Range::new(progress.reached, rest.end()) {
                Some(next) => rest = next,
                None => return Ok(()),
            }
            self.memory.check_interruption()?;
        }
    }
}

impl State {
    /// Makes the change in `step`, a part of its range, area by area, until [`AREAS_PER_STEP`] have been looked at.
    pub(super) fn alter(&mut self, alteration: &Alteration, step: Range) -> Progress {
        let mut reached = step.start();
        for _ in 0..AREAS_PER_STEP {
            if reached >= step.end() {
                break;
            }
            let end = match self.alter_next(alteration, step, reached) {
                Ok(end) => end,
                Err(error) => return Progress { reached, outcome: Err(error) },
            };
            reached = end;
        }
        Progress { reached, outcome: Ok(()) }
    }

    /// Changes the first area of `step` from `reached` on; returns where it ends.
    fn alter_next(
        &mut self,
        alteration: &Alteration,
        step: Range,
        reached: UserAddr,
    ) -> Result<UserAddr, MmError> {
        let change = alteration.change;
        let next = self.areas.at_or_above(reached).filter(|vma| vma.start() < step.end());
        let Some(vma) = next else { return change.check_hole().map(|()| step.end()) };
        if vma.start() > reached {
            change.check_hole()?;
        }
        change.check(vma)?;
        let end = vma.end().min(step.end());
        if change.is_done(vma) {
            return Ok(end);
        }
        let part = vma.cut(&step).ok_or(MmError::InvalidArgument)?;
        let changed = change.applied(part.clone());
        // The end of a step is no edge: the next step goes on from there, and the two parts become one.
        let cuts_at_step = usize::from(end < vma.end() && end < alteration.range.end());
        let count = self.areas.len_after(&changed) - cuts_at_step;
        if count > MAX_AREAS.max(self.areas.len()) {
            return Err(MmError::NoMemory);
        }
        let mut totals = self.totals;
        totals.remove(&part);
        totals.add(&changed);
        if totals.locked > alteration.locked_limit.max(self.totals.locked) {
            return Err(MmError::NoMemory);
        }
        self.totals = totals;
        self.areas.replace(changed);
        Ok(end)
    }
}
