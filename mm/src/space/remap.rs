//! `mremap(2)`: a mapping moves or changes its size; its pages stay.

use alloc::sync::Arc;

use arch::addr::{PAGE_SIZE, UserAddr};

use super::lock::LOCK_FLAGS;
use super::{AddressSpace, Limits, MIN_ADDRESS, State};
use crate::error::MmError;
use crate::table::cursor::Cursor;
use crate::table::entry::span;
use crate::table::gather::Gather;
use crate::table::shift::Shift;
use crate::vma::tree::{MAX_AREAS, Tree};
use crate::vma::{Range, Vma, VmaFlags, page_align_up};

/// Where the mapping may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemapTarget {
    /// Nowhere: it must change its size in place.
    InPlace,
    /// `MREMAP_MAYMOVE`: anywhere, if there is no room.
    Anywhere,
    /// `MREMAP_FIXED`: exactly there, replacing what is there.
    Fixed(UserAddr),
    /// `MREMAP_DONTUNMAP`: the pages move, to this address if it is free; the old area stays, empty and unlocked. Both
    /// lengths are equal.
    LeaveOld(UserAddr),
    /// Both: exactly there, replacing what is there, while the old area stays.
    FixedLeaveOld(UserAddr),
}

/// The arguments of `mremap`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remap {
    /// Start of the old range.
    pub start: UserAddr,
    /// Its length in bytes; 0 makes a second mapping of a shared one.
    pub old_length: u64,
    /// The new length in bytes.
    pub new_length: u64,
    /// Where it may go.
    pub target: RemapTarget,
}

impl AddressSpace {
    /// Resizes or moves a mapping and returns where it is afterwards. Pages are moved, not copied; where old and new place
    /// have the same offset in 2 MiB, whole tables are. Waits for one shootdown if anything moved or went.
    ///
    /// # Errors
    /// Those of `mremap(2)`: `InvalidArgument`, `BadAddress` (not mapped, or more than one area), `NoMemory`, `LockLimit`.
    /// Nothing has moved then, though a fixed target may have been cleared, as on Linux.
    pub fn remap(&self, remap: &Remap, limits: &Limits) -> Result<UserAddr, MmError> {
        let lengths = remap.lengths()?;
        let mut dropped = Dropped::default();
        let mut gather = self.gather();
        let mut state = self.lock();
        let outcome =
            self.remap_locked(&mut state, remap, lengths, limits, &mut gather, &mut dropped);
        let stale = gather.flush();
        let populate = outcome.as_ref().ok().and_then(|moved| {
            let vma = state.areas.find(moved.range.start())?;
            let grown = moved.grown.filter(|_| vma.is_locked_now())?;
            Some((grown, vma.protection))
        });
        drop(state);
        drop(stale);
        drop(dropped);
        let moved = outcome?;
        if let Some((grown, protection)) = populate {
            // As on Linux: what cannot be had now faults later.
            let _ = self.populate(grown, protection);
        }
        Ok(moved.range.start())
    }

    fn remap_locked(
        &self,
        state: &mut State,
        remap: &Remap,
        (old_length, new_length): (u64, u64),
        limits: &Limits,
        gather: &mut Gather<'_>,
        dropped: &mut Dropped,
    ) -> Result<Moved, MmError> {
        let vma = state.areas.find(remap.start).cloned().ok_or(MmError::BadAddress)?;
        if old_length == 0 {
            let (moved, replaced) =
                self.duplicate(state, remap, &vma, new_length, limits, gather)?;
            dropped.replaced = replaced;
            return Ok(moved);
        }
        let old = Range::of_length(remap.start, old_length).ok_or(MmError::InvalidArgument)?;
        if old.end() > vma.end() {
            return Err(MmError::BadAddress);
        }
        let leaves =
            matches!(remap.target, RemapTarget::LeaveOld(_) | RemapTarget::FixedLeaveOld(_));
        if leaves && new_length != old_length {
            return Err(MmError::InvalidArgument);
        }
        match remap.target {
            RemapTarget::Fixed(address) => {
                let new = fixed_target(address, new_length, old)?;
                self.check_growth(state, &vma, old_length, new_length, limits)?;
                check_locked(state, &vma, old_length, new_length, limits)?;
                dropped.replaced = self.empty_target(state, new, gather)?;
                let kept = self.shrink(state, old, new_length, gather, dropped)?;
                self.relocate(state, kept, new, Leave::Nothing, gather)
            }
            RemapTarget::FixedLeaveOld(address) => {
                let new = fixed_target(address, new_length, old)?;
                self.check_growth(state, &vma, 0, new_length, limits)?;
                dropped.replaced = self.empty_target(state, new, gather)?;
                self.relocate(state, old, new, Leave::Area, gather)
            }
            RemapTarget::LeaveOld(wish) => {
                let wished = Range::of_length(wish, new_length).ok_or(MmError::InvalidArgument)?;
                if wished.intersect(&old).is_some() {
                    return Err(MmError::InvalidArgument);
                }
                self.check_growth(state, &vma, 0, new_length, limits)?;
                let new = state.free_at(wish, new_length);
                let new = new.map_or_else(|| state.room_for(new_length, old.start()), Ok)?;
                self.relocate(state, old, new, Leave::Area, gather)
            }
            RemapTarget::InPlace | RemapTarget::Anywhere if new_length <= old_length => {
                let range = self.shrink(state, old, new_length, gather, dropped)?;
                Ok(Moved { range, grown: None })
            }
            target => {
                self.check_growth(state, &vma, old_length, new_length, limits)?;
                check_locked(state, &vma, old_length, new_length, limits)?;
                if let Some(moved) = self.grow_in_place(state, &vma, old, new_length) {
                    return Ok(moved);
                }
                if target == RemapTarget::InPlace {
                    return Err(MmError::NoMemory);
                }
                let new = state.room_for(new_length, old.start())?;
                self.relocate(state, old, new, Leave::Nothing, gather)
            }
        }
    }

    /// `mremap` with an old length of 0: a second mapping of the same object.
    fn duplicate(
        &self,
        state: &mut State,
        remap: &Remap,
        vma: &Vma,
        new_length: u64,
        limits: &Limits,
        gather: &mut Gather<'_>,
    ) -> Result<(Moved, Tree), MmError> {
        if !vma.is_shared() || remap.target == RemapTarget::InPlace {
            return Err(MmError::InvalidArgument);
        }
        let range = match remap.target {
            RemapTarget::Fixed(address) | RemapTarget::FixedLeaveOld(address) => {
                if address.as_u64() < MIN_ADDRESS {
                    return Err(MmError::NotPermitted);
                }
                Range::of_length(address, new_length).ok_or(MmError::InvalidArgument)?
            }
            _ => state.find(new_length).ok_or(MmError::NoMemory)?,
        };
        let tail = Range::new(remap.start, vma.end()).and_then(|tail| vma.cut(&tail));
        let copy = Vma { range, ..tail.ok_or(MmError::BadAddress)? };
        if let Some((_, offset)) = copy.object_at(range.start()) {
            offset.checked_add(range.bytes()).ok_or(MmError::InvalidArgument)?;
        }
        let replaced = self.install(state, copy, limits, gather)?;
        Ok((Moved { range, grown: Some(range) }, replaced))
    }

    fn check_growth(
        &self,
        state: &State,
        vma: &Vma,
        old_length: u64,
        new_length: u64,
        limits: &Limits,
    ) -> Result<(), MmError> {
        let growth = new_length.saturating_sub(old_length);
        let exceeds = |total: u64, limit: u64| total.saturating_add(growth) > limit;
        if let Some((_, offset)) = vma.object_at(vma.start()) {
            offset.checked_add(new_length).ok_or(MmError::InvalidArgument)?;
        }
        if exceeds(state.totals.mapped, limits.address_space)
            || vma.is_data() && growth > 0 && exceeds(state.totals.data, limits.data)
            || vma.is_data() && growth / PAGE_SIZE as u64 > self.memory.total_frames()
        {
            return Err(MmError::NoMemory);
        }
        Ok(())
    }

    /// Removes what is at the target of a move, everywhere before something else comes, as in I6.
    fn empty_target(
        &self,
        state: &mut State,
        target: Range,
        gather: &mut Gather<'_>,
    ) -> Result<Tree, MmError> {
        // Before anything is removed, for a move that would fail afterwards: Linux leaves as much room.
        if state.areas.len() + 5 >= MAX_AREAS {
            return Err(MmError::NoMemory);
        }
        let replaced = self.clear(state, target, gather)?;
        gather.flush_now();
        Ok(replaced)
    }

    /// Cuts off what the new length leaves out; returns the rest.
    fn shrink(
        &self,
        state: &mut State,
        old: Range,
        new_length: u64,
        gather: &mut Gather<'_>,
        dropped: &mut Dropped,
    ) -> Result<Range, MmError> {
        let kept = Range::of_length(old.start(), new_length.min(old.bytes()));
        let kept = kept.ok_or(MmError::InvalidArgument)?;
        if let Some(tail) = Range::new(kept.end(), old.end()) {
            dropped.tail = self.clear(state, tail, gather)?;
        }
        Ok(kept)
    }

    fn grow_in_place(
        &self,
        state: &mut State,
        vma: &Arc<Vma>,
        old: Range,
        new_length: u64,
    ) -> Option<Moved> {
        let new = Range::of_length(old.start(), new_length)?;
        let added = Range::new(old.end(), new.end())?;
        if old.end() != vma.end() || state.areas.overlapping(added).next().is_some() {
            return None;
        }
        let whole = Range::new(vma.start(), new.end())?;
        let grown = Vma { range: whole, ..Vma::clone(vma) };
        let replaced = state.areas.remove(vma.range);
        state.totals.subtract(&replaced);
        state.totals.add(&grown);
        state.areas.insert(grown);
        Some(Moved { range: new, grown: Some(added) })
    }

    /// Moves the pages and the area of `old` to `new`, which is free and at least as large.
    fn relocate(
        &self,
        state: &mut State,
        old: Range,
        new: Range,
        leave: Leave,
        gather: &mut Gather<'_>,
    ) -> Result<Moved, MmError> {
        if state.areas.len() + 3 >= MAX_AREAS {
            return Err(MmError::NoMemory);
        }
        let mut cursor = Cursor::new(self.memory, self.root, gather).marking(&self.used);
        let shift = Shift::between(old, new);
        // Everything that can fail comes first: the old tables are owned, the new ones exist.
        shift.prepare(&mut cursor, old)?;
        let vma = state.areas.find(old.start()).and_then(|vma| vma.cut(&old));
        let vma = vma.ok_or(MmError::BadAddress)?;
        shift.perform(&mut cursor, old)?;
        // Tables that are empty now go.
        cursor.zap(old);
        // What its objects hold lives on in the moved area.
        let removed = state.areas.remove(old);
        state.totals.subtract(&removed);
        if leave == Leave::Area {
            let left = Vma { flags: vma.flags - LOCK_FLAGS, ..vma.clone() };
            state.totals.add(&left);
            state.areas.insert(left);
        }
        let moved = Vma { range: new, ..vma };
        state.totals.add(&moved);
        state.areas.insert(moved);
        let end = new.start().checked_add(old.bytes());
        let grown = end.and_then(|end| Range::new(end, new.end()));
        Ok(Moved { range: new, grown })
    }
}

/// What stays at the old place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// Nothing.
    Nothing,
    /// The area, without its pages and its locks.
    Area,
}

/// A remapped range.
struct Moved {
    range: Range,
    /// The part that is new.
    grown: Option<Range>,
}

/// Areas that are gone, perhaps with the last reference to a file: to be dropped after the lock.
#[derive(Default)]
struct Dropped {
    /// From the new place.
    replaced: Tree,
    /// Cut off from the old one.
    tail: Tree,
}

impl Remap {
    /// Old and new length in whole pages.
    fn lengths(&self) -> Result<(u64, u64), MmError> {
        let aligned = |length| page_align_up(length).ok_or(MmError::InvalidArgument);
        let (old, new) = (aligned(self.old_length)?, aligned(self.new_length)?);
        if new == 0 || !self.start.is_page_aligned() {
            return Err(MmError::InvalidArgument);
        }
        Ok((old, new))
    }
}

impl State {
    /// A free range for a mapping that is moved from `old`, so that whole tables can move where that pays.
    fn room_for(&self, length: u64, old: UserAddr) -> Result<Range, MmError> {
        let found = if length >= span(2) {
            self.find_like(length, span(2), old)
        } else {
            self.find(length)
        };
        found.ok_or(MmError::NoMemory)
    }
}

/// Whether a locked area may grow.
fn check_locked(
    state: &State,
    vma: &Vma,
    old_length: u64,
    new_length: u64,
    limits: &Limits,
) -> Result<(), MmError> {
    let growth = new_length.saturating_sub(old_length);
    let exceeds = state.totals.locked.saturating_add(growth) > limits.locked;
    let locked = vma.flags.contains(VmaFlags::LOCKED);
    if locked && growth > 0 && exceeds { Err(MmError::LockLimit) } else { Ok(()) }
}

fn fixed_target(address: UserAddr, length: u64, old: Range) -> Result<Range, MmError> {
    let range = Range::of_length(address, length).ok_or(MmError::InvalidArgument)?;
    if address.as_u64() < MIN_ADDRESS {
        return Err(MmError::NotPermitted);
    }
    // Old and new must not overlap.
    if range.intersect(&old).is_some() { Err(MmError::InvalidArgument) } else { Ok(range) }
}
