//! Per-CPU scheduling without a machine: run queues, classes, policies, placement, stealing, and the protocol that
//! puts a task to sleep and wakes it with no wake-up lost.
//!
//! Time, CPU numbers and tasks are arguments; the kernel owns the one [`Scheduler`] and does what it returns: a
//! [`Resched`] says whom to interrupt, a [`Switch`] which thread to switch to. There is no static, no
//! `unsafe` and no architecture here, so everything runs under `cargo test`, proptest and loom.
//!
//! Reading order: [`park`] (one task's sleep and wake), [`task`] (what is embedded in each thread), [`policy`] (the
//! interface of the fair class and the policies in the box), `run_queue` (one CPU), `scheduler` (all CPUs).
//!
//! Locks: one per run queue, rank `RUN_QUEUE`. A second run queue is only ever taken by `try_lock`.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod deadline;
mod idle;
pub mod parameters;
pub mod park;
pub mod policy;
mod queue;
mod real_time;
mod resched;
mod run_queue;
mod scheduler;
mod slots;
mod stand;
mod statistics;
pub mod task;
mod throttle;
mod urgency;
pub mod watchdog;

pub use deadline::{Reservation, Server};
pub use idle::IdlePoll;
pub use parameters::{Discipline, Nice, Parameters};
pub use park::{ParkMode, ParkState, Phase, WakeMask};
pub use resched::Resched;
pub use run_queue::{REAL_TIME_SLICE, RunQueue};
pub use scheduler::{
    CpuQueue, Fate, Leave, Loan, OutOfMemory, Overcommitted, QueueGuard, Replaced, Scheduler,
    Switch, Switched,
};
pub use stand::Stand;
pub use statistics::CpuStatistics;
pub use task::{Schedulable, TaskCore, TaskId, TaskStatistics};
pub use throttle::RealTimeLimit;
