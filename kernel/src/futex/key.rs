//! What makes two futex words the same: [`Key`].
//!
//! In private memory a word is its space and address; in memory that is shared with other processes it is the object behind it and
//! the offset there. A key is a pair of numbers. Spaces and objects have numbers that are not used again, so nobody needs to keep
//! one alive to wait in it.

use arch::addr::UserAddr;
use mm::AddressSpace;

use super::recent::Recent;
use crate::errno::{Errno, Result};
use crate::task::Thread;

/// The identity of a futex word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    /// The [`Identity`](mm::memory::Identity) of the space or object.
    owner: u64,
    /// The address or offset of the word.
    offset: u64,
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

    pub(super) const fn new(owner: u64, offset: u64) -> Self {
        Self { owner, offset }
    }

    /// The key of the word at `address` in the memory of `thread`, the current one.
    ///
    /// # Errors
    /// `EINVAL` if the address is not a multiple of four; `EFAULT` if nothing is mapped there and the word may be shared.
    #[inline]
    pub(super) fn of(thread: &Thread, address: UserAddr, sharing: Sharing) -> Result<Self> {
        let space = thread.scheduling.own_space().ok_or(Errno::EFAULT)?;
        Self::within(&space, &thread.recent_futex, address, sharing)
    }

    /// The same in `space`, where the thread's last futex was at `recent`.
    #[inline]
    fn within(
        space: &AddressSpace,
        recent: &Recent,
        address: UserAddr,
        sharing: Sharing,
    ) -> Result<Self> {
        if !address.as_u64().is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        Ok(match sharing {
            Sharing::Private => Self::new(space.identity().number(), address.as_u64()),
            Sharing::Shared => match recent.find(space, address) {
                Some(key) => key,
                None => Self::look_up(space, recent, address).ok_or(Errno::EFAULT)?,
            },
        })
    }

    #[cold]
    fn look_up(space: &AddressSpace, recent: &Recent, address: UserAddr) -> Option<Self> {
        let extent = space.extent_at(address)?;
        recent.note(space, &extent);
        Some(Self::new(extent.owner.number(), extent.offset_of(address)))
    }

    /// A number that spreads keys over buckets.
    pub(super) fn hash(self) -> usize {
        // Fibonacci hashing of both parts; words are four bytes apart at least.
        let mixed = (self.offset >> 2) ^ self.owner.rotate_left(32);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

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

    fn key(space: &AddressSpace, address: UserAddr) -> Key {
        let recent = Recent::none();
        let key = |sharing| Key::within(space, &recent, address, sharing).expect("mapped");
        let (first, again) = (key(Sharing::Shared), key(Sharing::Shared));
        assert_eq!(first, again, "as it is remembered");
        first
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

    /// What is remembered of an area goes with it, and holds for no other space.
    #[test]
    fn a_word_is_another_when_something_else_is_mapped_there() {
        let memory = memory();
        let space = || AddressSpace::new(memory, Layout::choose(Entropy::default(), 8 << 20));
        let (space, other) = (space().expect("a root"), space().expect("a root"));
        let bytes = arch::addr::PAGE_SIZE as u64;
        let recent = Recent::none();
        let key =
            |space: &AddressSpace, address| Key::within(space, &recent, address, Sharing::Shared);
        let map = |space: &AddressSpace, address| {
            let object = Arc::new(mm::object::PagedObject::new(memory, bytes));
            let range = ObjectRange { object, offset: 0, file: None };
            let source = Source::Shared { range, allowed: Protection::all() };
            let request = MapRequest::anonymous(bytes, Protection::READ);
            space.map(&MapRequest { address, source, ..request }, &Limits::NONE).expect("mapped")
        };
        let address = map(&space, UserAddr::NULL);
        let first = key(&space, address).expect("mapped");
        assert_eq!(map(&other, address), address);
        assert_ne!(key(&other, address), Ok(first), "another space");
        assert_eq!(key(&space, address), Ok(first));
        space.unmap(address, bytes).expect("whole pages");
        assert_eq!(key(&space, address), Err(Errno::EFAULT));
        assert_eq!(map(&space, address), address);
        assert_ne!(key(&space, address).expect("mapped"), first, "another object");
    }
}
