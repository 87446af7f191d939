//! Locks on files: POSIX record locks, record locks of open file descriptions, and flock(2).
//!
//! [`record`] has the ranges of one file as plain data; this module keeps one [`FileLocks`] for each inode that
//! anybody has locks on, and does the waiting. POSIX locks belong to a descriptor table and go when it closes any
//! descriptor of the file; the others belong to an open file and go with it.
//!
//! Locks: the map, then the state of one file, both of rank `FILE`; the second is taken as nested in the first only
//! through a reference that was cloned out, so never inside it. Nothing sleeps with either held.

mod deadlock;
mod record;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use arch::sync::{Rank, SpinLock};
pub use record::Record;
use record::Records;

use super::file::File;
use crate::errno::{Errno, Result};
use crate::scheduling::WaitQueue;

/// Whether others may hold the lock too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockKind {
    /// Others may (a read lock).
    Shared,
    /// Nobody else may (a write lock).
    Exclusive,
}

/// Who holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// A descriptor table, by [`FileTable::lock_owner`](super::FileTable::lock_owner).
    Table(u64),
    /// An open file, by address.
    Description(usize),
}

/// What to do about a lock in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Fail.
    Try,
    /// Wait until it is gone, or a signal comes.
    Wait,
}

#[derive(Default)]
struct State {
    records: Records,
    flocks: Vec<(Owner, LockKind)>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.flocks.is_empty()
    }
}

/// All locks on one file.
struct FileLocks {
    state: SpinLock<State>,
    released: WaitQueue,
}

/// By the address of the inode, which the open files that hold locks keep alive.
static LOCKS: SpinLock<BTreeMap<usize, Arc<FileLocks>>> =
    SpinLock::new(Rank::FILE, BTreeMap::new());

fn key(file: &File) -> usize {
    Arc::as_ptr(file.inode()).addr()
}

/// The locks on `file`, where there may be some.
fn find(file: &File) -> Option<Arc<FileLocks>> {
    LOCKS.lock().get(&key(file)).cloned()
}

fn find_or_make(file: &File) -> Arc<FileLocks> {
    let fresh = Arc::new(FileLocks {
        state: SpinLock::new(Rank::FILE_LOCKS, State::default()),
        released: WaitQueue::new(),
    });
    LOCKS.lock().entry(key(file)).or_insert(fresh).clone()
}

/// Wakes who waits for `locks` of the file with `key`, and forgets them if none are left and nobody looks.
fn settle(key: usize, locks: Arc<FileLocks>) {
    locks.released.wake_all();
    let empty = locks.state.lock().is_empty();
    if !empty {
        return;
    }
    let removed = {
        let mut map = LOCKS.lock();
        // The map's reference and ours: nobody else can get one while the map is locked.
        let unused = Arc::strong_count(&locks) == 2 && locks.state.lock().is_empty();
        if unused { map.remove(&key) } else { None }
    };
    drop(removed);
}

/// The lock that keeps `owner` from locking `range` of `file` as `kind` (`F_GETLK`).
#[must_use]
pub fn query(
    file: &File,
    owner: Owner,
    range: &RangeInclusive<u64>,
    kind: LockKind,
) -> Option<Record> {
    find(file)?.state.lock().records.conflict(owner, range, kind)
}

/// Locks the range of `wanted` in `file` (`F_SETLK`, `F_SETLKW`). The caller has noted the lock with its owner.
///
/// # Errors
/// `EAGAIN` if it is locked by somebody else and `patience` is over; `EDEADLK`; `ERESTARTSYS`; `ENOLCK`.
pub fn lock(file: &File, wanted: Record, patience: Patience) -> Result<()> {
    let locks = find_or_make(file);
    let range = wanted.start..=wanted.end;
    let attempt = || {
        let mut state = locks.state.lock();
        match state.records.conflict(wanted.owner, &range, wanted.kind) {
            Some(conflict) => Err(conflict),
            None => Ok(state.records.lock(wanted)),
        }
    };
    let result = match attempt() {
        Ok(result) => result,
        Err(_) if patience == Patience::Try => Err(Errno::EAGAIN),
        Err(_) => {
            let waiting = deadlock::Waiting::new(wanted.owner);
            locks
                .released
                .wait_until(|| match attempt() {
                    Ok(result) => Some(result),
                    Err(conflict) => waiting.blocked_by(conflict.owner).err().map(Err),
                })
                .and_then(|result| result)
        }
    };
    // The range may have shrunk from exclusive to shared.
    settle(key(file), locks);
    result
}

/// Unlocks `range` of `file` for `owner`.
///
/// # Errors
/// `ENOLCK`.
pub fn unlock(file: &File, owner: Owner, range: &RangeInclusive<u64>) -> Result<()> {
    let Some(locks) = find(file) else { return Ok(()) };
    let result = locks.state.lock().records.unlock(owner, range, 0);
    settle(key(file), locks);
    result
}

/// Locks the whole of `file` for its open file description (flock(2)). A lock that it has is given up first.
///
/// # Errors
/// `EAGAIN` if it is locked by somebody else and `patience` is over; `ERESTARTSYS`; `ENOLCK`.
pub fn flock(file: &File, kind: LockKind, patience: Patience) -> Result<()> {
    file.note_lock();
    let owner = file.lock_owner();
    let locks = find_or_make(file);
    let attempt = || {
        let mut state = locks.state.lock();
        if state.flocks.contains(&(owner, kind)) {
            return Some(Ok(()));
        }
        let before = state.flocks.len();
        state.flocks.retain(|(holder, _)| *holder != owner);
        let gave_up = state.flocks.len() != before;
        let blocked = state
            .flocks
            .iter()
            .any(|(_, held)| kind == LockKind::Exclusive || *held == LockKind::Exclusive);
        let result = if blocked {
            None
        } else if state.flocks.try_reserve(1).is_err() {
            Some(Err(Errno::ENOLCK))
        } else {
            state.flocks.push((owner, kind));
            Some(Ok(()))
        };
        drop(state);
        if gave_up {
            locks.released.wake_all();
        }
        result
    };
    let result = match (attempt(), patience) {
        (Some(result), _) => result,
        (None, Patience::Try) => Err(Errno::EAGAIN),
        (None, Patience::Wait) => locks.released.wait_until(attempt).and_then(|result| result),
    };
    settle(key(file), locks);
    result
}

/// Gives up what [`flock`] got.
pub fn unflock(file: &File) {
    let Some(locks) = find(file) else { return };
    let owner = file.lock_owner();
    locks.state.lock().flocks.retain(|(holder, _)| *holder != owner);
    settle(key(file), locks);
}

/// Drops the POSIX record locks that descriptor table `owner` has on `file`.
pub(super) fn release_posix(file: &File, owner: u64) {
    let Some(locks) = find(file) else { return };
    locks.state.lock().records.release(Owner::Table(owner));
    settle(key(file), locks);
}

/// Drops all POSIX record locks of descriptor table `owner`, which is being closed.
pub(super) fn release_all_posix(owner: u64) {
    let mut from = 0;
    loop {
        let next = LOCKS.lock().range(from..).next().map(|(key, locks)| (*key, locks.clone()));
        let Some((key, locks)) = next else { return };
        locks.state.lock().records.release(Owner::Table(owner));
        settle(key, locks);
        from = key + 1;
    }
}

/// Drops all locks of an open file that is going away.
pub(super) fn release_description(file: &File) {
    let Some(locks) = find(file) else { return };
    let owner = file.lock_owner();
    {
        let mut state = locks.state.lock();
        state.records.release(owner);
        state.flocks.retain(|(holder, _)| *holder != owner);
    }
    settle(key(file), locks);
}
