//! The entries of a tmpfs directory: by name for look-ups, by cursor for listings.
//!
//! Each entry gets the next cursor when it is made and keeps it, also when its inode is replaced, so a listing that
//! goes on from a cursor meets every entry that stayed exactly once.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::super::inode::{DirectoryEntry, EntryVisitor, Inode};
use super::super::metadata::FileType;
use super::super::name::Name;
use crate::errno::{Errno, Result};

struct Entry {
    cursor: u64,
    inode: Arc<dyn Inode>,
    number: u64,
    file_type: FileType,
}

/// The entries.
#[derive(Default)]
pub struct Entries {
    by_name: BTreeMap<Name, Entry>,
    by_cursor: BTreeMap<u64, Name>,
    next_cursor: u64,
    directories: u32,
}

impl Entries {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many of them are directories.
    pub fn directories(&self) -> u32 {
        self.directories
    }

    /// The inode called `name`.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<dyn Inode>> {
        self.by_name.get(name).map(|entry| &entry.inode)
    }

    /// Enters `inode`, which has number `number`, as `name` and returns the inode that had the name before.
    pub fn insert(
        &mut self,
        name: Name,
        inode: Arc<dyn Inode>,
        number: u64,
    ) -> Option<Arc<dyn Inode>> {
        if self.by_name.contains_key(&*name) {
            return self.substitute(&name, inode, number).ok();
        }
        let file_type = inode.file_type();
        let cursor = self.next_cursor;
        self.next_cursor += 1;
        self.count(file_type, 1);
        self.by_cursor.insert(cursor, name.clone());
        self.by_name.insert(name, Entry { cursor, inode, number, file_type });
        None
    }

    /// Replaces the inode of entry `name`.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn substitute(
        &mut self,
        name: &[u8],
        inode: Arc<dyn Inode>,
        number: u64,
    ) -> Result<Arc<dyn Inode>> {
        let entry = self.by_name.get_mut(name).ok_or(Errno::ENOENT)?;
        let (old_type, new_type) = (entry.file_type, inode.file_type());
        entry.file_type = new_type;
        entry.number = number;
        let former = core::mem::replace(&mut entry.inode, inode);
        self.count(old_type, -1);
        self.count(new_type, 1);
        Ok(former)
    }

    /// Removes entry `name`.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove(&mut self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let entry = self.by_name.remove(name).ok_or(Errno::ENOENT)?;
        self.by_cursor.remove(&entry.cursor);
        self.count(entry.file_type, -1);
        Ok(entry.inode)
    }

    fn count(&mut self, file_type: FileType, change: i32) {
        if file_type == FileType::Directory {
            self.directories = self.directories.saturating_add_signed(change);
        }
    }

    /// Calls `visit` for the entries from `cursor` on.
    pub fn visit(&self, cursor: u64, visit: &mut EntryVisitor<'_>) {
        for (&cursor, name) in self.by_cursor.range(cursor..) {
            let Some(entry) = self.by_name.get(name) else { continue };
            let listed = DirectoryEntry {
                name,
                inode: entry.number,
                file_type: entry.file_type,
                next: cursor + 1,
            };
            if visit(&listed).is_break() {
                return;
            }
        }
    }

    /// Takes all inodes out.
    pub fn drain(&mut self, take: &mut dyn FnMut(Arc<dyn Inode>)) {
        self.by_cursor.clear();
        while let Some((_, entry)) = self.by_name.pop_first() {
            take(entry.inode);
        }
    }
}
