//! Readiness: what poll(2), select(2) and epoll(7) ask of a file, and how they learn that the answer changed.

use bitflags::bitflags;
use linux_raw_sys::general as abi;

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
#[derive(Default)]
pub struct PollTable {}

impl PollTable {
    /// A table for a question that will not be repeated.
    #[must_use]
    pub const fn none() -> Self {
        Self {}
    }
}
