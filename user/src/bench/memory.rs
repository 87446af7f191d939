//! Memory that cases map, touch and share.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::report::Failure;
use crate::random::Random;
use crate::sys;

/// Bytes in a page.
pub const PAGE: usize = 4096;
/// Bytes that one page table maps.
pub const TABLE: usize = 512 * PAGE;
/// Bytes in a mebibyte.
pub const MEBIBYTE: usize = 1 << 20;

/// What a case leaves free: the kernel, this program, page tables and copies.
const RESERVE: usize = 32 * MEBIBYTE;

/// Private anonymous memory, in pages of 4 KiB; unmapped when dropped.
#[derive(Debug)]
pub struct Region {
    address: usize,
    length: usize,
}

impl Region {
    /// Maps so many bytes, of which nothing is there yet.
    ///
    /// Huge pages are declined: cases measure the pages that they count. A kernel without `madvise` has none.
    ///
    /// # Errors
    /// Those of mmap.
    pub fn map(length: usize) -> Result<Self, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // Aligned as page tables are, so that a case knows which pages share one.
        let whole = sys!(SYS_mmap, 0, length + TABLE, protection, flags, -1, 0)?;
        let address = whole.next_multiple_of(TABLE);
        let end = address + length;
        if address > whole {
            sys!(SYS_munmap, whole, address - whole)?;
        }
        if whole + length + TABLE > end {
            sys!(SYS_munmap, end, whole + length + TABLE - end)?;
        }
        match sys!(SYS_madvise, address, length, libc::MADV_NOHUGEPAGE) {
            Ok(_) | Err(Errno::EINVAL | Errno::ENOSYS) => Ok(Self { address, length }),
            Err(error) => Err(error),
        }
    }

    /// Maps so many bytes and writes to every page.
    ///
    /// # Errors
    /// If the machine has not that much memory, or mmap fails.
    pub fn resident(length: usize) -> Result<Self, Failure> {
        let available = available()?;
        if length + RESERVE > available {
            let (wanted, found) = (length / MEBIBYTE, available / MEBIBYTE);
            return Err(format!("{wanted} MiB do not fit: {found} MiB are available").into());
        }
        let region = Self::map(length)?;
        region.write_all();
        Ok(region)
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> usize {
        self.address
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many pages it has.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.length / PAGE
    }

    /// Writes one byte of page `index`.
    #[inline]
    pub fn write(&self, index: usize) {
        debug_assert!(index < self.pages());
        let byte = std::ptr::with_exposed_provenance_mut::<u8>(self.address + index * PAGE);
        // SAFETY: inside this mapping, which is writable and holds no Rust object.
        unsafe { byte.write_volatile(1) }
    }

    /// Reads one byte of page `index`.
    #[inline]
    pub fn read(&self, index: usize) -> u8 {
        debug_assert!(index < self.pages());
        let byte = std::ptr::with_exposed_provenance::<u8>(self.address + index * PAGE);
        // SAFETY: as in `write`.
        unsafe { byte.read_volatile() }
    }

    /// Writes to every page.
    pub fn write_all(&self) {
        (0..self.pages()).for_each(|index| self.write(index));
    }

    /// Writes to one page of every page table.
    pub fn write_tables(&self) {
        (0..self.pages()).step_by(TABLE / PAGE).for_each(|index| self.write(index));
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.length > 0 {
            // The range is this mapping's own, for which munmap does not fail.
            let _ = sys!(SYS_munmap, self.address, self.length);
        }
    }
}

/// How much memory the machine can still give, in bytes.
///
/// # Errors
/// If /proc/meminfo does not say.
pub fn available() -> Result<usize, Failure> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.map(|number| number << 10).ok_or_else(|| "/proc/meminfo has no MemAvailable".into())
}

/// Words that processes share, each on a cache line of its own; unmapped when dropped.
#[derive(Debug)]
pub struct SharedWords {
    address: usize,
    count: usize,
}

impl SharedWords {
    /// Bytes from one word to the next.
    const STRIDE: usize = 64;

    /// So many words, all zero and all present.
    ///
    /// # Errors
    /// Those of mmap.
    pub fn new(count: usize) -> Result<Self, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let address = sys!(SYS_mmap, 0, count * Self::STRIDE, protection, flags, -1, 0)?;
        let words = Self { address, count };
        (0..count).for_each(|index| words.word(index).store(0, Ordering::Relaxed));
        Ok(words)
    }

    /// Word `index`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count);
        let address = self.address + index * Self::STRIDE;
        // SAFETY: in bounds, aligned, mapped as long as `self` lives, and only accessed atomically.
        unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(address)) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // As for a region.
        let _ = sys!(SYS_munmap, self.address, self.count * Self::STRIDE);
    }
}

/// The numbers below `count` in an order without pattern, the same each time.
#[must_use]
pub fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut random = Random::new(1);
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_number() {
        let order = shuffled(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert_eq!(order, shuffled(1000));
    }

    #[test]
    fn regions_are_aligned_and_hold_what_they_say() {
        let region = Region::map(3 * MEBIBYTE).unwrap();
        assert_eq!((region.address() % TABLE, region.pages()), (0, 768));
        region.write_all();
        assert_eq!(region.read(767), 1);
    }
}
