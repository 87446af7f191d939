//! What is behind an address, for whom two addresses may mean the same word: [`Extent`].

use arch::addr::UserAddr;
use arch::sync::atomic::Ordering;

use super::{AddressSpace, State};
use crate::memory::Identity;
use crate::vma::{Backing, Range, Vma};

/// A run of addresses of one space, and what they are addresses of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The addresses.
    pub range: Range,
    /// The object, where it is mapped shared; else the space.
    pub owner: Identity,
    /// Where in the owner the range begins; in a space that is its address.
    pub offset: u64,
    /// The [generation](AddressSpace::generation) of the space in which this is so.
    pub generation: u64,
}

impl Extent {
    /// The place in the owner of `address`, which is in the range.
    #[must_use]
    pub fn offset_of(&self, address: UserAddr) -> u64 {
        self.offset + (address.as_u64() - self.range.start().as_u64())
    }
}

impl AddressSpace {
    /// What no other space has.
    #[inline]
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// A number that changes before any area does. Who learned something about areas, and finds the number that it was learned
    /// with, knows that it is still so: a change that is being made meanwhile comes later.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        // Relaxed: a change that was made before, in whatever way the caller knows of that, is seen.
        self.generation.load(Ordering::Relaxed)
    }

    /// The area that contains `address`, by what its words are words of. Which frames hold them does not matter (I17):
    /// copy-on-write may change that at any time.
    #[must_use]
    pub fn extent_at(&self, address: UserAddr) -> Option<Extent> {
        let state: &State = &self.state.read();
        state.areas.find(address).map(|vma| self.extent_of(vma))
    }

    fn extent_of(&self, vma: &Vma) -> Extent {
        let (owner, offset) = match &vma.backing {
            Backing::Object(mapped) if vma.is_shared() => (mapped.object.identity(), mapped.offset),
            _ => (self.identity, vma.start().as_u64()),
        };
        Extent { range: vma.range, owner, offset, generation: self.generation() }
    }
}
