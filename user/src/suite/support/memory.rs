//! Mappings that a case makes, touches and takes away again.

use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::sys::SysResult;
use crate::{ok, sys};

/// Bytes in a page.
pub(in crate::suite) const PAGE: usize = 4096;

/// Reads the byte at `address`. If nothing can be read there the case dies of SIGSEGV, as it should.
pub(in crate::suite) fn peek(address: usize) -> u8 {
    // SAFETY: volatile and a byte wide; a wild address faults, and cases do not aim at Rust's own objects.
    unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}

/// Writes the byte at `address`; see [`peek`].
pub(in crate::suite) fn poke(address: usize, value: u8) {
    // SAFETY: as in `peek`.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(value) }
}

/// A range of mapped memory, unmapped when dropped.
#[derive(Debug)]
pub(in crate::suite) struct Mapping {
    address: usize,
    length: usize,
}

impl Mapping {
    /// Private anonymous memory, readable and writable.
    #[track_caller]
    pub(in crate::suite) fn private(pages: usize) -> Self {
        Self::anonymous(pages, libc::MAP_PRIVATE)
    }

    /// Anonymous memory that children share.
    #[track_caller]
    pub(in crate::suite) fn shared(pages: usize) -> Self {
        Self::anonymous(pages, libc::MAP_SHARED)
    }

    #[track_caller]
    fn anonymous(pages: usize, flags: i32) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Self::new(0, pages * PAGE, protection, flags | libc::MAP_ANONYMOUS, -1, 0).unwrap()
    }

    /// mmap with all its arguments.
    pub(in crate::suite) fn new(
        hint: usize,
        length: usize,
        protection: i32,
        flags: i32,
        fd: i32,
        offset: usize,
    ) -> Result<Self, nix::errno::Errno> {
        let address = sys!(SYS_mmap, hint, length, protection, flags, fd, offset)?;
        Ok(Self { address, length })
    }

    /// Maps `length` bytes of a file from its start, readable and writable.
    #[track_caller]
    pub(in crate::suite) fn file(fd: i32, length: usize, flags: i32) -> Self {
        Self::new(0, length, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0).unwrap()
    }

    /// Its first address.
    pub(in crate::suite) fn address(&self) -> usize {
        self.address
    }

    /// The address of page `index`.
    pub(in crate::suite) fn page(&self, index: usize) -> usize {
        self.address + index * PAGE
    }

    /// Its length in bytes.
    pub(in crate::suite) fn len(&self) -> usize {
        self.length
    }

    /// The byte at `offset`; faults if that is no longer readable.
    #[track_caller]
    pub(in crate::suite) fn get(&self, offset: usize) -> u8 {
        assert!(offset < self.length);
        peek(self.address + offset)
    }

    /// Writes the byte at `offset`; faults if that is no longer writable.
    #[track_caller]
    pub(in crate::suite) fn set(&self, offset: usize, value: u8) {
        assert!(offset < self.length);
        poke(self.address + offset, value);
    }

    /// Writes `value` to every byte.
    pub(in crate::suite) fn fill(&self, value: u8) {
        // SAFETY: the whole range is this mapping's; nobody holds a reference into it.
        unsafe { self.pointer().write_bytes(value, self.length) }
    }

    /// Whether every byte is `value`.
    pub(in crate::suite) fn is_all(&self, value: u8) -> bool {
        (0..self.length).all(|offset| self.get(offset) == value)
    }

    /// Writes `value + page index` to the first byte of each page.
    pub(in crate::suite) fn stamp(&self, value: u8) {
        for index in 0..self.length / PAGE {
            self.set(index * PAGE, value.wrapping_add(index as u8));
        }
    }

    /// Whether each page's first byte is as [`Mapping::stamp`] left it.
    pub(in crate::suite) fn has_stamp(&self, value: u8) -> bool {
        (0..self.length / PAGE)
            .all(|index| self.get(index * PAGE) == value.wrapping_add(index as u8))
    }

    /// The aligned word at byte `offset`, as an atomic that children may share.
    #[track_caller]
    pub(in crate::suite) fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.length && offset.is_multiple_of(4));
        // SAFETY: in bounds, aligned, mapped as long as `self` lives, and only accessed atomically or bytewise.
        unsafe { AtomicU32::from_ptr(self.pointer().add(offset).cast()) }
    }

    /// As [`Mapping::word`], twice as wide.
    #[track_caller]
    pub(in crate::suite) fn long(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= self.length && offset.is_multiple_of(8));
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(self.pointer().add(offset).cast()) }
    }

    fn pointer(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// mprotect of `pages` pages from page `index`.
    #[track_caller]
    pub(in crate::suite) fn protect(&self, index: usize, pages: usize, protection: i32) {
        ok!(SYS_mprotect, self.page(index), pages * PAGE, protection);
    }

    /// munmap of `pages` pages from page `index`.
    #[track_caller]
    pub(in crate::suite) fn unmap(&self, index: usize, pages: usize) {
        ok!(SYS_munmap, self.page(index), pages * PAGE);
    }

    /// madvise of the whole mapping.
    pub(in crate::suite) fn advise(&self, advice: i32) -> SysResult {
        sys!(SYS_madvise, self.address, self.length, advice)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Unmapping what is already gone is no error, and anything else the case has checked itself.
        let _ = sys!(SYS_munmap, self.address, self.length);
    }
}
