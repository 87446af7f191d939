//! Threads on CPUs: sleeping, waking, switching, and the locks that sleep.
//!
//! What others use:
//! - [`WaitQueue`] to wait for a condition, [`Completion`] for a one-time event, [`sleep_until`] for a time;
//! - [`Mutex`] and [`RwLock`] for state that is held across user-memory accesses and other sleeps;
//! - [`block_current`] and [`wake_thread`], the primitives below all of these, for the signal and wait code;
//! - [`spawn`], [`spawn_kernel_thread`], [`exit_current`], [`preempt_if_requested`], [`yield_now`].
//!
//! `sched` decides (see its documentation for the wake-up protocol); this module owns the one
//! [`Scheduler`](sched::Scheduler), switches stacks, extended state and address spaces, programs the timer, and sends
//! the interrupts that [`Resched`](sched::Resched) asks for.
//!
//! Rules:
//! - Everything that may sleep starts with [`assert_may_sleep`]: interrupts on, no spin lock held.
//! - Waking never sleeps, takes only locks of rank `WAIT_QUEUE` and above, and is allowed in interrupt handlers.
//! - A sleeper marks itself as parking, then checks its condition; a waker makes the condition true, then wakes. A wake-up may come
//!   for no visible reason, so every wait is a loop around its condition; the functions here contain that loop.

mod block;
mod calls;
mod completion;
mod cpu_clock;
mod cpus;
mod idle;
mod kernel_thread;
mod late;
pub(crate) mod limits;
mod mutex;
mod observers;
mod policy;
mod preemption;
mod rw_lock;
mod sleep;
mod switch;
mod thread_core;
mod wait_queue;
mod watchdog;

pub use crate::cpu::load_averages;
pub use block::{WaitEnd, assert_may_sleep, block_current, wake_and_interrupt, wake_thread};
pub use calls::SYSCALLS;
pub use completion::Completion;
pub use cpu_clock::CpuClock;
pub(crate) use cpus::{
    Cpu, cpu as cpu_part, each_cpu, noted_cpu as noted_cpu_part, this_cpu as this_cpu_part,
};
pub use cpus::{cpu_count, initialize, scheduler};
pub use idle::{adopt_cpu, run_idle};
pub use kernel_thread::spawn_kernel_thread;
pub use late::{HeldLate, Late, LateLink};
pub use mutex::{Mutex, MutexGuard};
pub use observers::{Registration, ThreadWaker, Wake};
pub use policy::{each_counters, offer_test_policies, policies, set_policy};
pub(crate) use preemption::wants_to_preempt;
pub(crate) use preemption::{carry_out, look};
pub use preemption::{preempt, preempt_if_requested, yield_now};
pub use rw_lock::{ReadGuard, RwLock, WriteGuard};
pub use sched::{ParkMode, WakeMask};
pub use sleep::{Interruption, sleep_until};
pub use switch::{enter_address_space, exit_current, leave_address_space, spawn};
pub use thread_core::{ThreadCore, ThreadState};
pub use wait_queue::WaitQueue;
pub(crate) use watchdog::listen as listen_to_watchdog;
pub use watchdog::{evictions, patience, set_patience, start_watchdog};
