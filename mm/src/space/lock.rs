//! `mlock(2)` and its relatives. Without swap, locking means that pages are present, and that `madvise` leaves them.

use arch::addr::UserAddr;

use super::{AddressSpace, Limits, State, wraps};
use crate::error::MmError;
use crate::vma::{Range, VmaFlags, page_align_up};

/// When locked pages become present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// At once.
    Now,
    /// `MLOCK_ONFAULT`: when they are first touched.
    OnFault,
}

/// What `mlockall` covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockScope {
    /// `MCL_CURRENT`: what is mapped now.
    Current,
    /// `MCL_FUTURE`: what will be mapped.
    Future,
    /// Both.
    Both,
}

impl LockMode {
    fn flags(self) -> VmaFlags {
        match self {
            Self::Now => VmaFlags::LOCKED,
            Self::OnFault => VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT,
        }
    }
}

/// What says that an area is locked.
pub(super) const LOCK_FLAGS: VmaFlags = VmaFlags::LOCKED.union(VmaFlags::LOCK_ON_FAULT);

impl AddressSpace {
    /// Locks the pages that hold `length` bytes from `start` on.
    ///
    /// # Errors
    /// `NoMemory` for holes, for want of memory, or when the limit would be exceeded; `NotPermitted` when the limit is 0.
    pub fn lock_range(
        &self,
        start: UserAddr,
        length: u64,
        mode: LockMode,
        limits: &Limits,
    ) -> Result<(), MmError> {
        if limits.locked == 0 {
            return Err(MmError::NotPermitted);
        }
        let Some(range) = covering(start, length)? else { return Ok(()) };
        self.set_locked(range, mode.flags(), limits)?;
        if mode == LockMode::Now {
            self.populate_areas(range)?;
        }
        Ok(())
    }

    /// Unlocks the pages that hold `length` bytes from `start` on.
    ///
    /// # Errors
    /// `NoMemory` for holes.
    pub fn unlock_range(&self, start: UserAddr, length: u64) -> Result<(), MmError> {
        let Some(range) = covering(start, length)? else { return Ok(()) };
        self.set_locked(range, VmaFlags::empty(), &Limits::NONE)
    }

    /// `mlockall`.
    ///
    /// # Errors
    /// `NoMemory` when the limit would be exceeded; `NotPermitted` when it is 0.
    pub fn lock_all(
        &self,
        scope: LockScope,
        mode: LockMode,
        limits: &Limits,
    ) -> Result<(), MmError> {
        if limits.locked == 0 {
            return Err(MmError::NotPermitted);
        }
        let mut state = self.lock();
        if scope != LockScope::Future && state.totals.mapped > limits.locked {
            return Err(MmError::NoMemory);
        }
        state.future_lock =
            if scope == LockScope::Current { VmaFlags::empty() } else { mode.flags() };
        if scope == LockScope::Future {
            return Ok(());
        }
        let everything = Range::new(UserAddr::NULL, UserAddr::END).ok_or(MmError::NoMemory)?;
        let old = self.change_flags(&mut state, everything, mode.flags(), LOCK_FLAGS)?;
        drop(state);
        drop(old);
        if mode == LockMode::Now {
            // As on Linux, what cannot be made present is left to faults.
            let _ = self.populate_areas(everything);
        }
        Ok(())
    }

    /// `munlockall`.
    ///
    /// # Errors
    /// `NoMemory` when there are too many areas.
    pub fn unlock_all(&self) -> Result<(), MmError> {
        let mut state = self.lock();
        state.future_lock = VmaFlags::empty();
        let everything = Range::new(UserAddr::NULL, UserAddr::END).ok_or(MmError::NoMemory)?;
        let old = self.change_flags(&mut state, everything, VmaFlags::empty(), LOCK_FLAGS)?;
        drop(state);
        drop(old);
        Ok(())
    }

    fn set_locked(&self, range: Range, set: VmaFlags, limits: &Limits) -> Result<(), MmError> {
        let mut state = self.lock();
        let unlocked = state.unlocked_bytes(range);
        if !set.is_empty() && state.totals.locked.saturating_add(unlocked) > limits.locked {
            return Err(MmError::NoMemory);
        }
        let covered = state.areas.covers(range);
        let old = self.change_flags(&mut state, range, set, LOCK_FLAGS)?;
        drop(state);
        drop(old);
        if covered { Ok(()) } else { Err(MmError::NoMemory) }
    }

    /// Makes every page of the areas in `range` present that can be.
    ///
    /// # Errors
    /// `NoMemory` if some cannot: no memory, no access, past the end of an object.
    pub(super) fn populate_areas(&self, range: Range) -> Result<(), MmError> {
        let areas = self.state.read().areas.clone();
        let mut outcome = Ok(());
        for vma in areas.overlapping(range) {
            let Some(part) = vma.range.intersect(&range) else { continue };
            let accessible = !vma.protection.is_empty();
            if self.populate(part, vma.protection).is_err() || !accessible {
                outcome = Err(MmError::NoMemory);
            }
        }
        outcome
    }
}

impl State {
    fn unlocked_bytes(&self, range: Range) -> u64 {
        let overlapping = self.areas.overlapping(range);
        let unlocked = overlapping.filter(|vma| !vma.flags.contains(VmaFlags::LOCKED));
        unlocked.filter_map(|vma| vma.range.intersect(&range)).map(|part| part.bytes()).sum()
    }
}

/// The pages that hold `length` bytes from `start` on; `None` if there are none.
fn covering(start: UserAddr, length: u64) -> Result<Option<Range>, MmError> {
    let length = length.checked_add(start.page_offset() as u64).ok_or(MmError::InvalidArgument)?;
    let length = page_align_up(length).ok_or(MmError::InvalidArgument)?;
    if length == 0 {
        return Ok(None);
    }
    if wraps(start.page_start(), length) {
        return Err(MmError::InvalidArgument);
    }
    Range::of_length(start.page_start(), length).map(Some).ok_or(MmError::NoMemory)
}
