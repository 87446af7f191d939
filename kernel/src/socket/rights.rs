//! Open files on their way from one process to another (SCM_RIGHTS).
//!
//! A file in flight stays open although no process has a descriptor for it. Two bounds keep that finite, and both
//! fail with `ETOOMANYREFS` as on Linux:
//!
//! - a user may have as many files in flight as a process may have open (`RLIMIT_NOFILE`), unless privileged;
//! - a socket whose queue holds sockets whose queues hold sockets may be nested [`NESTING_MAX`] deep.
//!
//! Sockets that sit in each other's queues with no descriptor left are found by [`collect`], which is why
//! sockets in flight are listed here.
//!
//! Lock: `IN_FLIGHT`, rank `SOCKET_NAMES`, for a few steps.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use arch::sync::{Rank, SpinLock};

use super::collect;
use crate::errno::{Errno, Result};
use crate::fs::{File, Special};

/// How deep sockets in flight may be nested (`MAX_RECURSION_LEVEL`).
pub const NESTING_MAX: u32 = 4;

/// What is in flight.
struct InFlight {
    /// Files by user.
    users: BTreeMap<u32, usize>,
    /// Open sockets, by the address of the open file.
    sockets: BTreeMap<usize, Flight>,
}

/// A socket in flight.
struct Flight {
    file: Weak<File>,
    /// How many messages refer to it, each counted as often as it does.
    messages: usize,
}

static IN_FLIGHT: SpinLock<InFlight> = SpinLock::new(
    Rank::SOCKET_NAMES,
    InFlight { users: BTreeMap::new(), sockets: BTreeMap::new() },
);

/// How many sockets are in flight: the length of the list, to be read without its lock.
static SOCKETS: AtomicUsize = AtomicUsize::new(0);

/// How many times files were put into a message, copied from one, or dropped with one.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// A point in the history of messages that carry files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment(u64);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        Self(CHANGES.load(Ordering::SeqCst))
    }

    /// Whether such a message was made, copied from or dropped since.
    pub(super) fn has_passed(self) -> bool {
        Self::now() != self
    }
}

/// Whether any socket is in flight.
pub(super) fn any_socket_in_flight() -> bool {
    SOCKETS.load(Ordering::SeqCst) > 0
}

/// The sockets in flight, by ascending address of the open file, and how many messages refer to each; `None` without memory
/// for the list.
pub(super) fn sockets_in_flight() -> Option<Vec<(Arc<File>, usize)>> {
    let mut list = Vec::new();
    list.try_reserve_exact(SOCKETS.load(Ordering::SeqCst)).ok()?;
    let in_flight = IN_FLIGHT.lock();
    for flight in in_flight.sockets.values() {
        if list.len() == list.capacity() {
            // More have come meanwhile. References taken must not be dropped under the lock.
            drop(in_flight);
            return None;
        }
        list.extend(flight.file.upgrade().map(|file| (file, flight.messages)));
    }
    drop(in_flight);
    Some(list)
}

/// Open files that travel with a message.
pub struct Rights {
    files: Vec<Arc<File>>,
    user: u32,
}

impl core::fmt::Debug for Rights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} files of user {}", self.files.len(), self.user)
    }
}

impl Rights {
    /// `files`, sent by `user`, who may have `limit` in flight.
    ///
    /// # Errors
    /// `ETOOMANYREFS`.
    pub fn new(files: Vec<Arc<File>>, user: u32, limit: u64) -> Result<Arc<Self>> {
        if sockets(&files).next().is_some() {
            collect::finish();
        }
        if Self::count(&files, user, limit).is_err() {
            // Some of what counts may be out of everybody's reach.
            collect::collect();
            Self::count(&files, user, limit)?;
        }
        Ok(Arc::new(Self { files, user }))
    }

    fn count(files: &[Arc<File>], user: u32, limit: u64) -> Result<()> {
        let mut in_flight = IN_FLIGHT.lock();
        let count = in_flight.users.entry(user).or_insert(0);
        // As Linux does, the bound is checked before the new files are counted.
        if *count as u64 > limit {
            return Err(Errno::ETOOMANYREFS);
        }
        *count += files.len();
        CHANGES.fetch_add(1, Ordering::SeqCst);
        sockets(files).for_each(|file| in_flight.take_off(file));
        Ok(())
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[Arc<File>] {
        &self.files
    }

    /// Hands the files to `copy`, which may give them descriptors while the message stays in its queue (MSG_PEEK).
    pub(super) fn with_copies<R>(&self, copy: impl FnOnce(&[Arc<File>]) -> R) -> R {
        let copied = copy(&self.files);
        // Now, and not before: a collector that began in between, and saw the counts of before, must notice. The socket that was peeked
        // at, which the caller holds, cannot count as unreachable until then.
        CHANGES.fetch_add(1, Ordering::SeqCst);
        copied
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let mut in_flight = IN_FLIGHT.lock();
        CHANGES.fetch_add(1, Ordering::SeqCst);
        sockets(&self.files).for_each(|file| in_flight.land(file));
        if let Some(count) = in_flight.users.get_mut(&self.user) {
            *count = count.saturating_sub(self.files.len());
            if *count == 0 {
                in_flight.users.remove(&self.user);
            }
        }
    }
}

/// Those of `files` that are sockets.
fn sockets(files: &[Arc<File>]) -> impl Iterator<Item = &Arc<File>> {
    files.iter().filter(|file| matches!(file.operations().special(), Special::Socket(_)))
}

impl InFlight {
    fn take_off(&mut self, file: &Arc<File>) {
        let fresh = || Flight { file: Arc::downgrade(file), messages: 0 };
        self.sockets.entry(Arc::as_ptr(file).addr()).or_insert_with(fresh).messages += 1;
        SOCKETS.store(self.sockets.len(), Ordering::SeqCst);
    }

    fn land(&mut self, file: &Arc<File>) {
        let address = Arc::as_ptr(file).addr();
        let Some(flight) = self.sockets.get_mut(&address) else { return };
        flight.messages -= 1;
        if flight.messages == 0 {
            self.sockets.remove(&address);
            SOCKETS.store(self.sockets.len(), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_from_a_message_that_stays_are_noticed() {
        let rights = Rights::new(Vec::new(), 4711, 10).expect("no files");
        // What a collector sees that begins while the files are copied.
        let moment = rights.with_copies(|_| Moment::now());
        assert!(moment.has_passed());
    }
}
