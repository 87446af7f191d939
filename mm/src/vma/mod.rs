//! What an address space means: its virtual memory areas (VMAs), as `/proc/PID/maps` lists them.
//!
//! A [`Vma`] is a range of pages with one protection and one backing. Areas never change; an operation replaces them.
//! They stand in a [`Tree`](tree::Tree), a persistent map, so that fork takes all of them in constant time. The page
//! tables are derived: whether a page *should* be writable is asked here (I8).

mod place;
pub mod tree;

use alloc::sync::Arc;

use arch::addr::{PAGE_SIZE, UserAddr};

use crate::object::{MappedFile, MemoryObject};

pub(crate) use place::{Constraint, find_gap};

bitflags::bitflags! {
    /// What may be done with a page.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct Protection: u8 {
        /// `PROT_READ`
        const READ = 1;
        /// `PROT_WRITE`. The processor permits reading as well.
        const WRITE = 2;
        /// `PROT_EXEC`. The processor permits reading as well.
        const EXECUTE = 4;
    }
}

bitflags::bitflags! {
    /// Properties of an area besides its protection.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct VmaFlags: u16 {
        /// `MAP_SHARED`: writes are seen by all who map the object.
        const SHARED = 1;
        /// `MAP_GROWSDOWN`: a stack; faults below its start extend it.
        const GROWS_DOWN = 1 << 1;
        /// `mlock`: pages are present and stay.
        const LOCKED = 1 << 2;
        /// `MLOCK_ONFAULT`: pages stay once they are present.
        const LOCK_ON_FAULT = 1 << 3;
        /// `MAP_NORESERVE`: not counted when promises are weighed against memory.
        const NO_RESERVE = 1 << 4;
        /// `MADV_DONTFORK`: absent in children.
        const NO_FORK = 1 << 5;
        /// `MADV_WIPEONFORK`: empty in children.
        const WIPE_ON_FORK = 1 << 6;
        /// `MADV_DONTDUMP`
        const NO_DUMP = 1 << 7;
        /// `MADV_HUGEPAGE`
        const HUGE_PAGES = 1 << 8;
        /// `MADV_NOHUGEPAGE`
        const NO_HUGE_PAGES = 1 << 9;
        /// The heap of `brk`.
        const HEAP = 1 << 10;
        /// `MADV_SEQUENTIAL`
        const SEQUENTIAL = 1 << 11;
        /// `MADV_RANDOM`
        const RANDOM = 1 << 12;
    }
}

/// What supplies an area's pages.
#[derive(Clone, Debug)]
pub enum Backing {
    /// Zeros, private to the process.
    Anonymous,
    /// An object's pages, mapped shared or privately according to [`VmaFlags::SHARED`].
    Object(ObjectRange),
}

/// The part of an object that an area maps.
#[derive(Clone)]
pub struct ObjectRange {
    /// The object.
    pub object: Arc<dyn MemoryObject>,
    /// Offset in the object of the area's first byte; a multiple of the page size.
    pub offset: u64,
    /// The open file that it was mapped through, for `/proc/PID/maps`; `None` for shared anonymous memory.
    pub file: Option<Arc<dyn MappedFile>>,
}

impl core::fmt::Debug for ObjectRange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ObjectRange").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Backing {
    /// The backing `bytes` further on.
    fn advanced(&self, bytes: u64) -> Self {
        match self {
            Self::Anonymous => Self::Anonymous,
            Self::Object(range) => {
                Self::Object(ObjectRange { offset: range.offset + bytes, ..range.clone() })
            }
        }
    }

    /// The backing that leads to this one after `bytes`; `None` before the start of the object.
    fn retreated(&self, bytes: u64) -> Option<Self> {
        match self {
            Self::Anonymous => Some(Self::Anonymous),
            Self::Object(range) => {
                let offset = range.offset.checked_sub(bytes)?;
                Some(Self::Object(ObjectRange { offset, ..range.clone() }))
            }
        }
    }

    /// Whether `next` continues this backing after `bytes` bytes.
    fn continues(&self, bytes: u64, next: &Self) -> bool {
        match (self, next) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Object(a), Self::Object(b)) => {
                Arc::ptr_eq(&a.object, &b.object)
                    && a.offset + bytes == b.offset
                    && match (&a.file, &b.file) {
                        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                        (None, None) => true,
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

/// A range of user addresses, whole pages, not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    start: UserAddr,
    end: UserAddr,
}

impl Range {
    /// The pages from `start` up to `end`, or `None` if that is empty or not whole pages.
    #[must_use]
    pub fn new(start: UserAddr, end: UserAddr) -> Option<Self> {
        let valid = start < end && start.is_page_aligned() && end.is_page_aligned();
        valid.then_some(Self { start, end })
    }

    /// The pages that hold `length` bytes from `start` on; `None` if `start` is misaligned, `length` 0 or too large.
    #[must_use]
    pub fn of_length(start: UserAddr, length: u64) -> Option<Self> {
        let end = start.checked_add(page_align_up(length)?)?;
        Self::new(start, end)
    }

    /// First address.
    #[must_use]
    pub fn start(&self) -> UserAddr {
        self.start
    }

    /// First address past the range.
    #[must_use]
    pub fn end(&self) -> UserAddr {
        self.end
    }

    /// Length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end.as_u64() - self.start.as_u64()
    }

    /// Length in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.bytes() / PAGE_SIZE as u64
    }

    /// Whether `address` lies within.
    #[must_use]
    pub fn contains(&self, address: UserAddr) -> bool {
        self.start <= address && address < self.end
    }

    /// The common part.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// `length` rounded up to whole pages, unless that overflows.
#[must_use]
pub fn page_align_up(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(PAGE_SIZE as u64)
}

/// A virtual memory area.
#[derive(Clone, Debug)]
pub struct Vma {
    /// Where it lies.
    pub range: Range,
    /// What its pages may be used for.
    pub protection: Protection,
    /// What `mprotect` may grant: a file opened for reading cannot be written through a shared mapping.
    pub allowed: Protection,
    /// Its other properties.
    pub flags: VmaFlags,
    /// What supplies its pages.
    pub backing: Backing,
}

impl Vma {
    /// First address.
    #[must_use]
    pub fn start(&self) -> UserAddr {
        self.range.start
    }

    /// First address past the area.
    #[must_use]
    pub fn end(&self) -> UserAddr {
        self.range.end
    }

    /// Whether writes go to the object, for all who map it to see.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }

    /// Whether the area counts as data (`VmData`): private, writable, no stack.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.protection.contains(Protection::WRITE)
            && !self.flags.intersects(VmaFlags::SHARED | VmaFlags::GROWS_DOWN)
    }

    /// Whether pages are to be present from the start.
    #[must_use]
    pub fn is_locked_now(&self) -> bool {
        self.flags.contains(VmaFlags::LOCKED) && !self.flags.contains(VmaFlags::LOCK_ON_FAULT)
    }

    /// This stack with its start moved down to `start`; `None` if its object does not begin that far before.
    #[must_use]
    pub fn grown_down_to(&self, start: UserAddr) -> Option<Self> {
        let range = Range::new(start, self.range.end)?;
        let added = range.bytes().checked_sub(self.range.bytes())?;
        Some(Self { range, backing: self.backing.retreated(added)?, ..self.clone() })
    }

    /// The part of the area inside `range`, which must meet it.
    #[must_use]
    pub fn cut(&self, range: &Range) -> Option<Self> {
        let range = self.range.intersect(range)?;
        let skipped = range.start.as_u64() - self.range.start.as_u64();
        Some(Self { range, backing: self.backing.advanced(skipped), ..self.clone() })
    }

    /// The offset in the object of the page that holds `address`, if the area has an object.
    #[must_use]
    pub fn object_at(&self, address: UserAddr) -> Option<(&Arc<dyn MemoryObject>, u64)> {
        match &self.backing {
            Backing::Anonymous => None,
            Backing::Object(range) => {
                let inside = address.page_start().as_u64() - self.range.start.as_u64();
                Some((&range.object, range.offset + inside))
            }
        }
    }

    /// Whether `next` is its neighbour above and differs in nothing.
    #[must_use]
    pub fn continues(&self, next: &Self) -> bool {
        self.range.end == next.range.start
            && self.protection == next.protection
            && self.allowed == next.allowed
            && self.flags == next.flags
            && self.backing.continues(self.range.bytes(), &next.backing)
    }

    /// This area and `next` as one, if they are neighbours that differ in nothing (as Linux merges them).
    #[must_use]
    pub fn merged(&self, next: &Self) -> Option<Self> {
        self.continues(next).then(|| Self {
            range: Range { start: self.range.start, end: next.range.end },
            ..self.clone()
        })
    }
}
