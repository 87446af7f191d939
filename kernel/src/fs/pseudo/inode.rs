//! The inode of a made-up file: a row of a table and a subject.

use alloc::sync::Arc;

use super::text::TextFile;
use super::{Entry, Node, Subject};
use crate::errno::{Errno, Result};
use crate::fs::{
    AttributeChanges, DeviceNumber, Directory, DirectoryEntry, EntryVisitor, FileOperations,
    FileType, Inode, LinkTarget, Metadata, OpenFlags, Timestamp,
};

/// Permission bits of directories.
const DIRECTORY_MODE: u16 = 0o555;

/// A file, directory or link of a table.
pub struct PseudoInode<S: Subject> {
    subject: S,
    node: &'static Node<S>,
    made: Timestamp,
}

impl<S: Subject> PseudoInode<S> {
    /// What stands behind `node` for `subject`.
    pub fn new(subject: S, node: &'static Node<S>) -> Arc<Self> {
        Arc::new(Self { subject, node, made: Timestamp::now() })
    }

    fn child(&self, entry: &'static Entry<S>) -> Arc<dyn Inode> {
        match &entry.node {
            Node::Other(make) => make(&self.subject),
            node => Self::new(self.subject.clone(), node),
        }
    }

    fn entries(&self) -> &'static [Entry<S>] {
        match self.node {
            Node::Directory(entries) => entries,
            _ => &[],
        }
    }

    fn permissions(&self) -> u16 {
        match self.node {
            Node::File(permissions, ..) => *permissions,
            Node::Link(_) => 0o777,
            Node::Directory(_) | Node::Other(_) => DIRECTORY_MODE,
        }
    }
}

/// A number for row `node` of subject `subject`. Rows are statics, so their addresses tell them apart.
fn number<S: Subject>(subject: &S, node: &'static Node<S>) -> u64 {
    (subject.number() << 32) | (core::ptr::from_ref(node).addr() as u64 & 0xffff_ffff)
}

fn type_of<S: Subject>(node: &Node<S>, subject: &S) -> FileType {
    match node {
        Node::Directory(_) => FileType::Directory,
        Node::File(..) => FileType::Regular,
        Node::Link(_) => FileType::SymbolicLink,
        Node::Other(make) => make(subject).file_type(),
    }
}

impl<S: Subject> Inode for PseudoInode<S> {
    fn metadata(&self) -> Metadata {
        let (user, group) = self.subject.owner();
        let directories =
            self.entries().iter().filter(|entry| matches!(entry.node, Node::Directory(_))).count();
        let is_directory = self.file_type() == FileType::Directory;
        Metadata {
            device: self.subject.device(),
            inode: number(&self.subject, self.node),
            file_type: self.file_type(),
            permissions: self.permissions(),
            links: if is_directory { 2 + directories as u32 } else { 1 },
            user,
            group,
            special: DeviceNumber::default(),
            size: 0,
            blocks: 0,
            block_size: 1024,
            accessed: self.made,
            modified: self.made,
            changed: self.made,
            created: self.made,
        }
    }

    fn file_type(&self) -> FileType {
        type_of(self.node, &self.subject)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        let touches = AttributeChanges {
            accessed: changes.accessed,
            modified: changes.modified,
            changed: changes.changed,
            ..AttributeChanges::default()
        };
        // Times are made up too; everything else is fixed.
        if touches == *changes { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        let Node::File(_, read, write) = self.node else { return Err(Errno::ENXIO) };
        if flags.access().can_write() && write.is_none() {
            return Err(Errno::EACCES);
        }
        Ok(Arc::new(TextFile::new(self.subject.clone(), *read, *write)))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        matches!(self.node, Node::Directory(_)).then_some(self)
    }

    fn read_link(&self) -> Result<LinkTarget> {
        match self.node {
            Node::Link(target) => target(&self.subject),
            _ => Err(Errno::EINVAL),
        }
    }

    fn is_current(&self) -> bool {
        self.subject.is_alive()
    }
}

impl<S: Subject> Directory for PseudoInode<S> {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if !self.subject.is_alive() {
            return Err(Errno::ENOENT);
        }
        let found = self.entries().iter().find(|entry| entry.name.as_bytes() == name);
        found.map(|entry| self.child(entry)).ok_or(Errno::ENOENT)
    }

    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        if !self.subject.is_alive() {
            return Err(Errno::ENOENT);
        }
        let skip = usize::try_from(cursor).unwrap_or(usize::MAX);
        for (index, entry) in self.entries().iter().enumerate().skip(skip) {
            let listed = DirectoryEntry {
                name: entry.name.as_bytes(),
                inode: number(&self.subject, &entry.node),
                file_type: type_of(&entry.node, &self.subject),
                next: index as u64 + 1,
            };
            if visit(&listed).is_break() {
                break;
            }
        }
        Ok(())
    }
}
