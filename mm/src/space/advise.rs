//! `madvise(2)`.

use alloc::sync::Arc;

use arch::addr::{PAGE_SIZE, UserAddr};
use arch::context::Access;

use super::{AddressSpace, State, range_argument, wraps};
use crate::error::{FaultError, MmError};
use crate::object::ObjectError;
use crate::table::cursor::Cursor;
use crate::vma::{Protection, Range, Vma, VmaFlags};

/// What a program advises or demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// `MADV_NORMAL`
    Normal,
    /// `MADV_RANDOM`
    Random,
    /// `MADV_SEQUENTIAL`
    Sequential,
    /// `MADV_WILLNEED`: fetch object pages that are there.
    WillNeed,
    /// `MADV_DONTNEED`: drop pages; private ones read as zeros or as the file afterwards.
    DontNeed,
    /// `MADV_DONTNEED_LOCKED`: the same, of locked memory too.
    DontNeedLocked,
    /// `MADV_FREE`: private anonymous pages may be dropped; they are, at once.
    Free,
    /// `MADV_REMOVE`: punch a hole into the object.
    Remove,
    /// `MADV_DONTFORK`
    DontFork,
    /// `MADV_DOFORK`
    DoFork,
    /// `MADV_WIPEONFORK`
    WipeOnFork,
    /// `MADV_KEEPONFORK`
    KeepOnFork,
    /// `MADV_DONTDUMP`
    DontDump,
    /// `MADV_DODUMP`
    DoDump,
    /// `MADV_HUGEPAGE`
    HugePages,
    /// `MADV_NOHUGEPAGE`
    NoHugePages,
    /// `MADV_POPULATE_READ`: make pages present, readable.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`: make pages present, writable.
    PopulateWrite,
    /// `MADV_COLD`, `MADV_PAGEOUT`, `MADV_MERGEABLE`, `MADV_UNMERGEABLE`: without swap and merging, nothing.
    Nothing,
}

impl AddressSpace {
    /// Follows `advice` on `length` bytes from `start` on.
    ///
    /// # Errors
    /// `InvalidArgument` for a misaligned start or an area of the wrong sort; `NoMemory` for a hole (the mapped parts
    /// are done) or for want of memory; `BadAddress` where population hits the end of an object; `AccessDenied`, `Io`.
    pub fn advise(&self, start: UserAddr, length: u64, advice: Advice) -> Result<(), MmError> {
        if length == 0 && start.is_page_aligned() {
            return Ok(());
        }
        if wraps(start, length) {
            return Err(MmError::InvalidArgument);
        }
        let range = range_argument(start, length)?;
        match advice {
            Advice::DontNeed | Advice::DontNeedLocked | Advice::Free => self.discard(range, advice),
            Advice::Remove => self.remove_from_objects(range),
            Advice::PopulateRead => self.populate_now(range, Access::Read),
            Advice::PopulateWrite => self.populate_now(range, Access::Write),
            Advice::WillNeed | Advice::Nothing => covered(self.state.read().areas.covers(range)),
            _ => self.set_advice(range, advice),
        }
    }

    fn set_advice(&self, range: Range, advice: Advice) -> Result<(), MmError> {
        let (set, clear) = flag_change(advice);
        let mut state = self.lock();
        if advice == Advice::WipeOnFork {
            let wrong = |vma: &&Arc<Vma>| vma.is_shared() || vma.object_at(vma.start()).is_some();
            if state.areas.overlapping(range).any(|vma| wrong(&vma)) {
                return Err(MmError::InvalidArgument);
            }
        }
        let outcome = covered(state.areas.covers(range));
        let old = self.change_flags(&mut state, range, set, clear)?;
        drop(state);
        drop(old);
        outcome
    }

    /// Drops the pages of `range`, keeping the areas.
    fn discard(&self, range: Range, advice: Advice) -> Result<(), MmError> {
        let mut gather = self.gather();
        let mut state = self.lock();
        let outcome = self.discard_locked(&mut state, range, advice, &mut gather);
        let stale = gather.flush();
        drop(state);
        drop(stale);
        outcome
    }

    fn discard_locked(
        &self,
        state: &mut State,
        range: Range,
        advice: Advice,
        gather: &mut crate::table::gather::Gather<'_>,
    ) -> Result<(), MmError> {
        self.note_peak(&mut state.totals);
        for vma in state.areas.overlapping(range) {
            let locked = vma.flags.contains(VmaFlags::LOCKED);
            let anonymous = !vma.is_shared() && vma.object_at(vma.start()).is_none();
            if (locked && advice != Advice::DontNeedLocked)
                || (advice == Advice::Free && !anonymous)
            {
                return Err(MmError::InvalidArgument);
            }
            let Some(part) = vma.range.intersect(&range) else { continue };
            let mut cursor = Cursor::new(self.memory, self.root, gather);
            cursor.own_edges(part)?;
            cursor.zap(part);
        }
        covered(state.areas.covers(range))
    }

    /// `MADV_REMOVE`: shared, writable mappings of objects only.
    fn remove_from_objects(&self, range: Range) -> Result<(), MmError> {
        let areas = self.state.read().areas.clone();
        for vma in areas.overlapping(range) {
            let Some(part) = vma.range.intersect(&range) else { continue };
            let Some((object, offset)) = vma.object_at(part.start()) else {
                return Err(MmError::InvalidArgument);
            };
            if vma.flags.contains(VmaFlags::LOCKED) {
                return Err(MmError::InvalidArgument);
            }
            if !vma.is_shared() || !vma.allowed.contains(Protection::WRITE) {
                return Err(MmError::AccessDenied);
            }
            object.punch(offset / PAGE_SIZE as u64, part.pages()).map_err(|error| match error {
                ObjectError::OutOfMemory => MmError::NoMemory,
                ObjectError::PastEnd | ObjectError::Io => MmError::Io,
            })?;
        }
        covered(areas.covers(range))
    }

    fn populate_now(&self, range: Range, access: Access) -> Result<(), MmError> {
        if !self.state.read().areas.covers(range) {
            return Err(MmError::NoMemory);
        }
        self.fault_range(range, access).map_err(|error| match error {
            FaultError::MapErr | FaultError::NoMemory => MmError::NoMemory,
            FaultError::AccErr => MmError::InvalidArgument,
            FaultError::Bus => MmError::BadAddress,
        })
    }
}

fn covered(covered: bool) -> Result<(), MmError> {
    if covered { Ok(()) } else { Err(MmError::NoMemory) }
}

/// The flags that an advice sets and clears.
fn flag_change(advice: Advice) -> (VmaFlags, VmaFlags) {
    let pattern = VmaFlags::SEQUENTIAL | VmaFlags::RANDOM;
    let huge = VmaFlags::HUGE_PAGES | VmaFlags::NO_HUGE_PAGES;
    let none = VmaFlags::empty();
    match advice {
        Advice::Normal => (none, pattern),
        Advice::Random => (VmaFlags::RANDOM, pattern),
        Advice::Sequential => (VmaFlags::SEQUENTIAL, pattern),
        Advice::DontFork => (VmaFlags::NO_FORK, none),
        Advice::DoFork => (none, VmaFlags::NO_FORK),
        Advice::WipeOnFork => (VmaFlags::WIPE_ON_FORK, none),
        Advice::KeepOnFork => (none, VmaFlags::WIPE_ON_FORK),
        Advice::DontDump => (VmaFlags::NO_DUMP, none),
        Advice::DoDump => (none, VmaFlags::NO_DUMP),
        Advice::HugePages => (VmaFlags::HUGE_PAGES, huge),
        Advice::NoHugePages => (VmaFlags::NO_HUGE_PAGES, huge),
        _ => (none, none),
    }
}
