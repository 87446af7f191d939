//! lseek(2), truncate(2), fallocate(2) and advice about access.

use linux_raw_sys::general as abi;

use super::super::{Allocation, Fd, FileType, SeekFrom, WalkFlags, attributes, limits};
use super::{file, find};
use crate::errno::{Errno, Result};
use crate::memory::user::UserCString;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(8, lseek(descriptor: Fd, offset: i64, whence: u32)),
    syscall!(76, truncate(path: UserCString, length: i64)),
    syscall!(77, ftruncate(descriptor: Fd, length: i64)),
    syscall!(187, readahead(descriptor: Fd, offset: i64, count: usize)),
    syscall!(221, fadvise64(descriptor: Fd, offset: i64, length: i64, advice: u32)),
    syscall!(285, fallocate(descriptor: Fd, mode: u32, offset: i64, length: i64)),
];

/// lseek(2).
fn lseek(caller: &mut Caller<'_>, descriptor: Fd, offset: i64, whence: u32) -> Result {
    let file = file(caller, descriptor)?;
    let to = match whence {
        abi::SEEK_SET => SeekFrom::Start(offset),
        abi::SEEK_CUR => SeekFrom::Current(offset),
        abi::SEEK_END => SeekFrom::End(offset),
        abi::SEEK_DATA => SeekFrom::Data(offset),
        abi::SEEK_HOLE => SeekFrom::Hole(offset),
        _ => return Err(Errno::EINVAL),
    };
    file.seek(to).map(|position| position as usize)
}

/// truncate(2).
fn truncate(caller: &mut Caller<'_>, path: UserCString, length: i64) -> Result {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let path = find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?;
    limits::check_file_size(length)?;
    attributes::truncate(&path, length, &caller.thread.credentials())?;
    Ok(0)
}

/// ftruncate(2).
fn ftruncate(caller: &mut Caller<'_>, descriptor: Fd, length: i64) -> Result {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = file(caller, descriptor)?;
    if file.inode().file_type() != FileType::Regular || !file.access().can_write() {
        return Err(Errno::EINVAL);
    }
    limits::check_file_size(length)?;
    file.inode().truncate(length)?;
    attributes::drop_set_id(&**file.inode(), &caller.thread.credentials())?;
    Ok(0)
}

/// readahead(2): everything is in memory already.
fn readahead(caller: &mut Caller<'_>, descriptor: Fd, _offset: i64, _count: usize) -> Result {
    let file = file(caller, descriptor)?;
    file.must_read()?;
    if file.inode().is_sized() { Ok(0) } else { Err(Errno::EINVAL) }
}

/// posix_fadvise(2): checked, and of no consequence in memory.
fn fadvise64(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    _offset: i64,
    length: i64,
    advice: u32,
) -> Result {
    let file = file(caller, descriptor)?;
    if file.inode().file_type() == FileType::Fifo {
        return Err(Errno::ESPIPE);
    }
    if length < 0 || advice > abi::POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// fallocate(2).
fn fallocate(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    mode: u32,
    offset: i64,
    length: i64,
) -> Result {
    let file = file(caller, descriptor)?;
    let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else {
        return Err(Errno::EINVAL);
    };
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let mode = match mode {
        0 => Allocation::Grow,
        abi::FALLOC_FL_KEEP_SIZE => Allocation::Reserve,
        mode if mode == abi::FALLOC_FL_PUNCH_HOLE | abi::FALLOC_FL_KEEP_SIZE => {
            Allocation::PunchHole
        }
        _ => return Err(Errno::EOPNOTSUPP),
    };
    file.must_write()?;
    match file.inode().file_type() {
        FileType::Regular => {}
        FileType::Fifo => return Err(Errno::ESPIPE),
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    file.operations().allocate(&file, mode, offset, length)?;
    Ok(0)
}
