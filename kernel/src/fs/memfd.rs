//! memfd_create(2): a regular file without a name, in a tmpfs that is mounted nowhere.

use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Once;

use super::dentry::Dentry;
use super::file::File;
use super::flags::OpenFlags;
use super::inode::{NewInode, NewNode};
use super::mount::{Mount, MountFlags};
use super::name::try_copy;
use super::path::Path;
use super::tmpfs::{Options, TmpFs};
use crate::errno::{Errno, Result};
use crate::task::Credentials;

/// Whether a memfd can be sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sealing {
    /// It can (`MFD_ALLOW_SEALING`).
    Allowed,
    /// It has the seal that forbids seals.
    Refused,
}

fn mount() -> Result<Arc<Mount>> {
    static MOUNT: Once<Arc<Mount>> = Once::new();
    MOUNT
        .try_call_once(|| {
            // Linux does not limit this instance either.
            let options = Options { blocks: Some(0), inodes: Some(0), ..Options::default() };
            Mount::new(TmpFs::new("tmpfs", &options)?, MountFlags::empty(), b"tmpfs")
        })
        .cloned()
}

/// A new, empty file open for reading and writing, shown as `/memfd:NAME (deleted)`.
///
/// # Errors
/// `ENOMEM`.
pub fn create(name: &[u8], sealing: Sealing, owner: &Credentials) -> Result<Arc<File>> {
    let mount = mount()?;
    let new = NewInode {
        node: NewNode::Regular,
        permissions: 0o777,
        user: owner.user.file_system,
        group: owner.group.file_system,
    };
    let root = mount.file_system().root();
    let inode = root.directory().ok_or(Errno::ENOTDIR)?.create_unnamed(&new)?;
    let operations = inode.clone().open(OpenFlags::READ_WRITE)?;
    if sealing == Sealing::Allowed {
        operations.allow_seals();
    }
    let mut label: Vec<u8> = try_copy(b"/memfd:")?;
    label.try_reserve(name.len() + 10).map_err(|_| Errno::ENOMEM)?;
    label.extend_from_slice(name);
    label.extend_from_slice(b" (deleted)");
    let dentry = Dentry::detached(inode, &label)?;
    let flags = OpenFlags::READ_WRITE | OpenFlags::LARGE_FILE;
    File::new(Path { mount, dentry }, operations, flags)
}
