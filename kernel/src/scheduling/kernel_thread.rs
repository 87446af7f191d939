//! Threads of the kernel's own.

use alloc::sync::Arc;

use super::ThreadCore;
use super::switch::spawn;
use crate::errno::Result;
use crate::task::Thread;

/// Starts a kernel thread called `name` that runs `body` and ends. It has no user memory and gets no signals.
///
/// # Errors
/// `ENOMEM`.
pub fn spawn_kernel_thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<Arc<Thread>> {
    let thread = Thread::new_kernel(name, ThreadCore::new_kernel(body)?);
    spawn(&thread);
    Ok(thread)
}
