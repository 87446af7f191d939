//! getpriority(2) and setpriority(2): nice values of threads, groups and users.

use alloc::sync::Arc;

use linux_raw_sys::general as abi;
use sched::{Nice, Parameters};

use super::{Rights, apply, find_any};
use crate::errno::{Errno, Result};
use crate::syscall::Caller;
use crate::task::{Pid, Process, Thread, family, table};

/// Whose nice values are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// One thread's.
    Thread(i32),
    /// Those of all threads in a process group.
    Group(u32),
    /// Those of all threads of a user.
    User(u32),
}

impl Whose {
    /// Decodes the two arguments; 0 means the caller's own.
    fn decode(caller: &Caller<'_>, which: i32, who: i32) -> Result<Self> {
        match which as u32 {
            abi::PRIO_PROCESS => Ok(Self::Thread(who)),
            abi::PRIO_PGRP if who == 0 => {
                let family = family::lock();
                let group = caller.thread.process().group(&family).ok_or(Errno::ESRCH)?;
                Ok(Self::Group(group.id().as_u32()))
            }
            abi::PRIO_PGRP => Ok(Self::Group(who as u32)),
            abi::PRIO_USER if who == 0 => Ok(Self::User(caller.thread.credentials().user.real)),
            abi::PRIO_USER => Ok(Self::User(who as u32)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn includes(self, process: &Process) -> bool {
        match self {
            Self::Thread(_) => false,
            Self::Group(id) => {
                let family = family::lock();
                process.group(&family).is_some_and(|group| group.id() == Pid::new(id))
            }
            Self::User(_) => true,
        }
    }

    /// Calls `visit` with each thread that is meant. No lock is held meanwhile, however many they are.
    fn visit(self, caller: &Caller<'_>, mut visit: impl FnMut(&Arc<Thread>)) -> Result<()> {
        if let Self::Thread(tid) = self {
            let thread = find_any(caller, tid)?;
            visit(&thread);
            return Ok(());
        }
        for process in table::processes()? {
            if !self.includes(&process) {
                continue;
            }
            for thread in process.threads() {
                let matches = match self {
                    Self::User(user) => thread.credentials().user.real == user,
                    Self::Thread(_) | Self::Group(_) => true,
                };
                if matches {
                    visit(&thread);
                }
            }
        }
        Ok(())
    }
}

/// The best nice value among those meant, as 20 minus the value: results of system calls are not negative.
pub(super) fn getpriority(caller: &mut Caller<'_>, which: i32, who: i32) -> Result {
    let whose = Whose::decode(caller, which, who)?;
    let mut best: Option<Nice> = None;
    whose.visit(caller, |thread| {
        let nice = thread.scheduling.task.parameters().nice;
        best = Some(best.map_or(nice, |best| best.min(nice)));
    })?;
    best.map(|nice| (20 - nice.get()) as usize).ok_or(Errno::ESRCH)
}

/// Sets the nice value of all that are meant.
pub(super) fn setpriority(caller: &mut Caller<'_>, which: i32, who: i32, nice: i32) -> Result {
    let whose = Whose::decode(caller, which, who)?;
    let nice = Nice::clamped(nice);
    let mut outcome = Err(Errno::ESRCH);
    whose.visit(caller, |thread| {
        let result = set_nice(caller, thread, nice);
        // As on Linux: an error among several is reported, success only if there was none.
        if outcome != Err(Errno::EPERM) && outcome != Err(Errno::EACCES) {
            outcome = result;
        }
    })?;
    outcome.map(|()| 0)
}

fn set_nice(caller: &Caller<'_>, thread: &Arc<Thread>, nice: Nice) -> Result<()> {
    let (own, its) = (caller.thread.credentials(), thread.credentials());
    let owns = [its.user.real, its.user.effective].contains(&own.user.effective);
    let rights = Rights::of(caller, thread);
    if !owns && !rights.is_privileged {
        return Err(Errno::EPERM);
    }
    apply(thread, |old| match nice < old.nice && !rights.may_be_nice(nice) {
        true => Err(Errno::EACCES),
        false => Ok(Parameters { nice, ..old }),
    })
}
