//! System calls that change metadata: chmod(2), chown(2), utimensat(2) and their relatives; access(2).

use linux_raw_sys::general as abi;

use super::super::attributes::{self, TimeChange};
use super::super::permission::{self, Permission};
use super::super::{Fd, Path, Timestamp, WalkFlags};
use super::{at_flags, file, files, find};
use crate::errno::{Errno, Result};
use crate::memory::user::{UserCString, UserPtr};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::{CapabilitySet, Credentials};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(21, access(path: UserCString, mode: u32)),
    syscall!(90, chmod(path: UserCString, mode: u32)),
    syscall!(91, fchmod(descriptor: Fd, mode: u32)),
    syscall!(92, chown(path: UserCString, user: u32, group: u32)),
    syscall!(93, fchown(descriptor: Fd, user: u32, group: u32)),
    syscall!(94, lchown(path: UserCString, user: u32, group: u32)),
    syscall!(132, utime(path: UserCString, times: UserPtr<[i64; 2]>)),
    syscall!(235, utimes(path: UserCString, times: UserPtr<[i64; 4]>)),
    syscall!(260, fchownat(directory: Fd, path: UserCString, user: u32, group: u32, flags: u32)),
    syscall!(261, futimesat(directory: Fd, path: UserCString, times: UserPtr<[i64; 4]>)),
    syscall!(268, fchmodat(directory: Fd, path: UserCString, mode: u32)),
    syscall!(269, faccessat(directory: Fd, path: UserCString, mode: u32)),
    syscall!(280, utimensat(directory: Fd, path: UserCString, times: UserPtr<[i64; 4]>, flags: u32)),
    syscall!(439, faccessat2(directory: Fd, path: UserCString, mode: u32, flags: u32)),
    syscall!(452, fchmodat2(directory: Fd, path: UserCString, mode: u32, flags: u32)),
];

/// chmod(2).
fn chmod(caller: &mut Caller<'_>, path: UserCString, mode: u32) -> Result {
    fchmodat2(caller, Fd::CWD, path, mode, 0)
}

/// fchmod(2).
fn fchmod(caller: &mut Caller<'_>, descriptor: Fd, mode: u32) -> Result {
    let file = file(caller, descriptor)?;
    attributes::change_mode(file.path(), mode as u16, &caller.thread.credentials())?;
    Ok(0)
}

/// fchmodat(2): the kernel's own takes no flags.
fn fchmodat(caller: &mut Caller<'_>, directory: Fd, path: UserCString, mode: u32) -> Result {
    fchmodat2(caller, directory, path, mode, 0)
}

/// fchmodat2(2).
fn fchmodat2(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    mode: u32,
    flags: u32,
) -> Result {
    let walk = at_flags(flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH)?;
    let path = find(caller, directory, path, walk)?;
    attributes::change_mode(&path, mode as u16, &caller.thread.credentials())?;
    Ok(0)
}

/// chown(2).
fn chown(caller: &mut Caller<'_>, path: UserCString, user: u32, group: u32) -> Result {
    fchownat(caller, Fd::CWD, path, user, group, 0)
}

/// lchown(2).
fn lchown(caller: &mut Caller<'_>, path: UserCString, user: u32, group: u32) -> Result {
    fchownat(caller, Fd::CWD, path, user, group, abi::AT_SYMLINK_NOFOLLOW)
}

/// fchown(2).
fn fchown(caller: &mut Caller<'_>, descriptor: Fd, user: u32, group: u32) -> Result {
    let file = file(caller, descriptor)?;
    change_owner(caller, file.path(), user, group)
}

/// fchownat(2).
fn fchownat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    user: u32,
    group: u32,
    flags: u32,
) -> Result {
    let walk = at_flags(flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH)?;
    let path = find(caller, directory, path, walk)?;
    change_owner(caller, &path, user, group)
}

/// An id of -1 stays as it is.
fn change_owner(caller: &Caller<'_>, path: &Path, user: u32, group: u32) -> Result {
    let id = |id: u32| (id != u32::MAX).then_some(id);
    attributes::change_owner(path, id(user), id(group), &caller.thread.credentials())?;
    Ok(0)
}

/// access(2).
fn access(caller: &mut Caller<'_>, path: UserCString, mode: u32) -> Result {
    faccessat2(caller, Fd::CWD, path, mode, 0)
}

/// faccessat(2): the kernel's own takes no flags.
fn faccessat(caller: &mut Caller<'_>, directory: Fd, path: UserCString, mode: u32) -> Result {
    faccessat2(caller, directory, path, mode, 0)
}

/// faccessat2(2): asks for the real ids, or the effective ones with `AT_EACCESS`.
fn faccessat2(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    mode: u32,
    flags: u32,
) -> Result {
    let wanted = u16::try_from(mode).ok().and_then(Permission::from_bits).ok_or(Errno::EINVAL)?;
    let known = abi::AT_EACCESS | abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH;
    let walk = at_flags(flags, known)?;
    let mut viewer = super::viewer(caller);
    if flags & abi::AT_EACCESS == 0 {
        viewer.credentials = alloc::sync::Arc::new(real_credentials(&viewer.credentials));
    }
    let path = path.read_path()?;
    let start = super::start(caller, directory, &path)?;
    let place = super::super::resolve(&viewer, start, &path, walk)?;
    permission::check_path(&place, &viewer.credentials, wanted)?;
    Ok(0)
}

/// What the caller could do with its real ids (`access_override_creds`).
fn real_credentials(own: &Credentials) -> Credentials {
    let mut real = own.clone();
    real.user.file_system = own.user.real;
    real.group.file_system = own.group.real;
    real.effective = if own.user.real == 0 { own.permitted } else { CapabilitySet::EMPTY };
    real
}

/// utime(2): seconds.
fn utime(caller: &mut Caller<'_>, path: UserCString, times: UserPtr<[i64; 2]>) -> Result {
    let path = find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?;
    let at = |seconds| TimeChange::At(Timestamp { seconds, nanoseconds: 0 });
    let [accessed, modified] = match times.read_if_present()? {
        None => [TimeChange::Now; 2],
        Some(times) => times.map(at),
    };
    attributes::change_times(&path, accessed, modified, &caller.thread.credentials())?;
    Ok(0)
}

/// utimes(2): microseconds.
fn utimes(caller: &mut Caller<'_>, path: UserCString, times: UserPtr<[i64; 4]>) -> Result {
    futimesat(caller, Fd::CWD, path, times)
}

/// futimesat(2): microseconds.
fn futimesat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    times: UserPtr<[i64; 4]>,
) -> Result {
    let at = |seconds: i64, micros: i64| {
        let nanoseconds = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000);
        let nanoseconds = nanoseconds.ok_or(Errno::EINVAL)? * 1000;
        Ok::<_, Errno>(TimeChange::At(Timestamp { seconds, nanoseconds }))
    };
    let [accessed, modified] = match times.read_if_present()? {
        None => [TimeChange::Now; 2],
        Some([s0, u0, s1, u1]) => [at(s0, u0)?, at(s1, u1)?],
    };
    let path = find(caller, directory, path, WalkFlags::FOLLOW)?;
    attributes::change_times(&path, accessed, modified, &caller.thread.credentials())?;
    Ok(0)
}

/// utimensat(2). A null path, where a descriptor is given, names the descriptor's file.
fn utimensat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    times: UserPtr<[i64; 4]>,
    flags: u32,
) -> Result {
    let [accessed, modified] = match times.read_if_present()? {
        None => [TimeChange::Now; 2],
        Some([s0, n0, s1, n1]) => [time_change(s0, n0)?, time_change(s1, n1)?],
    };
    if accessed == TimeChange::Omit && modified == TimeChange::Omit {
        return Ok(0);
    }
    let place = if path.0.is_null() && directory != Fd::CWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        files(caller).get(directory)?.path().clone()
    } else {
        let walk = at_flags(flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH)?;
        find(caller, directory, path, walk)?
    };
    attributes::change_times(&place, accessed, modified, &caller.thread.credentials())?;
    Ok(0)
}

/// One `timespec` of utimensat(2).
fn time_change(seconds: i64, nanoseconds: i64) -> Result<TimeChange> {
    if nanoseconds == i64::from(abi::UTIME_NOW) {
        return Ok(TimeChange::Now);
    }
    if nanoseconds == i64::from(abi::UTIME_OMIT) {
        return Ok(TimeChange::Omit);
    }
    let nanoseconds = u32::try_from(nanoseconds).ok().filter(|nanos| *nanos < 1_000_000_000);
    let nanoseconds = nanoseconds.ok_or(Errno::EINVAL)?;
    Ok(TimeChange::At(Timestamp { seconds, nanoseconds }))
}
