//! `mmap(2)`.

use arch::addr::{PAGE_SIZE, USER_END, UserAddr};

use super::usage::Totals;
use super::{AddressSpace, Limits, MIN_ADDRESS, STACK_GUARD_GAP, State};
use crate::error::MmError;
use crate::object::shared_anonymous;
use crate::table::gather::Gather;
use crate::vma::tree::{MAX_AREAS, Tree};
use crate::vma::{
    Backing, Constraint, ObjectRange, Protection, Range, Vma, VmaFlags, find_gap, page_align_up,
};

/// `MAP_32BIT` places between 1 and 2 GiB.
const LOW_START: u64 = 0x4000_0000;
const LOW_END: u64 = 0x8000_0000;

/// How a mapping's address is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// At the given address if that is free (0 for no wish), else wherever there is room.
    Hint,
    /// `MAP_32BIT`: as `Hint`, below 2 GiB.
    Low,
    /// `MAP_FIXED`: exactly there; what is mapped there goes.
    Fixed,
    /// `MAP_FIXED_NOREPLACE`: exactly there, or not at all.
    FixedNoReplace,
}

/// What is mapped.
#[derive(Clone, Debug)]
pub enum Source {
    /// Private zeros.
    Anonymous,
    /// Zeros shared with the children of fork.
    SharedAnonymous,
    /// An object, copied on write.
    Private(ObjectRange),
    /// An object, written in place. `mprotect` may grant at most `allowed`.
    Shared {
        /// What is mapped.
        range: ObjectRange,
        /// [`Protection::WRITE`] only if the file is open for writing.
        allowed: Protection,
    },
}

bitflags::bitflags! {
    /// Options of a mapping.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub struct MapOptions: u8 {
        /// `MAP_GROWSDOWN`
        const GROWS_DOWN = 1;
        /// `MAP_LOCKED`
        const LOCKED = 1 << 1;
        /// `MAP_POPULATE`
        const POPULATE = 1 << 2;
        /// `MAP_NORESERVE`
        const NO_RESERVE = 1 << 3;
    }
}

/// The arguments of `mmap`.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// The wish or demand for an address.
    pub address: UserAddr,
    /// Which of the two.
    pub placement: Placement,
    /// Bytes; rounded up to pages.
    pub length: u64,
    /// What may be done with the pages.
    pub protection: Protection,
    /// What is mapped.
    pub source: Source,
    /// The rest.
    pub options: MapOptions,
}

impl MapRequest {
    /// Private zeros wherever there is room.
    #[must_use]
    pub fn anonymous(length: u64, protection: Protection) -> Self {
        Self {
            address: UserAddr::NULL,
            placement: Placement::Hint,
            length,
            protection,
            source: Source::Anonymous,
            options: MapOptions::empty(),
        }
    }

    /// The same at exactly `address`.
    #[must_use]
    pub fn fixed_at(self, address: UserAddr) -> Self {
        Self { address, placement: Placement::Fixed, ..self }
    }
}

/// An area that lacks nothing but its place.
struct Draft {
    protection: Protection,
    allowed: Protection,
    flags: VmaFlags,
    backing: Backing,
}

impl Draft {
    fn at(self, range: Range, extra: VmaFlags) -> Vma {
        let Self { protection, allowed, flags, backing } = self;
        Vma { range, protection, allowed, flags: flags | extra, backing }
    }
}

impl AddressSpace {
    /// Maps memory and returns where. With [`MapOptions::POPULATE`] or `LOCKED` the pages are there on return,
    /// unless memory runs out, which is no error (as on Linux). Flushes if it replaces something.
    ///
    /// # Errors
    /// Those of `mmap(2)`: `InvalidArgument`, `NoMemory`, `NotPermitted` (below [`MIN_ADDRESS`], or
    /// `LOCKED` where nothing may be locked), `Exists`, `AccessDenied`,
    /// `LockLimit`, `Overflow`.
    pub fn map(&self, request: &MapRequest, limits: &Limits) -> Result<UserAddr, MmError> {
        let length = page_align_up(request.length).ok_or(MmError::NoMemory)?;
        if length == 0 {
            return Err(MmError::InvalidArgument);
        }
        if length > USER_END {
            return Err(MmError::NoMemory);
        }
        if request.options.contains(MapOptions::LOCKED) && limits.locked == 0 {
            return Err(MmError::NotPermitted);
        }
        let draft = self.draft(request, length)?;
        let mut gather = self.gather();
        let mut state = self.lock();
        let range = state.place(request, length)?;
        let vma = draft.at(range, state.future_lock);
        let populate = request.options.contains(MapOptions::POPULATE) || vma.is_locked_now();
        let outcome = self.install(&mut state, vma, limits, &mut gather);
        // Flush even on failure: tables may have been copied before memory ran out.
        let stale = gather.flush();
        drop(state);
        drop(stale);
        drop(outcome?);
        if populate {
            // As on Linux: what cannot be had now faults later.
            let _ = self.populate(range, request.protection);
        }
        Ok(range.start())
    }

    fn draft(&self, request: &MapRequest, length: u64) -> Result<Draft, MmError> {
        let mut draft = Draft {
            protection: request.protection,
            allowed: Protection::all(),
            flags: area_flags(request.options),
            backing: Backing::Anonymous,
        };
        let range = match &request.source {
            Source::Anonymous => return Ok(draft),
            Source::SharedAnonymous => {
                let object = shared_anonymous(self.memory, length);
                ObjectRange { object, offset: 0, file: None }
            }
            Source::Private(range) => range.clone(),
            Source::Shared { range, allowed } => {
                draft.allowed = *allowed;
                range.clone()
            }
        };
        draft.flags.set(VmaFlags::SHARED, !matches!(request.source, Source::Private(_)));
        if !draft.allowed.contains(request.protection) {
            return Err(MmError::AccessDenied);
        }
        if range.offset % PAGE_SIZE as u64 != 0 {
            return Err(MmError::InvalidArgument);
        }
        range.offset.checked_add(length).ok_or(MmError::Overflow)?;
        // Before the area exists: truncation must find this space from the first fault on.
        range.object.mappers().register(&self.family);
        draft.backing = Backing::Object(range);
        Ok(draft)
    }

    /// Puts `vma` in place of whatever is there. Returns what was there, to be dropped after the lock. On failure nothing
    /// is mapped or unmapped.
    pub(super) fn install(
        &self,
        state: &mut State,
        vma: Vma,
        limits: &Limits,
        gather: &mut Gather<'_>,
    ) -> Result<Tree, MmError> {
        self.check_limits(state, &vma, limits)?;
        let removed = self.clear(state, vma.range, gather)?;
        state.totals.add(&vma);
        state.areas.insert(vma);
        Ok(removed)
    }

    fn check_limits(&self, state: &State, vma: &Vma, limits: &Limits) -> Result<(), MmError> {
        // As on Linux, one more than the limit can come to be, and what is cut makes more: see `clear`.
        if state.areas.len() > MAX_AREAS || self.is_overcommitted(vma) {
            return Err(MmError::NoMemory);
        }
        // What is replaced matters only where there is too much without it.
        if state.totals.check_with(vma, &Totals::default(), limits).is_ok() {
            return Ok(());
        }
        let mut replaced = Totals::default();
        let overlapping = state.areas.overlapping(vma.range);
        overlapping.filter_map(|old| old.cut(&vma.range)).for_each(|old| replaced.add(&old));
        state.totals.check_with(vma, &replaced, limits)
    }

    /// A promise that obviously cannot be kept is refused (`vm.overcommit_memory` 0).
    fn is_overcommitted(&self, vma: &Vma) -> bool {
        vma.is_data()
            && !vma.flags.contains(VmaFlags::NO_RESERVE)
            && vma.range.pages() > self.memory.total_frames()
    }
}

impl Totals {
    /// Whether `vma` may come in place of what has the sums `replaced`.
    fn check_with(&self, vma: &Vma, replaced: &Self, limits: &Limits) -> Result<(), MmError> {
        let bytes = vma.range.bytes();
        if self.mapped - replaced.mapped + bytes > limits.address_space
            || vma.is_data() && self.data - replaced.data + bytes > limits.data
        {
            return Err(MmError::NoMemory);
        }
        let locked = vma.flags.contains(VmaFlags::LOCKED);
        if locked && self.locked - replaced.locked + bytes > limits.locked {
            return Err(MmError::LockLimit);
        }
        Ok(())
    }
}

impl State {
    /// Chooses the range for a mapping of `length` bytes.
    fn place(&self, request: &MapRequest, length: u64) -> Result<Range, MmError> {
        match request.placement {
            Placement::Fixed => fixed(request.address, length),
            Placement::FixedNoReplace => {
                let range = fixed(request.address, length)?;
                let occupied = self.areas.overlapping(range).next().is_some();
                if occupied { Err(MmError::Exists) } else { Ok(range) }
            }
            Placement::Hint => {
                let hinted = self.free_at(request.address.page_start(), length);
                hinted.or_else(|| self.find(length)).ok_or(MmError::NoMemory)
            }
            Placement::Low => {
                let hinted = self.free_at(request.address.page_start(), length);
                let hinted = hinted.filter(|range| range.end().as_u64() <= LOW_END);
                let found = hinted
                    .or_else(|| self.find_aligned(length, LOW_START, LOW_END, Alignment::PAGE));
                found.ok_or(MmError::NoMemory)
            }
        }
    }

    /// The range at `start`, if it is free and keeps its distance from stacks.
    pub(super) fn free_at(&self, start: UserAddr, length: u64) -> Option<Range> {
        let range = Range::of_length(start, length)?;
        if start.as_u64() < MIN_ADDRESS || self.areas.overlapping(range).next().is_some() {
            return None;
        }
        let next = self.areas.at_or_above(range.end());
        let clear = next.is_none_or(|next| {
            !next.flags.contains(VmaFlags::GROWS_DOWN)
                || next.start().as_u64() - range.end().as_u64() >= STACK_GUARD_GAP
        });
        clear.then_some(range)
    }

    /// A free range below the mmap base, or anywhere if there is no room.
    pub(super) fn find(&self, length: u64) -> Option<Range> {
        let base = self.layout.mmap_base.as_u64();
        self.find_aligned(length, MIN_ADDRESS, base, Alignment::PAGE)
            .or_else(|| self.find_aligned(length, MIN_ADDRESS, USER_END, Alignment::PAGE))
    }

    /// As [`find`](Self::find), with the same offset within spans of `bytes` bytes as `like` has, if possible.
    pub(super) fn find_like(&self, length: u64, bytes: u64, like: UserAddr) -> Option<Range> {
        let base = self.layout.mmap_base.as_u64();
        let alignment = Alignment { bytes, phase: like.as_u64() % bytes };
        self.find_aligned(length, MIN_ADDRESS, base, alignment).or_else(|| self.find(length))
    }

    fn find_aligned(
        &self,
        length: u64,
        floor: u64,
        ceiling: u64,
        alignment: Alignment,
    ) -> Option<Range> {
        let constraint = Constraint {
            floor: UserAddr::try_new(floor)?,
            ceiling: UserAddr::try_new(ceiling)?,
            alignment: alignment.bytes,
            phase: alignment.phase,
        };
        find_gap(&self.areas, length, STACK_GUARD_GAP, constraint)
    }
}

/// Where a placement must lie within each span of `bytes` bytes, a power of two.
#[derive(Clone, Copy)]
struct Alignment {
    bytes: u64,
    phase: u64,
}

impl Alignment {
    const PAGE: Self = Self { bytes: PAGE_SIZE as u64, phase: 0 };
}

fn fixed(address: UserAddr, length: u64) -> Result<Range, MmError> {
    if !address.is_page_aligned() {
        return Err(MmError::InvalidArgument);
    }
    let range = Range::of_length(address, length).ok_or(MmError::NoMemory)?;
    if address.as_u64() < MIN_ADDRESS { Err(MmError::NotPermitted) } else { Ok(range) }
}

fn area_flags(options: MapOptions) -> VmaFlags {
    let mut flags = VmaFlags::empty();
    flags.set(VmaFlags::GROWS_DOWN, options.contains(MapOptions::GROWS_DOWN));
    flags.set(VmaFlags::LOCKED, options.contains(MapOptions::LOCKED));
    flags.set(VmaFlags::NO_RESERVE, options.contains(MapOptions::NO_RESERVE));
    flags
}
