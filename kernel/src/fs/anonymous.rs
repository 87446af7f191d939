//! Files that no directory holds: pipes, sockets, event counters.
//!
//! Each has an inode of a file system that is mounted nowhere (`pipefs`, `sockfs`, `anon_inodefs`), so that fstat(2)
//! and `/proc/PID/fd` treat them like any other file. A pipe has one inode for both ends.

use alloc::format;
use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::{ANON_INODE_FS_MAGIC, PIPEFS_MAGIC, SOCKFS_MAGIC};
use spin::Once;

use super::attribute_cell::AttributeCell;
use super::dentry::Dentry;
use super::file::File;
use super::flags::OpenFlags;
use super::inode::{FileSystem, Inode};
use super::metadata::{AttributeChanges, DeviceNumber, FileType, Metadata, Statistics};
use super::mount::{Mount, MountFlags};
use super::operations::FileOperations;
use super::path::Path;
use super::table::CloseOnExec;
use super::tmpfs::anonymous_device;
use crate::errno::{Errno, Result};
use crate::task::{Credentials, Resource, Thread};

/// What a file without a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnonymousKind {
    /// A pipe.
    Pipe,
    /// A socket.
    Socket,
    /// Another object behind a descriptor, such as `[eventfd]` or `[eventpoll]`; with its label.
    Object(&'static str),
}

impl AnonymousKind {
    const fn index(self) -> usize {
        match self {
            Self::Pipe => 0,
            Self::Socket => 1,
            Self::Object(_) => 2,
        }
    }

    const fn type_name(self) -> &'static str {
        match self {
            Self::Pipe => "pipefs",
            Self::Socket => "sockfs",
            Self::Object(_) => "anon_inodefs",
        }
    }

    const fn magic(self) -> u32 {
        match self {
            Self::Pipe => PIPEFS_MAGIC,
            Self::Socket => SOCKFS_MAGIC,
            Self::Object(_) => ANON_INODE_FS_MAGIC,
        }
    }

    const fn file_type(self) -> FileType {
        match self {
            Self::Pipe => FileType::Fifo,
            Self::Socket => FileType::Socket,
            // Linux gives these a mode without type bits; a regular file is the nearest that stat can say.
            Self::Object(_) => FileType::Regular,
        }
    }

    const fn permissions(self) -> u16 {
        match self {
            Self::Socket => 0o777,
            Self::Pipe | Self::Object(_) => 0o600,
        }
    }
}

/// Opens once more what an anonymous inode stands for, through `/proc/PID/fd`.
pub trait Reopen: Send + Sync {
    /// The operations of one more open file.
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`, as the object has them.
    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>>;
}

/// The inode of a file without a name.
pub struct AnonymousInode {
    kind: AnonymousKind,
    number: u64,
    attributes: AttributeCell,
    reopen: Option<Weak<dyn Reopen>>,
}

impl AnonymousInode {
    /// A new inode of `kind` that belongs to `owner`. It can be opened again where `reopen` says how.
    #[must_use]
    pub fn new(
        kind: AnonymousKind,
        owner: &Credentials,
        reopen: Option<Weak<dyn Reopen>>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (user, group) = (owner.user.file_system, owner.group.file_system);
        Arc::new(Self {
            kind,
            // Relaxed: only uniqueness matters.
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            attributes: AttributeCell::new(kind.permissions(), user, group),
            reopen,
        })
    }

    /// The inode number, as in `pipe:[7]`.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// An open file on this inode.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn open_file(
        self: &Arc<Self>,
        operations: Arc<dyn FileOperations>,
        flags: OpenFlags,
    ) -> Result<Arc<File>> {
        let label = match self.kind {
            AnonymousKind::Pipe => format!("pipe:[{}]", self.number),
            AnonymousKind::Socket => format!("socket:[{}]", self.number),
            AnonymousKind::Object(name) => format!("anon_inode:{name}"),
        };
        let dentry = Dentry::detached(self.clone(), label.as_bytes())?;
        File::new(Path { mount: mount_of(self.kind)?, dentry }, operations, flags)
    }
}

/// Makes a file without a name that behaves as `operations` say, and gives it the lowest free descriptor of `thread`'s
/// process. `O_CLOEXEC` in `flags` concerns the descriptor. Returns the descriptor.
///
/// # Errors
/// `EMFILE`, `ENOMEM`.
pub fn open_descriptor(
    thread: &Thread,
    kind: AnonymousKind,
    operations: Arc<dyn FileOperations>,
    flags: OpenFlags,
) -> Result {
    let files = thread.files();
    let reservation = files.reserve(0, thread.process().limit(Resource::OpenFiles))?;
    let inode = AnonymousInode::new(kind, &thread.credentials(), None);
    let file = inode.open_file(operations, flags)?;
    let close_on_exec = CloseOnExec::from_flag(flags.contains(OpenFlags::CLOSE_ON_EXEC));
    Ok(reservation.install(file, close_on_exec)?.0 as usize)
}

impl Inode for AnonymousInode {
    fn metadata(&self) -> Metadata {
        let attributes = self.attributes.get();
        Metadata {
            device: device_of(self.kind),
            inode: self.number,
            file_type: self.kind.file_type(),
            permissions: attributes.permissions,
            links: 1,
            user: attributes.user,
            group: attributes.group,
            special: DeviceNumber::default(),
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            created: attributes.created,
        }
    }

    fn file_type(&self) -> FileType {
        self.kind.file_type()
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        self.attributes.apply(changes);
        Ok(())
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        let object = self.reopen.as_ref().and_then(Weak::upgrade).ok_or(Errno::ENXIO)?;
        object.reopen(flags)
    }
}

/// A file system of inodes without names.
struct AnonymousFileSystem {
    kind: AnonymousKind,
    root: Arc<AnonymousInode>,
}

impl FileSystem for AnonymousFileSystem {
    fn type_name(&self) -> &'static str {
        self.kind.type_name()
    }

    fn device(&self) -> DeviceNumber {
        device_of(self.kind)
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Statistics {
        let magic = u64::from(self.kind.magic());
        Statistics { magic, block_size: 4096, ..Statistics::default() }
    }
}

fn device_of(kind: AnonymousKind) -> DeviceNumber {
    static DEVICES: [Once<DeviceNumber>; 3] = [const { Once::new() }; 3];
    *DEVICES[kind.index()].call_once(anonymous_device)
}

fn mount_of(kind: AnonymousKind) -> Result<Arc<Mount>> {
    static MOUNTS: [Once<Arc<Mount>>; 3] = [const { Once::new() }; 3];
    MOUNTS[kind.index()]
        .try_call_once(|| {
            let root = Arc::new(AnonymousInode {
                kind,
                number: 0,
                attributes: AttributeCell::new(0o600, 0, 0),
                reopen: None,
            });
            let file_system = Arc::new(AnonymousFileSystem { kind, root });
            Mount::new(file_system, MountFlags::empty(), kind.type_name().as_bytes())
        })
        .cloned()
}
