//! statfs(2) and fstatfs(2).

use super::super::{Fd, MountFlags, NAME_MAX, Path, WalkFlags};
use super::{files, find};
use crate::errno::Result;
use crate::memory::user::{UserCString, UserPtr};
use crate::plain_data;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(137, statfs(path: UserCString, status: UserPtr<StatFs>)),
    syscall!(138, fstatfs(descriptor: Fd, status: UserPtr<StatFs>)),
];

/// `struct statfs` of x86-64.
#[derive(Clone, Copy)]
#[repr(C)]
struct StatFs {
    magic: u64,
    block_size: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    files: u64,
    files_free: u64,
    id: [u32; 2],
    name_length: u64,
    fragment_size: u64,
    flags: u64,
    spare: [u64; 4],
}

const _: () = assert!(size_of::<StatFs>() == 120);

plain_data!(StatFs);

/// `ST_VALID`: the flags mean something.
const FLAGS_VALID: u64 = 0x20;

/// The `ST_*` flags of a mount (statfs(2)).
fn flags_of(flags: MountFlags) -> u64 {
    let table = [
        (MountFlags::READ_ONLY, 1),
        (MountFlags::NO_SET_ID, 2),
        (MountFlags::NO_DEVICES, 4),
        (MountFlags::NO_EXECUTE, 8),
        (MountFlags::NO_ATIME, 1 << 10),
        (MountFlags::NO_DIRECTORY_ATIME, 1 << 11),
        (MountFlags::RELATIVE_ATIME, 1 << 12),
    ];
    let set = table.iter().filter(|(flag, _)| flags.contains(*flag));
    set.fold(FLAGS_VALID, |all, (_, bit)| all | bit)
}

fn write_statistics(path: &Path, status: UserPtr<StatFs>) -> Result {
    let file_system = path.mount.file_system();
    let statistics = file_system.statistics();
    status.write(&StatFs {
        magic: statistics.magic,
        block_size: statistics.block_size,
        blocks: statistics.blocks,
        blocks_free: statistics.blocks_free,
        blocks_available: statistics.blocks_free,
        files: statistics.files,
        files_free: statistics.files_free,
        id: [file_system.device().encode() as u32, 0],
        name_length: NAME_MAX as u64,
        fragment_size: statistics.block_size,
        flags: flags_of(path.mount.flags()),
        spare: [0; 4],
    })?;
    Ok(0)
}

/// statfs(2).
fn statfs(caller: &mut Caller<'_>, path: UserCString, status: UserPtr<StatFs>) -> Result {
    write_statistics(&find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?, status)
}

/// fstatfs(2).
fn fstatfs(caller: &mut Caller<'_>, descriptor: Fd, status: UserPtr<StatFs>) -> Result {
    write_statistics(files(caller).get_any(descriptor)?.path(), status)
}
