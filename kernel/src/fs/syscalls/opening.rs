//! open(2) and its relatives, memfd_create(2).

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::super::open::CREATION_MASK;
use super::super::open::open as open_file;
use super::super::{CloseOnExec, Fd, OpenFlags, OpenRequest, WalkFlags};
use super::{context, descriptor_limit, files, start, viewer};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserCString};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(2, open(path: UserCString, flags: u32, mode: u32)),
    syscall!(85, creat(path: UserCString, mode: u32)),
    syscall!(257, openat(directory: Fd, path: UserCString, flags: u32, mode: u32)),
    syscall!(319, memfd_create(name: UserCString, flags: u32)),
    syscall!(437, openat2(directory: Fd, path: UserCString, how: UserAddr, size: usize)),
];

/// open(2).
fn open(caller: &mut Caller<'_>, path: UserCString, flags: u32, mode: u32) -> Result {
    openat(caller, Fd::CWD, path, flags, mode)
}

/// creat(2).
fn creat(caller: &mut Caller<'_>, path: UserCString, mode: u32) -> Result {
    openat(caller, Fd::CWD, path, abi::O_CREAT | abi::O_WRONLY | abi::O_TRUNC, mode)
}

/// openat(2). Unknown flags are ignored, as they always were.
fn openat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    flags: u32,
    mode: u32,
) -> Result {
    let mut flags = OpenFlags::from_bits_truncate(flags);
    if flags.contains(OpenFlags::PATH) {
        // Only these go with it (open(2)).
        flags &= OpenFlags::PATH
            | OpenFlags::DIRECTORY
            | OpenFlags::NO_FOLLOW
            | OpenFlags::CLOSE_ON_EXEC;
    }
    let creates = flags.intersects(OpenFlags::CREATE) || flags.contains(OpenFlags::TEMPORARY);
    let permissions = if creates { mode as u16 & CREATION_MASK } else { 0 };
    finish(caller, directory, path, flags, permissions, WalkFlags::empty())
}

/// The `open_how` of openat2(2): flags, mode, resolve.
const HOW_SIZE: usize = 24;
/// The largest extended structure that is looked at.
const HOW_SIZE_MAX: usize = 4096;

/// openat2(2): every unknown bit is an error.
fn openat2(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    how: UserAddr,
    size: usize,
) -> Result {
    let [flags, mode, resolve] = read_how(how, size)?;
    let flags = u32::try_from(flags).ok().and_then(OpenFlags::from_bits).ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREATE) || flags.contains(OpenFlags::TEMPORARY);
    let allowed_mode = if creates { u64::from(CREATION_MASK) } else { 0 };
    if mode & !allowed_mode != 0 {
        return Err(Errno::EINVAL);
    }
    let with_path =
        OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW | OpenFlags::CLOSE_ON_EXEC;
    if flags.contains(OpenFlags::PATH) && !with_path.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let walk = resolve_flags(resolve)?;
    finish(caller, directory, path, flags, mode as u16, walk)
}

fn read_how(how: UserAddr, size: usize) -> Result<[u64; 3]> {
    if size < HOW_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > HOW_SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = super::try_zeroed(size)?;
    user::read_bytes(how, &mut bytes)?;
    if bytes[HOW_SIZE..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut words = [0; 3];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    Ok(words)
}

fn resolve_flags(resolve: u64) -> Result<WalkFlags> {
    let table = [
        (abi::RESOLVE_NO_XDEV, WalkFlags::NO_CROSSING),
        (abi::RESOLVE_NO_MAGICLINKS, WalkFlags::NO_MAGIC_LINKS),
        (abi::RESOLVE_NO_SYMLINKS, WalkFlags::NO_SYMBOLIC_LINKS),
        (abi::RESOLVE_BENEATH, WalkFlags::BENEATH),
        (abi::RESOLVE_IN_ROOT, WalkFlags::IN_ROOT),
        // Every walk here is answered from memory.
        (abi::RESOLVE_CACHED, WalkFlags::empty()),
    ];
    let known = table.iter().fold(0, |known, (bit, _)| known | u64::from(*bit));
    if resolve & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let both = u64::from(abi::RESOLVE_BENEATH | abi::RESOLVE_IN_ROOT);
    if resolve & both == both {
        return Err(Errno::EINVAL);
    }
    let set = table.iter().filter(|(bit, _)| resolve & u64::from(*bit) != 0);
    Ok(set.fold(WalkFlags::empty(), |flags, (_, flag)| flags | *flag))
}

/// Opens the file and enters it into the table.
fn finish(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    flags: OpenFlags,
    permissions: u16,
    walk: WalkFlags,
) -> Result {
    // `O_TMPFILE` is a bit of its own and `O_DIRECTORY`; the bit alone means nothing.
    let tmpfile_bit = OpenFlags::TEMPORARY.difference(OpenFlags::DIRECTORY);
    if flags.intersects(tmpfile_bit) {
        if !flags.contains(OpenFlags::TEMPORARY) || flags.contains(OpenFlags::CREATE) {
            return Err(Errno::EINVAL);
        }
    } else if flags.contains(OpenFlags::CREATE | OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path()?;
    let files = files(caller);
    let slot = files.reserve(0, descriptor_limit(caller))?;
    let request = OpenRequest { flags, permissions, umask: context(caller).umask(), walk };
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let start = start(caller, directory, &path)?;
    let file = open_file(&viewer(caller), start, &path, &request)?;
    let close_on_exec = CloseOnExec::from_flag(flags.contains(OpenFlags::CLOSE_ON_EXEC));
    slot.install(file, close_on_exec).map(|descriptor| descriptor.0 as usize)
}

/// memfd_create(2).
fn memfd_create(caller: &mut Caller<'_>, name: UserCString, flags: u32) -> Result {
    /// The longest name: the prefix `memfd:` fits in a file name with it.
    const NAME_LIMIT: usize = 249;
    let known = abi::MFD_CLOEXEC | abi::MFD_ALLOW_SEALING | abi::MFD_NOEXEC_SEAL | abi::MFD_EXEC;
    let both = abi::MFD_EXEC | abi::MFD_NOEXEC_SEAL;
    if flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let name = name.read(NAME_LIMIT, Errno::EINVAL)?;
    let files = files(caller);
    let slot = files.reserve(0, descriptor_limit(caller))?;
    let sealing = if flags & (abi::MFD_ALLOW_SEALING | abi::MFD_NOEXEC_SEAL) != 0 {
        super::super::memfd::Sealing::Allowed
    } else {
        super::super::memfd::Sealing::Refused
    };
    let file = super::super::memfd::create(&name, sealing, &caller.thread.credentials())?;
    let close_on_exec = CloseOnExec::from_flag(flags & abi::MFD_CLOEXEC != 0);
    slot.install(file, close_on_exec).map(|descriptor| descriptor.0 as usize)
}
