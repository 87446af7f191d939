//! What makes two futex words the same: [`Key`].
//!
//! In private memory a word is its space and address; in memory that is shared with other processes it is the object behind it and
//! the offset there. A key is a pair of numbers; who waits on one keeps the space or object alive (its [`Anchor`]), so that the
//! numbers are not used again meanwhile.

use alloc::sync::Arc;

use arch::addr::UserAddr;
use mm::object::MemoryObject;
use mm::{AddressSpace, Backing};

use crate::errno::{Errno, Result};
use crate::task::Thread;

/// The identity of a futex word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    /// The address of the space or object in the kernel.
    owner: usize,
    /// The address or offset of the word.
    offset: u64,
}

/// What keeps a key's owner alive.
#[expect(dead_code, reason = "the references are held, not read")]
pub(super) enum Anchor {
    /// The space, for private words.
    Space(Arc<AddressSpace>),
    /// The object, for shared words.
    Object(Arc<dyn MemoryObject>),
}

/// Whether the program says that only its own threads use the word (`FUTEX_PRIVATE_FLAG`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sharing {
    /// Only threads of one space: no need to ask what is mapped.
    Private,
    /// Perhaps other processes.
    Shared,
}

impl Key {
    /// Before all others.
    pub(super) const FIRST: Self = Self { owner: 0, offset: 0 };

    /// The key of the word at `address` in the memory of `thread`, the current one.
    ///
    /// # Errors
    /// `EINVAL` if the address is not a multiple of four; `EFAULT` if nothing is mapped there and the word may be shared.
    pub(super) fn of(
        thread: &Thread,
        address: UserAddr,
        sharing: Sharing,
    ) -> Result<(Self, Anchor)> {
        let space = thread.scheduling.own_space().ok_or(Errno::EFAULT)?;
        Self::within(space, address, sharing)
    }

    /// The same in `space`. Which frame holds the word does not matter (I17): copy-on-write may change that at any time.
    fn within(
        space: Arc<AddressSpace>,
        address: UserAddr,
        sharing: Sharing,
    ) -> Result<(Self, Anchor)> {
        if !address.as_u64().is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if sharing == Sharing::Shared {
            let area = space.find_area(address).ok_or(Errno::EFAULT)?;
            if area.is_shared()
                && let Backing::Object(range) = &area.backing
            {
                let offset = range.offset + (address.as_u64() - area.start().as_u64());
                let object = Arc::clone(&range.object);
                let owner = Arc::as_ptr(&object).cast::<()>().addr();
                return Ok((Self { owner, offset }, Anchor::Object(object)));
            }
        }
        let key = Self { owner: Arc::as_ptr(&space).addr(), offset: address.as_u64() };
        Ok((key, Anchor::Space(space)))
    }

    /// A number that spreads keys over buckets.
    pub(super) fn hash(self) -> usize {
        // Fibonacci hashing of both parts; words are four bytes apart at least, owners larger.
        let mixed = (self.offset >> 2) ^ ((self.owner as u64) >> 4).rotate_left(32);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
    }

    #[cfg(test)]
    pub(super) const fn test(owner: usize, offset: u64) -> Self {
        Self { owner, offset }
    }
}

#[cfg(test)]
mod tests {
    use arch::memory::SimulatedMemory;
    use mm::space::{Entropy, Layout, MapRequest, Source};
    use mm::{FreeRange, Limits, Memory, ObjectRange, Protection};

    use super::*;

    fn memory() -> &'static Memory {
        const BYTES: usize = 4 << 20;
        let block = Box::leak(Box::new(SimulatedMemory::new(BYTES)));
        #[allow(unsafe_code, reason = "gives the block to a memory manager")]
        // SAFETY: nobody else uses the block.
        let range = unsafe { FreeRange::new(block.start(), BYTES as u64) };
        Memory::new([range], 1)
    }

    fn key(space: &Arc<AddressSpace>, address: UserAddr) -> Key {
        Key::within(space.clone(), address, Sharing::Shared).expect("mapped").0
    }

    /// I17, before and after a fork, which shares every frame until it is written.
    #[test]
    fn a_word_is_the_same_by_what_is_mapped_and_not_by_its_frame() {
        const PAGES: u64 = 2;
        let memory = memory();
        let parent = AddressSpace::new(memory, Layout::choose(Entropy::default(), 8 << 20));
        let parent = parent.expect("memory for a root");
        let bytes = PAGES * arch::addr::PAGE_SIZE as u64;
        let object = Arc::new(mm::object::PagedObject::new(memory, bytes));
        let map = |source| {
            let read_write = Protection::READ | Protection::WRITE;
            let request = MapRequest { source, ..MapRequest::anonymous(bytes, read_write) };
            parent.map(&request, &Limits::NONE).expect("mapped")
        };
        let range = || ObjectRange { object: object.clone(), offset: 0, file: None };
        let shared = || Source::Shared { range: range(), allowed: Protection::all() };
        let (first, second) = (map(shared()), map(shared()));
        let (own, copied) = (map(Source::Anonymous), map(Source::Private(range())));
        let child = parent.fork().expect("memory");
        assert_eq!(key(&parent, first), key(&parent, second), "two addresses of one word");
        assert_eq!(key(&parent, first), key(&child, second), "in two processes");
        for private in [own, copied] {
            assert_ne!(key(&parent, private), key(&child, private), "one frame, but two words");
        }
        assert_ne!(key(&parent, first), key(&parent, copied), "a private mapping of the object");
    }
}
