//! The mount table: which mount covers which place.
//!
//! There is one tree of mounts. The lock (rank `MOUNTS`) guards the list, the map, and every change of a mount's
//! place; whatever leaves the table is dropped after the lock is released.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::{Rank, RwSpinLock};

use super::super::dentry::Dentry;
use super::super::path::Path;
use super::Mount;
use crate::errno::{Errno, Result};

/// The most mounts that the tree may have.
const MOUNTS_MAX: usize = 16_384;

/// A place by identity: the addresses of a mount and a dentry, both kept alive by the mount that covers them.
type PlaceKey = (usize, usize);

struct Table {
    /// In the order in which they were mounted.
    list: Vec<Arc<Mount>>,
    covering: BTreeMap<PlaceKey, Arc<Mount>>,
}

static TABLE: RwSpinLock<Table> =
    RwSpinLock::new(Rank::MOUNTS, Table { list: Vec::new(), covering: BTreeMap::new() });

fn key(path: &Path) -> PlaceKey {
    (Arc::as_ptr(&path.mount).addr(), Arc::as_ptr(&path.dentry).addr())
}

/// The mount that covers `path`, if any.
pub fn mounted_on(path: &Path) -> Option<Arc<Mount>> {
    if path.dentry.mount_count() == 0 {
        return None;
    }
    TABLE.read().covering.get(&key(path)).cloned()
}

/// All mounts of the tree, in the order in which they were mounted.
///
/// # Errors
/// `ENOMEM`.
pub fn mounts() -> Result<Vec<Arc<Mount>>> {
    let mut copy = Vec::new();
    loop {
        let wanted = TABLE.read().list.len();
        copy.try_reserve(wanted).map_err(|_| Errno::ENOMEM)?;
        let table = TABLE.read();
        if table.list.len() <= copy.capacity() {
            copy.extend(table.list.iter().cloned());
            return Ok(copy);
        }
    }
}

/// Makes `mount` the root of the tree.
///
/// # Errors
/// `ENOMEM`.
pub fn attach_root(mount: &Arc<Mount>) -> Result<()> {
    TABLE.write().enter(mount)
}

/// The root of the tree, once there is one.
pub fn root() -> Option<Path> {
    TABLE.read().list.first().map(Mount::root_path)
}

/// Lets `mount` cover `path`.
///
/// # Errors
/// `EBUSY` if the place is covered already or the path is gone, `ENOSPC` past the most mounts, `ENOMEM`.
pub fn cover(path: &Path, mount: &Arc<Mount>) -> Result<()> {
    let mut table = TABLE.write();
    if table.covering.contains_key(&key(path)) {
        return Err(Errno::EBUSY);
    }
    table.enter(mount)?;
    table.place(path, mount);
    Ok(())
}

/// Takes `mount` from its place and lets it cover `path` (`MS_MOVE`).
///
/// # Errors
/// `EBUSY` if the place is covered, `EINVAL` if the mount has no place, `ELOOP` if `path` lies within the mount.
pub fn move_to(path: &Path, mount: &Arc<Mount>) -> Result<()> {
    let mut table = TABLE.write();
    if table.covering.contains_key(&key(path)) {
        return Err(Errno::EBUSY);
    }
    if is_within(&path.mount, mount) {
        return Err(Errno::ELOOP);
    }
    let old = table.unplace(mount).ok_or(Errno::EINVAL)?;
    table.place(path, mount);
    drop(table);
    drop(old);
    Ok(())
}

/// Takes `mount` out of the tree if nothing is mounted below it and nobody but the caller, who holds `references`
/// of the references to it, uses it.
///
/// # Errors
/// `EBUSY`; `EINVAL` if it is not in the tree or is its root.
pub fn remove_unused(mount: &Arc<Mount>, references: usize) -> Result<()> {
    /// The list's and the map's.
    const TABLE_REFERENCES: usize = 2;
    let mut table = TABLE.write();
    if mount.place.lock().is_none() {
        return Err(Errno::EINVAL);
    }
    if table.list.iter().any(|other| is_child(other, mount)) {
        return Err(Errno::EBUSY);
    }
    if Arc::strong_count(mount) > TABLE_REFERENCES + references {
        return Err(Errno::EBUSY);
    }
    let removed = table.remove(mount);
    drop(table);
    drop(removed);
    Ok(())
}

/// Takes `mount` and all mounts below it out of the tree, in use or not (`MNT_DETACH`).
///
/// # Errors
/// `EINVAL` if it is not in the tree or is its root.
pub fn remove_tree(mount: &Arc<Mount>) -> Result<()> {
    if mount.place().is_none() {
        return Err(Errno::EINVAL);
    }
    loop {
        let mut table = TABLE.write();
        let leaf = table.list.iter().rev().find(|other| is_within(other, mount)).cloned();
        let Some(leaf) = leaf else { return Ok(()) };
        let removed = table.remove(&leaf);
        drop(table);
        drop(removed);
    }
}

/// The mounts that cover places at or below `dentry` of `mount`, outermost first.
///
/// # Errors
/// `ENOMEM`.
pub fn below(mount: &Arc<Mount>, dentry: &Arc<Dentry>) -> Result<Vec<Arc<Mount>>> {
    let mut all = mounts()?;
    all.retain(|other| {
        let mut at = other.place();
        while let Some(place) = at {
            if Arc::ptr_eq(&place.mount, mount) {
                return dentry.is_ancestor_of(&place.dentry);
            }
            at = place.mount.place();
        }
        false
    });
    Ok(all)
}

/// Whether `mount` covers a place of `parent`.
fn is_child(mount: &Arc<Mount>, parent: &Arc<Mount>) -> bool {
    mount.place.lock().as_ref().is_some_and(|place| Arc::ptr_eq(&place.mount, parent))
}

/// Whether `mount` is `top` or stands below it.
fn is_within(mount: &Arc<Mount>, top: &Arc<Mount>) -> bool {
    let mut at = Some(mount.clone());
    while let Some(mount) = at {
        if Arc::ptr_eq(&mount, top) {
            return true;
        }
        at = mount.place().map(|place| place.mount);
    }
    false
}

impl Table {
    fn enter(&mut self, mount: &Arc<Mount>) -> Result<()> {
        if self.list.len() >= MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        self.list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.list.push(mount.clone());
        Ok(())
    }

    fn place(&mut self, path: &Path, mount: &Arc<Mount>) {
        path.dentry.add_mount();
        *mount.place.lock() = Some(path.clone());
        self.covering.insert(key(path), mount.clone());
    }

    /// Takes `mount` from its place; what is returned is to be dropped without the lock.
    fn unplace(&mut self, mount: &Arc<Mount>) -> Option<(Path, Option<Arc<Mount>>)> {
        let path = mount.place.lock().take()?;
        path.dentry.remove_mount();
        let covering = self.covering.remove(&key(&path));
        Some((path, covering))
    }

    /// Takes `mount` out; what is returned is to be dropped without the lock.
    fn remove(&mut self, mount: &Arc<Mount>) -> impl Sized + use<> {
        let position = self.list.iter().position(|other| Arc::ptr_eq(other, mount));
        (self.unplace(mount), position.map(|position| self.list.remove(position)))
    }
}
