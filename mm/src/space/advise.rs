//! `madvise(2)`.

use alloc::sync::Arc;

use arch::addr::{PAGE_SIZE, UserAddr};
use arch::context::Access;

use super::alter::{AREAS_PER_STEP, Alteration, Progress};
use super::populate::Unpopulated;
use super::{AddressSpace, State, range_argument, wraps};
use crate::error::{FaultError, MmError};
use crate::object::ObjectError;
use crate::table::cursor::Cursor;
use crate::table::gather::Gather;
use crate::vma::tree::Change;
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
    /// are done, of population those before it) or for want of memory; `TryAgain`; `BadAddress` where population hits the end of an object; `AccessDenied`, `Io`.
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
            Advice::WillNeed | Advice::Nothing => covered(self.areas().covers(range)),
            _ => self.set_advice(range, advice),
        }
    }

    fn set_advice(&self, range: Range, advice: Advice) -> Result<(), MmError> {
        let (set, clear) = flag_change(advice);
        let areas = self.areas();
        if advice == Advice::WipeOnFork {
            let wrong = |vma: &&Arc<Vma>| vma.is_shared() || vma.object_at(vma.start()).is_some();
            if areas.overlapping(range).any(|vma| wrong(&vma)) {
                return Err(MmError::InvalidArgument);
            }
        }
        let outcome = covered(areas.covers(range));
        // What nobody looks at any more is changed in place.
        drop(areas);
        let change = Change::Flags { set, clear };
        self.change_flags(&Alteration::new(range, change)).map_err(|error| match error {
            MmError::NoMemory => MmError::TryAgain,
            error => error,
        })?;
        outcome
    }

    /// Drops the pages of `range`, keeping the areas.
    fn discard(&self, range: Range, advice: Advice) -> Result<(), MmError> {
        let (mut rest, mut outcome) = (range, Ok(()));
        loop {
            let mut gather = self.gather();
            let mut state = self.lock();
            let step = self.discard_some(&mut state, rest, advice, &mut gather);
            let stale = gather.flush();
            drop(state);
            drop(stale);
            let progress = step?;
            outcome = outcome.and(progress.outcome);
            match Range::new(progress.reached, rest.end()) {
                Some(next) => rest = next,
                None => return outcome,
            }
            self.memory.check_interruption()?;
        }
    }

    /// Drops the pages of the first areas in `range`. Of a hole it says so, and goes on.
    fn discard_some(
        &self,
        state: &mut State,
        range: Range,
        advice: Advice,
        gather: &mut Gather<'_>,
    ) -> Result<Progress, MmError> {
        self.note_peak(&mut state.totals);
        let mut progress = Progress { reached: range.start(), outcome: Ok(()) };
        for vma in state.areas.overlapping(range).take(AREAS_PER_STEP) {
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
            if part.start() > progress.reached {
                progress.outcome = Err(MmError::NoMemory);
            }
            progress.reached = part.end();
        }
        let next = state.areas.at_or_above(progress.reached);
        if progress.reached < range.end() && next.is_none_or(|next| next.start() >= range.end()) {
            progress = Progress { reached: range.end(), outcome: Err(MmError::NoMemory) };
        }
        Ok(progress)
    }

    /// `MADV_REMOVE`: shared, writable mappings of objects only.
    fn remove_from_objects(&self, range: Range) -> Result<(), MmError> {
        let areas = self.areas();
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
        self.fault_range(range, access).map_err(|unpopulated| match unpopulated {
            Unpopulated::Failed(FaultError::MapErr | FaultError::NoMemory) => MmError::NoMemory,
            Unpopulated::Failed(FaultError::AccErr) => MmError::InvalidArgument,
            Unpopulated::Failed(FaultError::Bus) => MmError::BadAddress,
            Unpopulated::Interrupted => MmError::Interrupted,
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
