//! Sleeping until a time.

use arch::time::Nanos;
use sched::ParkMode;

use super::block::{WaitEnd, block_current};
use crate::errno::{Errno, Result};

/// What may end a sleep early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interruption {
    /// Any signal.
    Signals,
    /// Nothing. For the kernel's own short waits.
    Nothing,
}

/// Sleeps until `deadline` on the monotonic clock.
///
/// # Errors
/// `ERESTARTSYS` when a signal is pending and `interruption` allows for it.
pub fn sleep_until(deadline: Nanos, interruption: Interruption) -> Result<()> {
    let mode = match interruption {
        Interruption::Signals => ParkMode::Interruptible,
        Interruption::Nothing => ParkMode::Uninterruptible,
    };
    match block_current(mode, Some(deadline), || false) {
        Ok(()) | Err(WaitEnd::TimedOut) => Ok(()),
        Err(WaitEnd::Interrupted) => Err(Errno::ERESTARTSYS),
    }
}
