//! What happens in the kernel, as records of four words: the lock-free [`Ring`] that each CPU writes them to, the
//! [`Event`]s, and the words in which a scheduling policy's decisions are told ([`decision`]).
//!
//! The kernel writes records (`kernel/src/trace`); the laboratory on the host reads them. `docs/trace.md` describes the format.
//! There is no static and no `unsafe` here, and the ring's atomics are loom's under `cfg(loom)`.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod decision;
pub mod event;
mod ring;

pub use event::{Event, words_of};
pub use ring::{Record, Ring};
