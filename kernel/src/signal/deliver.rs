//! The loop that delivers signals until none is deliverable, on every way to user mode.
//!
//! [`deliver`] is called by a thread's life loop (`task::run`) and by nobody else. Each round takes one signal under the
//! signal lock, and acts on it without the lock: a handler's frame is written, the process stops or ends. Several
//! handlers nest: the frame of the second interrupts the first instruction of the first.

use alloc::sync::Arc;
use core::ops::ControlFlow;

use arch::context::UserContext;
use arch::sync::{Irq, SpinGuard};
use signals::duty::{self, Duty};

use super::action::{Action, ActionFlags};
use super::choose::{Disposition, Source, dispose};
use super::handler;
use super::info::SignalInfo;
use super::number::{DefaultAction, Signal, SignalSet};
use super::restart::{Before, Outcome, decide};
use super::state::ProcessSignals;
use super::{mask, stop, timers};
use crate::coredump::gather;
use crate::coredump::{self, Aftermath, Registers};
use crate::errno::Errno;
use crate::rseq;
use crate::task::{CoreFile, ExitStatus, Thread, family, notify};
use crate::trace::{self, Event};

/// restart_syscall(2).
const RESTART_SYSCALL: u64 = linux_raw_sys::general::__NR_restart_syscall as u64;
/// Bytes of the `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;

/// A system call that ended with a restart code, whose result user mode has not seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted {
    /// The restart code.
    pub code: Errno,
    /// The number of the call: what `rax` held.
    pub number: u64,
}

impl Interrupted {
    /// Makes the registers such that the call runs again, goes on or fails.
    fn settle(self, before: Before, context: &mut UserContext) {
        context.rax = match decide(self.code, before) {
            Outcome::Interrupted => {
                context.rax = Errno::EINTR.to_register();
                return;
            }
            Outcome::Again => self.number,
            Outcome::Continue => RESTART_SYSCALL,
        };
        context.rip = context.rip.wrapping_sub(SYSCALL_LENGTH);
    }
}

/// How the calling thread is to end. It leaves all its frames first, so that nothing they hold is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With its whole process.
    Process(ExitStatus),
    /// Alone.
    Thread(ExitStatus),
}

/// Delivers signals to `thread`, the calling one, until none is deliverable.
///
/// `context` are the user registers; `interrupted` the call that they come from, if it wants to be restarted: it is
/// settled when this returns. Breaks off when the thread is to end. May sleep.
pub fn deliver(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    interrupted: &mut Option<Interrupted>,
) -> ControlFlow<Ending> {
    loop {
        while thread.has_pending_signal() {
            deliver_one(thread, context, interrupted)?;
        }
        if let Some(call) = interrupted.take() {
            call.settle(Before::Nothing, context);
        }
        if !restore_mask(thread) {
            return ControlFlow::Continue(());
        }
    }
}

/// Acts on the next thing that the thread has to do.
fn deliver_one(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    interrupted: &mut Option<Interrupted>,
) -> ControlFlow<Ending> {
    let mut state = thread.process().signals();
    match duty::next(&mut *state, thread) {
        Duty::Signals => return deliver_signal(thread, state, context, interrupted),
        Duty::EndProcess(status) => {
            let (true, Some(dump)) = (state.of(thread).owes_registers, &state.dump) else {
                return ControlFlow::Break(Ending::Process(status));
            };
            let gathering = dump.gathering().clone();
            drop(state);
            let registers = Registers { context, interrupted: *interrupted };
            gather::attend(thread, registers, &gathering);
        }
        Duty::EndThread(status) => return ControlFlow::Break(Ending::Thread(status)),
        Duty::Announce(news) => {
            drop(state);
            notify::stopped_or_continued(thread.process(), news, &family::lock());
        }
        Duty::Park => {
            drop(state);
            stop::park(thread);
        }
    }
    ControlFlow::Continue(())
}

/// Takes the next signal and acts on it.
fn deliver_signal(
    thread: &Arc<Thread>,
    mut state: SpinGuard<'_, ProcessSignals, Irq>,
    context: &mut UserContext,
    interrupted: &mut Option<Interrupted>,
) -> ControlFlow<Ending> {
    if let Some((signal, info)) = state.of(thread).fatal_fault {
        drop(state);
        let registers = Registers { context, interrupted: *interrupted };
        return ControlFlow::Break(end_by(thread, registers, signal, &info));
    }
    let blocked = state.of(thread).blocked;
    let Some((signal, mut info)) = dequeue(&mut state, thread, blocked) else {
        state.refresh(thread);
        return ControlFlow::Continue(());
    };
    let action = state.actions.get(signal);
    match dispose(signal, &action, state.protection) {
        Disposition::Ignore => {
            state.refresh(thread);
            drop(state);
            // A timer goes on after a signal without effect, too.
            timers::note_delivery(thread.process(), &mut info);
        }
        Disposition::Deliver(_) => {
            if action.flags.contains(ActionFlags::RESET_HANDLER) {
                state.actions.reset_handler(signal);
            }
            let interruption = handler::Interruption::begin(&mut state, thread, signal, &action);
            drop(state);
            timers::note_delivery(thread.process(), &mut info);
            settle_for_handler(interrupted, &action, context);
            rseq::before_handler(thread, context, signal);
            trace::record(Event::SignalDeliver, thread.tid(), signal.number().into(), 0);
            interruption.start(thread, context, signal, &info, &action);
        }
        disposition @ (Disposition::Stop | Disposition::StopUnlessOrphaned) => {
            state.stop.permit();
            state.refresh(thread);
            drop(state);
            begin_stop(thread, signal, disposition);
        }
        Disposition::Terminate | Disposition::DumpCore => {
            state.refresh(thread);
            drop(state);
            let registers = Registers { context, interrupted: *interrupted };
            return ControlFlow::Break(end_by(thread, registers, signal, &info));
        }
    }
    ControlFlow::Continue(())
}

/// Settles the call that the handler of `action` interrupts.
fn settle_for_handler(
    interrupted: &mut Option<Interrupted>,
    action: &Action,
    context: &mut UserContext,
) {
    if let Some(call) = interrupted.take() {
        let restarting = action.flags.contains(ActionFlags::RESTART);
        let before = if restarting { Before::RestartingHandler } else { Before::OtherHandler };
        call.settle(before, context);
    }
}

/// Begins the stop that `signal` asks for, unless the disposition spares orphaned groups and the process is in one.
fn begin_stop(thread: &Thread, signal: Signal, disposition: Disposition) {
    let family = family::lock();
    if disposition == Disposition::Stop || !family::is_in_orphaned_group(thread.process(), &family)
    {
        signals::stop::begin(&mut *thread.process().signals(), signal);
    }
}

/// How the calling thread ends, whose process is to end by `signal`; after it has written a core file if one is due.
fn end_by(
    thread: &Arc<Thread>,
    registers: Registers<'_>,
    signal: Signal,
    info: &SignalInfo,
) -> Ending {
    if signal.default_action() != DefaultAction::Core {
        return Ending::Process(ExitStatus::Killed(signal, CoreFile::Absent));
    }
    match coredump::dump(thread, registers, signal, info) {
        Aftermath::ProcessEnds(status) => Ending::Process(status),
        Aftermath::ThreadEnds(status) => Ending::Thread(status),
    }
}

/// Takes the next signal that `blocked` does not hold, for the thread or for its process. If it comes from a timer,
/// the caller tells [`timers::note_delivery`] once it has released the lock.
#[inline(always)]
pub(super) fn dequeue(
    state: &mut ProcessSignals,
    thread: &Thread,
    blocked: SignalSet,
) -> Option<(Signal, SignalInfo)> {
    let (signal, source) = state.next_for(thread, blocked)?;
    let info = match source {
        Source::Thread => state.of_mut(thread).pending.take(signal),
        Source::Process => state.pending.take(signal),
    };
    Some((signal, info))
}

/// Puts back the mask that a call like sigsuspend(2) replaced, when no handler did. Says whether there was one.
fn restore_mask(thread: &Thread) -> bool {
    if !thread.restores_mask() {
        return false;
    }
    let mut state = thread.process().signals();
    let own = state.of_mut(thread);
    let Some(mask) = own.restored.take() else { return false };
    thread.set_restores_mask(false);
    mask::set(&mut state, thread, mask);
    true
}
