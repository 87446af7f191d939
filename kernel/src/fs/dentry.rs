//! The cache of directory entries: which name of which directory leads to which inode.
//!
//! A [`Dentry`] lives as long as somebody uses it: an open file, a working directory, a mount, or a dentry below it.
//! Its parent finds it again through a weak reference, so there is at most one live dentry per entry and two
//! look-ups of one directory meet in the same dentry. That is what makes mounts, `..` and getcwd(2) work under
//! renames. Nothing is kept beyond use, nor are negative answers: every file system here answers a look-up from
//! memory, as fast as a cache would. The reference that a parent keeps to a dentry that is gone still takes its memory, until the
//! parent's next sweep: as often as its cache has doubled, or by `/proc/sys/vm/drop_caches`.
//!
//! Locks: [`Dentry::lock_directory`] serialises changes of one directory (the file system's as well as the cache's);
//! `children` and `place` are spin locks of rank `INODE` that guard just those fields. Only a rename changes a
//! `place`, with the mutexes of both directories held. Dropping a dentry takes no lock.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};

use super::inode::Inode;
use super::name::Name;
use crate::errno::{Errno, Result};
use crate::scheduling::{Mutex, MutexGuard};

/// Where a dentry hangs.
struct Place {
    /// The directory; `None` for the root of a file system and for files without a place.
    parent: Option<Arc<Dentry>>,
    name: Name,
}

/// The cached entries of one directory.
struct Children {
    by_name: BTreeMap<Name, Weak<Dentry>>,
    /// The size at which dead references are swept out.
    sweep_at: usize,
}

/// A directory entry in use.
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: SpinLock<Place>,
    children: SpinLock<Children>,
    /// Held while the entries of this directory change, and while the file system is asked for one.
    directory: Mutex<()>,
    /// How many mounts cover this entry. Written with the mount table locked; read as a hint without.
    mounts: AtomicU32,
    /// Whether the name was removed. Set once, with the parent's mutex held.
    unlinked: AtomicBool,
}

impl Dentry {
    /// Below this many entries the cache of a directory is not swept.
    const SWEEP_MINIMUM: usize = 32;

    fn new(inode: Arc<dyn Inode>, parent: Option<Arc<Self>>, name: Name) -> Arc<Self> {
        let children = Children { by_name: BTreeMap::new(), sweep_at: Self::SWEEP_MINIMUM };
        Arc::new(Self {
            inode,
            place: SpinLock::new(Rank::INODE, Place { parent, name }),
            children: SpinLock::new(Rank::INODE, children),
            directory: Mutex::new(()),
            mounts: AtomicU32::new(0),
            unlinked: AtomicBool::new(false),
        })
    }

    /// The root of a file system.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn root(inode: Arc<dyn Inode>) -> Result<Arc<Self>> {
        Ok(Self::new(inode, None, Name::display_only(b"/")?))
    }

    /// An entry without a place, for files that no directory holds; `label` is what `/proc/PID/fd` shows.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn detached(inode: Arc<dyn Inode>, label: &[u8]) -> Result<Arc<Self>> {
        Ok(Self::new(inode, None, Name::display_only(label)?))
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The directory that holds this entry.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.place.lock().parent.clone()
    }

    /// Whether the name was removed from its directory.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        // Pairs with the release store in `forget`: who sees it sees the directory without the entry.
        self.unlinked.load(Ordering::Acquire)
    }

    /// Keeps the entries of this directory as they are until the guard is dropped. May sleep.
    pub fn lock_directory(&self) -> MutexGuard<'_, ()> {
        self.directory.lock()
    }

    /// How many mounts cover this entry.
    #[must_use]
    pub fn mount_count(&self) -> u32 {
        // A hint for the walk, which then asks the mount table under its lock.
        self.mounts.load(Ordering::Acquire)
    }

    /// A mount covered this entry.
    pub(super) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Release);
    }

    /// A mount that covered this entry is gone.
    pub(super) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::Release);
    }

    /// Calls `use_place` with the parent and the name, which no rename changes meanwhile. Takes no lock inside.
    pub fn with_place<R>(&self, use_place: impl FnOnce(Option<&Arc<Self>>, &[u8]) -> R) -> R {
        let place = self.place.lock();
        use_place(place.parent.as_ref(), &place.name)
    }

    /// The live dentry of entry `name`, if somebody uses it.
    #[must_use]
    pub fn cached(&self, name: &[u8]) -> Option<Arc<Self>> {
        self.children.lock().by_name.get(name)?.upgrade()
    }

    /// A dentry for entry `name` of directory `parent`, which leads to `inode`. The caller holds the directory's
    /// mutex and found no live dentry of that name.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn enter(
        parent: &Arc<Self>,
        name: &[u8],
        inode: Arc<dyn Inode>,
    ) -> Result<Arc<Self>> {
        let key = Name::display_only(name)?;
        let child = Self::new(inode, Some(parent.clone()), key.clone());
        parent.children.lock().insert(key, Arc::downgrade(&child));
        Ok(child)
    }

    /// Entry `name` is gone from this directory. The caller holds the directory's mutex.
    pub(super) fn forget(&self, name: &[u8]) {
        let removed = self.children.lock().by_name.remove(name);
        if let Some(child) = removed.and_then(|weak| weak.upgrade()) {
            // Pairs with the load in `is_unlinked`.
            child.unlinked.store(true, Ordering::Release);
        }
    }

    /// `child` moved from this directory to `name` in `target`, replacing what was there. The caller holds the
    /// mutexes of both directories.
    pub(super) fn move_child(self: &Arc<Self>, child: &Arc<Self>, target: &Arc<Self>, name: Name) {
        target.forget(&name);
        let old = child.set_place(Some(target.clone()), name.clone());
        self.children.lock().by_name.remove(&*old.name);
        target.children.lock().insert(name, Arc::downgrade(child));
    }

    /// `first` and `second` changed places. The caller holds the mutexes of both directories.
    pub(super) fn exchange_children(first: &Arc<Self>, second: &Arc<Self>) {
        let place = |dentry: &Self| {
            dentry
                .with_place(|parent, _| parent.cloned())
                .zip(Some(dentry.place.lock().name.clone()))
        };
        let (Some((first_parent, first_name)), Some((second_parent, second_name))) =
            (place(first), place(second))
        else {
            return;
        };
        drop(first.set_place(Some(second_parent.clone()), second_name.clone()));
        drop(second.set_place(Some(first_parent.clone()), first_name.clone()));
        first_parent.children.lock().insert(first_name, Arc::downgrade(second));
        second_parent.children.lock().insert(second_name, Arc::downgrade(first));
    }

    /// Forgets the entries that nobody uses any more, in this directory and in those below it that are in use.
    ///
    /// # Errors
    /// `ENOMEM`; some may be forgotten then.
    pub(super) fn sweep(self: &Arc<Self>) -> Result<()> {
        let mut directories = alloc::vec![self.clone()];
        while let Some(directory) = directories.pop() {
            let mut children = directory.children.lock();
            children.sweep();
            let live = children.by_name.len();
            directories.try_reserve(live).map_err(|_| Errno::ENOMEM)?;
            directories.extend(children.by_name.values().filter_map(Weak::upgrade));
            // Before the directory itself, which may be dropped with its last user gone.
            drop(children);
        }
        Ok(())
    }

    fn set_place(&self, parent: Option<Arc<Self>>, name: Name) -> Place {
        core::mem::replace(&mut *self.place.lock(), Place { parent, name })
    }

    /// Whether `self` is `descendant` or one of the directories above it.
    #[must_use]
    pub fn is_ancestor_of(self: &Arc<Self>, descendant: &Arc<Self>) -> bool {
        let mut at = Some(descendant.clone());
        while let Some(dentry) = at {
            if Arc::ptr_eq(self, &dentry) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }
}

impl Children {
    fn insert(&mut self, name: Name, child: Weak<Dentry>) {
        if self.by_name.len() >= self.sweep_at {
            self.sweep();
        }
        self.by_name.insert(name, child);
    }

    fn sweep(&mut self) {
        self.by_name.retain(|_, child| child.strong_count() > 0);
        self.sweep_at = (self.by_name.len() * 2).max(Dentry::SWEEP_MINIMUM);
    }
}

impl Drop for Dentry {
    /// Lets go of the chain of parents in a loop: recursion would follow a user's directory depth.
    fn drop(&mut self) {
        let mut parent = self.place.get_mut().parent.take();
        while let Some(mut dentry) = parent.and_then(Arc::into_inner) {
            parent = dentry.place.get_mut().parent.take();
        }
    }
}
