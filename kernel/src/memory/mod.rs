//! The kernel's glue to the memory manager: heap, user copies, memory system calls.

pub mod heap;
pub mod user;

pub use heap::{heap, memory};
