//! Page-table entries as x86-64 lays them out, in both backends (Intel SDM vol. 3A, 4.5).

use crate::addr::{Frame, PhysAddr};

/// Entries in a table.
pub const TABLE_ENTRIES: usize = 512;
/// Entries of the root table that belong to user space; the rest is the kernel half.
pub const USER_ROOT_ENTRIES: usize = 256;
/// Levels of translation: 4 at the root table down to 1 at the table whose entries map 4 KiB pages.
pub const LEVELS: u32 = 4;

bitflags::bitflags! {
    /// Flag bits of an entry.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct EntryFlags: u64 {
        /// P: the entry maps something.
        const PRESENT = 1;
        /// R/W: writes are permitted below (ANDed along the walk).
        const WRITABLE = 1 << 1;
        /// U/S: user mode is permitted below.
        const USER = 1 << 2;
        /// PWT: write-through.
        const WRITE_THROUGH = 1 << 3;
        /// PCD: cache disabled.
        const CACHE_DISABLE = 1 << 4;
        /// A: set by the processor when the entry is used in a walk.
        const ACCESSED = 1 << 5;
        /// D: set by the processor on a write through a leaf.
        const DIRTY = 1 << 6;
        /// PS: a leaf at level 2 (2 MiB) or 3 (1 GiB).
        const HUGE = 1 << 7;
        /// G: survives a switch of address space.
        const GLOBAL = 1 << 8;
        /// Free for software: bits 9 to 11.
        const SOFTWARE_0 = 1 << 9;
        /// Free for software.
        const SOFTWARE_1 = 1 << 10;
        /// Free for software.
        const SOFTWARE_2 = 1 << 11;
        /// XD: no instruction fetches below.
        const NO_EXECUTE = 1 << 63;
    }
}

/// A page-table entry as a value. Memory holds it as an atomic 64-bit word.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Entry(u64);

const ADDRESS_BITS: u64 = 0x000f_ffff_ffff_f000;

impl Entry {
    /// The entry that maps nothing.
    pub const EMPTY: Self = Self(0);

    /// An entry that points at `frame` with `flags`.
    #[must_use]
    pub const fn new(frame: Frame, flags: EntryFlags) -> Self {
        Self(frame.start().as_u64() | flags.bits())
    }

    /// The entry whose memory image is `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The entry's memory image.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The flag bits.
    #[must_use]
    pub const fn flags(self) -> EntryFlags {
        EntryFlags::from_bits_truncate(self.0)
    }

    /// Whether the entry maps something.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 & EntryFlags::PRESENT.bits() != 0
    }

    /// Whether writes are permitted at this level.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & EntryFlags::WRITABLE.bits() != 0
    }

    /// Whether a processor has used the entry since the mark was last cleared.
    #[must_use]
    pub const fn is_accessed(self) -> bool {
        self.0 & EntryFlags::ACCESSED.bits() != 0
    }

    /// Whether the entry is a leaf above level 1.
    #[must_use]
    pub const fn is_huge(self) -> bool {
        self.0 & EntryFlags::HUGE.bits() != 0
    }

    /// The frame that the entry points at.
    #[must_use]
    pub const fn frame(self) -> Frame {
        PhysAddr::new(self.0 & ADDRESS_BITS).frame()
    }

    /// The entry with other flags and the same frame.
    #[must_use]
    pub const fn with_flags(self, flags: EntryFlags) -> Self {
        Self(self.0 & ADDRESS_BITS | flags.bits())
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Entry({:#x} {:?})", self.0 & ADDRESS_BITS, self.flags())
    }
}
