//! System calls: the table, argument decoding, dispatch.
//!
//! Each area of the kernel keeps its rows beside its handlers (`pub const SYSCALLS: &[Syscall]`, made by
//! [`syscall!`](macro@crate::syscall)); [`table`] merges them at compile time. The tracer and the record of what is
//! implemented come from the same rows, so they cannot disagree with the code.

mod argument;
mod dispatch;
pub mod restarts;
mod table;
mod trace;

use alloc::sync::Arc;

use arch::context::UserContext;
pub use argument::{Argument, Fd};
pub use dispatch::{dispatch, unknown_calls};
pub use table::{Syscall, implemented};
pub use trace::enable as enable_tracing;

use crate::task::Thread;

/// The thread that made a system call and its registers: the first parameter of every handler.
pub struct Caller<'a> {
    /// The calling thread.
    pub thread: &'a Arc<Thread>,
    /// Its user registers. Most handlers leave them alone; fork, exec and sigreturn do not.
    pub context: &'a mut UserContext,
}

impl Caller<'_> {
    /// The number of the call: `rax` at entry.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.context.rax
    }

    /// The six argument registers in order: `rdi, rsi, rdx, r10, r8, r9` (syscall(2)).
    #[must_use]
    pub fn arguments(&self) -> [u64; 6] {
        let context = &*self.context;
        [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9]
    }
}
