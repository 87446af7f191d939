//! File systems whose files are made up when they are read: the common part of procfs and sysfs.
//!
//! A tree is a table of [`Entry`]s over a *subject*: nothing for what is global, a process or thread for
//! `/proc/PID`. Files are functions that write text into an [`Output`]; a read from the start runs the function and
//! keeps the text for the reads that follow, so that a program which reads in pieces sees one instant.

mod inode;
mod output;
mod text;

use alloc::sync::Arc;

pub use inode::PseudoInode;
pub use output::Output;
pub use text::parse_number;

use super::inode::{Inode, LinkTarget};
use super::metadata::DeviceNumber;
use crate::errno::{Errno, Result};

/// What the entries of a table are about.
pub trait Subject: Clone + Send + Sync + 'static {
    /// The user and group that own the files.
    fn owner(&self) -> (u32, u32) {
        (0, 0)
    }

    /// Whether the running thread may write now, by whatever descriptor it came to.
    ///
    /// # Errors
    /// Why not.
    fn check_write(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the subject is still there.
    fn is_alive(&self) -> bool {
        true
    }

    /// Distinguishes the inode numbers of subjects that share a table.
    fn number(&self) -> u64 {
        0
    }

    /// The device of the file system that the files belong to.
    fn device(&self) -> DeviceNumber;
}

/// Writes the text of a file.
pub type ReadFunction<S> = fn(&S, &mut Output) -> Result<()>;
/// Takes what was written to a file, whole.
pub type WriteFunction<S> = fn(&S, &[u8]) -> Result<()>;

/// What stands behind a name.
pub enum Node<S: 'static> {
    /// A directory with fixed entries.
    Directory(&'static [Entry<S>]),
    /// A file with its permission bits, its text, and what a write does.
    File(u16, ReadFunction<S>, Option<WriteFunction<S>>),
    /// A symbolic link.
    Link(fn(&S) -> Result<LinkTarget>),
    /// An inode of another kind.
    Other(fn(&S) -> Arc<dyn Inode>),
}

/// A row of a directory's table.
pub struct Entry<S: 'static> {
    /// The name.
    pub name: &'static str,
    /// What it names.
    pub node: Node<S>,
}

impl<S> Entry<S> {
    /// A file that everybody may read.
    pub const fn file(name: &'static str, read: ReadFunction<S>) -> Self {
        Self { name, node: Node::File(0o444, read, None) }
    }

    /// A file that its owner may write, too.
    pub const fn writable(
        name: &'static str,
        read: ReadFunction<S>,
        write: WriteFunction<S>,
    ) -> Self {
        Self { name, node: Node::File(0o644, read, Some(write)) }
    }

    /// A file that only its owner may read.
    pub const fn private(name: &'static str, read: ReadFunction<S>) -> Self {
        Self { name, node: Node::File(0o400, read, None) }
    }

    /// A file that only its owner may write, and nobody read.
    pub const fn write_only(name: &'static str, write: WriteFunction<S>) -> Self {
        Self { name, node: Node::File(0o200, |_, _| Err(Errno::EACCES), Some(write)) }
    }

    /// A directory.
    pub const fn directory(name: &'static str, entries: &'static [Self]) -> Self {
        Self { name, node: Node::Directory(entries) }
    }

    /// A symbolic link.
    pub const fn link(name: &'static str, target: fn(&S) -> Result<LinkTarget>) -> Self {
        Self { name, node: Node::Link(target) }
    }

    /// Something else.
    pub const fn other(name: &'static str, make: fn(&S) -> Arc<dyn Inode>) -> Self {
        Self { name, node: Node::Other(make) }
    }
}
