//! Skein's kernel as a library: processes, threads, signals, ELF execution, files, devices, system calls.
//!
//! The binary in `main.rs` boots it; `cargo test` runs its pure parts on the host. Data flows one way: `arch` and then
//! `mm` and `sched` lie below, and what they want to happen comes back as values that this crate acts on.
//!
//! `unsafe` code is in few modules, which say what for at their top: `git grep 'allow(unsafe_code' kernel`.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod byte_ring;
pub mod coredump;
pub mod cpu;
pub mod device;
pub mod errno;
pub mod event;
pub mod exec;
pub mod fs;
pub mod futex;
pub mod log;
pub mod memory;
pub mod pipe;
pub mod random;
pub mod rseq;
pub mod scheduling;
pub mod shutdown;
pub mod signal;
pub mod socket;
pub mod syscall;
pub mod task;
pub mod time;
pub mod trace;
pub mod tty;
