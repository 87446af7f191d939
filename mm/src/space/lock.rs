//! `mlock(2)` and its relatives. Without swap, locking means that pages are present, and that `madvise` leaves them.

use arch::addr::UserAddr;

use super::alter::Alteration;
use super::populate::Unpopulated;
use super::{AddressSpace, Limits, wraps};
use crate::error::MmError;
use crate::vma::tree::{Change, Tree};
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
        drop(state);
        let everything = Range::new(UserAddr::NULL, UserAddr::END).ok_or(MmError::NoMemory)?;
        let change = Change::Flags { set: mode.flags(), clear: LOCK_FLAGS };
        let locked_limit = limits.locked;
        self.change_flags(&Alteration { range: everything, change, locked_limit })?;
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
        self.lock().future_lock = VmaFlags::empty();
        let everything = Range::new(UserAddr::NULL, UserAddr::END).ok_or(MmError::NoMemory)?;
        let change = Change::Flags { set: VmaFlags::empty(), clear: LOCK_FLAGS };
        self.change_flags(&Alteration::new(everything, change))
    }

    fn set_locked(&self, range: Range, set: VmaFlags, limits: &Limits) -> Result<(), MmError> {
        let covered = {
            let state = self.state.read();
            let (areas, locked) = (state.areas.clone(), state.totals.locked);
            drop(state);
            // All or nothing, unless another thread locks at the same time: then the limit holds for each area.
            if !set.is_empty()
                && locked.saturating_add(unlocked_bytes(&areas, range)) > limits.locked
            {
                return Err(MmError::NoMemory);
            }
            areas.covers(range)
        };
        let change = Change::Flags { set, clear: LOCK_FLAGS };
        self.change_flags(&Alteration { range, change, locked_limit: limits.locked })?;
        if covered { Ok(()) } else { Err(MmError::NoMemory) }
    }

    /// Makes every page of the areas in `range` present that can be.
    ///
    /// # Errors
    /// `NoMemory` if some cannot: no memory, no access, past the end of an object. `Interrupted`.
    pub(super) fn populate_areas(&self, range: Range) -> Result<(), MmError> {
        let areas = self.areas();
        let mut outcome = Ok(());
        for vma in areas.overlapping(range) {
            let Some(part) = vma.range.intersect(&range) else { continue };
            match self.populate(part, vma.protection) {
                Ok(()) if !vma.protection.is_empty() => {}
                Ok(()) | Err(Unpopulated::Failed(_)) => outcome = Err(MmError::NoMemory),
                Err(Unpopulated::Interrupted) => return Err(MmError::Interrupted),
            }
        }
        outcome
    }
}

/// Bytes of `range` that would be locked besides those that are.
fn unlocked_bytes(areas: &Tree, range: Range) -> u64 {
    let overlapping = areas.overlapping(range);
    let unlocked = overlapping.filter(|vma| !vma.flags.contains(VmaFlags::LOCKED));
    unlocked.filter_map(|vma| vma.range.intersect(&range)).map(|part| part.bytes()).sum()
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
