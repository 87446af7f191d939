//! `fork(2)`: a second space with the same content, in time that does not depend on how much there is.

use alloc::sync::Arc;

use arch::addr::UserAddr;
use arch::events::MachineEvent;
use arch::tlb::{Range, Tables};

use super::alter::{AREAS_PER_STEP, STEP_CREDIT_KIB};
use super::lock::LOCK_FLAGS;
use super::{AddressSpace, State};
use crate::count::Released;
use crate::counters::add;
use crate::error::MmError;
use crate::raw::table;
use crate::table::cursor::Cursor;
use crate::table::entry::is_empty;
use crate::table::gather::{Gather, count_shootdown};
use crate::table::node::share_entry;
use crate::vma::{Vma, VmaFlags};

/// Flags that keep an area, or something about it, from being inherited.
const EXCEPTIONS: VmaFlags = VmaFlags::NO_FORK.union(VmaFlags::WIPE_ON_FORK).union(LOCK_FLAGS);

impl AddressSpace {
    /// A space that shares everything with this one, copy on write. Copies the root's used entries and nothing else; the
    /// area map is shared likewise. Waits for one shootdown of this space before the lock is released (I5), so that
    /// nobody writes to what the child sees; what is not to be inherited goes after that.
    ///
    /// # Errors
    /// [`MmError::NoMemory`]. Nothing has changed then, but for faults that the next writes take.
    pub fn fork(&self) -> Result<Arc<Self>, MmError> {
        // The lock is held exclusively to the end: no fault of this space sees the tables half shared (I14).
        let state = self.lock();
        let child = Self::with_state(self.memory, self.family.clone(), state.inherited())?;
        child.inherit_registrations(self);
        let shared = self.share_root(&child);
        // I5. Even after a failure nothing may stay cached that the cleared write bits forbid. Tables stay where they are.
        let sent = self.tlb.flush(Range::All, Tables::Kept);
        count_shootdown(self.memory, sent);
        if let Err(error) = shared {
            // The child's tables are freed without the parent's lock.
            drop(state);
            drop(child);
            return Err(error);
        }
        // Behind its parent in the family before the parent can be visited again: see `object::Family`.
        let child = child.join_family();
        let has_exceptions = state.areas.has_flags(EXCEPTIONS);
        drop(state);
        // The child has what it needs of the parent, whose threads need not wait for the rest.
        if has_exceptions {
            child.drop_exceptions()?;
        }
        add(&self.memory.count().forks, 1);
        let root = self.memory.meta(child.root);
        let (entries, pages) = (root.present(), root.residency().pages as u64);
        arch::trace(MachineEvent::SpaceFork { entries, pages });
        Ok(child)
    }

    /// Makes every child of this space's root a child of the other root as well.
    fn share_root(&self, child: &Self) -> Result<(), MmError> {
        let (ours, theirs) = (table(self.root), table(child.root));
        let child_meta = self.memory.meta(child.root);
        for index in self.used.iter() {
            let entry = ours.load(index);
            if is_empty(entry) {
                continue;
            }
            let count = &self.memory.meta(entry.frame()).count;
            count.acquire().map_err(|_| MmError::NoMemory)?;
            child.used.mark(index);
            theirs.store(index, share_entry(ours, index, entry));
            child_meta.add_present(1);
        }
        child_meta.set_residency(self.memory.meta(self.root).residency());
        debug_assert_ne!(count_of_root(self), Released::Shared);
        Ok(())
    }

    /// In a child that does not run yet: removes areas that are not inherited, empties those that come empty, and unlocks the
    /// locked ones, some of them under one hold of the lock.
    fn drop_exceptions(&self) -> Result<(), MmError> {
        let mut next = Some(UserAddr::NULL);
        while let Some(from) = next.take() {
            let _credit = self.memory.credit(STEP_CREDIT_KIB)?;
            let mut gather = self.gather();
            let mut state = self.lock();
            // Keeps what is removed until the lock is released: the parent may not have it any more.
            let areas = state.areas.clone();
            let mut exceptions = areas.with_flags(EXCEPTIONS, from).take(AREAS_PER_STEP);
            let outcome = exceptions.try_for_each(|vma| {
                next = Some(vma.end());
                self.drop_exception(&mut state, vma, &mut gather)
            });
            let stale = gather.flush();
            drop(state);
            drop(stale);
            outcome?;
        }
        Ok(())
    }

    fn drop_exception(
        &self,
        state: &mut State,
        vma: &Vma,
        gather: &mut Gather<'_>,
    ) -> Result<(), MmError> {
        let mut cursor = Cursor::new(self.memory, self.root, gather);
        if vma.flags.intersects(VmaFlags::NO_FORK | VmaFlags::WIPE_ON_FORK) {
            cursor.own_edges(vma.range)?;
            cursor.zap(vma.range);
        }
        if vma.flags.contains(VmaFlags::NO_FORK) {
            let removed = state.areas.remove(vma.range);
            state.totals.subtract(&removed);
        } else if vma.flags.intersects(LOCK_FLAGS) {
            let inherited = Vma { flags: vma.flags - LOCK_FLAGS, ..vma.clone() };
            state.totals.remove(vma);
            state.totals.add(&inherited);
            state.areas.replace(inherited);
        }
        Ok(())
    }
}

impl State {
    /// What a child starts with: the areas are shared, peaks start anew, and locks to come are its parent's.
    fn inherited(&self) -> Self {
        let mut child = self.clone();
        child.future_lock = VmaFlags::empty();
        child.totals.peak_mapped = child.totals.mapped;
        child.totals.peak_resident = 0;
        child
    }
}

/// A root is never shared.
fn count_of_root(space: &AddressSpace) -> Released {
    if space.memory.meta(space.root).count.is_exclusive() {
        Released::Last
    } else {
        Released::Shared
    }
}
