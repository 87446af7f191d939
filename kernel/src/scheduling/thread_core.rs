//! The part of a thread that the scheduler and the switch code work with: [`ThreadCore`].
//!
//! `task` (all atomics) is described in `sched`. `machine` belongs to whoever has the thread in hand: its creator until it
//! is started, then the CPU that runs it or switches it in or out (interrupts off, or the thread itself). The park protocol hands it
//! from CPU to CPU: `on_cpu` is cleared with release after the last access, and seen with acquire before the next.
#![allow(
    unsafe_code,
    reason = "what a thread leaves on its CPU is handed over by the switch, not by a lock"
)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::UnsafeCell;

use arch::clock;
use arch::cpu::{CpuId, CpuMask};
use arch::error::OutOfMemory;
use arch::fpu::ExtendedState;
use arch::interrupts;
use arch::sync::atomic::{AtomicBool, Ordering};
use arch::thread::{KernelContext, KernelStack};
use arch::time::Nanos;
use mm::AddressSpace;
use sched::policy::Event;
use sched::{Discipline, Parameters, ParkMode, Phase, Schedulable, TaskCore};
use spin::Once;

use super::block::wake_thread;
use super::cpu_clock::CpuClock;
use super::cpus::{cpu, scheduler};
use super::late::{Late, LateLink};
use super::switch::begin;
use crate::cpu::Spent;
use crate::errno::{Errno, Result};
use crate::held_late;
use crate::task::{self, Thread};
use crate::time::Timer;
use crate::trace;

/// What a thread runs first.
pub(super) enum Start {
    /// The loop of a user thread.
    Function(fn() -> !),
    /// The body of a kernel thread, which ends when it returns.
    Body(Box<dyn FnOnce() + Send>),
}

/// What the switch code needs of a thread.
pub(super) struct Machine {
    pub context: KernelContext,
    /// `None` for a CPU's own thread, which runs on the stack that the CPU started on.
    pub stack: Option<KernelStack>,
    /// The floating-point and vector registers while the thread is off its CPU. `None` for kernel threads.
    pub extended: Option<ExtendedState>,
    /// The user memory that it runs in. `None` for kernel threads, and at the end.
    pub space: Option<Arc<AddressSpace>>,
    /// What to run first; taken by the thread when it starts.
    pub start: Option<Start>,
}

/// A thread's scheduling state, embedded in [`Thread`] as `scheduling`.
pub struct ThreadCore {
    /// What `sched` works with.
    pub task: TaskCore,
    is_idle: bool,
    machine: UnsafeCell<Machine>,
    /// Wakes the thread at the deadline of its wait; made at its first wait with one.
    alarm: Once<Timer>,
    /// CPU time in user and kernel mode.
    cpu_clock: CpuClock,
    /// The thread ends, and has no locks for anybody to wait for.
    releases_locks: AtomicBool,
    late: LateLink<Thread>,
}

held_late!(Thread, scheduling.late);

// SAFETY: `machine` is touched by one CPU at a time, as the module's documentation says; the rest is `Sync`.
unsafe impl Sync for ThreadCore {}

/// What `ps` shows of a thread's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// Runs, or waits for a CPU.
    Running,
    /// Waits interruptibly.
    Sleeping,
    /// Waits uninterruptibly.
    DiskSleep,
    /// Stopped by job control.
    Stopped,
    /// Stopped by a tracer.
    Traced,
    /// Will never run again.
    Dead,
}

impl ThreadState {
    /// The letter in `/proc/[pid]/stat` (proc(5)).
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::DiskSleep => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Dead => 'X',
        }
    }
}

impl ThreadCore {
    /// The state of the first thread of a program: fresh registers, default parameters, every CPU allowed.
    /// `start` is the loop that enters user mode.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new_user(start: fn() -> !) -> Result<Self> {
        let extended = ExtendedState::new()?;
        let start = Start::Function(start);
        Self::make(Parameters::DEFAULT, &CpuMask::ALL, Some(extended), start)
    }

    /// The state of a thread that the current user thread makes: it inherits extended state, scheduling parameters and
    /// affinity (fork(2), sched(7)).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn forked(start: fn() -> !) -> Result<Self> {
        let current = task::current();
        let parent = &current.scheduling;
        let parameters = parent.task.parameters().inherited();
        // A reservation cannot be had twice (sched(7)).
        if parameters.discipline == Discipline::Deadline {
            return Err(Errno::EAGAIN);
        }
        let extended = ExtendedState::of_running()?;
        Self::make(parameters, &parent.task.affinity(), Some(extended), Start::Function(start))
    }

    /// The state of a thread of the kernel's own, which runs `body` and ends.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new_kernel(
        parameters: Parameters,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        Self::make(parameters, &CpuMask::ALL, None, Start::Body(Box::new(body)))
    }

    /// The state of a CPU's own thread: the context that runs there already.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new_idle(cpu: CpuId) -> Result<Self> {
        let id = scheduler().reserve_task().map_err(|_| Errno::ENOMEM)?;
        let task = TaskCore::new(id, Parameters::DEFAULT, &CpuMask::only(cpu));
        Ok(Self::with_machine(task, KernelContext::running(), None, None, None))
    }

    fn make(
        parameters: Parameters,
        affinity: &CpuMask,
        extended: Option<ExtendedState>,
        start: Start,
    ) -> Result<Self> {
        let stack = KernelStack::new()?;
        let context = KernelContext::new(&stack, begin, 0);
        let id = scheduler().reserve_task().map_err(|_| Errno::ENOMEM)?;
        let task = TaskCore::new(id, parameters, affinity);
        Ok(Self::with_machine(task, context, Some(stack), extended, Some(start)))
    }

    fn with_machine(
        task: TaskCore,
        context: KernelContext,
        stack: Option<KernelStack>,
        extended: Option<ExtendedState>,
        start: Option<Start>,
    ) -> Self {
        Self {
            task,
            is_idle: stack.is_none(),
            machine: UnsafeCell::new(Machine { context, stack, extended, space: None, start }),
            alarm: Once::new(),
            cpu_clock: CpuClock::new(),
            releases_locks: AtomicBool::new(false),
            late: LateLink::new(),
        }
    }

    /// The user memory that the current thread, to which this belongs, runs in.
    ///
    /// # Panics
    /// When this is not the current thread's.
    #[must_use]
    pub fn own_space(&self) -> Option<Arc<AddressSpace>> {
        self.assert_own();
        // SAFETY: the current thread's machine part; only the thread itself changes its space.
        unsafe { (*self.machine.get()).space.clone() }
    }

    /// Moves the current thread, to which this belongs, into `space`. Returns the former one.
    pub(super) fn exchange_space(
        &self,
        space: Option<Arc<AddressSpace>>,
    ) -> Option<Arc<AddressSpace>> {
        self.assert_own();
        let saved = interrupts::disable();
        // SAFETY: the current thread's machine part, and with interrupts off nobody switches it out meanwhile.
        let own = unsafe { &mut (*self.machine.get()).space };
        let former = core::mem::replace(own, space);
        match own {
            Some(space) => space.activate(),
            None => {
                if let Some(former) = &former {
                    former.deactivate();
                }
            }
        }
        interrupts::restore(saved);
        former
    }

    fn assert_own(&self) {
        let own = core::ptr::eq(self, &task::current().scheduling);
        assert!(own, "what belongs to a running thread is used by another");
    }

    /// Whether the thread ends and nobody may wait for its locks any more.
    pub(crate) fn releases_locks(&self) -> bool {
        self.releases_locks.load(Ordering::Relaxed)
    }

    /// See [`releases_locks`](Self::releases_locks).
    pub(crate) fn set_releases_locks(&self) {
        self.releases_locks.store(true, Ordering::Relaxed);
    }

    /// Whether this is a CPU's own thread, which runs when nothing else does.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// What the switch code needs. A raw pointer, because a suspended thread's part is used by the CPU that resumes it.
    pub(super) fn machine(&self) -> *mut Machine {
        self.machine.get()
    }

    /// Brings the image of the extended registers up to date and calls `look` on it. For the current thread only, and
    /// only for user threads; `look` must not sleep (copy to a kernel buffer first).
    ///
    /// # Panics
    /// When this is not the current thread's, or has no extended state.
    pub fn with_extended_state<R>(&self, look: impl FnOnce(&ExtendedState) -> R) -> R {
        self.assert_own();
        arch::preempt::disable();
        // SAFETY: the current thread's machine part, and with preemption off nobody switches it out meanwhile.
        let extended = unsafe { &mut (*self.machine.get()).extended };
        let Some(extended) = extended else { panic!("a kernel thread has no extended state") };
        extended.save();
        let result = look(extended);
        arch::preempt::enable();
        result
    }

    /// What `ps` shows.
    #[must_use]
    pub fn state(&self) -> ThreadState {
        match self.task.park.phase() {
            Phase::Dead => ThreadState::Dead,
            Phase::Runnable | Phase::Parking | Phase::Waking => ThreadState::Running,
            Phase::Parked => match self.task.park.mode() {
                Some(ParkMode::Interruptible) => ThreadState::Sleeping,
                Some(ParkMode::Stopped) => ThreadState::Stopped,
                Some(ParkMode::Traced) => ThreadState::Traced,
                Some(ParkMode::Uninterruptible | ParkMode::Killable) => ThreadState::DiskSleep,
                None => ThreadState::Running,
            },
        }
    }

    /// CPU time up to now in user and in kernel mode, also of a thread that is running elsewhere.
    #[must_use]
    pub fn cpu_times(&self) -> (Nanos, Nanos) {
        let on = |at| cpu(at).usage.spent_by_running(&clock::stamp_in_order);
        let spent = self.cpu_clock.read(on);
        (clock::span_of(spent.user), clock::span_of(spent.system))
    }

    /// CPU time in both modes.
    #[must_use]
    pub fn cpu_time(&self) -> Nanos {
        let (user, system) = self.cpu_times();
        user.saturating_add(system)
    }

    /// The thread comes to `cpu`, whose account has begun anew. Called there, with interrupts off.
    #[inline]
    pub(super) fn come_to(&self, cpu: CpuId) {
        self.cpu_clock.start(cpu);
    }

    /// The thread leaves its CPU, whose account begins anew by `hand_over`. Called there, with interrupts off.
    #[inline]
    pub(super) fn go(&self, hand_over: impl FnOnce() -> Spent) {
        self.cpu_clock.stop(hand_over);
    }

    /// Whether [`arm_alarm`](Self::arm_alarm) has been used before: then it allocates nothing.
    pub(crate) fn has_alarm(&self) -> bool {
        self.alarm.get().is_some()
    }

    /// Wakes the current thread, to which this belongs, at `deadline`.
    pub(super) fn arm_alarm(&self, deadline: Nanos) {
        let alarm = self.alarm.call_once(|| {
            let thread = Arc::downgrade(&task::current().to_arc());
            Timer::new(move |_| {
                if let Some(thread) = thread.upgrade().map(Late::new) {
                    wake_thread(&thread, sched::WakeMask::ANY);
                }
            })
        });
        if alarm.deadline() != Some(deadline) {
            alarm.arm(deadline);
        }
    }

    /// Undoes [`arm_alarm`](Self::arm_alarm).
    pub(super) fn disarm_alarm(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.cancel();
        }
    }
}

impl Drop for ThreadCore {
    fn drop(&mut self) {
        scheduler().release_task();
    }
}

impl core::fmt::Debug for ThreadCore {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ThreadCore({:?}, {:?})", self.task.id(), self.state())
    }
}

impl Schedulable for Thread {
    fn task(&self) -> &TaskCore {
        &self.scheduling.task
    }

    #[inline(always)]
    fn was_queued(&self, cpu: CpuId, event: Event) {
        let kind = match event {
            Event::Woken | Event::Spawned => trace::Event::Wake,
            Event::Migrated => trace::Event::Migrate,
            // The switch away from it says the same.
            _ => return,
        };
        trace::record(kind, self.tid(), cpu.index() as u64, 0);
    }
}

impl From<OutOfMemory> for Errno {
    fn from(_: OutOfMemory) -> Self {
        Self::ENOMEM
    }
}
