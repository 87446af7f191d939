//! rename(2): moving an entry, replacing another or changing places with it.
//!
//! A rename between directories holds [`TOPOLOGY`], so that no other one changes who is above whom, and then both
//! directories' mutexes, the upper one first, or the one at the lower address if neither is above the other. All
//! other operations take at most a parent's and then its child's mutex, which agrees with that order.

use alloc::sync::Arc;

use super::super::dentry::Dentry;
use super::super::inode::Directory;
use super::super::metadata::FileType;
use super::super::name::Name;
use super::super::path::Path;
use super::super::permission::{self, Permission};
use super::super::walk::{self, Viewer};
use super::{may_add, may_take, touch_change_time, touch_directory};
use crate::errno::{Errno, Result};
use crate::scheduling::{Mutex, MutexGuard};

/// Held by whoever moves an entry from one directory to another, and by whoever needs paths to stand still.
pub(in super::super) static TOPOLOGY: Mutex<()> = Mutex::new(());

/// One end of a rename.
pub struct RenameEnd {
    /// The directory.
    pub directory: Path,
    /// The entry in it.
    pub name: Name,
    /// Whether slashes followed the name, so that it can only be a directory.
    pub trailing_slash: bool,
}

/// What happens if the new name exists (renameat2(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// It is replaced.
    Replace,
    /// `EEXIST` (`RENAME_NOREPLACE`).
    NoReplace,
    /// The two change places (`RENAME_EXCHANGE`).
    Exchange,
}

/// Gives the entry at `from` the place `to`.
///
/// # Errors
/// `EXDEV, EROFS, ENOENT, EEXIST, EINVAL` (a directory into itself), `ENOTEMPTY, ENOTDIR, EISDIR, EBUSY, EACCES,
/// EPERM`, and the file system's.
pub fn rename(viewer: &Viewer, from: &RenameEnd, to: &RenameEnd, mode: RenameMode) -> Result<()> {
    if !Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno::EXDEV);
    }
    if from.directory.mount.is_read_only() {
        return Err(Errno::EROFS);
    }
    let _order = LockedPair::lock(&from.directory.dentry, &to.directory.dentry);
    let source = walk::lookup_locked(&from.directory.dentry, &from.name)?;
    let target = match walk::lookup_locked(&to.directory.dentry, &to.name) {
        Ok(target) => Some(target),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(error),
    };
    let ends = Ends { viewer, from, to, source: &source, target: target.as_ref() };
    ends.check_shape(mode)?;
    if target.as_ref().is_some_and(|target| Arc::ptr_eq(target.inode(), source.inode())) {
        return Ok(());
    }
    ends.check_rights(mode)?;
    match mode {
        RenameMode::Exchange => ends.exchange()?,
        RenameMode::Replace | RenameMode::NoReplace => ends.replace()?,
    }
    touch_directory(&from.directory);
    touch_directory(&to.directory);
    touch_change_time(&**source.inode());
    if let Some(target) = &target {
        touch_change_time(&**target.inode());
    }
    Ok(())
}

/// Both directories' mutexes, and [`TOPOLOGY`] where they differ.
struct LockedPair<'a> {
    _second: Option<MutexGuard<'a, ()>>,
    _first: MutexGuard<'a, ()>,
    _topology: Option<MutexGuard<'static, ()>>,
}

impl<'a> LockedPair<'a> {
    fn lock(one: &'a Arc<Dentry>, other: &'a Arc<Dentry>) -> Self {
        if Arc::ptr_eq(one, other) {
            return Self { _second: None, _first: one.lock_directory(), _topology: None };
        }
        let topology = TOPOLOGY.lock();
        let one_first = if one.is_ancestor_of(other) {
            true
        } else if other.is_ancestor_of(one) {
            false
        } else {
            Arc::as_ptr(one) < Arc::as_ptr(other)
        };
        let (first, second) = if one_first { (one, other) } else { (other, one) };
        let first = first.lock_directory();
        Self { _second: Some(second.lock_directory()), _first: first, _topology: Some(topology) }
    }
}

/// Both ends with what was found there; the directories' mutexes are held.
struct Ends<'a> {
    viewer: &'a Viewer,
    from: &'a RenameEnd,
    to: &'a RenameEnd,
    source: &'a Arc<Dentry>,
    target: Option<&'a Arc<Dentry>>,
}

fn is_directory(dentry: &Dentry) -> bool {
    dentry.inode().file_type() == FileType::Directory
}

impl Ends<'_> {
    /// What must hold whoever asks.
    fn check_shape(&self, mode: RenameMode) -> Result<()> {
        match (mode, self.target) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
            _ => {}
        }
        let target_directory_required = match mode {
            RenameMode::Exchange => !self.target.is_some_and(|target| is_directory(target)),
            _ => !is_directory(self.source),
        };
        if (!is_directory(self.source) && self.from.trailing_slash)
            || (target_directory_required && self.to.trailing_slash)
        {
            return Err(Errno::ENOTDIR);
        }
        if self.source.is_ancestor_of(&self.to.directory.dentry) {
            return Err(Errno::EINVAL);
        }
        if self.target.is_some_and(|target| target.is_ancestor_of(&self.from.directory.dentry)) {
            return Err(match mode {
                RenameMode::Exchange => Errno::EINVAL,
                _ => Errno::ENOTEMPTY,
            });
        }
        Ok(())
    }

    /// What the caller must be allowed to, and what the two inodes must be to each other.
    fn check_rights(&self, mode: RenameMode) -> Result<()> {
        may_take(&self.from.directory, &**self.source.inode(), self.viewer)?;
        match self.target {
            None => may_add(&self.to.directory, self.viewer)?,
            Some(target) => {
                may_take(&self.to.directory, &**target.inode(), self.viewer)?;
                if mode != RenameMode::Exchange {
                    check_kinds(self.source, target)?;
                }
            }
        }
        self.check_parent_change(self.source)?;
        if let (RenameMode::Exchange, Some(target)) = (mode, self.target) {
            self.check_parent_change(target)?;
        }
        let covered = |dentry: &Arc<Dentry>| dentry.mount_count() > 0;
        if covered(self.source) || self.target.is_some_and(covered) {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// A directory that gets another parent is written to: its `..` changes.
    fn check_parent_change(&self, dentry: &Dentry) -> Result<()> {
        let moves = !Arc::ptr_eq(&self.from.directory.dentry, &self.to.directory.dentry);
        if !moves || !is_directory(dentry) {
            return Ok(());
        }
        permission::check(&**dentry.inode(), &self.viewer.credentials, Permission::WRITE)
    }

    fn replace(&self) -> Result<()> {
        let (from, to) = self.directories()?;
        // As in a removal, the replaced directory's mutex keeps it empty.
        let guard = self.target.filter(|target| is_directory(target)).map(|t| t.lock_directory());
        if let Some(target) = self.target
            && guard.is_some()
            && !target.inode().directory().is_some_and(Directory::is_empty)
        {
            return Err(Errno::ENOTEMPTY);
        }
        let name = self.to.name.clone();
        to.attach(&name, self.source.inode())?;
        from.detach(&self.from.name)?;
        self.from.directory.dentry.move_child(self.source, &self.to.directory.dentry, name);
        Ok(())
    }

    fn exchange(&self) -> Result<()> {
        let (from, to) = self.directories()?;
        let target = self.target.ok_or(Errno::ENOENT)?;
        let former = from.substitute(&self.from.name, target.inode().clone())?;
        to.substitute(&self.to.name, former)?;
        Dentry::exchange_children(self.source, target);
        Ok(())
    }

    fn directories(&self) -> Result<(&dyn Directory, &dyn Directory)> {
        let from = self.from.directory.inode().directory().ok_or(Errno::ENOTDIR)?;
        let to = self.to.directory.inode().directory().ok_or(Errno::ENOTDIR)?;
        Ok((from, to))
    }
}

/// A directory replaces only a directory, anything else only what is no directory.
fn check_kinds(source: &Dentry, target: &Dentry) -> Result<()> {
    match (is_directory(source), is_directory(target)) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}
