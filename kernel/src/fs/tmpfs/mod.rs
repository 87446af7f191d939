//! tmpfs: a file system in memory (tmpfs(5)).
//!
//! [`TmpFs`] is one instance, with its limits on blocks and inodes; [`inode`] has the inodes, [`directory`] the
//! entries of directories, [`regular`] the bytes of files. The root file system, /dev, /tmp, shared memory and
//! memfd_create(2) are all instances.
//!
//! Locks: each inode has spin locks of rank `INODE` around its attributes and its entries, never nested; the bytes of
//! a regular file are serialised by a sleeping mutex, because they are copied from and to user memory. Counters of
//! the instance are atomic.

mod directory;
mod inode;
mod options;
mod pages;
mod regular;
mod space;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use arch::sync::atomic::{AtomicU32, Ordering};
pub use inode::TmpInode;
use linux_raw_sys::general::TMPFS_MAGIC;
pub use options::Options;
pub use regular::RegularFile;
use space::Space;

use super::inode::{Directory, FileSystem, Inode, NewInode, NewNode};
use super::metadata::{DeviceNumber, Statistics};
use crate::errno::Result;

/// Bytes of a block: a page.
pub const BLOCK_SIZE: u64 = arch::addr::PAGE_SIZE as u64;

/// Tells tmpfs about the machine's memory, once, at boot: where pages come from, and how many there are.
pub fn initialize(memory: &'static mm::Memory) {
    pages::set_memory(memory);
    options::set_machine_frames(memory.total_frames());
}

/// An instance of tmpfs.
pub struct TmpFs {
    type_name: &'static str,
    space: Arc<Space>,
    root: Arc<dyn Inode>,
}

/// A device number for a file system without a device: major 0, minors in order (`get_anon_bdev`).
pub fn anonymous_device() -> DeviceNumber {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // Relaxed: only uniqueness matters.
    DeviceNumber::new(0, NEXT.fetch_add(1, Ordering::Relaxed))
}

impl TmpFs {
    /// An empty instance that mounts show as `type_name`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(type_name: &'static str, options: &Options) -> Result<Arc<Self>> {
        let space = Space::new(anonymous_device(), options);
        let new = NewInode {
            node: NewNode::Directory,
            permissions: options.mode,
            user: options.user,
            group: options.group,
        };
        let root = TmpInode::new(&space, &new)?;
        root.adjust_links(super::inode::LinkChange::Added)?;
        Ok(Arc::new(Self { type_name, space, root }))
    }
}

impl FileSystem for TmpFs {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.space.device()
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            magic: u64::from(TMPFS_MAGIC),
            block_size: BLOCK_SIZE,
            blocks: self.space.block_limit(),
            blocks_free: self.space.free_blocks(),
            files: self.space.inode_limit(),
            files_free: self.space.free_inodes(),
        }
    }

    fn write_options(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.space.write_options(out)
    }

    fn reconfigure(&self, options: &[u8]) -> Result<()> {
        self.space.reconfigure(&Options::parse(options)?)
    }
}

impl Drop for TmpFs {
    /// Takes the tree apart level by level; recursion would follow a user's directory depth.
    fn drop(&mut self) {
        let mut pending: Vec<Arc<dyn Inode>> = Vec::new();
        let mut at = Some(self.root.clone());
        while let Some(inode) = at {
            if let Some(directory) = inode.directory() {
                Directory::dismantle(directory, &mut |child| pending.push(child));
            }
            at = pending.pop();
        }
    }
}
