//! How socket calls wait: `MSG_DONTWAIT`, `O_NONBLOCK`, SO_RCVTIMEO and SO_SNDTIMEO in one value.

use arch::time::Nanos;

use crate::errno::{Errno, Result};
use crate::scheduling::{WaitEnd, WaitQueue};

/// How long a call may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until this time.
    Until(Nanos),
    /// As long as it takes.
    Forever,
}

impl Patience {
    /// The patience of a call on a socket with `timeout`, from now on.
    #[must_use]
    pub fn new(nonblocking: bool, timeout: Option<Nanos>) -> Self {
        match timeout {
            _ if nonblocking => Self::None,
            Some(timeout) => Self::Until(arch::clock::now().saturating_add(timeout)),
            None => Self::Forever,
        }
    }

    /// Waits in `queue` until `condition` has a value.
    ///
    /// # Errors
    /// `EAGAIN` when patience ends, `EINTR` or `ERESTARTSYS` when a signal comes: with a timeout the call is not
    /// restarted (signal(7)).
    pub fn wait<T>(self, queue: &WaitQueue, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
        match self {
            Self::None => condition().ok_or(Errno::EAGAIN),
            Self::Forever => queue.wait_until(condition),
            Self::Until(deadline) => {
                queue.wait_until_deadline(Some(deadline), condition).map_err(|end| match end {
                    WaitEnd::Interrupted => Errno::EINTR,
                    WaitEnd::TimedOut => Errno::EAGAIN,
                })
            }
        }
    }
}
