//! What a file system implements: [`FileSystem`], [`Inode`] and, for directories, [`Directory`].
//!
//! The virtual file system above calls these with names and inodes only; paths, mounts, permissions and the type
//! checks of rename(2) and unlink(2) are its business. It calls the methods of [`Directory`] that change a directory
//! with that directory's mutex held, so an implementation sees at most one change of a directory at a time; look-ups
//! and [`Inode::metadata`] come at any time. Implementations guard their own state with locks of rank `INODE`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::flags::OpenFlags;
use super::metadata::{AttributeChanges, DeviceNumber, FileType, Metadata, Statistics};
use super::operations::FileOperations;
use super::path::Path;
use super::write_access::WriteAccess;
use crate::errno::{Errno, Result};
use crate::task::Credentials;

/// A mountable tree of inodes.
pub trait FileSystem: Send + Sync {
    /// Its type as /proc/mounts shows it: `tmpfs`, `proc`.
    fn type_name(&self) -> &'static str;

    /// The device number in its inodes' `st_dev`.
    fn device(&self) -> DeviceNumber;

    /// The root directory.
    fn root(&self) -> Arc<dyn Inode>;

    /// Its sizes, for statfs(2).
    fn statistics(&self) -> Statistics;

    /// Its own mount options as /proc/mounts shows them after the common ones: empty, or `,size=4k`.
    fn write_options(&self, _out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        Ok(())
    }

    /// Changes its options at a remount (the `data` of mount(2)).
    ///
    /// # Errors
    /// `EINVAL` for an option that the type does not know.
    fn reconfigure(&self, _options: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// What a symbolic link leads to.
pub enum LinkTarget {
    /// Text that is walked in the link's place.
    Text(Vec<u8>),
    /// A place, reached directly whatever its name: the links in `/proc/PID/fd`, `cwd`, `root` and `exe`.
    Place(Path),
}

/// A file of any type, apart from its names.
pub trait Inode: Send + Sync {
    /// All that stat(2) tells.
    fn metadata(&self) -> Metadata;

    /// The type; it never changes.
    fn file_type(&self) -> FileType;

    /// Changes metadata. Permission was checked.
    ///
    /// # Errors
    /// `EPERM` where the file system keeps fixed metadata.
    fn set_attributes(&self, _changes: &AttributeChanges) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Opens the inode: makes the operations of a new open file. Not called for directories, symbolic links and
    /// device nodes, which the layer above opens itself.
    ///
    /// # Errors
    /// `ENXIO` where there is nothing to open (a socket).
    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Err(Errno::ENXIO)
    }

    /// The directory in this inode, if it is one.
    fn directory(&self) -> Option<&dyn Directory> {
        None
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// `EINVAL` if this is no symbolic link; `EACCES` and `ENOENT` from procfs.
    fn read_link(&self) -> Result<LinkTarget> {
        Err(Errno::EINVAL)
    }

    /// Whether a cached name may still lead here. Only file systems whose entries come and go by themselves
    /// (procfs) say no.
    fn is_current(&self) -> bool {
        true
    }

    /// Sets the size of a regular file.
    ///
    /// # Errors
    /// `EINVAL` if this is no regular file; `ENOSPC`, `EFBIG`, `EPERM` (sealed).
    fn truncate(&self, _size: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Copies content from `offset` on into `buffer`, for the kernel's own use; fewer bytes at the end of the file.
    ///
    /// # Errors
    /// `EINVAL` if this is no regular file in memory; `EIO`.
    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result {
        Err(Errno::EINVAL)
    }

    /// Copies `bytes` to `offset` on, for the kernel's own use.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); `ENOSPC`, `ENOMEM`.
    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result {
        Err(Errno::EINVAL)
    }

    /// Whether [`truncate`](Self::truncate) at open (`O_TRUNC`) has a meaning here; device-like files ignore it.
    fn is_sized(&self) -> bool {
        false
    }

    /// The number of hard links changes, because a directory gained or lost an entry for this inode.
    ///
    /// # Errors
    /// `EMLINK` when one more is too many.
    fn adjust_links(&self, _change: LinkChange) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// The count of writers against executors, for files that can be executed.
    fn write_access(&self) -> Option<&WriteAccess> {
        None
    }

    /// Extra permission logic instead of the mode bits, for files whose access depends on the caller (procfs).
    /// `None`: the mode bits decide.
    fn permission(&self, _credentials: &Credentials) -> Option<Result<()>> {
        None
    }
}

/// A directory entry appeared or went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkChange {
    /// One more entry.
    Added,
    /// One entry less.
    Removed,
}

/// What [`Directory::create`] shall make.
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// The type and what belongs to it.
    pub node: NewNode<'a>,
    /// Permission bits, umask applied.
    pub permissions: u16,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
}

/// The type of a new inode and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub enum NewNode<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link with this text.
    SymbolicLink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device node.
    CharacterDevice(DeviceNumber),
    /// A block device node.
    BlockDevice(DeviceNumber),
}

impl NewNode<'_> {
    /// The file type of the inode to be.
    #[must_use]
    pub const fn file_type(&self) -> FileType {
        match self {
            Self::Regular => FileType::Regular,
            Self::Directory => FileType::Directory,
            Self::SymbolicLink(_) => FileType::SymbolicLink,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
            Self::CharacterDevice(_) => FileType::CharacterDevice,
            Self::BlockDevice(_) => FileType::BlockDevice,
        }
    }
}

/// One entry of a directory, while it is listed.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The inode number.
    pub inode: u64,
    /// The type.
    pub file_type: FileType,
    /// The cursor at which a listing goes on after this entry.
    pub next: u64,
}

/// What [`Directory::entries`] calls for each entry; `Break` ends the listing before that entry counts as seen.
pub type EntryVisitor<'a> = dyn FnMut(&DirectoryEntry<'_>) -> ControlFlow<()> + 'a;

/// The part of an inode that only directories have.
pub trait Directory: Send + Sync {
    /// The inode called `name`.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>>;

    /// Calls `visit` for the entries from `cursor` on, `.` and `..` apart. A cursor is 0 or the `next` of an entry
    /// seen before; entries that stay in the directory are met exactly once whatever else changes meanwhile. `visit`
    /// may be called with spin locks held: it copies, and touches no user memory.
    ///
    /// # Errors
    /// `ENOENT` in procfs, when the process is gone.
    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()>;

    /// Makes a new inode and enters it as `name`, which is free.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`; `EPERM` where the file system's tree is fixed.
    fn create(&self, _name: &[u8], _new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// Makes a new regular file without a name (`O_TMPFILE`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where there is no such thing; `ENOSPC`, `ENOMEM`.
    fn create_unnamed(&self, _new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Enters `inode`, which belongs to the same file system, as `name`; an entry of that name is replaced. The
    /// inode's link count goes up.
    ///
    /// # Errors
    /// `EPERM`, `EMLINK`, `ENOSPC`, `ENOMEM`; nothing has changed then.
    fn attach(&self, _name: &[u8], _inode: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the entry `name`. The inode's link count goes down. Allocates nothing.
    ///
    /// # Errors
    /// `ENOENT` if there is none; `EPERM` where the tree is fixed.
    fn detach(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Replaces the inode of the existing entry `name`, which keeps its place in listings, and returns the one before.
    /// Link counts stay as they are: this is one half of an exchange (`RENAME_EXCHANGE`). Allocates nothing.
    ///
    /// # Errors
    /// `ENOENT` if there is no entry; `EINVAL` where the file system cannot.
    fn substitute(&self, _name: &[u8], _inode: Arc<dyn Inode>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EINVAL)
    }

    /// Whether the directory has no entries.
    fn is_empty(&self) -> bool {
        false
    }

    /// Empties the directory and passes on what was in it: how a file system that nobody uses any more is taken
    /// apart without recursion.
    fn dismantle(&self, _take: &mut dyn FnMut(Arc<dyn Inode>)) {}
}
