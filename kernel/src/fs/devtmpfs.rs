//! devtmpfs: the one tmpfs instance at /dev whose device nodes come from the registry of drivers.

use alloc::sync::Arc;

use spin::Once;

use super::device::{self, Registration};
use super::inode::{Directory, FileSystem, Inode, NewInode, NewNode};
use super::tmpfs::{Options, TmpFs};
use crate::errno::{Errno, Result};

static INSTANCE: Once<Arc<TmpFs>> = Once::new();

/// The instance, with a node for every device that is registered by now.
///
/// # Errors
/// `ENOMEM`.
pub fn instance() -> Result<Arc<dyn FileSystem>> {
    let instance = INSTANCE.try_call_once(|| {
        let options = Options { mode: 0o755, ..Options::default() };
        let instance = TmpFs::new("devtmpfs", &options)?;
        populate_fixed(&instance)?;
        Ok::<_, Errno>(instance)
    })?;
    for registration in &device::registered() {
        add_node(&**instance, registration)?;
    }
    Ok(instance.clone())
}

/// What is in every /dev besides devices.
fn populate_fixed(instance: &TmpFs) -> Result<()> {
    let root = FileSystem::root(instance);
    for directory in ["pts", "shm"] {
        make(&*root, directory.as_bytes(), NewNode::Directory, 0o755)?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        make(&*root, name.as_bytes(), NewNode::SymbolicLink(target.as_bytes()), 0o777)?;
    }
    Ok(())
}

fn add_node(instance: &dyn FileSystem, registration: &Registration) -> Result<()> {
    let root = instance.root();
    let (parent, name) = match registration.name.rsplit_once('/') {
        None => (root, registration.name),
        Some((directory, name)) => (subdirectory(&root, directory)?, name),
    };
    let node = NewNode::CharacterDevice(registration.number);
    make(&*parent, name.as_bytes(), node, registration.permissions)
}

fn subdirectory(root: &Arc<dyn Inode>, name: &str) -> Result<Arc<dyn Inode>> {
    make(&**root, name.as_bytes(), NewNode::Directory, 0o755)?;
    root.directory().ok_or(Errno::ENOTDIR)?.lookup(name.as_bytes())
}

/// Makes an entry, unless it is there.
fn make(parent: &dyn Inode, name: &[u8], node: NewNode<'_>, permissions: u16) -> Result<()> {
    let directory: &dyn Directory = parent.directory().ok_or(Errno::ENOTDIR)?;
    if directory.lookup(name).is_ok() {
        return Ok(());
    }
    let new = NewInode { node, permissions, user: 0, group: 0 };
    directory.create(name, &new).map(|_| ())
}
