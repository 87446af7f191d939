//! What execve(2) notes about the program that a process runs. Key type: [`Image`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use spin::Lazy;

use crate::fs::{Path, WriteClaim};

/// A program in memory. The addresses are those of `prctl(PR_SET_MM)`: what `/proc/PID` shows, and nothing that the
/// kernel relies on.
#[derive(Clone, Default)]
pub struct Image {
    /// The file that was executed.
    pub executable: Option<Path>,
    /// Keeps that file closed to writers as long as a process runs it.
    pub claim: Option<Arc<WriteClaim>>,
    /// The argument strings.
    pub arguments: Range<u64>,
    /// The environment strings.
    pub environment: Range<u64>,
    /// The code.
    pub code: Range<u64>,
    /// The data.
    pub data: Range<u64>,
    /// The stack pointer at the start.
    pub stack_start: u64,
    /// Where the heap (brk(2)) starts.
    pub heap_start: u64,
    /// The auxiliary vector.
    pub auxiliary: Vec<[u64; 2]>,
}

impl Image {
    /// No program: what the kernel's own processes and zombies run. Allocates nothing after its first call.
    #[must_use]
    pub fn none() -> Arc<Self> {
        static NONE: Lazy<Arc<Image>> = Lazy::new(|| Arc::new(Image::default()));
        NONE.clone()
    }
}
