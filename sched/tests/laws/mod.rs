//! The laws that hold for every policy, for the tests of the policies in the box and of the one in `docs/policies.md`.
#![allow(dead_code, reason = "not every test program asks for every law")]

use arch::cpu::CpuId;
use arch::time::Nanos;
use sched::policy::{Memory, PolicyKind, Setup, TaskView, mlfq};
use sched::watchdog::PATIENCE;
use sched::{Nice, TaskId};

pub mod history;
pub mod hogs;
pub mod sleepers;

/// What instances are made with.
pub const SETUP: Setup = Setup { cpu: CpuId::BOOT, seed: 1 };

/// A new task.
pub fn view(id: u64, nice: i32) -> TaskView {
    TaskView {
        id: TaskId(id),
        slot: id as u32,
        weight: Nice::clamped(nice).weight(),
        batch: false,
        slice: Nanos::ZERO,
        memory: Memory::default(),
    }
}

/// How long a task of value `nice` may wait among tasks of the values `nices`.
pub fn longest_wait(kind: &PolicyKind, nices: &[i32], nice: i32) -> Nanos {
    let weight = |nice: i32| u64::from(Nice::clamped(nice).weight());
    let total: u64 = nices.iter().map(|&nice| weight(nice)).sum();
    let tasks = nices.len() as u64;
    let turns = match kind.name {
        // As many turns of everybody as its share is smaller than theirs.
        "eevdf" | "stride" => 2 * (total / weight(nice) + 2 * tasks),
        // Everybody's allotment at the top, scaled by weight, and what is left of the period of boosts.
        "mlfq" => 2 * total / 1024 + tasks + mlfq::BOOST_PERIOD.0 / kind.slice.0,
        // Every eighth pick is by age.
        "chaos" => 8 * tasks,
        "rr" | "fifo" | "template" => tasks,
        // Or the kernel evicts it.
        _ => return PATIENCE,
    };
    Nanos(kind.slice.0 * turns)
}
