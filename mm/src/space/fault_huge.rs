//! Page faults in areas that may have huge pages: mapping one at the first touch, giving writes back to its sole owner.
//!
//! What does not fit is left to the faults of single pages: areas whose edges cut the aligned 2 MiB, memory without a free block, a
//! place where a table stands already, and the write to a huge page that others share, which splits it so that one
//! page is copied and not 512.
//!
//! A fresh huge page is made without the space's lock, for clearing it takes long: the fault that finds room for one lets go of the
//! lock, makes it, and looks again.

use arch::addr::UserAddr;
use arch::context::Access;
use arch::events::MachineEvent;
use arch::paging::EntryFlags;

use super::AddressSpace;
use super::fault::{Resolved, permits};
use crate::counters::add;
use crate::error::FaultError;
use crate::memory::HugePolicy;
use crate::raw::table;
use crate::table::cursor::{Cursor, Missing, Path};
use crate::table::entry::{index, is_empty};
use crate::table::huge::{HUGE_BYTES, HUGE_LEVEL, huge_range};
use crate::vma::{Vma, VmaFlags};

/// What a fault is to be resolved by if it has the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// A huge page.
    Huge,
    /// A single page: there is no huge one to be had.
    Small,
}

/// What a look for huge pages found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Huge {
    /// A huge page, which the access may use now.
    Resolved(Resolved),
    /// Nothing, with room for a huge page.
    Fits,
    /// A place for single pages.
    Unfit,
}

impl AddressSpace {
    /// Whether faults in `vma` look for huge pages at all.
    pub(super) fn may_be_huge(&self, vma: &Vma) -> bool {
        vma.flags.contains(VmaFlags::HUGE_PAGES)
            || (self.memory.huge_policy() == HugePolicy::Always
                && !vma.flags.contains(VmaFlags::NO_HUGE_PAGES))
    }

    /// Whether `vma` may have huge pages and is large enough for one.
    #[must_use]
    pub fn has_room_for_huge(&self, vma: &Vma) -> bool {
        let anonymous = !vma.is_shared() && vma.object_at(vma.start()).is_none();
        let next = vma.start().checked_add(HUGE_BYTES - 1);
        let fits = next.is_some_and(|next| is_inside(vma, vma.start()) || is_inside(vma, next));
        self.may_be_huge(vma) && anonymous && fits
    }

    /// Resolves a fault in a huge page that is there.
    #[cold]
    pub(super) fn resolve_huge(
        &self,
        cursor: &mut Cursor<'_, '_>,
        vma: &Vma,
        address: UserAddr,
        access: Access,
    ) -> Result<Huge, FaultError> {
        if !takes_huge(vma, address) {
            return Ok(Huge::Unfit);
        }
        let Some(path) = cursor.own_down_to(HUGE_LEVEL, address, Missing::Create)? else {
            return Ok(Huge::Unfit);
        };
        let entry = cursor.huge_slot(&path, address);
        if is_empty(entry) {
            let never = self.memory.huge_policy() == HugePolicy::Never;
            return Ok(if never { Huge::Unfit } else { Huge::Fits });
        }
        if !entry.is_huge() {
            return Ok(Huge::Unfit);
        }
        if access != Access::Write || entry.is_writable() {
            if cursor.restored == 0 {
                add(&self.memory.count().spurious_faults, 1);
            }
            return Ok(Huge::Resolved(Resolved::Permitted));
        }
        Ok(self.regain_huge(&path, address).map_or(Huge::Unfit, Huge::Resolved))
    }

    /// Maps a fresh huge page, unless there is none to be had or the place has changed meanwhile. Also for reading: who asks for
    /// huge pages gets more from one that is there than from a small page of zeros in its place.
    #[cold]
    pub(super) fn supply_huge(&self, address: UserAddr, access: Access) -> Option<Resolved> {
        let page = self.memory.alloc_huge().ok()?;
        let mut gather = self.gather();
        let state = self.state.read();
        let vma = state.areas.find(address).filter(|vma| {
            permits(vma.protection, access) && self.may_be_huge(vma) && takes_huge(vma, address)
        });
        let installed = vma.is_some_and(|vma| {
            let mut cursor = Cursor::new(self.memory, self.root, &mut gather).marking(&self.used);
            let path = cursor.own_down_to(HUGE_LEVEL, address, Missing::Create).ok().flatten();
            path.is_some_and(|path| cursor.install_huge(&path, address, page, vma.protection))
        });
        let stale = gather.flush();
        drop(state);
        drop(stale);
        installed.then_some(Resolved::Supplied)
    }

    /// Lets writes to a huge page through if nobody else has it any more.
    fn regain_huge(&self, path: &Path, address: UserAddr) -> Option<Resolved> {
        let (node, at) = (path.at(HUGE_LEVEL), index(address, HUGE_LEVEL));
        let _node = self.memory.lock_node(node);
        let entry = table(node).load(at);
        // The path is exclusive, so what is found to be our own stays so (I1). Relaxing: others need not know (I7).
        if !entry.is_huge() || !self.memory.owns_huge(entry.frame()) {
            return None;
        }
        table(node).set(at, EntryFlags::WRITABLE);
        add(&self.memory.count().sole_owner_huge_pages, 1);
        arch::trace(MachineEvent::SoleOwner { address: address.to_virt(), tables: 0 });
        Some(Resolved::Permitted)
    }
}

/// Whether the place of `address` in `vma` may have a huge page.
fn takes_huge(vma: &Vma, address: UserAddr) -> bool {
    is_inside(vma, address) && !vma.is_shared() && vma.object_at(vma.start()).is_none()
}

/// Whether all of the huge page that `address` would lie in belongs to `vma`.
fn is_inside(vma: &Vma, address: UserAddr) -> bool {
    huge_range(address).is_some_and(|range| vma.range.intersect(&range) == Some(range))
}
