//! Ids of threads, users and groups: getpid(2), setresuid(2) and their relatives.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall::Caller;
use crate::task::{Account, Capability, Credentials, Ids, Thread};

/// Stands for *leave as it is* in calls with several ids.
const KEEP: u32 = u32::MAX;
/// The most supplementary groups (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// The process's id.
pub(super) fn getpid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.process().pid().as_usize())
}

/// The thread's id.
pub(super) fn gettid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.tid().as_usize())
}

/// The parent's id; 0 for the first process.
pub(super) fn getppid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.process().parent_id().as_usize())
}

/// Sets the address that is cleared when the thread ends.
pub(super) fn set_tid_address(caller: &mut Caller<'_>, address: u64) -> Result {
    caller.thread.set_clear_child_tid(address);
    Ok(caller.thread.tid().as_usize())
}

/// The real user id.
pub(super) fn getuid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.credentials().user.real as usize)
}

/// The effective user id.
pub(super) fn geteuid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.credentials().user.effective as usize)
}

/// The real group id.
pub(super) fn getgid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.credentials().group.real as usize)
}

/// The effective group id.
pub(super) fn getegid(caller: &mut Caller<'_>) -> Result {
    Ok(caller.thread.credentials().group.effective as usize)
}

/// The three user ids.
pub(super) fn getresuid(
    caller: &mut Caller<'_>,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result {
    store_ids(caller.thread.credentials().user, real, effective, saved)
}

/// The three group ids.
pub(super) fn getresgid(
    caller: &mut Caller<'_>,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result {
    store_ids(caller.thread.credentials().group, real, effective, saved)
}

fn store_ids(ids: Ids, real: UserPtr<u32>, effective: UserPtr<u32>, saved: UserPtr<u32>) -> Result {
    real.write(&ids.real)?;
    effective.write(&ids.effective)?;
    saved.write(&ids.saved)?;
    Ok(0)
}

/// Sets the effective user id; with privilege all of them.
pub(super) fn setuid(caller: &mut Caller<'_>, user: u32) -> Result {
    change_user(caller.thread, |old, privileged| set_one(old, user, privileged))
}

/// Sets the effective group id; with privilege all of them.
pub(super) fn setgid(caller: &mut Caller<'_>, group: u32) -> Result {
    change_group(caller.thread, |old, privileged| set_one(old, group, privileged))
}

/// Sets real and effective user id.
pub(super) fn setreuid(caller: &mut Caller<'_>, real: u32, effective: u32) -> Result {
    change_user(caller.thread, |old, privileged| set_two(old, real, effective, privileged))
}

/// Sets real and effective group id.
pub(super) fn setregid(caller: &mut Caller<'_>, real: u32, effective: u32) -> Result {
    change_group(caller.thread, |old, privileged| set_two(old, real, effective, privileged))
}

/// Sets real, effective and saved user id.
pub(super) fn setresuid(caller: &mut Caller<'_>, real: u32, effective: u32, saved: u32) -> Result {
    let wanted = [real, effective, saved];
    change_user(caller.thread, |old, privileged| set_three(old, wanted, privileged))
}

/// Sets real, effective and saved group id.
pub(super) fn setresgid(caller: &mut Caller<'_>, real: u32, effective: u32, saved: u32) -> Result {
    let wanted = [real, effective, saved];
    change_group(caller.thread, |old, privileged| set_three(old, wanted, privileged))
}

/// Sets the user id for files and returns the former one, whether or not it was allowed.
pub(super) fn setfsuid(caller: &mut Caller<'_>, user: u32) -> Result {
    let former = caller.thread.credentials().user.file_system;
    // The call has no way to report that it was refused (setfsuid(2)).
    let _refused = change_user(caller.thread, |old, privileged| set_files(old, user, privileged));
    Ok(former as usize)
}

/// Sets the group id for files and returns the former one, whether or not it was allowed.
pub(super) fn setfsgid(caller: &mut Caller<'_>, group: u32) -> Result {
    let former = caller.thread.credentials().group.file_system;
    // As for `setfsuid`.
    let _refused = change_group(caller.thread, |old, privileged| set_files(old, group, privileged));
    Ok(former as usize)
}

fn change_user(thread: &Thread, rule: impl FnOnce(Ids, bool) -> Result<Ids>) -> Result {
    let old = thread.credentials();
    let user = rule(old.user, old.has(Capability::Setuid))?;
    let mut new = Credentials { user, ..Credentials::clone(&old) };
    if new.user.real != old.user.real {
        new.account = Account::of(user.real);
        new.account.move_thread_in();
        old.account.remove_thread();
    }
    new.follow_user_ids(&old.user);
    commit(thread, &old, new);
    Ok(0)
}

fn change_group(thread: &Thread, rule: impl FnOnce(Ids, bool) -> Result<Ids>) -> Result {
    let old = thread.credentials();
    let group = rule(old.group, old.has(Capability::Setgid))?;
    let new = Credentials { group, ..Credentials::clone(&old) };
    commit(thread, &old, new);
    Ok(0)
}

/// A process whose rights changed may not be looked into by others any more, and does not hear of its parent's end.
fn commit(thread: &Thread, old: &Credentials, new: Credentials) {
    let visible = |c: &Credentials| {
        [c.user.effective, c.user.file_system, c.group.effective, c.group.file_system]
    };
    if visible(old) != visible(&new) {
        thread.process().set_dumpable(0);
        thread.process().set_death_signal(None);
    }
    thread.set_credentials(Arc::new(new));
}

/// setuid(2): all ids with privilege, else the effective one to the real or saved one.
fn set_one(old: Ids, id: u32, privileged: bool) -> Result<Ids> {
    if id == KEEP {
        return Err(Errno::EINVAL);
    }
    if privileged {
        return Ok(Ids::all(id));
    }
    if id != old.real && id != old.saved {
        return Err(Errno::EPERM);
    }
    Ok(Ids { effective: id, file_system: id, ..old })
}

/// setreuid(2).
fn set_two(old: Ids, real: u32, effective: u32, privileged: bool) -> Result<Ids> {
    let mut new = old;
    if real != KEEP {
        new.real = real;
        if !privileged && ![old.real, old.effective].contains(&real) {
            return Err(Errno::EPERM);
        }
    }
    if effective != KEEP {
        new.effective = effective;
        if !privileged && ![old.real, old.effective, old.saved].contains(&effective) {
            return Err(Errno::EPERM);
        }
    }
    if real != KEEP || (effective != KEEP && effective != old.real) {
        new.saved = new.effective;
    }
    new.file_system = new.effective;
    Ok(new)
}

/// setresuid(2).
fn set_three(old: Ids, wanted: [u32; 3], privileged: bool) -> Result<Ids> {
    let known = [KEEP, old.real, old.effective, old.saved];
    if !privileged && !wanted.iter().all(|id| known.contains(id)) {
        return Err(Errno::EPERM);
    }
    let or = |id: u32, old: u32| if id == KEEP { old } else { id };
    let effective = or(wanted[1], old.effective);
    Ok(Ids {
        real: or(wanted[0], old.real),
        effective,
        saved: or(wanted[2], old.saved),
        file_system: effective,
    })
}

/// setfsuid(2).
fn set_files(old: Ids, id: u32, privileged: bool) -> Result<Ids> {
    let known = [old.real, old.effective, old.saved, old.file_system];
    if id == KEEP || !(privileged || known.contains(&id)) {
        return Err(Errno::EPERM);
    }
    Ok(Ids { file_system: id, ..old })
}

/// The supplementary groups.
pub(super) fn getgroups(caller: &mut Caller<'_>, size: i32, list: UserPtr<u32>) -> Result {
    let groups = caller.thread.credentials().groups.clone();
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size == 0 {
        return Ok(groups.len());
    }
    if size < groups.len() {
        return Err(Errno::EINVAL);
    }
    for (i, group) in groups.iter().enumerate() {
        list.element(i)?.write(group)?;
    }
    Ok(groups.len())
}

/// Replaces the supplementary groups.
pub(super) fn setgroups(caller: &mut Caller<'_>, size: i32, list: UserPtr<u32>) -> Result {
    let old = caller.thread.credentials();
    if !old.has(Capability::Setgid) {
        return Err(Errno::EPERM);
    }
    let size = usize::try_from(size).ok().filter(|&size| size <= GROUPS_MAX);
    let groups: Vec<u32> = list.read_array(size.ok_or(Errno::EINVAL)?)?;
    let new = Credentials { groups: Arc::from(groups), ..Credentials::clone(&old) };
    caller.thread.set_credentials(Arc::new(new));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Ids = Ids { real: 1, effective: 2, saved: 3, file_system: 2 };

    #[test]
    fn the_unprivileged_move_between_the_ids_that_they_have() {
        assert_eq!(set_one(OLD, 3, false).map(|ids| ids.effective), Ok(3));
        assert_eq!(set_one(OLD, 2, false), Err(Errno::EPERM));
        assert_eq!(
            set_three(OLD, [3, KEEP, 1], false).map(|ids| (ids.real, ids.saved)),
            Ok((3, 1))
        );
        assert_eq!(set_three(OLD, [KEEP, 4, KEEP], false), Err(Errno::EPERM));
        assert_eq!(set_two(OLD, KEEP, 3, false).map(|ids| ids.saved), Ok(3));
        assert_eq!(set_two(OLD, 3, KEEP, false), Err(Errno::EPERM));
        assert_eq!(set_files(OLD, 3, false).map(|ids| ids.file_system), Ok(3));
    }

    #[test]
    fn the_privileged_choose() {
        assert_eq!(set_one(OLD, 9, true), Ok(Ids::all(9)));
        assert_eq!(
            set_two(OLD, 9, 8, true),
            Ok(Ids { real: 9, effective: 8, saved: 8, file_system: 8 })
        );
        assert_eq!(set_two(OLD, KEEP, 1, true).map(|ids| ids.saved), Ok(3), "to the real id");
    }
}
