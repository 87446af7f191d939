//! The machine below Skein: addresses, CPUs, time, locks, per-CPU data, page-table entries, and
//! everything that only the processor can do.
//!
//! Two backends stand behind one set of names and are chosen by the target alone:
//!
//! - `x86_64` for the kernel's own target (`target_os = "none"`);
//! - `hosted` for `cargo test`: simulated CPUs, a manual clock, simulated physical memory, and one
//!   TLB per simulated CPU that really goes stale, so that a forgotten shootdown fails a test.
//!
//! The portable vocabulary is in the modules of this folder; what a backend must provide is the
//! list of re-exports below. Nearly all of the kernel's `unsafe` code lives in this crate.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod addr;
pub mod boot;
pub mod context;
pub mod cpu;
pub mod error;
pub mod events;
pub mod features;
pub mod firmware;
pub mod memory_map;
pub mod paging;
pub mod sync;
pub mod time;
pub mod tlb;

#[cfg(not(target_os = "none"))]
#[path = "hosted/mod.rs"]
mod machine;
#[cfg(target_os = "none")]
#[path = "x86_64/mod.rs"]
mod machine;

pub use machine::{
    RawExit, backtrace, clock, cpu_count, current_cpu, dispatch_interrupt, enter_user, features,
    fpu, init, interrupt_counts, interrupts, ipi, memory, mmu, online_cpus, power, preempt, random,
    relax, serial, smp, thread, trace, user_copy,
};
#[cfg(not(target_os = "none"))]
pub use machine::{set_current_cpu, simulation};
