//! Operations on names: create, link, remove and rename entries of directories.
//!
//! Each takes the directories as [`Path`]s and the last components as checked names, takes the directories' mutexes,
//! checks what Linux checks in Linux's order, lets the file system act, and keeps the dentry cache in step.

mod create;
mod remove;
mod rename;

pub use create::{create, create_unnamed, link};
pub use remove::{Removal, remove};
pub(super) use rename::TOPOLOGY;
pub use rename::{RenameEnd, RenameMode, rename};

use super::inode::Inode;
use super::metadata::{AttributeChanges, Timestamp};
use super::path::Path;
use super::permission::{self, Permission};
use super::walk::Viewer;
use crate::errno::{Errno, Result};

/// Whether an entry may be added to `directory`, whose mutex the caller holds.
fn may_add(directory: &Path, viewer: &Viewer) -> Result<()> {
    if directory.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let wanted = Permission::WRITE | Permission::EXECUTE;
    permission::check(&**directory.inode(), &viewer.credentials, wanted)
}

/// Whether the entry for `victim` may be taken from `directory`, whose mutex the caller holds.
fn may_take(directory: &Path, victim: &dyn Inode, viewer: &Viewer) -> Result<()> {
    let wanted = Permission::WRITE | Permission::EXECUTE;
    permission::check(&**directory.inode(), &viewer.credentials, wanted)?;
    let sticky = permission::is_sticky(
        &directory.inode().metadata(),
        &victim.metadata(),
        &viewer.credentials,
    );
    if sticky { Err(Errno::EPERM) } else { Ok(()) }
}

/// Records that the content of `directory` changed.
fn touch_directory(directory: &Path) {
    let now = Timestamp::now();
    let changes =
        AttributeChanges { modified: Some(now), changed: Some(now), ..AttributeChanges::default() };
    // A file system with fixed metadata has no times to change.
    let _ = directory.inode().set_attributes(&changes);
}

/// Records that the metadata of `inode` changed.
fn touch_change_time(inode: &dyn Inode) {
    let changes =
        AttributeChanges { changed: Some(Timestamp::now()), ..AttributeChanges::default() };
    // As above.
    let _ = inode.set_attributes(&changes);
}
