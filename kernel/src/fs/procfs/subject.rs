//! What files in procfs are about: the system, a process, a thread.

use alloc::sync::Arc;

use super::super::metadata::DeviceNumber;
use super::super::pseudo::Subject;
use crate::errno::{Errno, Result};
use crate::task::{self, Process, Thread};

/// The system as a whole.
#[derive(Clone, Copy)]
pub struct System;

impl Subject for System {
    /// Settings of the system are root's alone, also for who has inherited the descriptor or may override file modes, as on
    /// Linux (`sysctl_perm` in `fs/proc/proc_sysctl.c`).
    fn check_write(&self) -> Result<()> {
        let is_root = task::current().credentials().user.effective == 0;
        if is_root { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn device(&self) -> DeviceNumber {
        super::device()
    }
}

/// Whether a directory shows a whole process or one of its threads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `/proc/PID`: sums over threads.
    Process,
    /// `/proc/PID/task/TID`.
    Thread,
}

/// A process, or one of its threads.
#[derive(Clone)]
pub struct Task {
    /// The process. A zombie keeps it until it is reaped.
    pub process: Arc<Process>,
    /// The thread; for a process its main one. `None` for a zombie.
    pub thread: Option<Arc<Thread>>,
    /// Which of the two the files are about.
    pub scope: Scope,
}

impl Task {
    /// The directory of `process`.
    pub fn of_process(process: Arc<Process>) -> Self {
        let thread = process.main_thread();
        Self { process, thread, scope: Scope::Process }
    }

    /// The directory of `thread`.
    pub fn of_thread(thread: Arc<Thread>) -> Self {
        let process = thread.process().clone();
        Self { process, thread: Some(thread), scope: Scope::Thread }
    }

    /// The id in the directory's name.
    pub fn id(&self) -> u32 {
        match (&self.thread, self.scope) {
            (Some(thread), Scope::Thread) => thread.tid().as_u32(),
            _ => self.process.pid().as_u32(),
        }
    }

    /// The thread, while the process is no zombie.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn live_thread(&self) -> Result<Arc<Thread>> {
        match self.scope {
            Scope::Thread => self.thread.clone().ok_or(Errno::ESRCH),
            // The main thread may have become another one since.
            Scope::Process => self.process.main_thread().ok_or(Errno::ESRCH),
        }
    }

    /// The same, where the caller may look into the process (`ptrace_may_access`).
    ///
    /// # Errors
    /// `ESRCH`; `EACCES` for another user's process.
    pub fn accessible_thread(&self) -> Result<Arc<Thread>> {
        let thread = self.live_thread()?;
        let own = task::current().credentials();
        let other = thread.credentials();
        let same_user = [other.user.real, other.user.effective, other.user.saved]
            .iter()
            .all(|user| *user == own.user.file_system);
        let same_group = [other.group.real, other.group.effective, other.group.saved]
            .iter()
            .all(|group| *group == own.group.file_system);
        if same_user && same_group || own.has(task::Capability::SysPtrace) {
            Ok(thread)
        } else {
            Err(Errno::EACCES)
        }
    }
}

impl Subject for Task {
    fn owner(&self) -> (u32, u32) {
        let credentials = self.process.credentials();
        (credentials.user.effective, credentials.group.effective)
    }

    fn is_alive(&self) -> bool {
        match (&self.thread, self.scope) {
            (Some(thread), Scope::Thread) => task::table::find_thread(thread.tid()).is_some(),
            _ => !self.process.has_been_reaped(),
        }
    }

    fn number(&self) -> u64 {
        u64::from(self.id()) | if self.scope == Scope::Thread { 1 << 30 } else { 0 }
    }

    fn device(&self) -> DeviceNumber {
        super::device()
    }
}
