//! Sockets in the file system: the node that bind(2) makes, and finding it again.

use alloc::sync::Arc;

use crate::errno::{Errno, Result};
use crate::fs::{self, FileType, Inode, Last, NewNode, Path, Permission, Viewer, WalkFlags};
use crate::task;

/// The permission bits of a new node, before the umask.
const PERMISSIONS: u16 = 0o777;

/// The caller's viewpoint, and where `path` starts.
fn viewpoint(path: &[u8]) -> (Viewer, Path) {
    let thread = task::current();
    let context = thread.fs();
    let start =
        if path.first() == Some(&b'/') { context.root() } else { context.working_directory() };
    (Viewer::new(&context, thread.credentials()), start)
}

/// Makes a socket node at `path`.
///
/// # Errors
/// `EADDRINUSE` if something is there; those of the walk and of the file system.
pub(super) fn create(path: &[u8]) -> Result<Arc<dyn Inode>> {
    let (viewer, start) = viewpoint(path);
    let parent = fs::resolve_parent(&viewer, start, path)?;
    let Last::Name(name) = &parent.last else { return Err(Errno::EADDRINUSE) };
    if parent.trailing_slash {
        return Err(Errno::ENOENT);
    }
    let permissions = PERMISSIONS & !task::current().fs().umask();
    let made = fs::create_node(&viewer, &parent.directory, name, NewNode::Socket, permissions);
    match made {
        Ok(path) => Ok(path.inode().clone()),
        Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
        Err(error) => Err(error),
    }
}

/// The socket node at `path`, which the caller may write to.
///
/// # Errors
/// `ECONNREFUSED` if it is no socket; those of the walk; `EACCES`.
pub(super) fn find(path: &[u8]) -> Result<Arc<dyn Inode>> {
    let (viewer, start) = viewpoint(path);
    let found = fs::resolve(&viewer, start, path, WalkFlags::FOLLOW)?;
    fs::check_path(&found, &viewer.credentials, Permission::WRITE)?;
    if found.inode().file_type() != FileType::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    Ok(found.inode().clone())
}
