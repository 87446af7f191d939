//! getrlimit(2), setrlimit(2), prlimit(2).

use alloc::sync::Arc;

use crate::errno::{Errno, Result};
use crate::fs::DESCRIPTORS_MAX;
use crate::memory::user::UserPtr;
use crate::syscall::Caller;
use crate::task::{Capability, Limit, Pid, Privilege, Process, Resource, Thread, table};

crate::plain_data!(Limit);

/// Reads a limit.
pub(super) fn getrlimit(caller: &mut Caller<'_>, resource: u32, limit: UserPtr<Limit>) -> Result {
    let resource = Resource::from_number(resource)?;
    limit.write(&caller.thread.process().limits().get(resource))?;
    Ok(0)
}

/// Changes a limit.
pub(super) fn setrlimit(caller: &mut Caller<'_>, resource: u32, limit: UserPtr<Limit>) -> Result {
    let new = limit.read()?;
    let resource = Resource::from_number(resource)?;
    change(caller.thread, caller.thread.process(), resource, new)?;
    Ok(0)
}

/// Reads and changes a limit of any process.
pub(super) fn prlimit64(
    caller: &mut Caller<'_>,
    pid: i32,
    resource: u32,
    new: UserPtr<Limit>,
    old: UserPtr<Limit>,
) -> Result {
    let resource = Resource::from_number(resource)?;
    let new = new.read_if_present()?;
    let target = find(pid, caller.thread)?;
    check_access(caller.thread, &target)?;
    let former = match new {
        Some(new) => change(caller.thread, &target, resource, new)?,
        None => target.limits().get(resource),
    };
    old.write_if_present(&former)?;
    Ok(0)
}

fn find(pid: i32, thread: &Thread) -> Result<Arc<Process>> {
    if pid == 0 {
        return Ok(thread.process().clone());
    }
    let pid = Pid::from_argument(pid).ok_or(Errno::ESRCH)?;
    table::find_process(pid)
        .or_else(|| Some(table::find_thread(pid.leader())?.process().clone()))
        .ok_or(Errno::ESRCH)
}

/// Others may be touched with the same ids throughout, or with privilege.
fn check_access(thread: &Thread, target: &Process) -> Result<()> {
    if core::ptr::eq(&raw const **thread.process(), target) {
        return Ok(());
    }
    let (own, its) = (thread.credentials(), target.credentials());
    let same_user = [its.user.real, its.user.effective, its.user.saved]
        .into_iter()
        .all(|user| user == own.user.real);
    let same_group = [its.group.real, its.group.effective, its.group.saved]
        .into_iter()
        .all(|group| group == own.group.real);
    if (same_user && same_group) || own.has(Capability::SysResource) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Replaces a limit and returns the former one.
fn change(thread: &Thread, target: &Process, resource: Resource, new: Limit) -> Result<Limit> {
    let privileged = thread.credentials().has(Capability::SysResource);
    let privilege = if privileged { Privilege::Resource } else { Privilege::Ordinary };
    let former = target.change_limits(|limits| {
        let former = limits.get(resource);
        limits.set(resource, new, privilege, DESCRIPTORS_MAX as u64).map(|()| former)
    })?;
    if resource == Resource::Cpu {
        target.timers.watch_cpu_limit();
    }
    Ok(former)
}
