//! The system calls of epoll(7).

use alloc::sync::Arc;

use linux_raw_sys::general as abi;

use super::super::poll::with_mask;
use super::super::timeout::{self, Deadline, UserTime};
use super::{EventPoll, EventPollFile, Settings};
use crate::errno::{Errno, Result};
use crate::fs::{AnonymousKind, Fd, File, OpenFlags, Special, open_descriptor};
use crate::memory::user::UserPtr;
use crate::scheduling::WaitEnd;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// `struct epoll_event`, which is packed: the events, and the data in two halves.
type UserEvent = [u32; 3];

/// The most events that one call may ask for.
const EVENTS_MAX: usize = i32::MAX as usize / size_of::<UserEvent>();

/// What may accompany EPOLLEXCLUSIVE (epoll_ctl(2)).
const EXCLUSIVE_PERMITTED: u32 = abi::EPOLLIN
    | abi::EPOLLOUT
    | abi::EPOLLERR
    | abi::EPOLLHUP
    | abi::EPOLLWAKEUP
    | abi::EPOLLET
    | abi::EPOLLEXCLUSIVE;

/// The system calls of this module.
pub(crate) const SYSCALLS: &[Syscall] = &[
    syscall!(213, epoll_create(size: i32)),
    syscall!(291, epoll_create1(flags: u32)),
    syscall!(233, epoll_ctl(
        poll: Fd, operation: u32, descriptor: Fd, event: UserPtr<UserEvent>
    )),
    syscall!(232, epoll_wait(
        poll: Fd, events: UserPtr<UserEvent>, count: i32, timeout: i32
    )),
    syscall!(281, epoll_pwait(
        poll: Fd, events: UserPtr<UserEvent>, count: i32, timeout: i32, mask: UserPtr<u64>,
        size: usize
    )),
    syscall!(441, epoll_pwait2(
        poll: Fd, events: UserPtr<UserEvent>, count: i32, timeout: UserTime, mask: UserPtr<u64>,
        size: usize
    )),
];

/// epoll_create: a new instance; the size means nothing but must be positive.
fn epoll_create(caller: &mut Caller<'_>, size: i32) -> Result {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    epoll_create1(caller, 0)
}

/// epoll_create1: a new instance.
fn epoll_create1(caller: &mut Caller<'_>, flags: u32) -> Result {
    if flags & !abi::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let open_flags = OpenFlags::from_bits_retain(flags) | OpenFlags::READ_WRITE;
    let file = Arc::new(EventPollFile(EventPoll::new()));
    open_descriptor(caller.thread, AnonymousKind::Object("[eventpoll]"), file, open_flags)
}

/// epoll_ctl: changes the set.
fn epoll_ctl(
    caller: &mut Caller<'_>,
    poll: Fd,
    operation: u32,
    descriptor: Fd,
    event: UserPtr<UserEvent>,
) -> Result {
    let [mut events, low, high] =
        if operation == abi::EPOLL_CTL_DEL { [0; 3] } else { event.read()? };
    let files = caller.thread.files();
    let poll_file = files.get(poll)?;
    let file = files.get(descriptor)?;
    let Special::EventPoll(poll) = poll_file.operations().special() else {
        return Err(Errno::EINVAL);
    };
    if Arc::ptr_eq(&poll_file, &file) {
        return Err(Errno::EINVAL);
    }
    if events & abi::EPOLLEXCLUSIVE != 0 {
        check_exclusive(operation, events, &file)?;
    }
    // Nothing here suspends, so there is nothing to keep awake.
    events &= !abi::EPOLLWAKEUP;
    let settings = Settings::new(events, u64::from(low) | u64::from(high) << 32);
    match operation {
        abi::EPOLL_CTL_ADD => poll.add(descriptor, &file, settings)?,
        abi::EPOLL_CTL_MOD => poll.modify(descriptor, &file, settings)?,
        abi::EPOLL_CTL_DEL => poll.remove(descriptor, &file)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn check_exclusive(operation: u32, events: u32, file: &File) -> Result<()> {
    let nested = matches!(file.operations().special(), Special::EventPoll(_));
    if operation == abi::EPOLL_CTL_ADD && !nested && events & !EXCLUSIVE_PERMITTED == 0 {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// epoll_wait: waits for events.
fn epoll_wait(
    caller: &mut Caller<'_>,
    poll: Fd,
    events: UserPtr<UserEvent>,
    count: i32,
    timeout: i32,
) -> Result {
    wait(caller, poll, events, count, timeout::after_millis(timeout))
}

/// epoll_pwait: with a signal mask for the time of the wait.
fn epoll_pwait(
    caller: &mut Caller<'_>,
    poll: Fd,
    events: UserPtr<UserEvent>,
    count: i32,
    timeout: i32,
    mask: UserPtr<u64>,
    size: usize,
) -> Result {
    let deadline = timeout::after_millis(timeout);
    with_mask(mask, size, || wait(caller, poll, events, count, deadline))?
}

/// epoll_pwait2: with a finer time-out, too.
fn epoll_pwait2(
    caller: &mut Caller<'_>,
    poll: Fd,
    events: UserPtr<UserEvent>,
    count: i32,
    timeout: UserTime,
    mask: UserPtr<u64>,
    size: usize,
) -> Result {
    let deadline = timeout::after_timespec(timeout)?;
    with_mask(mask, size, || wait(caller, poll, events, count, deadline))?
}

fn wait(
    caller: &Caller<'_>,
    poll: Fd,
    events: UserPtr<UserEvent>,
    count: i32,
    deadline: Deadline,
) -> Result {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count == 0 || count > EVENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let file = caller.thread.files().get(poll)?;
    let Special::EventPoll(poll) = file.operations().special() else { return Err(Errno::EINVAL) };
    loop {
        let reported = poll.collect(count, |index, found, data| {
            events.element(index)?.write(&[found.bits(), data as u32, (data >> 32) as u32])
        })?;
        if reported > 0 {
            return Ok(reported);
        }
        let ready = || poll.may_be_ready().then_some(());
        match poll.waiters.wait_until_deadline(deadline, ready) {
            Ok(()) => {}
            Err(WaitEnd::TimedOut) => return Ok(0),
            Err(WaitEnd::Interrupted) => return Err(Errno::EINTR),
        }
    }
}
