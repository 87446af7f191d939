//! A place in the tree of mounts: a [`Path`] is a directory entry seen through a mount.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::Mount;
use super::names::TOPOLOGY;
use crate::errno::{Errno, Result};

/// A directory entry and the mount through which it was reached. Cheap to clone; keeps both alive.
#[derive(Clone)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The entry, in the mount's file system.
    pub dentry: Arc<Dentry>,
}

/// Whether a path's text starts at the root that was asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It does.
    FromRoot,
    /// The place is outside, or in no tree.
    Unreachable,
}

impl Path {
    /// The inode here.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Whether both name the same entry of the same mount.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// The path's text as seen from `root`, and whether it starts there. Waits for renames: call it without spin locks.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn text(&self, root: &Self) -> Result<(Vec<u8>, Reach)> {
        let _still = TOPOLOGY.lock();
        // Built from the end, and turned round at last.
        let mut reversed = Vec::new();
        let mut at = self.clone();
        let reach = loop {
            if at.is_same(root) {
                break Reach::FromRoot;
            }
            if Arc::ptr_eq(&at.dentry, at.mount.root()) {
                match at.mount.place() {
                    Some(place) => at = place,
                    None => break Reach::Unreachable,
                }
                continue;
            }
            match at.push_name(&mut reversed)? {
                Some(parent) => at.dentry = parent,
                None => {
                    reversed.reverse();
                    return Ok((reversed, Reach::Unreachable));
                }
            }
        };
        if reversed.is_empty() {
            push_reversed(&mut reversed, b"/")?;
        }
        reversed.reverse();
        Ok((reversed, reach))
    }

    /// Appends the entry's name, reversed and with its slash unless it has no parent, and returns the parent.
    fn push_name(&self, reversed: &mut Vec<u8>) -> Result<Option<Arc<Dentry>>> {
        self.dentry.with_place(|parent, name| {
            push_reversed(reversed, name)?;
            if parent.is_some() {
                push_reversed(reversed, b"/")?;
            }
            Ok(parent.cloned())
        })
    }

    /// The text that `/proc/PID/fd` and `/proc/PID/maps` show: as seen from `root`, ` (deleted)` after a removed name.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn display_text(&self, root: &Self) -> Result<Vec<u8>> {
        const DELETED: &[u8] = b" (deleted)";
        let (mut text, _) = self.text(root)?;
        if self.dentry.is_unlinked() {
            text.try_reserve(DELETED.len()).map_err(|_| Errno::ENOMEM)?;
            text.extend_from_slice(DELETED);
        }
        Ok(text)
    }
}

fn push_reversed(text: &mut Vec<u8>, part: &[u8]) -> Result<()> {
    text.try_reserve(part.len()).map_err(|_| Errno::ENOMEM)?;
    text.extend(part.iter().rev());
    Ok(())
}
