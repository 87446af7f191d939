//! The loop that delivers signals until none is deliverable, on every way to user mode.
//!
//! [`deliver`] is called by a thread's life loop (`task::run`) and by nobody else. Each round takes one signal under the
//! signal lock, and acts on it without the lock: a handler's frame is written, the process stops or ends. Several
//! handlers nest: the frame of the second interrupts the first instruction of the first.

use alloc::sync::Arc;
use core::ops::ControlFlow;

use arch::context::UserContext;
use signals::StopNews;
use signals::duty::{self, Duty};

use super::action::ActionFlags;
use super::choose::{Disposition, Source, dispose};
use super::handler::{self, Delivery};
use super::info::SignalInfo;
use super::number::{DefaultAction, Signal, SignalSet};
use super::restart::{Before, Outcome, decide};
use super::state::ProcessSignals;
use super::{mask, stop, timers};
use crate::coredump::gather::{self, Gathering};
use crate::coredump::{self, Aftermath, Registers};
use crate::errno::Errno;
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

/// What one round found.
enum Found {
    Nothing,
    /// A signal without effect.
    Ignored,
    Handler(Delivery),
    /// A stop signal; the process does not stop if `unless_orphaned` and its group is.
    StopSignal {
        signal: Signal,
        unless_orphaned: bool,
    },
    /// The thread owes a group stop.
    Stop,
    /// The parent is to be told.
    Announcement(StopNews),
    /// The process ends by this signal.
    Fatal(Signal, SignalInfo),
    /// The process ends, and its core file is to hold the thread's registers.
    Dump(Arc<Gathering>),
    /// The process is ending.
    ProcessEnds(ExitStatus),
    /// The thread is ending.
    ThreadEnds(ExitStatus),
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

fn deliver_one(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    interrupted: &mut Option<Interrupted>,
) -> ControlFlow<Ending> {
    match take(thread) {
        Found::Nothing | Found::Ignored => (),
        Found::Handler(delivery) => {
            if let Some(call) = interrupted.take() {
                let restarting = delivery.action.flags.contains(ActionFlags::RESTART);
                let before =
                    if restarting { Before::RestartingHandler } else { Before::OtherHandler };
                call.settle(before, context);
            }
            let number = delivery.signal.number().into();
            trace::record(Event::SignalDeliver, thread.tid(), number, 0);
            handler::start(thread, context, &delivery);
        }
        Found::StopSignal { signal, unless_orphaned } => {
            let family = family::lock();
            if !unless_orphaned || !family::is_in_orphaned_group(thread.process(), &family) {
                signals::stop::begin(&mut *thread.process().signals(), signal);
            }
        }
        Found::Stop => stop::park(thread),
        Found::Announcement(news) => {
            notify::stopped_or_continued(thread.process(), news, &family::lock());
        }
        Found::Fatal(signal, info) => {
            let registers = Registers { context, interrupted: *interrupted };
            return ControlFlow::Break(end_by(thread, registers, signal, &info));
        }
        Found::Dump(gathering) => {
            let registers = Registers { context, interrupted: *interrupted };
            gather::attend(thread, registers, &gathering);
        }
        Found::ProcessEnds(status) => return ControlFlow::Break(Ending::Process(status)),
        Found::ThreadEnds(status) => return ControlFlow::Break(Ending::Thread(status)),
    }
    ControlFlow::Continue(())
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

/// Takes the next thing to act on.
#[inline(always)]
fn take(thread: &Thread) -> Found {
    let mut state = thread.process().signals();
    match duty::next(&mut *state, thread) {
        Duty::EndProcess(status) => {
            return match (state.of(thread).owes_registers, &state.dump) {
                (true, Some(dump)) => Found::Dump(dump.gathering().clone()),
                _ => Found::ProcessEnds(status),
            };
        }
        Duty::EndThread(status) => return Found::ThreadEnds(status),
        Duty::Announce(news) => return Found::Announcement(news),
        Duty::Park => return Found::Stop,
        Duty::Signals => (),
    }
    if let Some((signal, info)) = state.of(thread).fatal_fault {
        return Found::Fatal(signal, info);
    }
    let mut found = take_signal(&mut state, thread);
    if let Found::Handler(Delivery { info, .. }) = &mut found {
        // The start of the handler changes the mask, and refreshes the thread's attention then.
        drop(state);
        timers::note_delivery(thread.process(), info);
    } else {
        state.refresh(thread);
    }
    found
}

#[inline(always)]
fn take_signal(state: &mut ProcessSignals, thread: &Thread) -> Found {
    let blocked = state.of(thread).blocked;
    let Some((signal, info)) = dequeue(state, thread, blocked) else { return Found::Nothing };
    let action = state.actions.get(signal);
    let protection = state.protection;
    match dispose(signal, &action, protection) {
        Disposition::Ignore => Found::Ignored,
        Disposition::Deliver(action) => {
            if action.flags.contains(ActionFlags::RESET_HANDLER) {
                state.actions.reset_handler(signal);
            }
            let own = state.of(thread);
            let mask = own.restored.unwrap_or(own.blocked);
            let (stack, fault) = (own.stack, own.fault);
            Found::Handler(Delivery { signal, info, action, mask, stack, fault })
        }
        disposition @ (Disposition::Stop | Disposition::StopUnlessOrphaned) => {
            state.stop.permit();
            let unless_orphaned = disposition == Disposition::StopUnlessOrphaned;
            Found::StopSignal { signal, unless_orphaned }
        }
        Disposition::Terminate | Disposition::DumpCore => Found::Fatal(signal, info),
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
