//! `fork(2)`: a second space with the same content, in time that does not depend on how much there is.

use alloc::sync::Arc;

use arch::tlb::{Range, Tables};

use super::AddressSpace;
use crate::count::Released;
use crate::counters::add;
use crate::error::MmError;
use crate::raw::table;
use crate::table::cursor::Cursor;
use crate::table::entry::is_empty;
use crate::table::gather::count_shootdown;
use crate::table::node::share_entry;
use crate::vma::VmaFlags;
use crate::vma::tree::Tree;

/// Flags that keep an area, or something about it, from being inherited.
const EXCEPTIONS: VmaFlags = VmaFlags::NO_FORK
    .union(VmaFlags::WIPE_ON_FORK)
    .union(VmaFlags::LOCKED)
    .union(VmaFlags::LOCK_ON_FAULT);

impl AddressSpace {
    /// A space that shares everything with this one, copy on write. Copies the root's used entries and nothing else; the
    /// area map is shared likewise. Waits for one shootdown of this space before the lock is released (I5), so that
    /// nobody writes to what the child sees.
    ///
    /// # Errors
    /// [`MmError::NoMemory`]. Nothing has changed then, but for faults that the next writes take.
    pub fn fork(&self) -> Result<Arc<Self>, MmError> {
        // The lock is held exclusively to the end: no fault of this space sees the tables half shared (I14).
        let state = self.lock();
        let child = Self::with_state(self.memory, self.family.clone(), state.clone())?;
        let shared = self.share_root(&child);
        // I5. Even after a failure nothing may stay cached that the cleared write bits forbid. Tables stay where they are.
        let sent = self.tlb.flush(Range::All, Tables::Kept);
        count_shootdown(self.memory, sent);
        let left_out = match shared.and_then(|()| child.drop_exceptions()) {
            Ok(left_out) => left_out,
            Err(error) => {
                // The child's tables are freed without the parent's lock.
                drop(state);
                drop(child);
                return Err(error);
            }
        };
        add(&self.memory.count().forks, 1);
        // Behind its parent in the family before the parent can be visited again: see `object::Family`.
        let child = child.join_family();
        drop(state);
        drop(left_out);
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

    /// In a child that nobody else knows yet: removes areas that are not inherited, empties those that come empty, and
    /// unlocks the locked ones. Returns what was removed.
    fn drop_exceptions(&self) -> Result<Tree, MmError> {
        let mut removed = Tree::default();
        // Nested in the parent's lock; the child's is free, since nobody knows the child.
        let mut state = self.state.write_nested();
        state.future_lock = VmaFlags::empty();
        state.totals.peak_mapped = state.totals.mapped;
        state.totals.peak_resident = 0;
        let areas = state.areas.clone();
        let mut gather = self.gather();
        let outcome = areas.with_flags(EXCEPTIONS).try_for_each(|vma| {
            let mut cursor = Cursor::new(self.memory, self.root, &mut gather);
            if vma.flags.intersects(VmaFlags::NO_FORK | VmaFlags::WIPE_ON_FORK) {
                cursor.own_edges(vma.range)?;
                cursor.zap(vma.range);
            }
            let old = state.areas.remove(vma.range);
            state.totals.subtract(&old);
            removed = old;
            if !vma.flags.contains(VmaFlags::NO_FORK) {
                let flags = vma.flags - (VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT);
                let inherited = crate::vma::Vma { flags, ..crate::vma::Vma::clone(vma) };
                state.totals.add(&inherited);
                state.areas.insert(inherited);
            }
            Ok(())
        });
        drop(state);
        drop(gather.flush());
        outcome.map(|()| removed)
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
