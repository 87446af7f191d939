//! stat(2), statx(2) and their relatives.

use linux_raw_sys::general as abi;

use super::super::{Fd, Metadata, Path, Timestamp, WalkFlags};
use super::{at_flags, files, find, find_text};
use crate::errno::{Errno, Result};
use crate::memory::user::{UserCString, UserPtr};
use crate::plain_data;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(4, stat(path: UserCString, status: UserPtr<Stat>)),
    syscall!(5, fstat(descriptor: Fd, status: UserPtr<Stat>)),
    syscall!(6, lstat(path: UserCString, status: UserPtr<Stat>)),
    syscall!(262, newfstatat(directory: Fd, path: UserCString, status: UserPtr<Stat>, flags: u32)),
    syscall!(332, statx(directory: Fd, path: UserCString, flags: u32, mask: u32, status: UserPtr<Statx>)),
];

/// `struct stat` of x86-64.
#[derive(Clone, Copy)]
#[repr(C)]
struct Stat {
    device: u64,
    inode: u64,
    links: u64,
    mode: u32,
    user: u32,
    group: u32,
    padding: u32,
    special: u64,
    size: i64,
    block_size: i64,
    blocks: i64,
    times: [i64; 6],
    unused: [i64; 3],
}

const _: () = assert!(size_of::<Stat>() == 144);

/// `struct statx_timestamp`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: i32,
}

/// `struct statx`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    user: u32,
    group: u32,
    mode: u16,
    spare: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: StatxTime,
    created: StatxTime,
    changed: StatxTime,
    modified: StatxTime,
    special: [u32; 2],
    device: [u32; 2],
    mount: u64,
    unused: [u64; 13],
}

const _: () = assert!(size_of::<Statx>() == 256);

plain_data!(Stat, Statx);

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        let Metadata { accessed, modified, changed, .. } = *metadata;
        let pair = |time: Timestamp| [time.seconds, i64::from(time.nanoseconds)];
        let ([a, b], [c, d], [e, f]) = (pair(accessed), pair(modified), pair(changed));
        Self {
            device: metadata.device.encode(),
            inode: metadata.inode,
            links: u64::from(metadata.links),
            mode: metadata.mode(),
            user: metadata.user,
            group: metadata.group,
            padding: 0,
            special: metadata.special.encode(),
            size: metadata.size as i64,
            block_size: i64::from(metadata.block_size),
            blocks: metadata.blocks as i64,
            times: [a, b, c, d, e, f],
            unused: [0; 3],
        }
    }
}

impl From<Timestamp> for StatxTime {
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.seconds, nanoseconds: time.nanoseconds, reserved: 0 }
    }
}

fn write_stat(path: &Path, status: UserPtr<Stat>) -> Result {
    status.write(&Stat::from(&path.inode().metadata()))?;
    Ok(0)
}

/// stat(2).
fn stat(caller: &mut Caller<'_>, path: UserCString, status: UserPtr<Stat>) -> Result {
    write_stat(&find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?, status)
}

/// lstat(2).
fn lstat(caller: &mut Caller<'_>, path: UserCString, status: UserPtr<Stat>) -> Result {
    write_stat(&find(caller, Fd::CWD, path, WalkFlags::empty())?, status)
}

/// fstat(2).
fn fstat(caller: &mut Caller<'_>, descriptor: Fd, status: UserPtr<Stat>) -> Result {
    write_stat(files(caller).get_any(descriptor)?.path(), status)
}

/// fstatat(2).
fn newfstatat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    status: UserPtr<Stat>,
    flags: u32,
) -> Result {
    let known = abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH | abi::AT_NO_AUTOMOUNT;
    let walk = at_flags(flags, known)?;
    write_stat(&find(caller, directory, path, walk)?, status)
}

/// statx(2). Everything is always known, so the mask of wishes changes nothing.
fn statx(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    flags: u32,
    mask: u32,
    status: UserPtr<Statx>,
) -> Result {
    let sync = abi::AT_STATX_FORCE_SYNC | abi::AT_STATX_DONT_SYNC;
    let known = abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH | abi::AT_NO_AUTOMOUNT | sync;
    if mask & abi::STATX__RESERVED != 0 || flags & sync == sync {
        return Err(Errno::EINVAL);
    }
    let walk = at_flags(flags, known)?;
    // A null path with AT_EMPTY_PATH counts as an empty one since Linux 6.11.
    let text = if path.0.is_null() && walk.contains(WalkFlags::EMPTY) {
        alloc::vec::Vec::new()
    } else {
        path.read_path()?
    };
    let place = find_text(caller, directory, &text, walk)?;
    status.write(&extended(&place))?;
    Ok(0)
}

fn extended(place: &Path) -> Statx {
    let metadata = place.inode().metadata();
    let is_root = alloc::sync::Arc::ptr_eq(&place.dentry, place.mount.root());
    Statx {
        mask: abi::STATX_BASIC_STATS | abi::STATX_BTIME | abi::STATX_MNT_ID,
        block_size: metadata.block_size,
        attributes: if is_root { u64::from(abi::STATX_ATTR_MOUNT_ROOT) } else { 0 },
        links: metadata.links,
        user: metadata.user,
        group: metadata.group,
        mode: metadata.mode() as u16,
        inode: metadata.inode,
        size: metadata.size,
        blocks: metadata.blocks,
        attributes_mask: u64::from(abi::STATX_ATTR_MOUNT_ROOT),
        accessed: metadata.accessed.into(),
        created: metadata.created.into(),
        changed: metadata.changed.into(),
        modified: metadata.modified.into(),
        special: [metadata.special.major, metadata.special.minor],
        device: [metadata.device.major, metadata.device.minor],
        mount: u64::from(place.mount.id()),
        ..Statx::default()
    }
}
