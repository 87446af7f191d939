//! poll(2) and ppoll(2).
//!
//! A call that a signal interrupts before anything is ready goes on if no handler runs: poll keeps its deadline,
//! ppoll runs again with its time-out reduced to what is left.

use alloc::vec::Vec;

use arch::time::Nanos;
use linux_raw_sys::general::pollfd;

use super::readiness::{self, Watched};
use super::timeout::{self, UserTime};
use crate::errno::{Errno, Result};
use crate::fs::{Fd, PollEvents};
use crate::memory::user::UserPtr;
use crate::signal::{SignalSet, mask};
use crate::syscall;
use crate::syscall::{Argument, Caller, Syscall};
use crate::task::{Resource, Restart};

/// What is reported although nobody asked.
const ALWAYS: PollEvents = PollEvents::ERROR.union(PollEvents::HANG_UP);

/// `struct pollfd`: descriptor, then events and revents in one word.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct UserPollFd(pollfd);

crate::plain_data!(UserPollFd);

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] = &[
    syscall!(7, poll(descriptors: UserPtr<UserPollFd>, count: u32, timeout: i32)),
    syscall!(271, ppoll(
        descriptors: UserPtr<UserPollFd>, count: u32, timeout: UserTime, mask: UserPtr<u64>, size: usize
    )),
];

/// poll: waits for events on descriptors.
fn poll(
    caller: &mut Caller<'_>,
    descriptors: UserPtr<UserPollFd>,
    count: u32,
    timeout: i32,
) -> Result {
    poll_until(caller, descriptors, count, timeout::after_millis(timeout))
}

/// As poll, until `deadline`, which an interruption without a handler does not move.
fn poll_until(
    caller: &mut Caller<'_>,
    descriptors: UserPtr<UserPollFd>,
    count: u32,
    deadline: timeout::Deadline,
) -> Result {
    let result = wait(caller, descriptors, count, deadline);
    if result != Err(Errno::EINTR) {
        return result;
    }
    let arguments = [
        descriptors.address().as_u64(),
        u64::from(count),
        u64::from(deadline.is_some()),
        deadline.map_or(0, |deadline| deadline.0),
        0,
    ];
    caller.thread.set_restart(Restart { resume, arguments });
    Err(Errno::ERESTART_RESTARTBLOCK)
}

/// Goes on with a poll.
fn resume(caller: &mut Caller<'_>, [address, count, ends, time, _]: [u64; 5]) -> Result {
    let deadline = (ends != 0).then_some(Nanos(time));
    poll_until(caller, UserPtr::from_register(address), count as u32, deadline)
}

/// ppoll: as poll, with a finer time-out and a signal mask for the time of the wait.
fn ppoll(
    caller: &mut Caller<'_>,
    descriptors: UserPtr<UserPollFd>,
    count: u32,
    timeout: UserTime,
    mask: UserPtr<u64>,
    size: usize,
) -> Result {
    let deadline = timeout::after_timespec(timeout)?;
    let result = with_mask(mask, size, || wait(caller, descriptors, count, deadline))?;
    timeout::store_remaining_timespec(timeout, deadline);
    result.map_err(restarting)
}

/// Runs `wait` with the signal mask at `mask`, if there is one. The mask is put back at once unless a signal
/// interrupted the wait: then whoever delivers it puts it back.
///
/// # Errors
/// `EFAULT`; `EINVAL` for a mask of another size. The result of the wait is inside.
pub(super) fn with_mask(
    mask: UserPtr<u64>,
    size: usize,
    wait: impl FnOnce() -> Result,
) -> Result<Result> {
    let Some(bits) = read_mask(mask, size)? else { return Ok(wait()) };
    mask::replace_for_call(bits);
    let result = wait();
    if result != Err(Errno::EINTR) {
        mask::restore();
    }
    Ok(result)
}

fn read_mask(mask: UserPtr<u64>, size: usize) -> Result<Option<SignalSet>> {
    let Some(mask) = mask.non_null() else { return Ok(None) };
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    Ok(Some(SignalSet::from_bits(mask.read()?)))
}

/// An interrupted wait is repeated unless a handler runs.
pub(super) fn restarting(error: Errno) -> Errno {
    if error == Errno::EINTR { Errno::ERESTARTNOHAND } else { error }
}

fn wait(
    caller: &Caller<'_>,
    descriptors: UserPtr<UserPollFd>,
    count: u32,
    deadline: timeout::Deadline,
) -> Result {
    if u64::from(count) > caller.thread.process().limit(Resource::OpenFiles) {
        return Err(Errno::EINVAL);
    }
    let mut asked = descriptors.read_array(count as usize)?;
    let mut watched = watch(caller, &asked)?;
    let invalid = watched.iter().filter(|watched| !watched.found.is_empty()).count();
    // A descriptor that is not open is an event: nothing is waited for then.
    let deadline = if invalid > 0 { Some(Nanos::ZERO) } else { deadline };
    let ready = readiness::wait(&mut watched, deadline)?;
    for (index, (asked, watched)) in asked.iter_mut().zip(&watched).enumerate() {
        asked.0.revents = watched.found.bits() as i16;
        descriptors.element(index)?.write(asked)?;
    }
    Ok(ready)
}

/// The files behind the descriptors. One that is not open has [`PollEvents::INVALID`] found, and no file.
fn watch(caller: &Caller<'_>, asked: &[UserPollFd]) -> Result<Vec<Watched>> {
    let files = caller.thread.files();
    let mut watched = Vec::new();
    watched.try_reserve_exact(asked.len()).map_err(|_| Errno::ENOMEM)?;
    for UserPollFd(asked) in asked {
        let wanted = PollEvents::from_bits_truncate(u32::from(asked.events as u16)) | ALWAYS;
        let file = if asked.fd < 0 { None } else { files.get(Fd(asked.fd)).ok() };
        let invalid = asked.fd >= 0 && file.is_none();
        let found = if invalid { PollEvents::INVALID } else { PollEvents::empty() };
        watched.push(Watched { file, wanted, found });
    }
    Ok(watched)
}
