//! Mounts: file systems as they appear in the tree. Key types: [`Mount`], [`MountFlags`].
//!
//! The one mount table of the system is in [`table`]; what mount(2) and umount2(2) ask for is in [`change`]. The
//! table's lock has rank `MOUNTS`; the place of a mount is under a lock of rank `INODE` that is taken inside it for
//! writing and alone for reading.

pub(super) mod change;
mod table;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound;

use arch::sync::atomic::{AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};
use bitflags::bitflags;
use linux_raw_sys::general as abi;

pub(super) use table::{attach_root, mounted_on, mounts, root};

use super::dentry::Dentry;
use super::inode::FileSystem;
use super::metadata::DeviceNumber;
use super::path::Path;
use crate::errno::Result;

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
    /// What it covers; `None` for the root of the tree and while it is in no tree.
    place: SpinLock<Option<Path>>,
}

/// The roots in use, by file system: all mounts of one share one tree of dentries, and so its mutexes.
static ROOTS: SpinLock<BTreeMap<DeviceNumber, Weak<Dentry>>> =
    SpinLock::new(Rank::INODE, BTreeMap::new());

/// The root dentry of `file_system`.
fn root_of(file_system: &dyn FileSystem) -> Result<Arc<Dentry>> {
    let fresh = Dentry::root(file_system.root())?;
    let mut roots = ROOTS.lock();
    roots.retain(|_, root| root.strong_count() > 0);
    if let Some(root) = roots.get(&file_system.device()).and_then(Weak::upgrade) {
        return Ok(root);
    }
    roots.insert(file_system.device(), Arc::downgrade(&fresh));
    Ok(fresh)
}

/// Forgets directory entries that nobody uses any more, in every file system.
///
/// # Errors
/// `ENOMEM`; some may be forgotten then.
pub fn drop_dead_entries() -> Result<()> {
    let mut last = None;
    loop {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        // One at a time: a sweep takes long, and its locks have the same rank.
        let found = {
            let roots = ROOTS.lock();
            let next = roots.range((from, Bound::Unbounded)).next();
            next.map(|(device, root)| (*device, root.upgrade()))
        };
        let Some((device, root)) = found else { return Ok(()) };
        last = Some(device);
        if let Some(root) = root {
            root.sweep()?;
        }
    }
}

impl Mount {
    /// Mount numbers are never used again.
    fn next_id() -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Relaxed: only uniqueness matters.
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The whole of `file_system`, in no tree yet, shown as `source` in /proc/mounts.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Self>> {
        let root = root_of(&*file_system)?;
        Self::with_root(file_system, root, flags, source)
    }

    /// The part of `file_system` from `root` down, in no tree yet.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn with_root(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            id: Self::next_id(),
            file_system,
            root,
            flags: AtomicU32::new(flags.bits()),
            source: super::name::try_copy(source)?.into_boxed_slice(),
            place: SpinLock::new(Rank::INODE, None),
        }))
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

    /// The root as a path.
    #[must_use]
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path { mount: self.clone(), dentry: self.root.clone() }
    }

    /// What was given as the device.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// What the mount covers; `None` for the root of the tree and for a mount in no tree.
    #[must_use]
    pub fn place(&self) -> Option<Path> {
        self.place.lock().clone()
    }

    /// What the mount forbids.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        // Flags order nothing else: a remount takes effect for the calls after it.
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Whether nothing can be changed through this mount.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.flags().contains(MountFlags::READ_ONLY)
    }
}
