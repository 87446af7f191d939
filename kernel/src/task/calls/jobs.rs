//! setpgid(2), getpgid(2), getpgrp(2), setsid(2), getsid(2).

use alloc::sync::Arc;

use crate::errno::{Errno, Result};
use crate::syscall::Caller;
use crate::task::family::{self, FamilyGuard};
use crate::task::group::{ProcessGroup, Session};
use crate::task::{Pid, Process, Thread, table};

/// Moves the caller or a child of it to another process group, or to a new one.
pub(super) fn setpgid(caller: &mut Caller<'_>, pid: i32, group: i32) -> Result {
    if group < 0 {
        return Err(Errno::EINVAL);
    }
    let own = caller.thread.process();
    let pid = if pid == 0 { own.pid() } else { Pid::from_argument(pid).ok_or(Errno::ESRCH)? };
    let wanted = Pid::from_argument(group).unwrap_or(pid);
    let target = table::find_process(pid).ok_or(Errno::ESRCH)?;
    let mut family = family::lock();
    let (Some(former), Some(session)) = (own.group(&family), target.session(&family)) else {
        return Err(Errno::ESRCH);
    };
    check_target(own, &target, &former, &session, &family)?;
    let destination = match table::find_group(wanted) {
        Some(group) => group,
        None if wanted == pid => ProcessGroup::new(wanted, session.clone(), &family),
        None => return Err(Errno::EPERM),
    };
    if !Arc::ptr_eq(destination.session(), &session) {
        return Err(Errno::EPERM);
    }
    let left = family::move_to_group(&target, &destination, &mut family);
    drop(family);
    drop((left, former));
    Ok(0)
}

/// Whether the caller may move `target`: itself, or a child of its session that has not called execve, and no
/// session leader.
fn check_target(
    own: &Arc<Process>,
    target: &Arc<Process>,
    group: &ProcessGroup,
    session: &Arc<Session>,
    family: &FamilyGuard,
) -> Result<()> {
    if target.parent(family).is_some_and(|parent| Arc::ptr_eq(&parent, own)) {
        if !Arc::ptr_eq(group.session(), session) {
            return Err(Errno::EPERM);
        }
        if target.has_executed() {
            return Err(Errno::EACCES);
        }
    } else if !Arc::ptr_eq(target, own) {
        return Err(Errno::ESRCH);
    }
    if session.id() == target.pid() { Err(Errno::EPERM) } else { Ok(()) }
}

/// The process group of a process.
pub(super) fn getpgid(caller: &mut Caller<'_>, pid: i32) -> Result {
    let process = find(caller.thread, pid)?;
    let group = process.group(&family::lock());
    group.map(|group| group.id().as_usize()).ok_or(Errno::ESRCH)
}

/// The caller's process group.
pub(super) fn getpgrp(caller: &mut Caller<'_>) -> Result {
    getpgid(caller, 0)
}

/// The session of a process.
pub(super) fn getsid(caller: &mut Caller<'_>, pid: i32) -> Result {
    let process = find(caller.thread, pid)?;
    let session = process.session(&family::lock());
    session.map(|session| session.id().as_usize()).ok_or(Errno::ESRCH)
}

/// Makes the caller the leader of a new session and of a new group in it.
pub(super) fn setsid(caller: &mut Caller<'_>) -> Result {
    let process = caller.thread.process();
    let pid = process.pid();
    let mut family = family::lock();
    // A group of this id may have other members; a session of it is the caller's own.
    if table::find_group(pid).is_some() || table::find_session(pid).is_some() {
        return Err(Errno::EPERM);
    }
    let session = Session::new(pid, &family);
    let group = ProcessGroup::new(pid, session, &family);
    let left = family::move_to_group(process, &group, &mut family);
    drop(family);
    drop(left);
    Ok(pid.as_usize())
}

fn find(thread: &Thread, pid: i32) -> Result<Arc<Process>> {
    match pid {
        0 => Ok(thread.process().clone()),
        _ => Pid::from_argument(pid)
            .and_then(|pid| {
                table::find_process(pid)
                    .or_else(|| Some(table::find_thread(pid.leader())?.process().clone()))
            })
            .ok_or(Errno::ESRCH),
    }
}
