//! Waiting until one of many files is ready: what poll(2) and select(2) have in common.
//!
//! The files are asked once with a table that registers a [`Bell`] with their wait queues. A wake-up rings the bell,
//! and the files are asked again: the bell is silenced *before* they are, so a wake-up meanwhile is not missed.

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicBool, Ordering};
use arch::time::Nanos;

use super::timeout::Deadline;
use crate::errno::{Errno, Result};
use crate::fs::{File, PollEvents, PollTable};
use crate::held_late;
use crate::scheduling::{LateLink, WaitEnd, WaitQueue, Wake};

/// What wakes a waiter.
struct Bell {
    rung: AtomicBool,
    queue: WaitQueue,
    late: LateLink<Bell>,
}

held_late!(Bell, late);

impl Bell {
    fn new() -> Arc<Self> {
        let (rung, queue) = (AtomicBool::new(false), WaitQueue::new());
        Arc::new(Self { rung, queue, late: LateLink::new() })
    }
}

impl Wake for Bell {
    fn wake(&self) {
        // Release: what the waker did before is seen by who finds the bell rung.
        self.rung.store(true, Ordering::Release);
        self.queue.wake_all();
    }
}

/// A file and what about it is of interest.
pub(super) struct Watched {
    /// The file; `None` for a descriptor that is to be skipped or is not open.
    pub file: Option<Arc<File>>,
    /// What is of interest.
    pub wanted: PollEvents,
    /// What was found, masked.
    pub found: PollEvents,
}

impl Watched {
    fn look(&mut self, table: &mut PollTable) {
        if let Some(file) = &self.file {
            let events = file.operations().poll(file, table);
            self.found = events.intersection(self.wanted);
        }
    }
}

/// Asks every file, and returns how many have something to report. Once one has, no more queues are watched.
fn look_at(files: &mut [Watched], table: &mut PollTable) -> usize {
    let mut count = 0;
    for watched in files {
        watched.look(table);
        if !watched.found.is_empty() {
            count += 1;
            table.stop_watching();
        }
    }
    count
}

/// Waits until at least one of `files` has something to report, or `deadline`. Returns how many have.
///
/// # Errors
/// `EINTR` when a signal comes; the caller turns it into the restart code of its call. `ENOMEM`.
pub(super) fn wait(files: &mut [Watched], deadline: Deadline) -> Result {
    if deadline.is_some_and(|deadline| deadline <= arch::clock::now()) {
        return Ok(look_at(files, &mut PollTable::none()));
    }
    let bell = Bell::new();
    let mut table = PollTable::new(bell.clone());
    loop {
        // Acquire pairs with the ring's release.
        bell.rung.swap(false, Ordering::Acquire);
        let count = look_at(files, &mut table);
        if count > 0 {
            return Ok(count);
        }
        table.check()?;
        table.stop_watching();
        match wait_for(&bell, deadline) {
            Ok(()) => {}
            Err(WaitEnd::TimedOut) => return Ok(look_at(files, &mut PollTable::none())),
            Err(WaitEnd::Interrupted) => return Err(Errno::EINTR),
        }
    }
}

fn wait_for(bell: &Bell, deadline: Option<Nanos>) -> core::result::Result<(), WaitEnd> {
    bell.queue.wait_until_deadline(deadline, || bell.rung.load(Ordering::Acquire).then_some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_bell_stays_rung_until_it_is_silenced() {
        let bell = Bell::new();
        bell.wake();
        bell.wake();
        assert!(bell.rung.swap(false, Ordering::Acquire));
        assert!(!bell.rung.load(Ordering::Acquire));
    }
}
