//! Atomics, locks and per-CPU data.
//!
//! - [`atomic`] is the one facade for atomics: loom takes it over under `cfg(loom)`.
//! - [`SpinLock`] and [`RwSpinLock`] say in their type what a guard holds off ([`Preempt`] or [`Irq`]) and carry a
//!   [`Rank`]; builds with debug assertions check the lock order of `docs/locking.md` on every acquisition.
//! - [`PerCpu`] gives every CPU a value on cache lines of its own.
//!
//! A CPU that spins here serves its TLB-shootdown mailbox meanwhile (see [`Serve`]), so that a lock held by
//! somebody who waits for a shootdown cannot deadlock.

pub mod atomic;
#[cfg(loom)]
mod model;
mod per_cpu;
mod rank;
mod rw;
mod spin_lock;

pub use per_cpu::PerCpu;
pub use rank::{HeldLocks, Rank, stop_checking_order};
pub use rw::{ReadGuard, RwSpinLock, WriteGuard};
pub use spin_lock::{Hold, Irq, Preempt, SpinGuard, SpinLock};

/// What a CPU does between two attempts at a lock: pause, and answer TLB shootdowns when interrupts are off.
pub struct Serve;

impl spin::relax::RelaxStrategy for Serve {
    fn relax() {
        crate::relax();
    }
}
