//! Telling a parent what became of its child: SIGCHLD, and the wake-up of wait(2).
//!
//! Everything happens under the family lock, so a signal that says *look* is pending before a wait(2) can return what
//! it speaks of. Takes the parent's signal lock.

use signals::StopNews;

use super::family::FamilyGuard;
use super::process::Process;
use super::status::ExitStatus;
use super::usage::Usage;
use crate::signal::info::ChildNews;
use crate::signal::{ActionFlags, Code, Handler, Signal, SignalInfo, send};

/// Clock ticks per second, as user programs count them (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// What is left of a child once its parent has been told of its end.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remains {
    /// A zombie, until the parent waits for it.
    Zombie,
    /// Nothing: the parent does not want to wait.
    Nothing,
}

/// Tells the parent of `child` that it has ended.
pub(super) fn ended(child: &Process, status: ExitStatus, family: &FamilyGuard) -> Remains {
    let kin = family.ro(&child.kinship);
    let Some(parent) = kin.parent.as_ref() else { return Remains::Nothing };
    let mut remains = Remains::Zombie;
    let mut signal = kin.exit_signal;
    if signal == Some(Signal::SIGCHLD) {
        let action = parent.signals().actions.get(Signal::SIGCHLD);
        let ignores = action.handler == Handler::Ignore;
        if ignores || action.flags.contains(ActionFlags::NO_CHILD_WAIT) {
            remains = Remains::Nothing;
        }
        if ignores {
            signal = None;
        }
    }
    if let Some(signal) = signal {
        let (code, value) = status.to_child_code();
        post(parent, signal, &news(child, code, value, &kin.usage));
    }
    parent.child_events.wake_all();
    remains
}

/// Tells the parent of `child` that it has stopped or goes on.
pub(crate) fn stopped_or_continued(child: &Process, news_kind: StopNews, family: &FamilyGuard) {
    let Some(parent) = family.ro(&child.kinship).parent.as_ref() else { return };
    let action = parent.signals().actions.get(Signal::SIGCHLD);
    let wanted =
        action.handler != Handler::Ignore && !action.flags.contains(ActionFlags::NO_CHILD_STOP);
    if wanted {
        let (code, signal) = match news_kind {
            StopNews::Stopped(signal) => (Code::CLD_STOPPED, signal),
            StopNews::Continued => (Code::CLD_CONTINUED, Signal::SIGCONT),
        };
        let usage = Usage::times_of(child);
        let news = news(child, code, i32::from(signal.number()), &usage);
        post(parent, Signal::SIGCHLD, &news);
    }
    parent.child_events.wake_all();
}

fn news(child: &Process, code: i32, status: i32, usage: &Usage) -> ChildNews {
    let ticks = |nanos: arch::time::Nanos| (nanos.0 / (1_000_000_000 / TICKS_PER_SECOND)) as i64;
    ChildNews {
        code,
        pid: child.pid(),
        user: child.credentials().user.real,
        status,
        user_ticks: ticks(usage.user),
        system_ticks: ticks(usage.system),
    }
}

fn post(parent: &Process, signal: Signal, news: &ChildNews) {
    // The kernel's signals lose their information if need be, and are never refused.
    let _sent = send::to_process(parent, signal, SignalInfo::child(signal, news));
}
