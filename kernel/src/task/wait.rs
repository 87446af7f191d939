//! Waiting for children: wait4(2) and waitid(2).
//!
//! [`Request::accepts`] and [`Request::wants`] are pure; [`wait`] looks through the children under the family lock, and
//! sleeps on the parent's queue between two looks. A zombie is taken and freed in the same step, so two waiters
//! never get the same one.

use alloc::sync::Arc;

use linux_raw_sys::general as abi;

use signals::StopNews;

use super::family::{self, FamilyGuard};
use super::id::Pid;
use super::process::Process;
use super::status::ExitStatus;
use super::thread::Thread;
use super::usage::Usage;
use super::{exit, pidfd, rusage};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::signal::info::{ChildNews, INFO_SIZE, SignalInfo};
use crate::signal::{Code, Signal};
use crate::syscall::{Caller, Fd};

bitflags::bitflags! {
    /// The options of wait4(2) and waitid(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct WaitOptions: u32 {
        /// Do not wait.
        const NO_HANG = abi::WNOHANG;
        /// Children that stopped (`WSTOPPED`, `WUNTRACED`).
        const STOPPED = abi::WUNTRACED;
        /// Children that ended.
        const EXITED = abi::WEXITED;
        /// Children that went on after a stop.
        const CONTINUED = abi::WCONTINUED;
        /// Leave the child as it is.
        const NO_WAIT = abi::WNOWAIT;
        /// Only children of the calling thread; here, as they belong to the process, those of all threads.
        const NO_THREAD = abi::__WNOTHREAD;
        /// Any kind of child.
        const ALL = abi::__WALL;
        /// Only children whose end is not told by SIGCHLD.
        const CLONE = abi::__WCLONE;
    }
}

/// Which children.
#[derive(Clone, Debug)]
enum Who {
    Any,
    Process(Pid),
    Group(Pid),
    Descriptor(Arc<Process>),
}

/// What a call waits for.
#[derive(Clone, Debug)]
struct Request {
    who: Who,
    options: WaitOptions,
}

/// What a call found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Report {
    pid: Pid,
    user: u32,
    event: Event,
    usage: Usage,
}

/// What happened to a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Ended(ExitStatus),
    Stopped(Signal),
    Continued,
}

impl Event {
    /// The status word (wait(2)).
    fn to_wait_status(self) -> i32 {
        match self {
            Self::Ended(status) => status.to_wait_status(),
            Self::Stopped(signal) => i32::from(signal.number()) << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }

    /// `si_code` and `si_status`.
    fn to_child_code(self) -> (i32, i32) {
        match self {
            Self::Ended(status) => status.to_child_code(),
            Self::Stopped(signal) => (Code::CLD_STOPPED, i32::from(signal.number())),
            Self::Continued => (Code::CLD_CONTINUED, i32::from(Signal::SIGCONT.number())),
        }
    }
}

/// What one look through the children found.
enum Look {
    Found(Report),
    /// Children that match, but nothing to report of them yet.
    Nothing,
    NoChild,
}

impl Request {
    /// Whether a child with this id, group and signal of its end matches.
    fn accepts(&self, pid: Pid, group: Option<Pid>, exit_signal: Option<Signal>) -> bool {
        let named = match &self.who {
            Who::Any => true,
            Who::Process(wanted) => *wanted == pid,
            Who::Group(wanted) => Some(*wanted) == group,
            Who::Descriptor(process) => process.pid() == pid,
        };
        let is_clone = exit_signal != Some(Signal::SIGCHLD);
        let kind = self.options.contains(WaitOptions::ALL)
            || is_clone == self.options.contains(WaitOptions::CLONE);
        named && kind
    }

    /// Whether the call is to report `event`.
    fn wants(&self, event: Event) -> bool {
        self.options.contains(match event {
            Event::Ended(_) => WaitOptions::EXITED,
            Event::Stopped(_) => WaitOptions::STOPPED,
            Event::Continued => WaitOptions::CONTINUED,
        })
    }
}

/// Waits for a child of `thread`'s process. `None` when there is nothing to report and the call is not to wait.
fn wait(thread: &Thread, request: &Request) -> Result<Option<Report>> {
    let parent = thread.process();
    let once = || match look(parent, request) {
        Look::Found(report) => Some(Ok(Some(report))),
        Look::NoChild => Some(Err(Errno::ECHILD)),
        Look::Nothing if request.options.contains(WaitOptions::NO_HANG) => Some(Ok(None)),
        Look::Nothing => None,
    };
    parent.child_events.wait_until(once)?
}

fn look(parent: &Process, request: &Request) -> Look {
    let family = family::lock();
    let mut matched = false;
    let mut found = None;
    for child in &family.ro(&parent.kinship).children {
        let kin = family.ro(&child.kinship);
        let group = kin.group.as_ref().map(|group| group.id());
        if !request.accepts(child.pid(), group, kin.exit_signal) {
            continue;
        }
        matched = true;
        if let Some(event) = event_of(child, request, &family) {
            found = Some((child.to_arc(), event));
            break;
        }
    }
    match found {
        Some((child, event)) => Look::Found(take(parent, &child, event, request, family)),
        None if matched => Look::Nothing,
        None => Look::NoChild,
    }
}

fn event_of(child: &Process, request: &Request, family: &FamilyGuard) -> Option<Event> {
    let ended = family.ro(&child.kinship).exit.map(Event::Ended);
    let event = match ended {
        Some(ended) => ended,
        None => match child.signals().stop.unreported? {
            StopNews::Stopped(signal) => Event::Stopped(signal),
            StopNews::Continued => Event::Continued,
        },
    };
    request.wants(event).then_some(event)
}

/// Makes the report, and unless the call only looks, takes what it reports.
fn take(
    parent: &Process,
    child: &Arc<Process>,
    event: Event,
    request: &Request,
    mut family: FamilyGuard,
) -> Report {
    let usage = match event {
        Event::Ended(_) => {
            let kin = family.ro(&child.kinship);
            let mut usage = kin.usage;
            usage.add(&kin.children_usage);
            usage
        }
        Event::Stopped(_) | Event::Continued => Usage::times_of(child),
    };
    let user = child.credentials().user.real;
    let report = Report { pid: child.pid(), user, event, usage };
    if request.options.contains(WaitOptions::NO_WAIT) {
        return report;
    }
    if let Event::Ended(_) = event {
        family.rw(&parent.kinship).children_usage.add(&usage);
        exit::release(child, family);
    } else {
        child.signals().stop.unreported = None;
    }
    report
}

/// Waits for a child; the status word and what it has used are stored.
pub(super) fn wait4(
    caller: &mut Caller<'_>,
    pid: i32,
    status: UserPtr<i32>,
    options: u32,
    usage: UserPtr<rusage::Layout>,
) -> Result {
    let allowed = WaitOptions::NO_HANG
        | WaitOptions::STOPPED
        | WaitOptions::CONTINUED
        | WaitOptions::NO_THREAD
        | WaitOptions::ALL
        | WaitOptions::CLONE;
    let options = WaitOptions::from_bits(options).filter(|&options| allowed.contains(options));
    let options = options.ok_or(Errno::EINVAL)? | WaitOptions::EXITED;
    let who = match pid {
        -1 => Who::Any,
        0 => Who::Group(own_group(caller.thread)?),
        1.. => Who::Process(Pid::new(pid as u32)),
        _ => Who::Group(pid.checked_neg().and_then(Pid::from_argument).ok_or(Errno::ESRCH)?),
    };
    let Some(report) = wait(caller.thread, &Request { who, options })? else { return Ok(0) };
    status.write_if_present(&report.event.to_wait_status())?;
    usage.write_if_present(&rusage::layout(&report.usage))?;
    Ok(report.pid.as_usize())
}

/// Waits for a child; a `siginfo_t` and what it has used are stored.
pub(super) fn waitid(
    caller: &mut Caller<'_>,
    kind: u32,
    id: i32,
    info: UserPtr<[u8; INFO_SIZE]>,
    options: u32,
    usage: UserPtr<rusage::Layout>,
) -> Result {
    let mut options = WaitOptions::from_bits(options).ok_or(Errno::EINVAL)?;
    let events = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    if !options.intersects(events) {
        return Err(Errno::EINVAL);
    }
    let mut empty = Ok(0);
    let who = match kind {
        abi::P_ALL => Who::Any,
        abi::P_PID => Who::Process(Pid::from_argument(id).ok_or(Errno::EINVAL)?),
        abi::P_PGID if id < 0 => return Err(Errno::EINVAL),
        abi::P_PGID if id == 0 => Who::Group(own_group(caller.thread)?),
        abi::P_PGID => Who::Group(Pid::new(id as u32)),
        abi::P_PIDFD if id < 0 => return Err(Errno::EINVAL),
        abi::P_PIDFD => {
            let (process, waiting) = pidfd::resolve(caller.thread, Fd(id))?;
            if waiting == pidfd::Waiting::Never && !options.contains(WaitOptions::NO_HANG) {
                options |= WaitOptions::NO_HANG;
                empty = Err(Errno::EAGAIN);
            }
            Who::Descriptor(process)
        }
        _ => return Err(Errno::EINVAL),
    };
    let report = wait(caller.thread, &Request { who, options })?;
    if let Some(report) = &report {
        usage.write_if_present(&rusage::layout(&report.usage))?;
    }
    info.write_if_present(&report.map_or([0; INFO_SIZE], |report| describe(&report)))?;
    if report.is_some() { Ok(0) } else { empty }
}

fn describe(report: &Report) -> [u8; INFO_SIZE] {
    let (code, status) = report.event.to_child_code();
    let (pid, user) = (report.pid, report.user);
    // Unlike the signal, the call does not tell the times here.
    let news = ChildNews { code, pid, user, status, user_ticks: 0, system_ticks: 0 };
    SignalInfo::child(Signal::SIGCHLD, &news).to_bytes()
}

fn own_group(thread: &Thread) -> Result<Pid> {
    let family = family::lock();
    thread.process().group(&family).map(|group| group.id()).ok_or(Errno::ECHILD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(who: Who, options: WaitOptions) -> Request {
        Request { who, options }
    }

    #[test]
    fn children_match_by_id_group_and_kind() {
        let pid = Pid::new(7);
        let group = Some(Pid::new(3));
        let chld = Some(Signal::SIGCHLD);
        let none = WaitOptions::empty();
        assert!(request(Who::Any, none).accepts(pid, group, chld));
        assert!(request(Who::Process(pid), none).accepts(pid, group, chld));
        assert!(!request(Who::Process(Pid::new(8)), none).accepts(pid, group, chld));
        assert!(request(Who::Group(Pid::new(3)), none).accepts(pid, group, chld));
        assert!(!request(Who::Group(Pid::new(4)), none).accepts(pid, group, chld));
        assert!(!request(Who::Any, none).accepts(pid, group, None), "a clone child");
        assert!(request(Who::Any, WaitOptions::CLONE).accepts(pid, group, None));
        assert!(!request(Who::Any, WaitOptions::CLONE).accepts(pid, group, chld));
        assert!(request(Who::Any, WaitOptions::ALL).accepts(pid, group, None));
    }

    #[test]
    fn status_words_are_those_of_wait_2() {
        assert_eq!(Event::Stopped(Signal::SIGTSTP).to_wait_status(), 0x147f);
        assert_eq!(Event::Continued.to_wait_status(), 0xffff);
        assert_eq!(Event::Ended(ExitStatus::Exited(1)).to_wait_status(), 0x100);
    }

    #[test]
    fn only_wanted_events_are_reported() {
        let ended = request(Who::Any, WaitOptions::EXITED);
        assert!(ended.wants(Event::Ended(ExitStatus::Exited(0))));
        assert!(!ended.wants(Event::Stopped(Signal::SIGSTOP)));
        assert!(request(Who::Any, WaitOptions::CONTINUED).wants(Event::Continued));
    }
}
