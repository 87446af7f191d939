//! The types of file system that mount(2) knows, in one table.

use alloc::sync::Arc;

use super::inode::FileSystem;
use super::tmpfs::{Options, TmpFs};
use super::{devtmpfs, procfs, sysfs};
use crate::errno::{Errno, Result};
use crate::tty::devpts;

/// A type of file system.
pub struct FileSystemType {
    /// Its name in mount(2) and /proc/filesystems.
    pub name: &'static str,
    /// The instance for a new mount with these options.
    pub open: fn(options: &[u8]) -> Result<Arc<dyn FileSystem>>,
}

/// Every type. None needs a block device.
pub const FILE_SYSTEMS: &[FileSystemType] = &[
    FileSystemType { name: "sysfs", open: |_| sysfs::instance() },
    FileSystemType { name: "tmpfs", open: |options| new_tmpfs("tmpfs", options) },
    FileSystemType { name: "ramfs", open: |options| new_tmpfs("ramfs", options) },
    FileSystemType { name: "proc", open: |_| procfs::instance() },
    FileSystemType { name: "devpts", open: |_| devpts::instance() },
    FileSystemType { name: "devtmpfs", open: |_| devtmpfs::instance() },
];

fn new_tmpfs(type_name: &'static str, options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    let mut options = Options::parse(options)?;
    if type_name == "ramfs" {
        (options.blocks, options.inodes) = (Some(0), Some(0));
    }
    Ok(TmpFs::new(type_name, &options)?)
}

/// An instance of file-system type `name`, mounted with `options`.
///
/// # Errors
/// `ENODEV` if there is no such type; `EINVAL`, `ENOMEM`.
pub fn open(name: &[u8], options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    let found = FILE_SYSTEMS.iter().find(|candidate| candidate.name.as_bytes() == name);
    (found.ok_or(Errno::ENODEV)?.open)(options)
}
