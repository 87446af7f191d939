//! How a file is opened: [`OpenFlags`] (the `O_*` bits of open(2)) and the [`AccessMode`] in their low bits.
//!
//! Values are Linux's for x86-64, so flags pass to and from user space unchanged.

use bitflags::bitflags;
use linux_raw_sys::general as abi;

bitflags! {
    /// The `O_*` bits of open(2) apart from the access mode.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Write access only (an access mode, see [`OpenFlags::access`]).
        const WRITE_ONLY = abi::O_WRONLY;
        /// Read and write access (an access mode).
        const READ_WRITE = abi::O_RDWR;
        /// Create the file if it is missing.
        const CREATE = abi::O_CREAT;
        /// With `CREATE`: fail if the name exists.
        const EXCLUSIVE = abi::O_EXCL;
        /// A terminal opened does not become the controlling terminal.
        const NO_CONTROLLING_TTY = abi::O_NOCTTY;
        /// Cut a regular file to length zero.
        const TRUNCATE = abi::O_TRUNC;
        /// Every write goes to the end.
        const APPEND = abi::O_APPEND;
        /// Calls that would wait fail with `EAGAIN`.
        const NONBLOCK = abi::O_NONBLOCK;
        /// Data is on the medium when a write returns.
        const DATA_SYNC = abi::O_DSYNC;
        /// Signal-driven I/O.
        const ASYNC = abi::FASYNC;
        /// Bypass caches (accepted, without effect in memory).
        const DIRECT = abi::O_DIRECT;
        /// Large offsets; implied on a 64-bit kernel.
        const LARGE_FILE = abi::O_LARGEFILE;
        /// Fail with `ENOTDIR` unless the path names a directory.
        const DIRECTORY = abi::O_DIRECTORY;
        /// Do not follow a symbolic link in the last component.
        const NO_FOLLOW = abi::O_NOFOLLOW;
        /// Do not update the access time.
        const NO_ATIME = abi::O_NOATIME;
        /// The descriptor closes at exec.
        const CLOSE_ON_EXEC = abi::O_CLOEXEC;
        /// As `DATA_SYNC`, with all metadata (includes that bit, as `O_SYNC` does).
        const SYNC = abi::O_SYNC;
        /// A descriptor that only names a place.
        const PATH = abi::O_PATH;
        /// An unnamed regular file (includes `DIRECTORY`, as `O_TMPFILE` does).
        const TEMPORARY = abi::O_TMPFILE;
    }
}

/// What an open file may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessMode {
    /// `O_RDONLY`.
    Read,
    /// `O_WRONLY`.
    Write,
    /// `O_RDWR`.
    ReadWrite,
    /// Access mode 3: permission for both is checked, neither is granted; only ioctl(2) works.
    ControlOnly,
    /// `O_PATH`: the descriptor names a place, no more.
    Path,
}

impl AccessMode {
    /// Whether read(2) and its relatives may be used.
    #[must_use]
    pub const fn can_read(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether write(2) and its relatives may be used.
    #[must_use]
    pub const fn can_write(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

impl OpenFlags {
    /// The two access-mode bits (`O_ACCMODE`).
    const ACCESS_MASK: u32 = abi::O_ACCMODE;

    /// What `F_SETFL` can change (fcntl(2)).
    pub const SETTABLE: Self = Self::from_bits_retain(
        abi::O_APPEND | abi::O_NONBLOCK | abi::FASYNC | abi::O_DIRECT | abi::O_NOATIME,
    );

    /// What is forgotten once the file is open: creation flags and close-on-exec (a property of the descriptor).
    const TRANSIENT: Self = Self::from_bits_retain(
        abi::O_CREAT | abi::O_EXCL | abi::O_NOCTTY | abi::O_TRUNC | abi::O_CLOEXEC,
    );

    /// The access mode that these flags ask for.
    #[must_use]
    pub const fn access(self) -> AccessMode {
        if self.contains(Self::PATH) {
            return AccessMode::Path;
        }
        match self.bits() & Self::ACCESS_MASK {
            abi::O_RDONLY => AccessMode::Read,
            abi::O_WRONLY => AccessMode::Write,
            abi::O_RDWR => AccessMode::ReadWrite,
            _ => AccessMode::ControlOnly,
        }
    }

    /// The flags that stay with the open file, as `F_GETFL` reports them.
    #[must_use]
    pub const fn status(self) -> Self {
        self.difference(Self::TRANSIENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes_are_the_low_bits() {
        assert_eq!(OpenFlags::empty().access(), AccessMode::Read);
        assert_eq!(OpenFlags::WRITE_ONLY.access(), AccessMode::Write);
        assert_eq!((OpenFlags::READ_WRITE | OpenFlags::APPEND).access(), AccessMode::ReadWrite);
        assert_eq!(
            (OpenFlags::READ_WRITE | OpenFlags::WRITE_ONLY).access(),
            AccessMode::ControlOnly
        );
        assert_eq!((OpenFlags::READ_WRITE | OpenFlags::PATH).access(), AccessMode::Path);
    }

    #[test]
    fn creation_flags_are_not_kept() {
        let flags = OpenFlags::CREATE
            | OpenFlags::READ_WRITE
            | OpenFlags::CLOSE_ON_EXEC
            | OpenFlags::APPEND;
        assert_eq!(flags.status(), OpenFlags::READ_WRITE | OpenFlags::APPEND);
    }
}
