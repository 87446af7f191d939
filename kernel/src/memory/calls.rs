//! The system calls on address spaces: mmap(2) and its relatives.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use linux_raw_sys::general::{
    MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED,
    MADV_DONTNEED_LOCKED, MADV_FREE, MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_MERGEABLE,
    MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
    MADV_RANDOM, MADV_REMOVE, MADV_SEQUENTIAL, MADV_UNMERGEABLE, MADV_WILLNEED, MADV_WIPEONFORK,
    MAP_32BIT, MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_HUGETLB,
    MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE,
    MAP_SYNC, MAP_TYPE, MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT, MREMAP_DONTUNMAP,
    MREMAP_FIXED, MREMAP_MAYMOVE, MS_ASYNC, MS_INVALIDATE, MS_SYNC, PROT_EXEC, PROT_GROWSDOWN,
    PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE,
};
use mm::object::{MemoryObject, PagedObject};
use mm::space::{
    Advice, LockMode, LockScope, MapOptions, MapRequest, Placement, Remap, RemapTarget, Source,
    SyncMode,
};
use mm::{AddressSpace, ObjectRange, Protection};

use super::{errno_of, memory, user};
use crate::errno::{Errno, Result};
use crate::fs::{self, Fd, File, MapAccess};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

const PAGE: u64 = PAGE_SIZE as u64;

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(9, mmap(address: u64, length: u64, protection: u32, flags: u32, descriptor: Fd, offset: u64)),
    syscall!(10, mprotect(start: u64, length: u64, protection: u32)),
    syscall!(11, munmap(start: u64, length: u64)),
    syscall!(12, brk(end: u64)),
    syscall!(25, mremap(start: u64, old_length: u64, new_length: u64, flags: u32, target: u64)),
    syscall!(26, msync(start: u64, length: u64, flags: u32)),
    syscall!(27, mincore(start: u64, length: u64, vector: UserAddr)),
    syscall!(28, madvise(start: u64, length: u64, advice: u32)),
    syscall!(149, mlock(start: u64, length: u64)),
    syscall!(150, munlock(start: u64, length: u64)),
    syscall!(151, mlockall(flags: u32)),
    syscall!(152, munlockall()),
    syscall!(325, mlock2(start: u64, length: u64, flags: u32)),
];

fn space_of(caller: &Caller<'_>) -> Result<Arc<AddressSpace>> {
    caller.thread.space().ok_or(Errno::EFAULT)
}

fn limits_of(caller: &Caller<'_>) -> mm::Limits {
    caller.thread.process().memory_limits()
}

/// `value` as a user address; what is outside user space is answered with `error`.
fn address(value: u64, error: Errno) -> Result<UserAddr> {
    UserAddr::try_new(value).ok_or(error)
}

/// The bits of a `PROT_*` argument that mean something to pages.
fn protection_of(bits: u32) -> Protection {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, bits & PROT_READ != 0);
    protection.set(Protection::WRITE, bits & PROT_WRITE != 0);
    protection.set(Protection::EXECUTE, bits & PROT_EXEC != 0);
    protection
}

/// Maps a file or anonymous memory (mmap(2)).
fn mmap(
    caller: &mut Caller<'_>,
    at: u64,
    length: u64,
    protection: u32,
    flags: u32,
    descriptor: Fd,
    offset: u64,
) -> Result {
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let file = match flags & MAP_ANONYMOUS {
        0 => Some(caller.thread.files().get(descriptor)?),
        _ => None,
    };
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let protection = protection_of(protection);
    let placement = placement(flags);
    let wish = if placement == Placement::Hint { at & !(PAGE - 1) } else { at };
    let request = MapRequest {
        address: match placement {
            // A wish outside user space is as good as none.
            Placement::Hint | Placement::Low => UserAddr::try_new(wish).unwrap_or(UserAddr::NULL),
            _ => address(wish, Errno::ENOMEM)?,
        },
        placement,
        length,
        protection,
        source: source(file.as_ref(), flags, protection, offset, length)?,
        options: options(flags),
    };
    let start = space_of(caller)?.map(&request, &limits_of(caller)).map_err(errno_of)?;
    Ok(start.as_usize())
}

fn placement(flags: u32) -> Placement {
    match flags {
        _ if flags & MAP_FIXED_NOREPLACE != 0 => Placement::FixedNoReplace,
        _ if flags & MAP_FIXED != 0 => Placement::Fixed,
        _ if flags & MAP_32BIT != 0 => Placement::Low,
        _ => Placement::Hint,
    }
}

fn options(flags: u32) -> MapOptions {
    let mut options = MapOptions::empty();
    options.set(MapOptions::GROWS_DOWN, flags & MAP_GROWSDOWN != 0);
    options.set(MapOptions::LOCKED, flags & MAP_LOCKED != 0);
    options.set(MapOptions::POPULATE, flags & MAP_POPULATE != 0);
    options.set(MapOptions::NO_RESERVE, flags & MAP_NORESERVE != 0);
    options
}

fn source(
    file: Option<&Arc<File>>,
    flags: u32,
    protection: Protection,
    offset: u64,
    length: u64,
) -> Result<Source> {
    if flags & MAP_HUGETLB != 0 {
        // There is no pool of huge pages; Linux with an empty one says the same.
        return Err(Errno::ENOMEM);
    }
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE if flags & MAP_SYNC != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    let Some(file) = file else {
        return Ok(if shared { Source::SharedAnonymous } else { Source::Anonymous });
    };
    let writes = shared && protection.contains(Protection::WRITE);
    let access = if writes { MapAccess::SharedWrite } else { MapAccess::Read };
    fs::check_mapping(file, access)?;
    let zeros = file.operations().maps_zeros();
    if zeros && !shared {
        return Ok(Source::Anonymous);
    }
    let object: Arc<dyn MemoryObject> = match zeros {
        true => Arc::new(PagedObject::new(memory(), offset.saturating_add(length))),
        false => file.operations().memory_object(file)?,
    };
    if protection.contains(Protection::EXECUTE) && !fs::may_map_executable(file) {
        return Err(Errno::EPERM);
    }
    let range = ObjectRange { object, offset, file: Some(file.clone()) };
    if !shared {
        return Ok(Source::Private(range));
    }
    let mut allowed = Protection::all();
    allowed.set(Protection::WRITE, fs::check_mapping(file, MapAccess::SharedWrite).is_ok());
    allowed.set(Protection::EXECUTE, fs::may_map_executable(file));
    Ok(Source::Shared { range, allowed })
}

/// Changes what may be done with pages (mprotect(2)).
fn mprotect(caller: &mut Caller<'_>, start: u64, length: u64, protection: u32) -> Result {
    const KNOWN: u32 =
        PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP;
    if protection & !KNOWN != 0 || protection & (PROT_GROWSDOWN | PROT_GROWSUP) != 0 {
        return Err(Errno::EINVAL);
    }
    let start = aligned(start, Errno::ENOMEM)?;
    space_of(caller)?.protect(start, length, protection_of(protection)).map_err(errno_of)?;
    Ok(0)
}

/// A page-aligned start; `EINVAL` if it is not aligned, `outside` if it lies outside user space.
fn aligned(start: u64, outside: Errno) -> Result<UserAddr> {
    if start.is_multiple_of(PAGE) { address(start, outside) } else { Err(Errno::EINVAL) }
}

/// Unmaps pages (munmap(2)).
fn munmap(caller: &mut Caller<'_>, start: u64, length: u64) -> Result {
    let start = aligned(start, Errno::EINVAL)?;
    if length == 0 || length > UserAddr::END.as_u64() - start.as_u64() {
        return Err(Errno::EINVAL);
    }
    space_of(caller)?.unmap(start, length).map_err(errno_of)?;
    Ok(0)
}

/// Moves the end of the heap (brk(2)); returns where it is afterwards.
fn brk(caller: &mut Caller<'_>, end: u64) -> Result {
    let space = space_of(caller)?;
    let data = caller.thread.process().image().data.clone();
    let Some(end) = UserAddr::try_new(end) else { return Ok(space.heap().1.as_usize()) };
    Ok(space.brk(end, &limits_of(caller), data.end.saturating_sub(data.start)).as_usize())
}

/// Resizes or moves a mapping (mremap(2)).
fn mremap(
    caller: &mut Caller<'_>,
    start: u64,
    old_length: u64,
    new_length: u64,
    flags: u32,
    target: u64,
) -> Result {
    let known = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) == 0;
    let moves = flags & MREMAP_MAYMOVE != 0;
    let must_move = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0;
    if !known
        || (must_move && !moves)
        || (flags & MREMAP_DONTUNMAP != 0 && old_length != new_length)
    {
        return Err(Errno::EINVAL);
    }
    let target = match flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) {
        0 if moves => RemapTarget::Anywhere,
        0 => RemapTarget::InPlace,
        MREMAP_FIXED => RemapTarget::Fixed(aligned(target, Errno::EINVAL)?),
        MREMAP_DONTUNMAP => RemapTarget::LeaveOld(aligned(target, Errno::EINVAL)?),
        _ => RemapTarget::FixedLeaveOld(aligned(target, Errno::EINVAL)?),
    };
    let remap = Remap { start: aligned(start, Errno::EFAULT)?, old_length, new_length, target };
    let start = space_of(caller)?.remap(&remap, &limits_of(caller)).map_err(errno_of)?;
    Ok(start.as_usize())
}

/// Writes mapped changes back (msync(2)).
fn msync(caller: &mut Caller<'_>, start: u64, length: u64, flags: u32) -> Result {
    let known = flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) == 0;
    if !known || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC {
        return Err(Errno::EINVAL);
    }
    let mode = if flags & MS_INVALIDATE != 0 { SyncMode::Invalidate } else { SyncMode::Write };
    let start = aligned(start, Errno::ENOMEM)?;
    space_of(caller)?.sync(start, length, mode).map_err(errno_of)?;
    Ok(0)
}

/// Says which pages are in memory (mincore(2)).
fn mincore(caller: &mut Caller<'_>, start: u64, length: u64, vector: UserAddr) -> Result {
    const CHUNK: usize = 4096;
    let start = aligned(start, Errno::ENOMEM)?;
    let pages = length.div_ceil(PAGE) as usize;
    let space = space_of(caller)?;
    let mut present = Vec::new();
    present.try_reserve_exact(pages.min(CHUNK)).map_err(|_| Errno::ENOMEM)?;
    let mut done = 0;
    while done < pages {
        let count = (pages - done).min(CHUNK);
        if caller.thread.has_fatal_signal() {
            return Err(Errno::EINTR);
        }
        present.clear();
        present.resize(count, 0);
        let from = start.checked_add(done as u64 * PAGE).ok_or(Errno::ENOMEM)?;
        space.resident(from, &mut present).map_err(errno_of)?;
        user::write_bytes(vector.checked_add(done as u64).ok_or(Errno::EFAULT)?, &present)?;
        done += count;
    }
    Ok(0)
}

/// Advises on, or changes, the use of pages (madvise(2)).
fn madvise(caller: &mut Caller<'_>, start: u64, length: u64, advice: u32) -> Result {
    let advice = match advice {
        MADV_NORMAL => Advice::Normal,
        MADV_RANDOM => Advice::Random,
        MADV_SEQUENTIAL => Advice::Sequential,
        MADV_WILLNEED => Advice::WillNeed,
        MADV_DONTNEED => Advice::DontNeed,
        MADV_DONTNEED_LOCKED => Advice::DontNeedLocked,
        MADV_FREE => Advice::Free,
        MADV_REMOVE => Advice::Remove,
        MADV_DONTFORK => Advice::DontFork,
        MADV_DOFORK => Advice::DoFork,
        MADV_WIPEONFORK => Advice::WipeOnFork,
        MADV_KEEPONFORK => Advice::KeepOnFork,
        MADV_DONTDUMP => Advice::DontDump,
        MADV_DODUMP => Advice::DoDump,
        MADV_HUGEPAGE => Advice::HugePages,
        MADV_NOHUGEPAGE => Advice::NoHugePages,
        MADV_POPULATE_READ => Advice::PopulateRead,
        MADV_POPULATE_WRITE => Advice::PopulateWrite,
        MADV_COLD | MADV_PAGEOUT | MADV_MERGEABLE | MADV_UNMERGEABLE => Advice::Nothing,
        _ => return Err(Errno::EINVAL),
    };
    let start = aligned(start, Errno::ENOMEM)?;
    space_of(caller)?.advise(start, length, advice).map_err(errno_of)?;
    Ok(0)
}

/// Locks pages in memory (mlock(2)).
fn mlock(caller: &mut Caller<'_>, start: u64, length: u64) -> Result {
    mlock2(caller, start, length, 0)
}

/// Locks pages in memory, at once or when they are touched (mlock2(2)).
fn mlock2(caller: &mut Caller<'_>, start: u64, length: u64, flags: u32) -> Result {
    let mode = match flags {
        0 => LockMode::Now,
        MLOCK_ONFAULT => LockMode::OnFault,
        _ => return Err(Errno::EINVAL),
    };
    let start = address(start, Errno::ENOMEM)?;
    space_of(caller)?.lock_range(start, length, mode, &limits_of(caller)).map_err(errno_of)?;
    Ok(0)
}

/// Unlocks pages (munlock(2)).
fn munlock(caller: &mut Caller<'_>, start: u64, length: u64) -> Result {
    let start = address(start, Errno::ENOMEM)?;
    space_of(caller)?.unlock_range(start, length).map_err(errno_of)?;
    Ok(0)
}

/// Locks all of the address space (mlockall(2)).
fn mlockall(caller: &mut Caller<'_>, flags: u32) -> Result {
    let scope = match flags & (MCL_CURRENT | MCL_FUTURE) {
        MCL_CURRENT => LockScope::Current,
        MCL_FUTURE => LockScope::Future,
        0 => return Err(Errno::EINVAL),
        _ => LockScope::Both,
    };
    if flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 {
        return Err(Errno::EINVAL);
    }
    let mode = if flags & MCL_ONFAULT != 0 { LockMode::OnFault } else { LockMode::Now };
    space_of(caller)?.lock_all(scope, mode, &limits_of(caller)).map_err(errno_of)?;
    Ok(0)
}

/// Unlocks all of the address space (munlockall(2)).
fn munlockall(caller: &mut Caller<'_>) -> Result {
    space_of(caller)?.unlock_all().map_err(errno_of)?;
    Ok(0)
}
