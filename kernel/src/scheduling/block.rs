//! Putting the current thread to sleep, and waking threads: the primitives below wait queues, locks and stops.

use alloc::sync::Arc;

use arch::time::Nanos;
use arch::{clock, interrupts, preempt};
use sched::{Leave, ParkMode, WakeMask};
use signals::Member;

use super::cpus::this_cpu;
use super::preemption::carry_out;
use super::switch::schedule;
use crate::errno::Errno;
use crate::task::{self, Thread};

/// Why a wait ended without its event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitEnd {
    /// A signal is pending that ends this kind of wait.
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

impl From<WaitEnd> for Errno {
    /// `ERESTARTSYS` or `ETIMEDOUT`: what most system calls return. Those that differ match for themselves.
    fn from(end: WaitEnd) -> Self {
        match end {
            WaitEnd::Interrupted => Self::ERESTARTSYS,
            WaitEnd::TimedOut => Self::ETIMEDOUT,
        }
    }
}

/// Checks that the caller may sleep.
///
/// # Panics
/// In builds with debug assertions, when a spin lock is held or interrupts are off.
pub fn assert_may_sleep() {
    debug_assert_eq!(preempt::count(), 0, "sleeping while a spin lock is held");
    debug_assert!(interrupts::enabled(), "sleeping with interrupts off");
}

/// Sleeps until `done`, and wakes up early where `mode` allows or at `deadline`.
///
/// `done` is asked after the thread was marked as parking, and again after each wake-up. It may take spin locks but not
/// sleep. Whoever makes it true afterwards calls [`wake_thread`] with a mask that covers `mode`. `mode` says what else ends the
/// sleep: any pending signal ([`ParkMode::Interruptible`]), a fatal one (`Killable`, `Stopped`, `Traced`), or nothing.
///
/// # Errors
/// Why the sleep ended although `done` was still false.
pub fn block_current(
    mode: ParkMode,
    deadline: Option<Nanos>,
    mut done: impl FnMut() -> bool,
) -> Result<(), WaitEnd> {
    assert_may_sleep();
    let thread = task::current();
    let park = &thread.scheduling.task.park;
    let mut armed = false;
    let outcome = loop {
        let look = || {
            if done() {
                Some(Ok(()))
            } else if thread.attention().forbids(mode) {
                Some(Err(WaitEnd::Interrupted))
            } else {
                deadline.filter(|&at| clock::now() >= at).map(|_| Err(WaitEnd::TimedOut))
            }
        };
        if let Some(outcome) = park.prepare_unless(mode, look) {
            break outcome;
        }
        if let Some(at) = deadline {
            // Again each time: a wait inside `done`'s caller may have used the thread's one alarm meanwhile.
            thread.scheduling.arm_alarm(at);
            armed = true;
        }
        schedule(Leave::Block);
        if done() {
            // The usual end: no other sleep need be announced and taken back.
            break Ok(());
        }
    };
    if armed {
        thread.scheduling.disarm_alarm();
    }
    outcome
}

/// Ends `thread`'s sleep if it is one of `sleeps`. What it waits for was made true before.
///
/// Allowed anywhere where no lock of rank `RUN_QUEUE` or above is held, also in interrupt handlers. Never switches here and now:
/// if the woken thread is more urgent, it preempts when the caller's locks and interrupts permit.
pub fn wake_thread(thread: &Arc<Thread>, sleeps: WakeMask) {
    // The calling CPU must not change between asking for it and acting on the answer.
    preempt::disable();
    let this = this_cpu();
    carry_out(this.scheduler.wake(thread, sleeps, clock::now(), this.id));
    preempt::enable();
}

/// As [`wake_thread`], because `thread`'s attention was set; if it is running in user mode on another CPU, makes it
/// enter the kernel and look.
pub fn wake_and_interrupt(thread: &Arc<Thread>, sleeps: WakeMask) {
    wake_thread(thread, sleeps);
    kick(thread);
}

/// Interrupts the CPU that runs `thread`, so that it passes its common exit. Nothing if it does not run.
fn kick(thread: &Arc<Thread>) {
    preempt::disable();
    let core = &thread.scheduling.task;
    let cpu = core.cpu();
    // The signal was made pending before this load; a thread that gets on a CPU after it looks for signals before user mode.
    if core.park.is_on_cpu() && cpu != arch::current_cpu() {
        carry_out(sched::Resched::Cpu(cpu));
    }
    preempt::enable();
}
