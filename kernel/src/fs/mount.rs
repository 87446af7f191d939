//! Mounts: file systems as they appear in the tree.

use alloc::boxed::Box;
use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};
use bitflags::bitflags;
use linux_raw_sys::general as abi;

use super::dentry::Dentry;
use super::inode::FileSystem;

bitflags! {
    /// What a mount forbids or changes (the per-mount `MS_*` bits of mount(2)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u32 {
        /// Nothing can be changed through this mount.
        const READ_ONLY = abi::MS_RDONLY;
        /// Set-user-id and set-group-id bits have no effect at exec.
        const NO_SET_ID = abi::MS_NOSUID;
        /// Device nodes cannot be opened.
        const NO_DEVICES = abi::MS_NODEV;
        /// Nothing can be executed.
        const NO_EXECUTE = abi::MS_NOEXEC;
        /// Access times are not kept.
        const NO_ATIME = abi::MS_NOATIME;
        /// Access times of directories are not kept.
        const NO_DIRECTORY_ATIME = abi::MS_NODIRATIME;
        /// Access times are kept only where they would be older than the modification.
        const RELATIVE_ATIME = abi::MS_RELATIME;
    }
}

/// One file system, or a part of one, at one place of the tree.
pub struct Mount {
    id: u32,
    file_system: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    flags: AtomicU32,
    source: Box<[u8]>,
}

impl Mount {
    /// A mount that is not in the tree yet: `root` of `file_system`, shown as `source` in /proc/mounts.
    pub(super) fn new(
        id: u32,
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: Box<[u8]>,
    ) -> Arc<Self> {
        let flags = AtomicU32::new(flags.bits());
        Arc::new(Self { id, file_system, root, flags, source })
    }

    /// The number in /proc/PID/mountinfo.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The entry that stands at the mount point.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// What was given as the device.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// What the mount forbids.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        // Flags order nothing else: a remount takes effect for the calls after it.
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }
}
