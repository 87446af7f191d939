//! The first mounts: the root with what the boot loader brought along, and /dev.

use alloc::sync::Arc;

use spin::Once;

use super::inode::{FileSystem, NewInode, NewNode};
use super::mount::{self, Mount, MountFlags, change};
use super::path::Path;
use super::tmpfs::{self, Options, TmpFs};
use super::{FsContext, devtmpfs, initramfs, walk};
use crate::errno::{Errno, Result};

static CONTEXT: Once<Arc<FsContext>> = Once::new();

/// Makes the root from `image` (an initramfs, if there is one) and mounts /dev. Takes sleeping locks: a kernel thread
/// calls it, after the drivers have registered their devices and before the first program.
///
/// A malformed image is reported in the log, and what could be unpacked of it is used.
///
/// # Panics
/// Without memory for the root: nothing can run then.
pub fn initialize(image: Option<&[u8]>) {
    let memory = crate::memory::heap::memory();
    tmpfs::initialize(memory);
    let root = make_root().expect("memory for the root file system");
    if let Some(image) = image {
        match initramfs::unpack(image, root.inode()) {
            Ok(entries) => crate::log_info!("unpacked {entries} entries of the initramfs"),
            Err(error) => crate::log_error!("{error}"),
        }
    }
    if let Err(error) = mount_devices(&root) {
        crate::log_error!("/dev cannot be mounted: {error}");
    }
    CONTEXT.call_once(|| FsContext::new(root));
}

/// The file-system context of the first program: it stands at the root.
///
/// # Panics
/// Before [`initialize`].
#[must_use]
pub fn initial_context() -> Arc<FsContext> {
    CONTEXT.get().expect("the file system is initialised before the first program").duplicate()
}

fn make_root() -> Result<Path> {
    let options = Options { mode: 0o755, ..Options::default() };
    let file_system: Arc<dyn FileSystem> = TmpFs::new("rootfs", &options)?;
    let mount = Mount::new(file_system, MountFlags::empty(), b"rootfs")?;
    mount::attach_root(&mount)?;
    Ok(mount.root_path())
}

fn mount_devices(root: &Path) -> Result<()> {
    let directory = root.inode().directory().ok_or(Errno::ENOTDIR)?;
    if directory.lookup(b"dev").is_err() {
        let node = NewNode::Directory;
        directory.create(b"dev", &NewInode { node, permissions: 0o755, user: 0, group: 0 })?;
    }
    let dentry = walk::lookup_child(&root.dentry, b"dev")?;
    let place = Path { mount: root.mount.clone(), dentry };
    let flags = MountFlags::RELATIVE_ATIME | MountFlags::NO_SET_ID;
    change::mount(devtmpfs::instance()?, flags, b"devtmpfs", &place)
}
