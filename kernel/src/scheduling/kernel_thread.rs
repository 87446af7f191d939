//! Threads of the kernel's own.

use alloc::sync::Arc;

use sched::Parameters;
use spin::Once;

use super::ThreadCore;
use super::switch::spawn;
use crate::errno::Result;
use crate::task::Thread;

/// Starts a kernel thread called `name` that runs `body` and ends. It has no user memory and gets no signals.
///
/// No process holds such a thread, and neither does a timer that it waits for: it holds itself until `body` returns.
///
/// # Errors
/// `ENOMEM`.
pub fn spawn_kernel_thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<Arc<Thread>> {
    spawn_with(name, Parameters::DEFAULT, body)
}

/// As [`spawn_kernel_thread`], with scheduling parameters of its own.
pub(super) fn spawn_with(
    name: &str,
    parameters: Parameters,
    body: impl FnOnce() + Send + 'static,
) -> Result<Arc<Thread>> {
    let own = Arc::new(Once::new());
    let held = Arc::clone(&own);
    let core = ThreadCore::new_kernel(parameters, move || {
        body();
        drop(held);
    })?;
    let thread = Thread::new_kernel(name, core);
    own.call_once(|| Arc::clone(&thread));
    spawn(&thread);
    Ok(thread)
}
