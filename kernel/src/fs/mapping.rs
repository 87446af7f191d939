//! Files as memory: what mmap(2) maps and what execve(2) loads.

use alloc::sync::Arc;
use core::fmt;

use linux_raw_sys::general as abi;
use mm::object::{MappedFile, MemoryObject};

use super::file::File;
use super::flags::OpenFlags;
use super::metadata::FileType;
use super::mount::{self, MountFlags};
use super::path::Path;
use super::permission::{self, Permission};
use super::walk::{Viewer, WalkFlags, resolve};
use super::write_access::{Claim, WriteClaim};
use crate::errno::{Errno, Result};

/// How a mapping shall reach the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapAccess {
    /// Privately, or shared for reading.
    Read,
    /// Shared, and writes reach the file.
    SharedWrite,
}

/// Whether `file` may be mapped for `access`.
///
/// # Errors
/// `EACCES` if the file is not open for reading, or, for shared writing, not for both; `EPERM` if it is sealed or its
/// mount forbids it.
pub fn check_mapping(file: &File, access: MapAccess) -> Result<()> {
    if !file.access().can_read() {
        return Err(Errno::EACCES);
    }
    if access == MapAccess::SharedWrite {
        if !file.access().can_write() {
            return Err(Errno::EACCES);
        }
        let sealed = abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE;
        if file.operations().seals().is_ok_and(|seals| seals & sealed != 0) {
            return Err(Errno::EPERM);
        }
    }
    Ok(())
}

/// The memory object behind `file`.
///
/// # Errors
/// Those of [`check_mapping`]; `ENODEV` if it cannot be mapped.
pub fn mapping(file: &File, access: MapAccess) -> Result<Arc<dyn MemoryObject>> {
    check_mapping(file, access)?;
    file.operations().memory_object(file)
}

/// Whether pages of `file` may be mapped executable.
#[must_use]
pub fn may_map_executable(file: &File) -> bool {
    !file.path().mount.flags().contains(MountFlags::NO_EXECUTE)
}

/// A program that is about to be executed: open for reading, and closed to writers while its claim lives.
pub struct Executable {
    /// The open file.
    pub file: Arc<File>,
    /// Keeps it closed to writers; whoever goes on running the program keeps this.
    pub claim: Arc<WriteClaim>,
}

/// Opens the program that `path` names, seen from `start` (execve(2), execveat(2)).
///
/// # Errors
/// Those of the walk; `EACCES` if it is no regular file, may not be executed, or its mount forbids it; `ETXTBSY`.
pub fn open_executable(
    viewer: &Viewer,
    start: Path,
    path: &[u8],
    flags: WalkFlags,
) -> Result<Executable> {
    let place = resolve(viewer, start, path, flags)?;
    if place.inode().file_type() == FileType::SymbolicLink {
        return Err(Errno::ELOOP);
    }
    if place.inode().file_type() != FileType::Regular {
        return Err(Errno::EACCES);
    }
    permission::check_path(&place, &viewer.credentials, Permission::EXECUTE)?;
    let claim = Arc::new(WriteClaim::new(place.inode(), Claim::Execute)?);
    // A program need not be readable to be executed, so this does not ask.
    let operations = place.inode().clone().open(OpenFlags::empty())?;
    let file = File::new(place, operations, OpenFlags::LARGE_FILE)?;
    Ok(Executable { file, claim })
}

/// Fills `buffer` from `offset` of `file` on and returns how many bytes there were: fewer only at the end of the file.
///
/// # Errors
/// The file's own.
pub fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> Result {
    file.inode().read_at(offset, buffer)
}

impl MappedFile for File {
    fn device(&self) -> u64 {
        File::inode(self).metadata().device.encode()
    }

    fn inode(&self) -> u64 {
        File::inode(self).metadata().inode
    }

    fn write_path(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let Some(root) = mount::root() else { return Ok(()) };
        let text = self.path().display_text(&root).map_err(|_| fmt::Error)?;
        // A newline would break the line, so it is quoted in octal; what is no UTF-8 cannot be shown.
        for chunk in text.utf8_chunks() {
            for (index, part) in chunk.valid().split('\n').enumerate() {
                if index > 0 {
                    out.write_str("\\012")?;
                }
                out.write_str(part)?;
            }
            if !chunk.invalid().is_empty() {
                out.write_char('?')?;
            }
        }
        Ok(())
    }
}
