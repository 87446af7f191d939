//! open(2): from a path and flags to an open file.

use alloc::sync::Arc;

use super::directory::DirectoryFile;
use super::file::File;
use super::flags::{AccessMode, OpenFlags};
use super::inode::{Inode, NewNode};
use super::metadata::FileType;
use super::mount::MountFlags;
use super::name::Name;
use super::names;
use super::operations::FileOperations;
use super::path::Path;
use super::permission::{self, Permission};
use super::walk::{Last, Viewer, Walk, WalkFlags};
use super::{dentry::Dentry, device};
use crate::errno::{Errno, Result};

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    /// The `O_*` flags.
    pub flags: OpenFlags,
    /// The permission bits of a file that is created, before the umask.
    pub permissions: u16,
    /// The caller's umask.
    pub umask: u16,
    /// Restrictions on the walk (openat2(2)).
    pub walk: WalkFlags,
}

/// Whether this call made the file: then its own mode does not restrict the creator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Found,
    Created,
}

/// Opens the file that `path` names, seen from `start`.
///
/// # Errors
/// Those of the walk; `EEXIST, EISDIR, ENOTDIR, ELOOP, EROFS, EACCES, EPERM, ENXIO, ETXTBSY`, and the file's own.
pub fn open(viewer: &Viewer, start: Path, path: &[u8], request: &OpenRequest) -> Result<Arc<File>> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let flags = request.flags;
    let mut walk_flags = request.walk;
    let exclusive = flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    if !flags.contains(OpenFlags::NO_FOLLOW) && !exclusive {
        walk_flags |= WalkFlags::FOLLOW;
    }
    if flags.contains(OpenFlags::DIRECTORY) {
        walk_flags |= WalkFlags::DIRECTORY;
    }
    let walk = Walk::new(viewer, start, path, walk_flags)?;
    if flags.contains(OpenFlags::TEMPORARY) {
        return open_unnamed(viewer, walk, request);
    }
    let (place, origin) = find_or_create(viewer, walk, request)?;
    open_place(viewer, place, flags, origin)
}

/// Walks to the file, following links, and creates it where that is asked for and it is missing.
fn find_or_create(
    viewer: &Viewer,
    mut walk: Walk<'_>,
    request: &OpenRequest,
) -> Result<(Path, Origin)> {
    let creating = request.flags.contains(OpenFlags::CREATE);
    loop {
        let name = match walk.advance_to_last()? {
            Last::Name(name) => name,
            _ if creating && !request.flags.contains(OpenFlags::DIRECTORY) => {
                return Err(Errno::EISDIR);
            }
            Last::DotDot => {
                walk.step_up()?;
                break;
            }
            Last::Here | Last::Dot => break,
        };
        if creating && walk.directory_required {
            return Err(Errno::EISDIR);
        }
        let child = match walk.child(&name) {
            Err(Errno::ENOENT) if creating => match create_file(viewer, &walk.at, &name, request) {
                Ok(path) => return Ok((path, Origin::Created)),
                // Somebody else created it meanwhile: it is found now.
                Err(Errno::EEXIST) if !request.flags.contains(OpenFlags::EXCLUSIVE) => {
                    walk.child(&name)?
                }
                Err(error) => return Err(error),
            },
            other => other?,
        };
        if creating && request.flags.contains(OpenFlags::EXCLUSIVE) {
            return Err(Errno::EEXIST);
        }
        if walk.must_follow(&child) {
            walk.follow(&child)?;
            continue;
        }
        walk.at = child;
        break;
    }
    Ok((walk.finish()?, Origin::Found))
}

fn create_file(
    viewer: &Viewer,
    directory: &Path,
    name: &Name,
    request: &OpenRequest,
) -> Result<Path> {
    let permissions = request.permissions & !request.umask;
    names::create(viewer, directory, name, NewNode::Regular, permissions)
}

/// Opens a new file that has no name (`O_TMPFILE`).
fn open_unnamed(viewer: &Viewer, walk: Walk<'_>, request: &OpenRequest) -> Result<Arc<File>> {
    if !request.flags.access().can_write() {
        return Err(Errno::EINVAL);
    }
    let directory = walk.complete()?;
    let permissions = request.permissions & !request.umask;
    let inode = names::create_unnamed(viewer, &directory, permissions)?;
    let dentry = Dentry::detached(inode, b"/ (deleted)")?;
    let path = Path { mount: directory.mount, dentry };
    open_place(viewer, path, request.flags, Origin::Created)
}

/// Opens what stands at `path` already (also for the links in `/proc/PID/fd`).
///
/// # Errors
/// As [`open`].
pub fn open_path(viewer: &Viewer, path: Path, flags: OpenFlags) -> Result<Arc<File>> {
    open_place(viewer, path, flags, Origin::Found)
}

fn open_place(viewer: &Viewer, path: Path, flags: OpenFlags, origin: Origin) -> Result<Arc<File>> {
    let file_type = path.inode().file_type();
    if flags.access() == AccessMode::Path {
        return File::new(path, Arc::new(PlaceOnly), flags);
    }
    if file_type == FileType::SymbolicLink {
        return Err(Errno::ELOOP);
    }
    if origin == Origin::Found {
        check_access(viewer, &path, flags)?;
    }
    let operations = operations_of(&path, flags)?;
    let file = File::new(path, operations, flags)?;
    if flags.contains(OpenFlags::TRUNCATE) && origin == Origin::Found && file.inode().is_sized() {
        truncate_opened(viewer, file.inode())?;
    }
    Ok(file)
}

/// What the inode's mode, the mount and the flags allow.
fn check_access(viewer: &Viewer, path: &Path, flags: OpenFlags) -> Result<()> {
    let access = flags.access();
    let mut wanted = Permission::empty();
    if access.can_read() || access == AccessMode::ControlOnly {
        wanted |= Permission::READ;
    }
    if access.can_write()
        || access == AccessMode::ControlOnly
        || flags.contains(OpenFlags::TRUNCATE)
    {
        wanted |= Permission::WRITE;
    }
    let file_type = path.inode().file_type();
    if file_type == FileType::Directory
        && (wanted.contains(Permission::WRITE) || flags.contains(OpenFlags::CREATE))
    {
        return Err(Errno::EISDIR);
    }
    let is_device = matches!(file_type, FileType::CharacterDevice | FileType::BlockDevice);
    if is_device && path.mount.flags().contains(MountFlags::NO_DEVICES) {
        return Err(Errno::EACCES);
    }
    permission::check_path(path, &viewer.credentials, wanted)?;
    if flags.contains(OpenFlags::NO_ATIME)
        && !permission::is_owner(&path.inode().metadata(), &viewer.credentials)
    {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// The operations for what stands at `path`, by its type.
fn operations_of(path: &Path, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
    let inode = path.inode();
    match inode.file_type() {
        FileType::Directory => Ok(Arc::new(DirectoryFile)),
        FileType::CharacterDevice => device::open(inode.metadata().special, path, flags),
        // There are no block devices.
        FileType::BlockDevice | FileType::Socket => Err(Errno::ENXIO),
        FileType::SymbolicLink => Err(Errno::ELOOP),
        FileType::Regular | FileType::Fifo => inode.clone().open(flags),
    }
}

fn truncate_opened(viewer: &Viewer, inode: &Arc<dyn Inode>) -> Result<()> {
    inode.truncate(0)?;
    super::attributes::drop_set_id(&**inode, &viewer.credentials)
}

/// The operations of an `O_PATH` descriptor: none. [`FileTable::get`](super::FileTable::get) refuses it anyway.
struct PlaceOnly;

impl FileOperations for PlaceOnly {}

/// The permission bits that open(2), mkdir(2) and mknod(2) take from their `mode`.
pub const CREATION_MASK: u16 = 0o7777;
