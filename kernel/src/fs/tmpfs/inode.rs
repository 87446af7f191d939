//! The inode of tmpfs: attributes, and content by type.

use alloc::boxed::Box;
use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};

use super::super::attribute_cell::AttributeCell;
use super::super::flags::OpenFlags;
use super::super::inode::{
    Directory, EntryVisitor, Inode, LinkChange, LinkTarget, NewInode, NewNode,
};
use super::super::metadata::{AttributeChanges, DeviceNumber, FileType, Metadata, Timestamp};
use super::super::name::{Name, try_copy};
use super::super::operations::FileOperations;
use super::super::write_access::WriteAccess;
use super::BLOCK_SIZE;
use super::directory::Entries;
use super::regular::RegularFile;
use super::space::Space;
use crate::errno::{Errno, Result};
use crate::pipe::Fifo;

/// What Linux counts a directory entry as, in bytes of the directory's size (`BOGO_DIRENT_SIZE`).
const ENTRY_SIZE: u64 = 20;

enum Content {
    Regular(Arc<RegularFile>),
    Directory(SpinLock<Entries>),
    SymbolicLink(Box<[u8]>),
    Fifo(Fifo),
    Socket,
    Device(FileType, DeviceNumber),
}

/// A file of any type in tmpfs.
pub struct TmpInode {
    space: Arc<Space>,
    number: u64,
    attributes: AttributeCell,
    /// Directory entries that lead here. Changed by directories as entries come and go; relaxed, it guards nothing.
    entries: AtomicU32,
    content: Content,
}

impl TmpInode {
    /// A new inode that no directory holds.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`.
    pub fn new(space: &Arc<Space>, new: &NewInode<'_>) -> Result<Arc<Self>> {
        let content = match new.node {
            NewNode::Regular => Content::Regular(RegularFile::new(space.clone())?),
            NewNode::Directory => {
                Content::Directory(SpinLock::new(Rank::INODE, Entries::default()))
            }
            NewNode::SymbolicLink(text) => {
                Content::SymbolicLink(try_copy(text)?.into_boxed_slice())
            }
            NewNode::Fifo => Content::Fifo(Fifo::new()),
            NewNode::Socket => Content::Socket,
            NewNode::CharacterDevice(number) => Content::Device(FileType::CharacterDevice, number),
            NewNode::BlockDevice(number) => Content::Device(FileType::BlockDevice, number),
        };
        let number = space.take_inode()?;
        Ok(Arc::new(Self {
            space: space.clone(),
            number,
            attributes: AttributeCell::new(new.permissions, new.user, new.group),
            entries: AtomicU32::new(0),
            content,
        }))
    }

    /// The bytes, if this is a regular file.
    #[must_use]
    pub fn regular(&self) -> Option<&Arc<RegularFile>> {
        match &self.content {
            Content::Regular(file) => Some(file),
            _ => None,
        }
    }

    fn entries(&self) -> Result<&SpinLock<Entries>> {
        match &self.content {
            Content::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Size in bytes and space in blocks.
    fn sizes(&self) -> (u64, u64) {
        match &self.content {
            Content::Regular(file) => (file.size(), file.blocks()),
            Content::Directory(entries) => (ENTRY_SIZE * (2 + entries.lock().len() as u64), 0),
            Content::SymbolicLink(text) => (text.len() as u64, 0),
            _ => (0, 0),
        }
    }
}

impl Drop for TmpInode {
    fn drop(&mut self) {
        self.space.return_inode();
    }
}

impl Inode for TmpInode {
    fn metadata(&self) -> Metadata {
        let (size, blocks) = self.sizes();
        let subdirectories = self.entries().map_or(0, |entries| entries.lock().directories());
        let is_directory = matches!(self.content, Content::Directory(_));
        let special = match self.content {
            Content::Device(_, number) => number,
            _ => DeviceNumber::default(),
        };
        let attributes = self.attributes.get();
        let links = match self.entries.load(Ordering::Relaxed) {
            0 => 0,
            // A directory is also entered as `.` in itself and as `..` in each subdirectory.
            _ if is_directory => 2 + subdirectories,
            entries => entries,
        };
        Metadata {
            device: self.space.device(),
            inode: self.number,
            file_type: self.file_type(),
            permissions: attributes.permissions,
            links,
            user: attributes.user,
            group: attributes.group,
            special,
            size,
            blocks: blocks * (BLOCK_SIZE / 512),
            block_size: BLOCK_SIZE as u32,
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            created: attributes.created,
        }
    }

    fn file_type(&self) -> FileType {
        match &self.content {
            Content::Regular(_) => FileType::Regular,
            Content::Directory(_) => FileType::Directory,
            Content::SymbolicLink(_) => FileType::SymbolicLink,
            Content::Fifo(_) => FileType::Fifo,
            Content::Socket => FileType::Socket,
            Content::Device(file_type, _) => *file_type,
        }
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        self.attributes.apply(changes);
        Ok(())
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        match &self.content {
            Content::Regular(file) => Ok(file.clone()),
            Content::Fifo(fifo) => fifo.open(flags),
            _ => Err(Errno::ENXIO),
        }
    }

    fn directory(&self) -> Option<&dyn Directory> {
        matches!(self.content, Content::Directory(_)).then_some(self)
    }

    fn read_link(&self) -> Result<LinkTarget> {
        match &self.content {
            Content::SymbolicLink(text) => Ok(LinkTarget::Text(try_copy(text)?)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.regular().ok_or(Errno::EINVAL)?.resize(size)?;
        let now = Some(Timestamp::now());
        self.set_attributes(&AttributeChanges { modified: now, changed: now, ..Default::default() })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result {
        self.regular().ok_or(Errno::EINVAL)?.read_bytes(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result {
        self.regular().ok_or(Errno::EINVAL)?.write_bytes(offset, bytes)
    }

    fn write_access(&self) -> Option<&WriteAccess> {
        self.regular().map(|file| file.write_access())
    }

    fn is_sized(&self) -> bool {
        matches!(self.content, Content::Regular(_))
    }

    fn adjust_links(&self, change: LinkChange) -> Result<()> {
        let step = |now: u32| match change {
            LinkChange::Added => now.checked_add(1),
            LinkChange::Removed => Some(now.saturating_sub(1)),
        };
        self.entries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .map(|_| ())
            .map_err(|_| Errno::EMLINK)
    }
}

impl Directory for TmpInode {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.entries()?.lock().get(name).cloned().ok_or(Errno::ENOENT)
    }

    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        TmpInode::entries(self)?.lock().visit(cursor, visit);
        Ok(())
    }

    fn create(&self, name: &[u8], new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        let inode: Arc<dyn Inode> = Self::new(&self.space, new)?;
        self.attach(name, &inode)?;
        Ok(inode)
    }

    fn create_unnamed(&self, new: &NewInode<'_>) -> Result<Arc<dyn Inode>> {
        Ok(Self::new(&self.space, new)?)
    }

    fn attach(&self, name: &[u8], inode: &Arc<dyn Inode>) -> Result<()> {
        let name = Name::new(name)?;
        let number = inode.metadata().inode;
        inode.adjust_links(LinkChange::Added)?;
        let former = TmpInode::entries(self)?.lock().insert(name, inode.clone(), number);
        match former {
            Some(former) => former.adjust_links(LinkChange::Removed),
            None => Ok(()),
        }
    }

    fn detach(&self, name: &[u8]) -> Result<()> {
        let former = TmpInode::entries(self)?.lock().remove(name)?;
        former.adjust_links(LinkChange::Removed)
    }

    fn substitute(&self, name: &[u8], inode: Arc<dyn Inode>) -> Result<Arc<dyn Inode>> {
        let number = inode.metadata().inode;
        TmpInode::entries(self)?.lock().substitute(name, inode, number)
    }

    fn is_empty(&self) -> bool {
        TmpInode::entries(self).is_ok_and(|entries| entries.lock().len() == 0)
    }

    fn dismantle(&self, take: &mut dyn FnMut(Arc<dyn Inode>)) {
        if let Ok(entries) = TmpInode::entries(self) {
            entries.lock().drain(take);
        }
    }
}
