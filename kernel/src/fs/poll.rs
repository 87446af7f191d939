//! Readiness: what poll(2), select(2) and epoll(7) ask of a file, and how they learn that the answer changed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;
use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};
use crate::scheduling::{Registration, WaitQueue, Wake};

bitflags! {
    /// The `POLL*` bits (poll(2)), which are the `EPOLL*` bits too.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct PollEvents: u32 {
        /// Data can be read.
        const IN = abi::POLLIN;
        /// There is urgent data, or a state change on a pseudo file.
        const PRIORITY = abi::POLLPRI;
        /// Data can be written.
        const OUT = abi::POLLOUT;
        /// An error is pending. Always reported.
        const ERROR = abi::POLLERR;
        /// The other side hung up. Always reported.
        const HANG_UP = abi::POLLHUP;
        /// The descriptor is not open. Reported by poll alone.
        const INVALID = abi::POLLNVAL;
        /// As `IN`.
        const READ_NORMAL = abi::POLLRDNORM;
        /// Priority band data can be read.
        const READ_BAND = abi::POLLRDBAND;
        /// As `OUT`.
        const WRITE_NORMAL = abi::POLLWRNORM;
        /// Priority data can be written.
        const WRITE_BAND = abi::POLLWRBAND;
        /// The peer shut down its writing half.
        const READ_HANG_UP = abi::POLLRDHUP;
    }
}

impl PollEvents {
    /// What can be read: `POLLIN | POLLRDNORM`.
    pub const READABLE: Self = Self::IN.union(Self::READ_NORMAL);
    /// What can be written: `POLLOUT | POLLWRNORM`.
    pub const WRITABLE: Self = Self::OUT.union(Self::WRITE_NORMAL);

    /// The answer of files that never make anybody wait (`DEFAULT_POLLMASK`).
    #[must_use]
    pub const fn always_ready() -> Self {
        Self::READABLE.union(Self::WRITABLE)
    }
}

/// Who wants to know when the answer of a [`poll`](super::FileOperations::poll) changes; possibly nobody.
///
/// A file hands each wait queue that matters to [`watch`](Self::watch). The registrations last as long as the table, or
/// as long as who took them keeps them.
#[derive(Default)]
pub struct PollTable {
    observer: Option<Arc<dyn Wake>>,
    registrations: Vec<Registration>,
    failure: Option<Errno>,
}

impl PollTable {
    /// A table for a question that will not be repeated.
    #[must_use]
    pub const fn none() -> Self {
        Self { observer: None, registrations: Vec::new(), failure: None }
    }

    /// A table whose wait queues wake `observer`.
    #[must_use]
    pub const fn new(observer: Arc<dyn Wake>) -> Self {
        Self { observer: Some(observer), registrations: Vec::new(), failure: None }
    }

    /// Lets wake-ups of `queue` reach the observer, if there is one.
    pub fn watch(&mut self, queue: &WaitQueue) {
        let Some(observer) = self.observer.clone() else { return };
        let registered = self
            .registrations
            .try_reserve(1)
            .map_err(|_| Errno::ENOMEM)
            .and_then(|()| queue.register(observer));
        match registered {
            Ok(registration) => self.registrations.push(registration),
            Err(error) => self.failure = Some(error),
        }
    }

    /// No further queue need be watched: something is ready.
    pub fn stop_watching(&mut self) {
        self.observer = None;
    }

    /// The registrations, for who keeps them longer than the table.
    ///
    /// # Errors
    /// `ENOMEM` if a queue could not be watched.
    pub fn into_registrations(self) -> Result<Vec<Registration>> {
        self.check()?;
        Ok(self.registrations)
    }

    /// Whether all queues could be watched.
    ///
    /// # Errors
    /// `ENOMEM` if one could not.
    pub fn check(&self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}
