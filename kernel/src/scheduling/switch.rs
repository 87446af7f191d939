//! The switch from one thread to another, the first steps of a new thread, and the last of an ended one.
//!
//! The outgoing thread takes the run-queue lock, chooses, saves its extended state, leaves a note in the CPU's
//! [`Handoff`] and switches stacks. The incoming one, perhaps on another CPU than it left, continues in [`finish`]: it marks
//! the other as off the CPU, releases the lock, and loads its own extended state.
#![allow(unsafe_code, reason = "switches stacks")]

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::mem;

use arch::cpu::CpuId;
use arch::{clock, interrupts, preempt, thread};
use sched::{Fate, Leave, Switch, Switched};

use super::cpus::{scheduler, this_cpu};
use super::late::{Late, release_late};
use super::preemption::{carry_out, look};
use super::thread_core::{Machine, Start};
use crate::task::{self, Thread};
use crate::trace::{self, Event};

/// The note from the outgoing to the incoming thread of one CPU. Touched by that CPU only, with interrupts off.
pub(super) struct Handoff(UnsafeCell<Option<(Arc<Thread>, Fate)>>);

// SAFETY: each CPU uses only its own, with interrupts off, as `leave` and `take` ask.
unsafe impl Sync for Handoff {}

impl Handoff {
    pub(super) const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// # Safety
    /// On the CPU that this belongs to, with interrupts off.
    unsafe fn leave(&self, previous: Arc<Thread>, fate: Fate) {
        // SAFETY: by this function's contract nobody else uses the cell now. What is overwritten needs no drop: each note is
        // taken before the next is left.
        unsafe { self.0.get().write(Some((previous, fate))) };
    }

    /// # Safety
    /// As for [`leave`](Self::leave).
    unsafe fn take(&self) -> Option<(Arc<Thread>, Fate)> {
        // SAFETY: by this function's contract nobody else uses the cell now.
        unsafe { (*self.0.get()).take() }
    }
}

/// Gives the CPU up for `leave`'s reason and returns when the thread runs again.
///
/// Requests that come meanwhile are answered here, in a loop, and preemption is enabled while interrupts are still off: so
/// however many come, none is answered from within this function once more, one frame deeper.
pub(super) fn schedule(leave: Leave) {
    let saved = interrupts::disable();
    preempt::disable();
    let mut leave = leave;
    loop {
        preempt::clear_request();
        switch_away(leave);
        if !preempt::requested() {
            break;
        }
        leave = Leave::Preempt;
    }
    preempt::enable();
    interrupts::restore(saved);
}

#[inline(always)]
fn switch_away(leave: Leave) {
    let (this, stamp) = (this_cpu(), clock::stamp_in_order());
    let now = clock::time_of(stamp);
    let Switched::To(switch) = this.scheduler.begin_switch(this.queue, now, leave) else {
        this.usage.stay(&task::current());
        look();
        return;
    };
    let (previous, next) = (&switch.previous, switch.next());
    previous.scheduling.go(|| this.usage.switch(previous, next, stamp));
    next.scheduling.come_to(this.id);
    trace::record(Event::Switch, previous.tid(), next.tid().into(), leave as u64);
    let (from, to) = (previous.scheduling.machine(), next.scheduling.machine());
    // SAFETY: interrupts are off and the queue's lock is held, so `previous` (the caller) and `next`
    // (chosen for this CPU by `sched`, off every other CPU) are in this CPU's hands.
    unsafe {
        save_extended(from);
        switch_space(from, to);
        // `current` of the run queue keeps `next` alive while it runs.
        task::set_current(next);
        if let Some(stack) = &(*to).stack {
            thread::set_kernel_stack(stack);
        }
        let Switch { guard, previous, fate } = switch;
        // The lock stays held; `finish` releases it.
        mem::forget(guard);
        this.handoff.leave(previous, fate);
        thread::switch(&raw mut (*from).context, &raw const (*to).context);
        finish();
    }
}

/// # Safety
/// `machine` is the current thread's; interrupts are off.
unsafe fn save_extended(machine: *mut Machine) {
    // SAFETY: by this function's contract.
    if let Some(extended) = unsafe { &mut (*machine).extended } {
        extended.save_for_switch();
    }
}

/// Loads the user memory of `to`. A thread without leaves the last one loaded, lazily.
///
/// # Safety
/// Both machine parts are in this CPU's hands; interrupts are off.
unsafe fn switch_space(from: *mut Machine, to: *mut Machine) {
    // SAFETY: by this function's contract.
    let (from, to) = unsafe { (&(*from).space, &(*to).space) };
    match (from, to) {
        (_, Some(space)) => space.activate(),
        (Some(space), None) => space.deactivate(),
        (None, None) => {}
    }
}

/// What the incoming thread does first, on its own stack, with the queue's lock held by the switch.
///
/// # Safety
/// Called once after each switch, with interrupts off, on the CPU where it happened.
#[inline(always)]
unsafe fn finish() {
    let this = this_cpu();
    // SAFETY: this CPU's note, interrupts off.
    let left = unsafe { this.handoff.take() };
    let Some((previous, fate)) = left else { panic!("a switch without a note") };
    let queue = this.queue;
    previous.scheduling.task.park.set_off_cpu();
    // SAFETY: `switch_away` took the lock on this CPU and forgot the guard.
    unsafe { queue.spin_lock().force_unlock() };
    preempt::enable();
    let current = task::current();
    // SAFETY: the current thread's machine part, interrupts off.
    if let Some(extended) = unsafe { &(*current.scheduling.machine()).extended } {
        extended.restore();
    }
    this.program_timer(queue.next_tick());
    match fate {
        Fate::Left => drop(previous),
        _ => conclude(previous, fate, this.id),
    }
}

/// What is left to do about a thread that was switched away from and does not simply wait. As [`finish`].
#[cold]
fn conclude(previous: Arc<Thread>, fate: Fate, cpu: CpuId) {
    match fate {
        Fate::Ended => {
            // Interrupts are off, so this is not the place to run its destructor.
            drop(Late::new(previous));
            look();
        }
        Fate::Left | Fate::Migrates | Fate::Displaced => {
            carry_out(scheduler().finish_switch(previous, fate, clock::now(), cpu));
            look();
        }
    }
}

/// The first steps of every new thread.
pub(super) extern "C" fn begin(_argument: usize) -> ! {
    // SAFETY: the first thing after the switch to this new stack; a new context starts with interrupts off.
    unsafe { finish() };
    interrupts::enable();
    preempt::enable();
    release_late();
    let current = task::current();
    // SAFETY: the current thread's machine part; taken once, by the thread itself.
    let start = unsafe { (*current.scheduling.machine()).start.take() };
    match start {
        Some(Start::Function(function)) => function(),
        Some(Start::Body(body)) => body(),
        None => panic!("a thread starts without anything to run"),
    }
    exit_current()
}

/// Ends the current thread. It must have given up everything that it owns beyond its kernel stack: no destructor of its
/// frames runs. Its memory is freed when the last reference to the [`Thread`] is gone, on another stack.
pub fn exit_current() -> ! {
    super::block::assert_may_sleep();
    leave_address_space();
    retire();
    schedule(Leave::Exit);
    panic!("an ended thread was resumed");
}

/// Gives up what the current thread reserved.
fn retire() {
    preempt::disable();
    carry_out(scheduler().retire(&task::current().to_arc(), clock::now(), arch::current_cpu()));
    preempt::enable();
}

/// Moves the current thread into its process's present address space, which execve(2) has just replaced. The
/// caller still holds the former one, and drops it where nothing is locked.
pub fn enter_address_space() {
    let current = task::current();
    drop(current.scheduling.exchange_space(current.process().space()));
}

/// Leaves the current thread without user memory, before it ends.
pub fn leave_address_space() {
    drop(task::current().scheduling.exchange_space(None));
}

/// Starts `thread`, in its process's address space. It has been made with a [`ThreadCore`](super::ThreadCore) of its own and is
/// in the table.
pub fn spawn(thread: &Arc<Thread>) {
    let machine = thread.scheduling.machine();
    // SAFETY: a thread that was not started is in its creator's hands.
    unsafe { (*machine).space = thread.process().space() };
    preempt::disable();
    carry_out(scheduler().spawn(thread, clock::now(), arch::current_cpu()));
    preempt::enable();
}
