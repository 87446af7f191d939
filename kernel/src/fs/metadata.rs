//! What is known about a file besides its bytes: type, permission bits, owner, sizes, times, device numbers.
//!
//! Plain data, no locks. The numeric encodings are those of stat(2), getdents(2) and makedev(3).

use linux_raw_sys::general as abi;

/// The kind of thing that an inode is (inode(7), `S_IFMT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileType {
    /// A named or unnamed pipe.
    Fifo,
    /// A character device.
    CharacterDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    SymbolicLink,
    /// A socket.
    Socket,
}

impl FileType {
    /// The `S_IF*` bits of a mode.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => abi::S_IFIFO,
            Self::CharacterDevice => abi::S_IFCHR,
            Self::Directory => abi::S_IFDIR,
            Self::BlockDevice => abi::S_IFBLK,
            Self::Regular => abi::S_IFREG,
            Self::SymbolicLink => abi::S_IFLNK,
            Self::Socket => abi::S_IFSOCK,
        }
    }

    /// The type in the `S_IFMT` bits of `mode`, or `None` if they name none.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & abi::S_IFMT {
            abi::S_IFIFO => Self::Fifo,
            abi::S_IFCHR => Self::CharacterDevice,
            abi::S_IFDIR => Self::Directory,
            abi::S_IFBLK => Self::BlockDevice,
            abi::S_IFREG => Self::Regular,
            abi::S_IFLNK => Self::SymbolicLink,
            abi::S_IFSOCK => Self::Socket,
            _ => return None,
        })
    }

    /// The `d_type` of getdents64(2): the mode's type bits shifted down (`DT_*`).
    #[must_use]
    pub const fn directory_entry_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// A device number (makedev(3)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceNumber {
    /// The driver, 12 bits.
    pub major: u32,
    /// The instance, 20 bits.
    pub minor: u32,
}

impl DeviceNumber {
    /// Device `major:minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The number in `st_dev` and `st_rdev`, and what mknod(2) takes.
    #[must_use]
    pub const fn encode(self) -> u64 {
        ((self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)) as u64
    }

    /// The inverse of [`encode`](Self::encode) for the 32 bits that mknod(2) passes.
    #[must_use]
    pub const fn decode(value: u32) -> Self {
        Self { major: (value & 0xf_ff00) >> 8, minor: (value & 0xff) | ((value >> 12) & 0xf_ff00) }
    }
}

/// A point of the realtime clock, as inodes record it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds past the second, below 10^9.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        Self::from_nanoseconds(crate::time::realtime().0)
    }

    /// The time `nanoseconds` after the epoch.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / 1_000_000_000) as i64,
            nanoseconds: (nanoseconds % 1_000_000_000) as u32,
        }
    }
}

/// Everything stat(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// The file system's device number.
    pub device: DeviceNumber,
    /// The inode number, unique in its file system.
    pub inode: u64,
    /// The type.
    pub file_type: FileType,
    /// The permission bits with set-user-id, set-group-id and sticky: `0o7777`.
    pub permissions: u16,
    /// Hard links.
    pub links: u32,
    /// Owning user.
    pub user: u32,
    /// Owning group.
    pub group: u32,
    /// For device nodes, the device.
    pub special: DeviceNumber,
    /// Size in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// The best size for I/O, in bytes.
    pub block_size: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of content.
    pub modified: Timestamp,
    /// Last change of content or metadata.
    pub changed: Timestamp,
    /// Creation.
    pub created: Timestamp,
}

impl Metadata {
    /// Type and permissions together: `st_mode`.
    #[must_use]
    pub const fn mode(&self) -> u32 {
        self.file_type.mode_bits() | self.permissions as u32
    }
}

/// A change of metadata: what is `None` stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttributeChanges {
    /// New permission bits (`0o7777`).
    pub permissions: Option<u16>,
    /// New owner.
    pub user: Option<u32>,
    /// New group.
    pub group: Option<u32>,
    /// New access time.
    pub accessed: Option<Timestamp>,
    /// New modification time.
    pub modified: Option<Timestamp>,
    /// When the change happens: the new change time.
    pub changed: Option<Timestamp>,
}

/// What statfs(2) tells of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// The magic number of its type (`TMPFS_MAGIC`, ...).
    pub magic: u64,
    /// Block size in bytes.
    pub block_size: u64,
    /// Blocks in all; zero for pseudo file systems.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_encode_as_makedev_does() {
        assert_eq!(DeviceNumber::new(1, 3).encode(), 0x103);
        assert_eq!(DeviceNumber::new(0x123, 0x45678).encode(), 0x4561_2378);
        for (major, minor) in [(1, 3), (0xfff, 0xf_ffff), (5, 0), (0, 255), (8, 256)] {
            let number = DeviceNumber::new(major, minor);
            assert_eq!(DeviceNumber::decode(number.encode() as u32), number);
        }
    }

    #[test]
    fn types_round_trip_through_modes() {
        for mode in [0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000] {
            let file_type = FileType::from_mode(mode | 0o755).expect("a type");
            assert_eq!(file_type.mode_bits(), mode);
            assert_eq!(u32::from(file_type.directory_entry_type()), mode >> 12);
        }
        assert_eq!(FileType::from_mode(0o755), None);
    }
}
