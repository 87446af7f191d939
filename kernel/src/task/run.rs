//! The life of a thread that runs user code: one loop, and the only way to user mode.
//!
//! ```text
//!          ┌──────────────────────────────────────────────────────────┐
//!          ▼                                                          │
//!   common exit: reschedule if asked; deliver signals until none is  │
//!   deliverable; and again, until there is nothing to do with interrupts off
//!          │                                                          │
//!          ▼                                                          │
//!   arch::enter_user ── Syscall, PageFault, Exception, Interrupt ─▶ handle
//! ```
//!
//! The exit begins with a look whether there is anything to do, which is all that most ways need. Because every way to user mode
//! passes that look, signals are delivered on every return to user mode.
//! Between its last look and the entry, interrupts are off: who makes a signal pending after the look sends an
//! interrupt that ends user mode at once.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::ops::ControlFlow;

use arch::addr::UserAddr;
use arch::context::{Exit, SegmentBases, UserContext};
use arch::{enter_user, interrupts};

use super::current;
use super::exit;
use super::faults;
use super::status::ExitStatus;
use super::thread::Thread;
use crate::errno::Result;
use crate::memory::user::UserPtr;
use crate::rseq;
use crate::scheduling::{self, Cpu, wants_to_preempt};
use crate::signal::deliver::{Ending, Interrupted, deliver};
use crate::syscall::{Caller, dispatch, restarts};

/// What a new thread does before it first enters user mode.
pub(crate) enum Start {
    /// It was made by fork or clone, and goes on with these registers.
    Forked {
        /// Its registers.
        context: UserContext,
        /// Its segment bases.
        bases: SegmentBases,
        /// Where to store its id (`CLONE_CHILD_SETTID`).
        store_id: Option<u64>,
    },
    /// It loads a program: the kernel started its process.
    Program(Load),
}

/// Loads a program into the calling thread, whose process has none yet, and returns its registers. It says itself what it
/// has to say of failing.
pub(crate) type Load = Box<dyn FnOnce(&Arc<Thread>) -> Result<UserContext> + Send>;

/// What every user thread runs, from its first moment on its kernel stack.
pub(super) fn start() -> ! {
    // Nothing survives this call: the end of a thread runs no destructors of its frames.
    let ending = begin_and_live();
    exit::end(ending)
}

fn begin_and_live() -> Ending {
    let thread = current().to_arc();
    let context = match thread.take_start() {
        Some(Start::Forked { context, bases, store_id }) => {
            arch::thread::set_segment_bases(bases);
            if let Some(address) = store_id.and_then(UserAddr::try_new) {
                // An address that faults is the program's own mistake.
                let _stored = UserPtr::new(address).write(&thread.tid().as_u32());
            }
            context
        }
        Some(Start::Program(load)) => match load(&thread) {
            Ok(context) => context,
            Err(_) => return Ending::Process(ExitStatus::Exited(127)),
        },
        None => unreachable!("a user thread is started with something to do"),
    };
    match live(&thread, context) {
        ControlFlow::Break(ending) => ending,
        ControlFlow::Continue(never) => match never {},
    }
}

/// The loop. Ends when the thread does.
fn live(thread: &Arc<Thread>, mut context: UserContext) -> ControlFlow<Ending, Infallible> {
    let mut interrupted = None;
    loop {
        interrupts::mask();
        let mut here = scheduling::this_cpu_part();
        if has_business(thread, here) || interrupted.is_some() {
            prepare_for_user_mode(thread, &mut context, &mut interrupted)?;
            here = scheduling::this_cpu_part();
        }
        here.usage.enter_user_mode();
        let exit = enter_user(&mut context);
        scheduling::this_cpu_part().usage.leave_user_mode();
        match exit.decode() {
            Exit::Syscall => {
                interrupts::enable();
                // Whatever was interrupted before has been seen to on the way to user mode.
                if let Some(call) = system_call(thread, &mut context) {
                    interrupted = Some(call);
                }
            }
            Exit::PageFault { address, access, error_code } => {
                interrupts::enable();
                rseq::note_trap(thread);
                faults::page_fault(thread, &context, address, access, error_code);
            }
            Exit::Exception { vector, error_code } => {
                interrupts::enable();
                rseq::note_trap(thread);
                faults::exception(thread, &context, vector, error_code);
            }
            Exit::Interrupt { vector } => {
                // Acknowledged with interrupts off, as it came.
                arch::dispatch_interrupt(vector);
                rseq::note_trap(thread);
                interrupts::enable();
            }
        }
    }
}

/// Runs the system call that the registers describe. Returns it if it wants to be restarted.
fn system_call(thread: &Arc<Thread>, context: &mut UserContext) -> Option<Interrupted> {
    let number = context.rax;
    let result = dispatch(&mut Caller { thread, context });
    restarts::check(thread, number, &result);
    match result {
        Ok(value) => {
            context.rax = value as u64;
            None
        }
        Err(code) if code.is_restart() => Some(Interrupted { code, number }),
        Err(errno) => {
            context.rax = errno.to_register();
            None
        }
    }
}

/// Whether there may be something to do before the thread enters user mode, on the CPU `here`. Interrupts are off.
#[inline(always)]
fn has_business(thread: &Thread, here: &Cpu) -> bool {
    thread.has_pending_signal() || !thread.chores().is_empty() || wants_to_preempt(here)
}

/// The common exit. Called and returns with interrupts off, and returns with nothing left to do. Not part of the loop, as most
/// ways to user mode do not need it.
#[inline(never)]
fn prepare_for_user_mode(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    interrupted: &mut Option<Interrupted>,
) -> ControlFlow<Ending> {
    loop {
        let mut must_deliver = thread.has_pending_signal() || interrupted.is_some();
        let mut behind = None;
        if !thread.chores().is_empty() {
            must_deliver |= thread.restores_mask();
            behind = rseq::is_due(thread);
        }
        if !must_deliver && behind.is_none() && !wants_to_preempt(scheduling::this_cpu_part()) {
            return ControlFlow::Continue(());
        }
        interrupts::enable();
        scheduling::preempt_if_requested();
        if must_deliver {
            deliver(thread, context, interrupted)?;
        } else if let Some(stretch) = behind {
            rseq::catch_up(thread, context, stretch);
        }
        interrupts::mask();
    }
}
