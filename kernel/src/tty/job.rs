//! Job control: which session a terminal controls, and which process group may use it (termios(3), setpgid(2)).
//!
//! A [`Session`] knows its controlling terminal, and the terminal its session; both change together under the family
//! lock. A terminal refers to session and group weakly: it does not keep them alive.
//!
//! Locks: the family lock, then `Session`'s own, then `job` (rank `TTY_JOB`). Signals are sent with the family lock
//! held and without `job`.

use alloc::sync::{Arc, Weak};

use super::terminal::Terminal;
use crate::errno::{Errno, Result};
use crate::signal::{self, Signal};
use crate::task::family::{self, FamilyGuard};
use crate::task::group::{ControllingTerminal, ProcessGroup, Session};
use crate::task::{self, Capability, Pid, Process, table};

/// Whom a terminal belongs to.
#[derive(Default)]
pub(super) struct Job {
    session: Weak<Session>,
    foreground: Weak<ProcessGroup>,
    /// The process that was put into the foreground before it led a group; the group that it leads, once it does, is there then.
    future_leader: Weak<Process>,
    /// The id of `foreground` or `future_leader`, which outlives them.
    foreground_id: Option<Pid>,
}

/// Why a process wants to become the owner of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// It opened the terminal: it gets it if nobody has it.
    Open,
    /// TIOCSCTTY: failure is an error.
    Request,
    /// TIOCSCTTY by a privileged process that takes it from another session.
    Steal,
}

impl Terminal {
    /// The session that the terminal controls.
    fn session(&self) -> Option<Arc<Session>> {
        self.job.lock().session.upgrade()
    }

    /// The foreground process group.
    pub(super) fn foreground_group(&self) -> Option<Arc<ProcessGroup>> {
        let (group, leader) = {
            let job = self.job.lock();
            (job.foreground.upgrade(), job.future_leader.upgrade())
        };
        // As long as the process is there, a group with its id is its own.
        let leader = leader.filter(|leader| !leader.has_been_reaped());
        group.or_else(|| leader.and_then(|leader| table::find_group(leader.pid())))
    }

    /// Whether the terminal is the controlling one of `process`.
    fn controls(&self, process: &Process, family: &FamilyGuard) -> bool {
        let own = self.session();
        own.is_some_and(|own| process.session(family).is_some_and(|its| Arc::ptr_eq(&own, &its)))
    }

    /// Sends `signal` to the foreground process group.
    pub(super) fn signal_foreground(&self, signal: Signal) {
        let family = family::lock();
        if let Some(group) = self.foreground_group() {
            signal::send::to_group(&group, signal, &family);
        }
    }

    /// Stops the caller if it is in the background: its group gets `signal` (SIGTTIN or SIGTTOU), as tcsetpgrp(3) and
    /// POSIX's general terminal interface have it.
    ///
    /// # Errors
    /// `ERESTARTSYS` when the signal was sent; `EIO` when nobody could ever continue the group, or a reader ignores
    /// or blocks the signal.
    pub(super) fn check_foreground(&self, signal: Signal) -> Result<()> {
        let thread = task::current();
        let process = thread.process();
        let family = family::lock();
        if !self.controls(process, &family) {
            return Ok(());
        }
        let Some(group) = process.group(&family) else { return Ok(()) };
        match self.job.lock().foreground_id {
            Some(foreground) if foreground != group.id() => {}
            _ => return Ok(()),
        }
        if signal::is_blocked_or_ignored(&thread, signal) {
            return if signal == Signal::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if family::is_in_orphaned_group(process, &family) {
            return Err(Errno::EIO);
        }
        signal::send::to_group(&group, signal, &family);
        Err(Errno::ERESTARTSYS)
    }

    /// Makes this the controlling terminal of the caller's session, with the caller's group in the foreground.
    ///
    /// # Errors
    /// `EPERM` if the caller leads no session, its session has a terminal, or the terminal a session. Not for
    /// [`Claim::Open`], which then changes nothing.
    pub(super) fn claim(&self, claim: Claim) -> Result<()> {
        let Some(this) = self.to_arc() else { return Err(Errno::EIO) };
        let thread = task::current();
        let process = thread.process();
        let family = family::lock();
        let Some(group) = process.group(&family) else { return Err(Errno::EPERM) };
        let session = group.session();
        let leads = session.id() == process.pid();
        if leads && self.controls(process, &family) {
            return Ok(());
        }
        let refused = !leads
            || session.terminal().is_some()
            || (self.session().is_some() && claim != Claim::Steal);
        if refused {
            return if claim == Claim::Open { Ok(()) } else { Err(Errno::EPERM) };
        }
        if let Some(former) = self.session() {
            drop(former.set_terminal(None));
        }
        {
            let mut job = self.job.lock();
            job.session = Arc::downgrade(session);
            job.foreground = Arc::downgrade(&group);
            job.future_leader = Weak::new();
            job.foreground_id = Some(group.id());
        }
        let replaced = session.set_terminal(Some(this));
        drop(family);
        drop(replaced);
        Ok(())
    }

    /// TIOCSCTTY with its argument.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub(super) fn claim_by_call(&self, argument: u64) -> Result<()> {
        let privileged = task::current().credentials().has(Capability::SysAdmin);
        self.claim(if argument == 1 && privileged { Claim::Steal } else { Claim::Request })
    }

    /// TIOCNOTTY: the caller's session gives the terminal up. When its leader does, the foreground group gets SIGHUP
    /// and SIGCONT.
    ///
    /// # Errors
    /// `ENOTTY` if it is not the caller's controlling terminal.
    pub(super) fn give_up(&self) -> Result<()> {
        let thread = task::current();
        let process = thread.process();
        let family = family::lock();
        if !self.controls(process, &family) {
            return Err(Errno::ENOTTY);
        }
        let Some(session) = process.session(&family) else { return Err(Errno::ENOTTY) };
        if session.id() == process.pid() {
            self.signal_group_of_lost_terminal(&family);
            let terminal = self.detach(&session);
            drop(family);
            drop(terminal);
        }
        Ok(())
    }

    fn signal_group_of_lost_terminal(&self, family: &FamilyGuard) {
        if let Some(group) = self.foreground_group() {
            signal::send::to_group(&group, Signal::SIGHUP, family);
            signal::send::to_group(&group, Signal::SIGCONT, family);
        }
    }

    /// Separates terminal and session. Returns the session's reference, to be dropped without locks.
    fn detach(&self, session: &Session) -> Option<Arc<dyn ControllingTerminal>> {
        *self.job.lock() = Job::default();
        session.set_terminal(None)
    }

    /// The line is cut: the session's leader gets SIGHUP and SIGCONT, the session loses its terminal, and whoever has
    /// the terminal open reads its end.
    pub(super) fn hang_up_session(&self) {
        let family = family::lock();
        let lost = self.session().and_then(|session| {
            if let Some(leader) = table::find_process(session.id()) {
                signal::send::from_kernel(&leader, Signal::SIGHUP);
                signal::send::from_kernel(&leader, Signal::SIGCONT);
            }
            self.detach(&session)
        });
        drop(family);
        drop(lost);
        self.hang_up();
    }

    /// The id of the foreground group for TIOCGPGRP; 0 if there is none.
    ///
    /// # Errors
    /// `ENOTTY` if it is not the caller's controlling terminal.
    pub(super) fn foreground_for_caller(&self) -> Result<u32> {
        let family = family::lock();
        if !self.controls(task::current().process(), &family) {
            return Err(Errno::ENOTTY);
        }
        Ok(self.foreground_number())
    }

    /// The id of the foreground group; 0 if there is none.
    pub(super) fn foreground_number(&self) -> u32 {
        self.job.lock().foreground_id.map_or(0, Pid::as_u32)
    }

    /// TIOCSPGRP: puts group `id` of the caller's session into the foreground. As on Linux, `id` may be that of a thread in the session
    /// that leads no group (`session_of_pgrp`): then the foreground is empty, until it does.
    ///
    /// # Errors
    /// `ENOTTY` if it is not the caller's controlling terminal or the caller is in an orphaned background group,
    /// `EINVAL`; `ESRCH` for an id that nobody has, and `EPERM` for one in another session; `ERESTARTSYS`.
    pub(super) fn set_foreground(&self, id: i32) -> Result<()> {
        self.check_foreground(Signal::SIGTTOU).map_err(|error| match error {
            Errno::EIO => Errno::ENOTTY,
            other => other,
        })?;
        let thread = task::current();
        let family = family::lock();
        if !self.controls(thread.process(), &family) {
            return Err(Errno::ENOTTY);
        }
        if id < 0 {
            return Err(Errno::EINVAL);
        }
        let id = Pid::from_argument(id).ok_or(Errno::ESRCH)?;
        let group = table::find_group(id);
        let member = match group {
            Some(_) => None,
            None => Some(process_of(id).ok_or_else(|| no_member(id))?),
        };
        let its = match (&group, &member) {
            (Some(group), _) => Some(group.session().clone()),
            (None, member) => member.as_ref().and_then(|member| member.session(&family)),
        };
        let own = thread.process().session(&family);
        let is_own = own.zip(its).is_some_and(|(own, its)| Arc::ptr_eq(&own, &its));
        if is_own {
            let mut job = self.job.lock();
            job.foreground = group.as_ref().map(Arc::downgrade).unwrap_or_default();
            job.future_leader = member.as_ref().map(Arc::downgrade).unwrap_or_default();
            job.foreground_id = Some(id);
        }
        drop(family);
        drop((group, member));
        if is_own { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// TIOCGSID: the session that the terminal controls.
    ///
    /// # Errors
    /// `ENOTTY` if it is not the caller's controlling terminal, or that of nobody.
    pub(super) fn session_for_caller(&self) -> Result<u32> {
        let family = family::lock();
        if !self.controls(task::current().process(), &family) {
            return Err(Errno::ENOTTY);
        }
        self.session_number()
    }

    /// The id of the session that the terminal controls.
    ///
    /// # Errors
    /// `ENOTTY` if it controls none.
    pub(super) fn session_number(&self) -> Result<u32> {
        self.session().map(|session| session.id().as_u32()).ok_or(Errno::ENOTTY)
    }
}

impl ControllingTerminal for Terminal {
    fn device_number(&self) -> u64 {
        self.number().encode()
    }

    fn foreground(&self) -> Option<Pid> {
        self.job.lock().foreground_id
    }

    fn leader_exited(&self, session: &Arc<Session>) {
        // A pseudo-terminal outlives the session that it controlled: only the foreground group hears of it.
        let family = family::lock();
        let own = self.session();
        if !own.is_some_and(|own| Arc::ptr_eq(&own, session)) {
            return;
        }
        if let Some(group) = self.foreground_group() {
            signal::send::to_group(&group, Signal::SIGHUP, &family);
            signal::send::to_group(&group, Signal::SIGCONT, &family);
        }
        *self.job.lock() = Job::default();
        drop(family);
        if !self.is_pseudo() {
            self.hang_up();
        }
    }
}

/// The process that thread `id` is part of.
fn process_of(id: Pid) -> Option<Arc<Process>> {
    table::find_process(id).or_else(|| {
        let thread = table::find_thread(id.leader())?;
        Some(thread.process().clone())
    })
}

/// Why an id is not in a session that no thread and no group has.
fn no_member(id: Pid) -> Errno {
    if table::find_session(id).is_some() { Errno::EPERM } else { Errno::ESRCH }
}
