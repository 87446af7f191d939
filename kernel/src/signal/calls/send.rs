//! kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), rt_tgsigqueueinfo(2), pidfd_send_signal(2).

use alloc::sync::Arc;

use super::sendable;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::signal::info::{Code, INFO_SIZE, SignalInfo};
use crate::signal::number::Signal;
use crate::signal::send;
use crate::syscall::{Caller, Fd};
use crate::task::family::{self, FamilyGuard};
use crate::task::group::ProcessGroup;
use crate::task::{Pid, Process, Thread, Tid, pidfd, table};

/// Whom a signal goes to.
#[derive(Clone, Copy)]
enum Target<'a> {
    Process(&'a Process),
    Thread(&'a Thread),
}

/// Sends a signal to a process, a process group, or everybody.
pub(super) fn kill(caller: &mut Caller<'_>, pid: i32, signal: i32) -> Result {
    let sender = caller.thread;
    let process = sender.process();
    match pid {
        1.. if Pid::from_argument(pid) == Some(process.pid()) => {
            kill_process(sender, process, signal, None)?;
        }
        1.. => {
            let target = find(pid)?;
            kill_process(sender, &target, signal, None)?;
        }
        0 => {
            let family = family::lock();
            let group = process.group(&family).ok_or(Errno::ESRCH)?;
            kill_group(sender, &group, signal, &family)?;
        }
        -1 => kill_all(sender, signal)?,
        _ => {
            let id = pid.checked_neg().and_then(Pid::from_argument).ok_or(Errno::ESRCH)?;
            let family = family::lock();
            let group = table::find_group(id).ok_or(Errno::ESRCH)?;
            kill_group(sender, &group, signal, &family)?;
        }
    }
    Ok(0)
}

/// The process that `pid` names, also by the id of one of its threads, as on Linux.
fn find(pid: i32) -> Result<Arc<Process>> {
    let pid = Pid::from_argument(pid).ok_or(Errno::ESRCH)?;
    table::find_process(pid)
        .or_else(|| Some(table::find_thread(pid.leader())?.process().clone()))
        .ok_or(Errno::ESRCH)
}

/// Succeeds if one member could be signalled; the group's last error otherwise.
fn kill_group(
    sender: &Thread,
    group: &ProcessGroup,
    signal: i32,
    family: &FamilyGuard,
) -> Result<()> {
    let mut result = Err(Errno::ESRCH);
    for member in group.members(family) {
        let sent = send_in_family(sender, Target::Process(member), signal, None, Some(family));
        result = result.or(sent);
    }
    result
}

/// Everybody but the sender's process and the first one.
fn kill_all(sender: &Thread, signal: i32) -> Result<()> {
    let mut result = Err(Errno::ESRCH);
    for process in table::processes()? {
        if process.pid() == Pid::INIT || Arc::ptr_eq(&process, sender.process()) {
            continue;
        }
        result = match kill_process(sender, &process, signal, None) {
            // Who may not be signalled does not count as a failure here.
            Err(Errno::EPERM) if result == Err(Errno::ESRCH) => Ok(()),
            Err(Errno::EPERM) => result,
            other => other,
        };
    }
    result
}

fn kill_process(
    sender: &Thread,
    target: &Process,
    signal: i32,
    info: Option<SignalInfo>,
) -> Result<()> {
    send_in_family(sender, Target::Process(target), signal, info, None)
}

/// Checks the number and the permission and sends. `family` is the lock over kinship if the caller holds it.
fn send_in_family(
    sender: &Thread,
    target: Target<'_>,
    number: i32,
    info: Option<SignalInfo>,
    family: Option<&FamilyGuard>,
) -> Result<()> {
    let signal = sendable(number)?;
    let process = match target {
        Target::Process(process) => process,
        Target::Thread(thread) => thread.process(),
    };
    let is_own = core::ptr::eq(&raw const **sender.process(), process);
    if !is_own && !is_permitted(sender, process, signal, family) {
        return Err(Errno::EPERM);
    }
    let Some(signal) = signal else { return Ok(()) };
    let (pid, user) = (sender.process().pid(), sender.real_user());
    let sent = |code| SignalInfo::sent(signal, code, pid, user);
    match target {
        Target::Process(process) => {
            let info = info.unwrap_or_else(|| sent(Code::SI_USER));
            send::to_process(process, signal, info)
        }
        Target::Thread(thread) => {
            let info = info.unwrap_or_else(|| sent(Code::SI_TKILL));
            send::to_thread(thread, signal, info)
        }
    }
}

/// Whether `sender` may send `signal` to `target`, another process (kill(2)): the user ids allow it, or it is SIGCONT
/// within a session.
fn is_permitted(
    sender: &Thread,
    target: &Process,
    signal: Option<Signal>,
    family: Option<&FamilyGuard>,
) -> bool {
    if sender.credentials().may_signal(&target.credentials()) {
        return true;
    }
    let same_session = |family: &FamilyGuard| {
        let session = |process: &Process| process.session(family).map(|session| session.id());
        session(sender.process()) == session(target)
    };
    signal == Some(Signal::SIGCONT)
        && match family {
            Some(family) => same_session(family),
            None => same_session(&family::lock()),
        }
}

/// Sends a signal to a thread.
pub(super) fn tkill(caller: &mut Caller<'_>, tid: i32, signal: i32) -> Result {
    let tid = Tid::from_argument(tid).ok_or(Errno::EINVAL)?;
    send_to_thread(caller, None, tid, signal, None)
}

/// Sends a signal to a thread of a given process.
pub(super) fn tgkill(caller: &mut Caller<'_>, pid: i32, tid: i32, signal: i32) -> Result {
    let pid = Pid::from_argument(pid).ok_or(Errno::EINVAL)?;
    let tid = Tid::from_argument(tid).ok_or(Errno::EINVAL)?;
    send_to_thread(caller, Some(pid), tid, signal, None)
}

fn send_to_thread(
    caller: &Caller<'_>,
    pid: Option<Pid>,
    tid: Tid,
    signal: i32,
    info: Option<SignalInfo>,
) -> Result {
    let sender = caller.thread;
    let Some(thread) = table::find_thread(tid) else {
        // A first thread that has exited can be named until its process is gone, and takes nothing.
        let process = table::find_process(tid.as_pid()).ok_or(Errno::ESRCH)?;
        if !is_permitted(sender, &process, sendable(signal)?, None) {
            return Err(Errno::EPERM);
        }
        return Ok(0);
    };
    if pid.is_some_and(|pid| thread.process().pid() != pid) {
        return Err(Errno::ESRCH);
    }
    send_in_family(sender, Target::Thread(&thread), signal, info, None)?;
    Ok(0)
}

/// Queues a signal with information to a process.
pub(super) fn rt_sigqueueinfo(
    caller: &mut Caller<'_>,
    pid: i32,
    signal: i32,
    info: UserPtr<[u8; INFO_SIZE]>,
) -> Result {
    let info = read_info(caller, signal, info, pid)?;
    let target = find(pid)?;
    kill_process(caller.thread, &target, signal, info)?;
    Ok(0)
}

/// Queues a signal with information to a thread.
pub(super) fn rt_tgsigqueueinfo(
    caller: &mut Caller<'_>,
    pid: i32,
    tid: i32,
    signal: i32,
    info: UserPtr<[u8; INFO_SIZE]>,
) -> Result {
    let info = read_info(caller, signal, info, tid)?;
    let pid = Pid::from_argument(pid).ok_or(Errno::EINVAL)?;
    let tid = Tid::from_argument(tid).ok_or(Errno::EINVAL)?;
    send_to_thread(caller, Some(pid), tid, signal, info)
}

/// Reads a program's `siginfo_t` for a signal to `target`. `None` for signal 0 and numbers that are none, which the
/// sending itself judges.
///
/// # Errors
/// `EPERM` when it pretends to come from the kernel or from kill(2), and does not go to the caller itself.
fn read_info(
    caller: &Caller<'_>,
    signal: i32,
    address: UserPtr<[u8; INFO_SIZE]>,
    target: i32,
) -> Result<Option<SignalInfo>> {
    let bytes = address.read()?;
    // The number in the structure does not count, so any signal serves to look at the rest.
    let info =
        SignalInfo::from_user(Signal::from_argument(signal).unwrap_or(Signal::SIGHUP), &bytes);
    let forged = info.code() >= 0 || info.code() == Code::SI_TKILL;
    if forged && Tid::from_argument(target) != Some(caller.thread.tid()) {
        return Err(Errno::EPERM);
    }
    Ok(Signal::from_argument(signal).map(|_| info))
}

/// Sends a signal to the process of a pidfd.
pub(super) fn pidfd_send_signal(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    signal: i32,
    info: UserPtr<[u8; INFO_SIZE]>,
    flags: u32,
) -> Result {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let target = pidfd::process_of(caller.thread, descriptor)?;
    let info = match info.read_if_present()? {
        None => None,
        Some(bytes) => {
            let number = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if number != signal {
                return Err(Errno::EINVAL);
            }
            read_info(caller, signal, info, target.pid().as_u32() as i32)?
        }
    };
    if target.has_been_reaped() {
        return Err(Errno::ESRCH);
    }
    kill_process(caller.thread, &target, signal, info)?;
    Ok(0)
}
