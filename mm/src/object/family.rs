//! Who maps an object: families of address spaces that descend from one another by fork.
//!
//! fork takes constant time, so it cannot register a child with every object that it inherits. Instead an object knows the
//! [`Family`]s of which some member mapped it, and a family knows its members: fork adds one. Truncation looks into
//! the area maps of all members; it may look in vain, but it misses nobody (I13): a child joins its family
//! behind every present member and before its parent's space lock is released, so whoever visits the members in
//! order meets the child after the parent.
//!
//! Locks: both lists are `FAMILY`, never held together, and never while a space is visited.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound;

use arch::sync::{Rank, SpinLock};

use crate::space::AddressSpace;

/// Address spaces that descend from one another by fork. `exec` starts a new family.
#[derive(Debug)]
pub struct Family(SpinLock<Members>);

#[derive(Debug)]
struct Members {
    next: u64,
    spaces: BTreeMap<u64, Weak<AddressSpace>>,
}

impl Family {
    pub(crate) fn new() -> Arc<Self> {
        let members = Members { next: 0, spaces: BTreeMap::new() };
        Arc::new(Self(SpinLock::new(Rank::FAMILY, members)))
    }

    /// Adds a member behind all others; returns its place.
    pub(crate) fn join(&self, space: &Arc<AddressSpace>) -> u64 {
        let mut members = self.0.lock();
        let place = members.next;
        members.next += 1;
        members.spaces.insert(place, Arc::downgrade(space));
        place
    }

    /// Removes the member at `place`.
    pub(crate) fn leave(&self, place: u64) {
        let removed = self.0.lock().spaces.remove(&place);
        drop(removed);
    }

    /// The first member behind `place`.
    fn after(&self, place: Option<u64>) -> Option<(u64, Weak<AddressSpace>)> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.0.lock();
        let found = members.spaces.range((from, Bound::Unbounded)).next();
        found.map(|(place, space)| (*place, space.clone()))
    }
}

/// The families that map an object.
#[derive(Debug)]
pub struct Mappers(SpinLock<Families>);

#[derive(Debug)]
struct Families {
    /// By address: a `Weak` keeps its address from being used again.
    list: BTreeMap<usize, Weak<Family>>,
    /// Dead families are swept out when the list gets this long.
    sweep_at: usize,
}

impl Default for Mappers {
    fn default() -> Self {
        Self::new()
    }
}

impl Mappers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        let families = Families { list: BTreeMap::new(), sweep_at: 16 };
        Self(SpinLock::new(Rank::FAMILY, families))
    }

    /// Notes that some member of `family` maps the object.
    pub(crate) fn register(&self, family: &Arc<Family>) {
        let mut families = self.0.lock();
        if families.list.len() >= families.sweep_at {
            families.list.retain(|_, family| family.strong_count() > 0);
            families.sweep_at = (families.list.len() * 2).max(16);
        }
        let address = Arc::as_ptr(family).addr();
        families.list.entry(address).or_insert_with(|| Arc::downgrade(family));
    }

    /// Calls `visit` for every space that may map the object. Those that start to map it meanwhile may be missed: the caller
    /// has changed the object before, so that they find it changed.
    ///
    /// The visitor may take the space's lock; the caller must hold no lock of rank `SPACE` or above.
    ///
    /// # Errors
    /// That of `visit`, after which nobody else is visited.
    pub(crate) fn visit<E>(
        &self,
        mut visit: impl FnMut(&AddressSpace) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = None;
        while let Some((address, family)) = self.after(last) {
            last = Some(address);
            let Some(family) = family.upgrade() else { continue };
            let mut place = None;
            while let Some((next, space)) = family.after(place) {
                place = Some(next);
                if let Some(space) = space.upgrade() {
                    visit(&space)?;
                }
            }
        }
        Ok(())
    }

    fn after(&self, address: Option<usize>) -> Option<(usize, Weak<Family>)> {
        let from = address.map_or(Bound::Unbounded, Bound::Excluded);
        let families = self.0.lock();
        let found = families.list.range((from, Bound::Unbounded)).next();
        found.map(|(address, family)| (*address, family.clone()))
    }
}
