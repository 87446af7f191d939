//! Making a signal pending, and waking who is to take it.
//!
//! Entry points: [`to_process`], [`to_thread`], [`to_group`] and [`force`]. All but the last may be called from interrupt
//! handlers. None of them sleeps; what memory they lack costs the signal's information, never the signal, except where
//! sigqueue(3) promises an error.
//!
//! A SIGKILL, and any other signal that ends its target for certain, sets the process's exit status right here: it
//! needs no memory, and no thread has to look at a queue to find out that it is to die.
//!
//! What races under the signal lock, above all who is to take the signal, is [`signals`]' business.
//!
//! Locks: takes the target's signal lock, and inside it the locks of the scheduler.

use alloc::sync::Arc;

use signals::{duty, stop, taker};

use super::action::Handler;
use super::choose::Protection;
use super::frame::build::FaultRecord;
use super::info::SignalInfo;
use super::number::{DefaultAction, Signal};
use super::pending::{Charge, PendingSignals};
use super::state::ProcessSignals;
use crate::coredump::gather;
use crate::errno::{Errno, Result};
use crate::task::family::FamilyGuard;
use crate::task::group::ProcessGroup;
use crate::task::{Account, CoreFile, ExitStatus, Process, Thread};
use crate::trace::{self, Event};

/// Sends `signal` to a process: any of its threads may take it.
///
/// # Errors
/// `EAGAIN` when the information of a real-time signal cannot be queued, and its sender used rt_sigqueueinfo(2).
pub fn to_process(process: &Process, signal: Signal, info: SignalInfo) -> Result<()> {
    let mut state = process.signals();
    let queued = post(&mut state, None, signal, &info);
    drop(state);
    process.signal_readers().wake_all();
    queued
}

/// Sends `signal` to one thread.
///
/// # Errors
/// As [`to_process`].
pub fn to_thread(thread: &Thread, signal: Signal, info: SignalInfo) -> Result<()> {
    let process = thread.process();
    let mut state = process.signals();
    let queued = post(&mut state, Some(thread), signal, &info);
    drop(state);
    process.signal_readers().wake_all();
    queued
}

/// Sends `signal` to every process of a group, as the kernel does for a terminal.
pub fn to_group(group: &ProcessGroup, signal: Signal, family: &FamilyGuard) {
    for process in group.members(family) {
        // A signal from the kernel is sent without information if need be, never refused.
        let _sent = to_process(process, signal, SignalInfo::kernel(signal));
    }
}

/// Raises `signal` in `thread`, the calling one, which cannot go on without taking it: when it is blocked, ignored or
/// not handled, the process ends, whatever protects it otherwise.
pub fn force(thread: &Thread, signal: Signal, info: SignalInfo) {
    let mut state = thread.process().signals();
    let _survives = force_locked(&mut state, thread, signal, info);
}

/// Whether a thread survives its fault.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forced {
    /// Its handler runs.
    Handled,
    /// Its process ends.
    Fatal,
}

/// As [`force`], for a fault of the processor that the handler's frame is to show.
pub fn force_fault(
    thread: &Thread,
    signal: Signal,
    info: SignalInfo,
    fault: FaultRecord,
) -> Forced {
    let mut state = thread.process().signals();
    state.of_mut(thread).fault = fault;
    force_locked(&mut state, thread, signal, info)
}

/// Ends the process by `signal`, whatever its action: not even the frame for its handler can be written.
pub(crate) fn force_fatal(thread: &Thread, signal: Signal) {
    let mut state = thread.process().signals();
    state.of_mut(thread).fatal_fault = Some((signal, SignalInfo::kernel(signal)));
    state.refresh(thread);
}

fn force_locked(
    state: &mut ProcessSignals,
    thread: &Thread,
    signal: Signal,
    info: SignalInfo,
) -> Forced {
    let action = state.actions.get(signal);
    let own = state.of_mut(thread);
    let handled = matches!(action.handler, Handler::Catch(_)) && !own.blocked.contains(signal);
    if handled {
        let charge = Charge::Nobody;
        if own.pending.add(signal, &info, charge).is_err() {
            own.pending.add_without_info(signal);
        }
    } else {
        own.fatal_fault = Some((signal, info));
    }
    state.refresh(thread);
    if handled { Forced::Handled } else { Forced::Fatal }
}

/// Ends the process of `state`: every thread sees it on its way to user mode, and no sleep that a kill may end lasts.
/// The first status counts.
pub fn begin_exit(state: &mut ProcessSignals, status: ExitStatus) {
    if state.exit.is_some() {
        return;
    }
    state.exit = Some(status);
    duty::end_all(state);
}

/// Ends all threads of the process of `state` but `survivor`, which calls execve(2).
///
/// # Errors
/// `EAGAIN` when another thread has begun the same, or the process is ending.
pub(crate) fn begin_replacement(state: &mut ProcessSignals, survivor: &Thread) -> Result<()> {
    if state.exit.is_some() || state.replacing {
        return Err(Errno::EAGAIN);
    }
    state.replacing = true;
    duty::end_others(state, survivor, ExitStatus::Exited(0));
    Ok(())
}

/// Ends the calling thread alone, with `status`, on its way to user mode.
pub(crate) fn begin_thread_end(thread: &Thread, status: ExitStatus) {
    let mut state = thread.process().signals();
    state.of_mut(thread).ending.get_or_insert(status);
    state.refresh(thread);
}

/// Makes `signal` pending for `target`, or for the whole process.
fn post(
    state: &mut ProcessSignals,
    target: Option<&Thread>,
    signal: Signal,
    info: &SignalInfo,
) -> Result<()> {
    if state.exit.is_some() {
        if signal == Signal::SIGKILL {
            gather::abort(state);
        }
        return Ok(());
    }
    stop::cancel_opposites(state, signal);
    let Some(judge) = target.or_else(|| state.main_thread()) else { return Ok(()) };
    let whole_process = u64::from(target.is_none());
    trace::record(Event::SignalSend, judge.tid(), signal.number().into(), whole_process);
    let handler = state.actions.handler(signal);
    if is_discarded(state, judge, signal, handler) {
        return Ok(());
    }
    if is_deadly(state, target, signal, handler) {
        begin_exit(state, ExitStatus::Killed(signal, CoreFile::Absent));
        return Ok(());
    }
    let ProcessSignals { key, pending, account, queue_limit, .. } = state;
    let charge = charge(account, *queue_limit, signal, info);
    let pending = match target {
        Some(thread) => &mut key.rw(&thread.signals).pending,
        None => pending,
    };
    enqueue(pending, signal, info, charge)?;
    taker::wake(state, target, signal);
    Ok(())
}

/// Whether the signal has no effect on anybody. One that is blocked is kept: its action may change.
fn is_discarded(state: &ProcessSignals, judge: &Thread, signal: Signal, handler: Handler) -> bool {
    if signal == Signal::SIGKILL || signal == Signal::SIGSTOP {
        return state.protection == Protection::Init;
    }
    if state.of(judge).blocked.contains(signal) {
        return false;
    }
    let spared = state.protection == Protection::Init && matches!(handler, Handler::Default);
    spared || handler.ignores(signal)
}

/// Whether taking the signal could have no other outcome than the end of the process, without a core file.
fn is_deadly(
    state: &ProcessSignals,
    target: Option<&Thread>,
    signal: Signal,
    handler: Handler,
) -> bool {
    if signal == Signal::SIGKILL {
        return true;
    }
    let stopped = state.stop.is_stopped();
    // Whoever is stopped takes nothing else before SIGCONT.
    matches!(handler, Handler::Default)
        && !stopped
        && state.protection == Protection::None
        && signal.default_action() == DefaultAction::Terminate
        && taker_is_free(state, target, signal)
}

/// Whether somebody can take the signal at once, and does not wait for it in rt_sigtimedwait(2).
fn taker_is_free(state: &ProcessSignals, target: Option<&Thread>, signal: Signal) -> bool {
    let free = |thread: &Thread| {
        let own = state.of(thread);
        !own.exiting && !own.blocked.contains(signal)
    };
    match target {
        Some(thread) => free(thread),
        None => state.threads.iter().any(free),
    }
}

/// The kernel's signals and those of kill(2) are queued past the limit, as they carry no more than anybody may send.
fn charge<'a>(
    account: &'a Arc<Account>,
    limit: u64,
    signal: Signal,
    info: &SignalInfo,
) -> Charge<'a> {
    if !signal.is_real_time() && info.code() >= 0 {
        Charge::Unlimited(account)
    } else {
        Charge::Limited(account, limit)
    }
}

/// # Errors
/// `EAGAIN` where losing the information would be noticed: for real-time signals that were not sent by kill(2).
fn enqueue(
    pending: &mut PendingSignals,
    signal: Signal,
    info: &SignalInfo,
    charge: Charge<'_>,
) -> Result<()> {
    let must_keep = signal.is_real_time() && info.code() != super::Code::SI_USER;
    match pending.add(signal, info, charge) {
        Err(errno) if must_keep => Err(errno),
        Err(_) => {
            pending.add_without_info(signal);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Sends the signal of an expired POSIX timer, to one thread or to the process. Says whether it will be delivered with
/// its information. One is queued even where the same signal is pending already, for each timer waits for its own.
pub(crate) fn from_timer(
    process: &Process,
    thread: Option<&Thread>,
    signal: Signal,
    info: SignalInfo,
) -> bool {
    let mut state = process.signals();
    if state.exit.is_some() {
        return true;
    }
    stop::cancel_opposites(&mut *state, signal);
    let Some(judge) = thread.or_else(|| state.main_thread()) else { return false };
    let handler = state.actions.handler(signal);
    if is_discarded(&state, judge, signal, handler) {
        return false;
    }
    if is_deadly(&state, thread, signal, handler) {
        begin_exit(&mut state, ExitStatus::Killed(signal, CoreFile::Absent));
        return true;
    }
    let pending = match thread {
        Some(thread) => &mut state.of_mut(thread).pending,
        None => &mut state.pending,
    };
    let queued = pending.append(signal, &info, Charge::Nobody).is_ok();
    if !queued {
        pending.add_without_info(signal);
    }
    taker::wake(&*state, thread, signal);
    drop(state);
    process.signal_readers().wake_all();
    queued
}

/// Sends `signal` with information as the kernel makes it, to the process of `parent`.
pub(crate) fn from_kernel(process: &Process, signal: Signal) {
    // Without information if need be, never refused.
    let _sent = to_process(process, signal, SignalInfo::kernel(signal));
}
