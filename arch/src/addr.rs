//! Address newtypes: physical, virtual, user; and the frames and pages they fall in.
//!
//! A [`PhysAddr`] names a byte of physical memory, a [`VirtAddr`] any canonical virtual address, a
//! [`UserAddr`] a number that a user program supplied or may use: it lies in the lower half, but
//! nothing is said about what is mapped there. [`Frame`] and [`Page`] are 4 KiB units of the first two.

use core::fmt;

/// Size of a page and of a frame in bytes (Intel SDM vol. 3A, 4.1).
pub const PAGE_SIZE: usize = 4096;
/// Base-2 logarithm of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// First address past user space: bit 47 is the sign bit of a canonical address, and Linux
/// likewise leaves the last page below it unmapped (`TASK_SIZE_MAX`).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The address as a plain number.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// The address as a `usize` (64 bits on the only supported architecture).
            #[must_use]
            pub const fn as_usize(self) -> usize {
                self.0 as usize
            }

            /// The offset within its page, in bytes.
            #[must_use]
            pub const fn page_offset(self) -> usize {
                self.0 as usize & (PAGE_SIZE - 1)
            }

            /// Whether the address is a multiple of [`PAGE_SIZE`].
            #[must_use]
            pub const fn is_page_aligned(self) -> bool {
                self.page_offset() == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// An address in physical memory, below 2^52.
    PhysAddr
}
address! {
    /// A canonical virtual address, of either half.
    VirtAddr
}
address! {
    /// An address in the user half of some address space: at most [`USER_END`].
    UserAddr
}

impl PhysAddr {
    /// The physical address `value`.
    ///
    /// # Panics
    /// When `value` exceeds the architecture's 52 bits.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        assert!(value < 1 << 52, "physical address out of range");
        Self(value)
    }

    /// The frame that holds this byte.
    #[must_use]
    pub const fn frame(self) -> Frame {
        Frame(self.0 >> PAGE_SHIFT)
    }

    /// This address moved up by `bytes`.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> Self {
        Self::new(self.0 + bytes)
    }
}

impl VirtAddr {
    /// The virtual address `value` with bits 48 to 63 replaced by copies of bit 47.
    #[must_use]
    pub const fn new_truncate(value: u64) -> Self {
        Self(((value << 16) as i64 >> 16) as u64)
    }

    /// The virtual address `value`, or `None` if it is not canonical.
    #[must_use]
    pub const fn try_new(value: u64) -> Option<Self> {
        let address = Self::new_truncate(value);
        if address.0 == value { Some(address) } else { None }
    }

    /// The user address with the same number, or `None` in the kernel half.
    #[must_use]
    pub const fn to_user(self) -> Option<UserAddr> {
        UserAddr::try_new(self.0)
    }
}

impl UserAddr {
    /// Address zero: what user programs call `NULL`.
    pub const NULL: Self = Self(0);
    /// First address past user space.
    pub const END: Self = Self(USER_END);

    /// The user address `value`, or `None` past [`USER_END`].
    #[must_use]
    pub const fn try_new(value: u64) -> Option<Self> {
        if value <= USER_END { Some(Self(value)) } else { None }
    }

    /// Whether this is address zero.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further up, or `None` if that leaves user space.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        if bytes <= USER_END - self.0 { Some(Self(self.0 + bytes)) } else { None }
    }

    /// The first address of this page.
    #[must_use]
    pub const fn page_start(self) -> Self {
        Self(self.0 & !(PAGE_SIZE as u64 - 1))
    }

    /// The next page boundary at or above this address.
    #[must_use]
    pub const fn page_align_up(self) -> Self {
        Self((self.0 + PAGE_SIZE as u64 - 1) & !(PAGE_SIZE as u64 - 1))
    }

    /// The page that holds this address.
    #[must_use]
    pub const fn page(self) -> Page {
        Page(self.0 >> PAGE_SHIFT)
    }

    /// The same number as a virtual address.
    #[must_use]
    pub const fn to_virt(self) -> VirtAddr {
        VirtAddr(self.0)
    }
}

/// A 4 KiB frame of physical memory, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Frame(u64);

impl Frame {
    /// Frame number `number`: physical bytes `number * 4096 ..`.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        assert!(number < 1 << (52 - PAGE_SHIFT), "frame number out of range");
        Self(number)
    }

    /// The frame's number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The frame's first byte.
    #[must_use]
    pub const fn start(self) -> PhysAddr {
        PhysAddr(self.0 << PAGE_SHIFT)
    }

    /// The frame `count` frames further up.
    #[must_use]
    pub const fn offset(self, count: u64) -> Self {
        Self::new(self.0 + count)
    }
}

/// A 4 KiB page of user address space, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Page(u64);

impl Page {
    /// The page's number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The page's first byte.
    #[must_use]
    pub const fn start(self) -> UserAddr {
        UserAddr(self.0 << PAGE_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_addresses_are_sign_extended() {
        assert_eq!(VirtAddr::new_truncate(0x8000_0000_0000).as_u64(), 0xffff_8000_0000_0000);
        assert_eq!(VirtAddr::try_new(0x8000_0000_0000), None);
        assert!(VirtAddr::try_new(0x7fff_ffff_ffff).is_some());
    }

    #[test]
    fn user_addresses_end_below_the_canonical_hole() {
        assert!(UserAddr::try_new(USER_END).is_some());
        assert_eq!(UserAddr::try_new(USER_END + 1), None);
        assert_eq!(UserAddr::END.checked_add(1), None);
        assert_eq!(UserAddr::NULL.checked_add(u64::MAX), None);
    }

    #[test]
    fn alignment_rounds_to_pages() {
        let address = UserAddr::try_new(0x1fff).expect("in range");
        assert_eq!(address.page_start().as_u64(), 0x1000);
        assert_eq!(address.page_align_up().as_u64(), 0x2000);
        assert_eq!(address.page().start().as_u64(), 0x1000);
    }
}
