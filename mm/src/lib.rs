//! Memory management: frames and their reference counts, the kernel heap, address spaces.
//!
//! - [`memory`]: physical memory; [`heap`]: the kernel's allocator on top of it.
//! - [`table`]: the tree of page tables with its counts, the subject of `docs/cow-tree.md`.
//! - [`vma`]: the map of what an address space means; [`space`]: the operations on address spaces.
//! - [`object`]: what can be mapped besides anonymous memory.
//! - [`counters`]: what is counted.
//!
//! The crate holds no statics and knows no processor: memory, time and randomness are arguments, the
//! machine is behind `arch`. `unsafe` code is in [`raw`] alone.
//!
//! Invariants I1 to I18 in comments are those of `docs/cow-tree.md`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod count;
pub mod counters;
pub mod error;
pub mod heap;
pub mod memory;
pub mod object;
pub mod raw;
pub mod space;
pub mod table;
pub mod vma;

pub use error::{FaultError, MmError, OutOfMemory};
pub use memory::{Content, Credit, FrameRef, FreeRange, Memory, Urgency};
pub use space::{AddressSpace, Limits};
pub use vma::{Backing, ObjectRange, Protection, Range, Vma, VmaFlags};
