//! mount(2) and umount2(2).

use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use linux_raw_sys::general as abi;

use super::super::mount::change::{self, BindDepth, Unmount};
use super::super::{Fd, MountFlags, Path, WalkFlags, file_systems};
use super::{find, find_text};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserCString};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Capability;

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(165, mount(source: UserCString, target: UserCString, kind: UserCString, flags: u64, data: UserAddr)),
    syscall!(166, umount2(target: UserCString, flags: u32)),
];

/// The old magic number in the upper half of the flags (`MS_MGC_VAL`).
const MAGIC: u64 = 0xc0ed_0000;
const MAGIC_MASK: u64 = 0xffff_0000;
/// The changes of propagation: there is one tree, in which every mount is private.
const PROPAGATION: u64 =
    (abi::MS_SHARED | abi::MS_PRIVATE | abi::MS_SLAVE | abi::MS_UNBINDABLE) as u64;

fn must_administrate(caller: &Caller<'_>) -> Result<()> {
    let allowed = caller.thread.credentials().has(Capability::SysAdmin);
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// mount(2).
fn mount(
    caller: &mut Caller<'_>,
    source: UserCString,
    target: UserCString,
    kind: UserCString,
    flags: u64,
    data: UserAddr,
) -> Result {
    let kind = optional(kind)?;
    let source = optional(source)?;
    let options = read_options(data)?;
    let place = find(caller, Fd::CWD, target, WalkFlags::FOLLOW)?;
    must_administrate(caller)?;
    let flags = if flags & MAGIC_MASK == MAGIC { flags & !MAGIC_MASK } else { flags };
    let has = |bits: u32| flags & u64::from(bits) != 0;
    if has(abi::MS_REMOUNT) {
        let wanted = mount_flags(flags, Some(place.mount.flags()));
        if has(abi::MS_BIND) {
            change::set_flags(&place, wanted)?;
        } else {
            change::remount(&place, wanted, &options)?;
        }
    } else if has(abi::MS_BIND) {
        let from = source_place(caller, source)?;
        let depth = if has(abi::MS_REC) { BindDepth::Recursive } else { BindDepth::Single };
        change::bind(&from, &place, depth)?;
    } else if flags & PROPAGATION != 0 {
        change_propagation(&place, flags)?;
    } else if has(abi::MS_MOVE) {
        let from = source_place(caller, source)?;
        change::move_mount(&from, &place)?;
    } else {
        let kind = kind.ok_or(Errno::EINVAL)?;
        let file_system = file_systems::open(&kind, &options)?;
        let source = source.as_deref().filter(|source| !source.is_empty()).unwrap_or(b"none");
        change::mount(file_system, mount_flags(flags, None), source, &place)?;
    }
    Ok(0)
}

fn optional(text: UserCString) -> Result<Option<Vec<u8>>> {
    if text.0.is_null() { Ok(None) } else { text.read_path().map(Some) }
}

fn source_place(caller: &Caller<'_>, source: Option<Vec<u8>>) -> Result<Path> {
    let source = source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
    find_text(caller, Fd::CWD, &source, WalkFlags::FOLLOW)
}

/// The options: a string of less than a page.
fn read_options(data: UserAddr) -> Result<Vec<u8>> {
    if data.is_null() {
        return Ok(Vec::new());
    }
    user::read_string(data, PAGE_SIZE - 1, Errno::EINVAL)
}

/// The flags of the mount. Access times are relative unless something else is asked for; a remount that says nothing
/// about them keeps what there is.
fn mount_flags(flags: u64, former: Option<MountFlags>) -> MountFlags {
    let mut wanted = MountFlags::from_bits_truncate(flags as u32);
    let times = MountFlags::NO_ATIME | MountFlags::RELATIVE_ATIME;
    let strict = flags & u64::from(abi::MS_STRICTATIME) != 0;
    if wanted.contains(MountFlags::NO_ATIME) {
        wanted.remove(MountFlags::RELATIVE_ATIME);
    } else if strict {
        wanted.remove(times);
    } else if !wanted.intersects(times) {
        wanted |= former.map_or(MountFlags::RELATIVE_ATIME, |former| former & times);
    }
    wanted
}

/// Exactly one kind of propagation, perhaps recursive, on the root of a mount.
fn change_propagation(place: &Path, flags: u64) -> Result<()> {
    let others = flags & !(PROPAGATION | u64::from(abi::MS_REC | abi::MS_SILENT));
    let is_root = alloc::sync::Arc::ptr_eq(&place.dentry, place.mount.root());
    if others != 0 || (flags & PROPAGATION).count_ones() != 1 || !is_root {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// umount2(2).
fn umount2(caller: &mut Caller<'_>, target: UserCString, flags: u32) -> Result {
    let known = abi::MNT_FORCE | abi::MNT_DETACH | abi::MNT_EXPIRE | abi::UMOUNT_NOFOLLOW;
    let expire_with_others =
        flags & abi::MNT_EXPIRE != 0 && flags & (abi::MNT_FORCE | abi::MNT_DETACH) != 0;
    if flags & !known != 0 || expire_with_others {
        return Err(Errno::EINVAL);
    }
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::FOLLOW, flags & abi::UMOUNT_NOFOLLOW == 0);
    let place = find(caller, Fd::CWD, target, walk)?;
    must_administrate(caller)?;
    let how = if flags & abi::MNT_DETACH != 0 { Unmount::Detach } else { Unmount::Unused };
    change::unmount(place, how)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_times_are_relative_by_default() {
        assert_eq!(mount_flags(0, None), MountFlags::RELATIVE_ATIME);
        assert_eq!(mount_flags(u64::from(abi::MS_STRICTATIME), None), MountFlags::empty());
        let read_only = u64::from(abi::MS_RDONLY);
        assert_eq!(
            mount_flags(read_only, Some(MountFlags::NO_ATIME)),
            MountFlags::READ_ONLY | MountFlags::NO_ATIME
        );
    }
}
