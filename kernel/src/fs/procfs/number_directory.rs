//! A directory whose entries are named by numbers that come and go: threads, descriptors.

use alloc::format;
use alloc::sync::Arc;

use super::super::inode::{Directory, DirectoryEntry, EntryVisitor, Inode};
use super::super::metadata::{FileType, Metadata};
use crate::errno::{Errno, Result};

/// What such a directory lists.
pub trait Numbered: Send + Sync {
    /// Metadata of the directory.
    fn metadata(&self) -> Metadata;

    /// Whether the directory is still there.
    fn is_alive(&self) -> bool;

    /// The type of each entry.
    fn entry_type(&self) -> FileType;

    /// The lowest number at or above `from`.
    fn next(&self, from: u32) -> Option<u32>;

    /// What stands behind `number`.
    ///
    /// # Errors
    /// `ENOENT` if it is gone.
    fn open(&self, number: u32) -> Result<Arc<dyn Inode>>;
}

/// The directory.
pub struct NumberDirectory<N: Numbered>(pub N);

/// A number as directories write it: decimal, no sign, no leading zero.
pub fn parse(name: &[u8]) -> Option<u32> {
    let canonical = name == b"0" || name.first().is_some_and(|digit| (b'1'..=b'9').contains(digit));
    if !canonical || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

impl<N: Numbered> Inode for NumberDirectory<N> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn is_current(&self) -> bool {
        self.0.is_alive()
    }
}

impl<N: Numbered> Directory for NumberDirectory<N> {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.0.open(parse(name).ok_or(Errno::ENOENT)?)
    }

    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        if !self.0.is_alive() {
            return Err(Errno::ENOENT);
        }
        let mut from = u32::try_from(cursor).ok();
        while let Some(number) = from.and_then(|from| self.0.next(from)) {
            let name = format!("{number}");
            let entry = DirectoryEntry {
                name: name.as_bytes(),
                inode: (u64::from(number) << 32) | 1,
                file_type: self.0.entry_type(),
                next: u64::from(number) + 1,
            };
            if visit(&entry).is_break() {
                break;
            }
            from = number.checked_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_numbers_are_names() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"4194303"), Some(4_194_303));
        for name in [&b"01"[..], b"+1", b"-1", b"1x", b"", b"99999999999"] {
            assert_eq!(parse(name), None);
        }
    }
}
