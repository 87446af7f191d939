//! Where a thread's last futex was: [`Recent`].
//!
//! A program that shares its futexes with other processes has them in few areas, and waits and wakes there again and again. What
//! an area's words are is remembered per thread, and holds until the space changes any area. So who asks again takes no lock
//! and looks nothing up.

use arch::addr::UserAddr;
use arch::sync::atomic::{AtomicU64, Ordering};
use mm::AddressSpace;
use mm::space::Extent;

use super::key::Key;

/// The extent that its thread asked for last. Used by that thread alone; all relaxed.
pub struct Recent {
    /// The number of the space; 0, which none has, if nothing is remembered.
    space: AtomicU64,
    /// The generation in which the space had the extent.
    generation: AtomicU64,
    start: AtomicU64,
    bytes: AtomicU64,
    owner: AtomicU64,
    offset: AtomicU64,
}

impl Recent {
    /// Nothing is remembered.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            space: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            start: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            offset: AtomicU64::new(0),
        }
    }

    /// The key of the shared word at `address` in `space`, if it is where the last one was.
    #[inline]
    pub(super) fn find(&self, space: &AddressSpace, address: UserAddr) -> Option<Key> {
        let get = |field: &AtomicU64| field.load(Ordering::Relaxed);
        let inside = address.as_u64().wrapping_sub(get(&self.start));
        let holds = get(&self.space) == space.identity().number()
            && get(&self.generation) == space.generation()
            && inside < get(&self.bytes);
        holds.then(|| Key::new(get(&self.owner), get(&self.offset) + inside))
    }

    /// Remembers that `space` has `extent`.
    pub(super) fn note(&self, space: &AddressSpace, extent: &Extent) {
        let set = |field: &AtomicU64, value| field.store(value, Ordering::Relaxed);
        set(&self.space, space.identity().number());
        set(&self.generation, extent.generation);
        set(&self.start, extent.range.start().as_u64());
        set(&self.bytes, extent.range.bytes());
        set(&self.owner, extent.owner.number());
        set(&self.offset, extent.offset);
    }
}
