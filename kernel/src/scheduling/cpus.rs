//! What the kernel keeps per CPU for scheduling, and the one scheduler.
#![allow(unsafe_code, reason = "keeps each CPU's part as a pointer on that CPU")]

use alloc::boxed::Box;
use core::ptr;

use arch::cpu::CpuId;
use arch::sync::PerCpu;
use arch::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use arch::thread;
use arch::time::Nanos;
use sched::{CpuQueue, IdlePoll, Scheduler};
use spin::Once;

use super::late::LateList;
use super::policy;
use super::switch::Handoff;
use crate::cpu::Usage;
use crate::task::Thread;
use crate::time::TimerQueue;
use crate::trace::{self, decisions};

/// One CPU's part.
pub(crate) struct Cpu {
    /// Which.
    pub id: CpuId,
    /// The one scheduler.
    pub scheduler: &'static Scheduler<Thread>,
    /// This CPU's queue there.
    pub queue: &'static CpuQueue<Thread>,
    /// Where its trace goes, if there is tracing.
    pub ring: Option<&'static trace::Ring>,
    /// Timers that expire here.
    pub timers: TimerQueue,
    /// The deadline that the machine's timer is set to, to save setting it again. Touched only by this CPU, interrupts off.
    pub programmed: AtomicU64,
    /// Whether the machine's timer has ever interrupted here.
    pub timer_works: AtomicBool,
    /// What the outgoing thread leaves to the incoming one.
    pub(super) handoff: Handoff,
    /// What is to be dropped here where sleeping would be allowed: ended threads above all.
    pub(super) late: LateList,
    /// Where this CPU's time goes.
    pub usage: Usage,
    /// Whether it polls for work.
    pub(super) idle: IdlePoll,
}

struct Cpus {
    scheduler: &'static Scheduler<Thread>,
    cpus: PerCpu<Cpu>,
}

static CPUS: Once<Cpus> = Once::new();

/// Makes the scheduler for `count` CPUs. Once, at boot, when the heap and the clock work.
///
/// `policy_name` is what the command line asks for (`sched=`); an unknown name is answered with `false`, and the
/// default policy is used. Policies that leave something to chance start from `seed`.
pub fn initialize(count: usize, policy_name: Option<&str>, seed: u64) -> bool {
    let asked = policy_name.map(policy::find);
    let kind = decisions::recorded(asked.flatten().unwrap_or_else(policy::default));
    CPUS.call_once(|| {
        // Never freed, like all that the CPUs run on.
        let scheduler = Box::leak(Box::new(Scheduler::with_seed(count, kind, seed)));
        Cpus { scheduler, cpus: PerCpu::new(count, |id| Cpu::new(id, scheduler)) }
    });
    asked.is_none_or(|kind| kind.is_some())
}

/// The scheduler.
///
/// # Panics
/// Before [`initialize`].
pub fn scheduler() -> &'static Scheduler<Thread> {
    cpus().scheduler
}

/// How many CPUs the scheduler was made for.
#[must_use]
pub fn cpu_count() -> usize {
    cpus().cpus.iter().count()
}

/// Every CPU's part, in order.
pub(crate) fn each_cpu() -> impl Iterator<Item = (CpuId, &'static Cpu)> {
    cpus().cpus.iter()
}

/// The part of `cpu`.
pub(crate) fn cpu(cpu: CpuId) -> &'static Cpu {
    cpus().cpus.get(cpu)
}

/// This CPU's part. The caller keeps the thread from moving, or does not mind.
#[inline]
pub(crate) fn this_cpu() -> &'static Cpu {
    match noted_cpu() {
        Some(cpu) => cpu,
        None => cpus().cpus.this(),
    }
}

/// This CPU's part, if it has noted it.
#[inline]
pub(crate) fn noted_cpu() -> Option<&'static Cpu> {
    // SAFETY: null, or noted by `note_this_cpu`: a part that is never freed.
    unsafe { thread::own_part().cast::<Cpu>().as_ref() }
}

/// Notes this CPU's part where the machine finds it in one step. Interrupts are off.
pub(super) fn note_this_cpu() {
    thread::set_own_part(ptr::from_ref(cpus().cpus.this()).cast());
}

fn cpus() -> &'static Cpus {
    match CPUS.get() {
        Some(cpus) => cpus,
        None => panic!("the scheduler is used before it is initialized"),
    }
}

impl Cpu {
    fn new(id: CpuId, scheduler: &'static Scheduler<Thread>) -> Self {
        Self {
            id,
            scheduler,
            queue: scheduler.queue(id),
            ring: trace::ring_of(id),
            timers: TimerQueue::new(),
            programmed: AtomicU64::new(u64::MAX),
            timer_works: AtomicBool::new(false),
            handoff: Handoff::new(),
            late: LateList::new(),
            usage: Usage::new(),
            idle: IdlePoll::default(),
        }
    }

    /// Has the machine's timer interrupt no later than the first timer and the [next tick](Scheduler::next_tick). On this
    /// CPU, with interrupts off.
    ///
    /// A timer that is set too early is left alone: setting it costs more than a switch does, tasks that wake one another would
    /// have it set at each, and its interrupt comes here again.
    pub(crate) fn program_timer(&self, next_tick: Option<Nanos>) {
        // A slice that is over asks for a switch, which comes when preemption is enabled and sets the timer anew. Until then
        // it must not interrupt: it would at once, again and again, and the code that holds preemption off would get nowhere.
        let deadline = self.timers.earliest().min(next_tick.unwrap_or(Nanos::MAX));
        if deadline.0 < self.programmed.load(Ordering::Relaxed) {
            self.programmed.store(deadline.0, Ordering::Relaxed);
            arch::clock::set_timer(Some(deadline));
        }
    }

    /// The machine's timer fired: it is set to nothing any more.
    pub(crate) fn timer_fired(&self) {
        self.programmed.store(u64::MAX, Ordering::Relaxed);
        self.timer_works.store(true, Ordering::Relaxed);
    }
}
