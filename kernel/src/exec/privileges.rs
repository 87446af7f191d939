//! Whom a new program acts for: set-id bits and capabilities (credentials(7), capabilities(7)).

use alloc::sync::Arc;

use crate::errno::Result;
use crate::fs::{Metadata, MountFlags, Path};
use crate::task::{CapabilitySet, Credentials, Privileges, Thread};

const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o0010;

/// The credentials of the program at `path` when `thread` executes it, and whether they exceed the thread's own.
///
/// # Errors
/// Those of reading the file's metadata.
pub fn of_program(path: &Path, thread: &Thread) -> Result<(Arc<Credentials>, Privileges)> {
    let old = thread.credentials();
    let trusted =
        !thread.has_no_new_privileges() && !path.mount.flags().contains(MountFlags::NO_SET_ID);
    let mut new = Credentials::clone(&old);
    if trusted {
        take_ids(&mut new, &path.inode().metadata());
    }
    take_capabilities(&mut new);
    let changed = new.user.effective != old.user.real || new.group.effective != old.group.real;
    let privileges = if changed { Privileges::Changed } else { Privileges::Unchanged };
    Ok((Arc::new(new), privileges))
}

fn take_ids(new: &mut Credentials, file: &Metadata) {
    if file.permissions & SET_USER_ID != 0 {
        new.user.effective = file.user;
    }
    // Without group execution the bit once meant mandatory locking.
    if file.permissions & SET_GROUP_ID != 0 && file.permissions & GROUP_EXECUTE != 0 {
        new.group.effective = file.group;
    }
    new.user.saved = new.user.effective;
    new.user.file_system = new.user.effective;
    new.group.saved = new.group.effective;
    new.group.file_system = new.group.effective;
}

/// Files carry no capabilities here, so only root's rule and the ambient set count.
fn take_capabilities(new: &mut Credentials) {
    let root = new.user.effective == 0;
    if root || new.user.real == 0 {
        new.ambient = CapabilitySet::default();
        new.permitted = CapabilitySet(new.inheritable.0 | new.bounding.0);
        new.effective = if root { new.permitted } else { CapabilitySet::default() };
    } else {
        new.permitted = new.ambient;
        new.effective = new.ambient;
    }
}
