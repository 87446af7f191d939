//! File names and paths as byte strings, with Linux's limits.
//!
//! A name is any non-empty run of bytes other than `/` and NUL, at most [`NAME_MAX`] long; nothing says that it is
//! UTF-8. [`Name`] owns one that was checked.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

use crate::errno::{Errno, Result};

/// The longest name of one component, in bytes.
pub const NAME_MAX: usize = 255;
/// The longest path that a system call takes, in bytes, with its terminating NUL.
pub const PATH_MAX: usize = 4096;

/// The name of a directory entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// A copy of `bytes` as a name.
    ///
    /// # Errors
    /// `ENAMETOOLONG` past [`NAME_MAX`], `EINVAL` for what cannot be a name, `ENOMEM`.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if bytes.is_empty() || bytes.contains(&b'/') || bytes.contains(&0) {
            return Err(Errno::EINVAL);
        }
        Self::copy(bytes)
    }

    /// A copy of `bytes`, which may be what no directory holds: `/` for a root, `pipe:[7]` for a pipe.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn display_only(bytes: &[u8]) -> Result<Self> {
        Self::copy(bytes)
    }

    fn copy(bytes: &[u8]) -> Result<Self> {
        Ok(Self(try_copy(bytes)?.into_boxed_slice()))
    }
}

impl Deref for Name {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A copy of `bytes` whose allocation may fail.
///
/// # Errors
/// `ENOMEM`.
pub fn try_copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(Name::new(b""), Err(Errno::EINVAL));
        assert_eq!(Name::new(b"a/b"), Err(Errno::EINVAL));
        assert_eq!(Name::new(b"a\0b"), Err(Errno::EINVAL));
        assert_eq!(Name::new(&[b'x'; 256]), Err(Errno::ENAMETOOLONG));
        assert!(Name::new(&[b'x'; 255]).is_ok());
        assert!(Name::new(&[0xff, 0xfe]).is_ok());
    }
}
