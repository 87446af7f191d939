//! What is behind an address, for whom two addresses may mean the same word: [`Extent`].

use arch::addr::UserAddr;

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

    /// The area that contains `address`, by what its words are words of. Which frames hold them does not matter (I17):
    /// copy-on-write may change that at any time.
    #[must_use]
    pub fn extent_at(&self, address: UserAddr) -> Option<Extent> {
        let state: &State = &self.state.read();
        state.areas.find(address).map(|vma| self.extent_of(vma))
    }

    fn extent_of(&self, vma: &Vma) -> Extent {
        match &vma.backing {
            Backing::Object(mapped) if vma.is_shared() => {
                Extent { range: vma.range, owner: mapped.object.identity(), offset: mapped.offset }
            }
            _ => Extent { range: vma.range, owner: self.identity, offset: vma.start().as_u64() },
        }
    }
}
