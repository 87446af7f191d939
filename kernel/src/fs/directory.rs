//! An open directory: the operations that getdents64(2), lseek(2) and fchdir(2) need, the same for every file system.
//!
//! Cursor 0 is `.`, cursor 1 is `..`; from [`FIRST_CURSOR`] on cursors are the file system's, moved up by that much.

use core::ops::ControlFlow;

use super::file::File;
use super::inode::{DirectoryEntry, EntryVisitor};
use super::metadata::FileType;
use super::operations::{FileOperations, Positioning, SeekFrom};
use crate::errno::{Errno, Result};

/// The first cursor that belongs to the file system's own entries.
const FIRST_CURSOR: u64 = 2;

/// The operations of every open directory.
pub struct DirectoryFile;

impl FileOperations for DirectoryFile {
    fn read(&self, _: &File, _: &mut super::Sink<'_>, _: &mut u64) -> Result {
        Err(Errno::EISDIR)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn seek(&self, _file: &File, current: u64, to: SeekFrom) -> Result<u64> {
        to.without_end(current)
    }

    fn entries(&self, file: &File, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let dentry = &file.path().dentry;
        let directory = file.inode().directory().ok_or(Errno::ENOTDIR)?;
        if dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let own = file.inode().metadata().inode;
        if cursor == 0 && visit_dot(visit, b".", own, 1).is_break() {
            return Ok(());
        }
        let parent = dentry.parent().map_or(own, |parent| parent.inode().metadata().inode);
        if cursor <= 1 && visit_dot(visit, b"..", parent, FIRST_CURSOR).is_break() {
            return Ok(());
        }
        directory.entries(cursor.saturating_sub(FIRST_CURSOR), &mut |entry| {
            visit(&DirectoryEntry { next: entry.next.saturating_add(FIRST_CURSOR), ..*entry })
        })
    }
}

fn visit_dot(visit: &mut EntryVisitor<'_>, name: &[u8], inode: u64, next: u64) -> ControlFlow<()> {
    visit(&DirectoryEntry { name, inode, file_type: FileType::Directory, next })
}
