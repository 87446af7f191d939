//! Priority-inheritance futexes (futex(2), "Priority-inheritance futexes"; `linux/Documentation/locking/pi-futex.rst`).
//!
//! The word holds the owner's thread id, or 0, and the bits `FUTEX_WAITERS` and `FUTEX_OWNER_DIED`. A free lock is taken
//! and an uncontended one released without the kernel; all else is here. `FUTEX_WAITERS` in the word sends its owner
//! here to unlock; the lock then goes to the most urgent waiter, with no time in which others could take it.
//!
//! - this file: locking, unlocking, the end of an owner; `requeue`: condition variables around such locks;
//! - [`graph`] knows who waits for whom, lends urgency, and finds deadlocks.
//!
//! Locks: the graph's, under which words are read and changed. They are touched before, so that this hardly ever faults;
//! if it does and there is no memory, the wait for some is without the lock.

mod graph;
mod requeue;
mod sorted;

use alloc::sync::Arc;

use arch::addr::UserAddr;
use arch::sync::{Rank, SpinLock};
use linux_raw_sys::general as abi;

use self::graph::{Grant, Graph, Waiting};
pub(super) use self::requeue::{requeue, wait_and_lock};
use super::key::{Key, Sharing};
use super::wait::{Deadline, block_until};
use super::word;
use crate::errno::{Errno, Result};
use crate::scheduling::{Late, WaitEnd};
use crate::syscall::Caller;
use crate::task::{Thread, Tid, table};

const TID: u32 = abi::FUTEX_TID_MASK;
const WAITERS: u32 = abi::FUTEX_WAITERS;
const OWNER_DIED: u32 = abi::FUTEX_OWNER_DIED;

static GRAPH: SpinLock<Graph> = SpinLock::new(Rank::FUTEX_OWNERS, Graph::new());

/// Takes the lock at `address`, waiting for it until `deadline`.
pub(super) fn lock(
    caller: &mut Caller<'_>,
    address: UserAddr,
    sharing: Sharing,
    deadline: Option<Deadline>,
) -> Result {
    let key = Key::of(caller.thread, address, sharing)?;
    let waiting = Waiting::new(caller.thread, key);
    let joined =
        with_graph(&[address], |graph| match attempt(graph, caller.thread, key, address)? {
            Attempt::Acquired => Ok(false),
            Attempt::OwnedBy(owner) => graph.join(&owner, &waiting).map(|()| true),
        });
    if !joined? {
        return Ok(0);
    }
    let end = block_until(caller.thread, deadline, || waiting.granted().is_some());
    conclude(&waiting, address, |graph| {
        graph.leave(&waiting);
        match end {
            Err(WaitEnd::TimedOut) => Errno::ETIMEDOUT,
            // The deadline is absolute, so the call may simply be made again.
            Ok(()) | Err(WaitEnd::Interrupted) => Errno::ERESTARTNOINTR,
        }
    })
}

/// Takes the lock at `address` if it is free.
pub(super) fn try_lock(caller: &mut Caller<'_>, address: UserAddr, sharing: Sharing) -> Result {
    let key = Key::of(caller.thread, address, sharing)?;
    let attempt = with_graph(&[address], |graph| attempt(graph, caller.thread, key, address));
    match attempt? {
        Attempt::Acquired => Ok(0),
        Attempt::OwnedBy(_) => Err(Errno::EAGAIN),
    }
}

/// Releases the lock at `address`, which the caller owns.
pub(super) fn unlock(caller: &mut Caller<'_>, address: UserAddr, sharing: Sharing) -> Result {
    let key = Key::of(caller.thread, address, sharing)?;
    let tid = caller.thread.tid().as_u32();
    with_graph(&[address], |graph| {
        loop {
            let value = word::load(address)?;
            if value & TID != tid {
                return Err(Errno::EPERM);
            }
            if graph.owner(key).is_some_and(|owner| !Arc::ptr_eq(owner, caller.thread)) {
                return Err(Errno::EINVAL);
            }
            let next = graph.next_owner(key).map_or(0, |next| next.tid().as_u32() | WAITERS);
            if replace(address, value, next)? {
                graph.hand_over(key, Grant::Given);
                return Ok(0);
            }
        }
    })
}

/// The current thread gives up its memory: its contended locks go to those who wait for them.
pub(super) fn release_all(thread: &Thread) {
    let mut graph = GRAPH.lock();
    while let Some(key) = graph.any_owned(thread) {
        // If nobody waits for it, it is forgotten.
        let _ = graph.hand_over(key, Grant::Inherited);
    }
}

/// The current thread ends: nobody waits for it any more.
pub(super) fn end(thread: &Thread) {
    // Under the lock, so that whoever finds the owner in time is found by `release_all`.
    let graph = GRAPH.lock();
    thread.scheduling.set_releases_locks();
    drop(graph);
    release_all(thread);
}

/// The urgency of `thread` was changed: what it lends changes too.
pub fn reorder(thread: &Arc<Thread>) {
    GRAPH.lock().settle(Late::new(Arc::clone(thread)));
}

/// What came of trying to take a lock.
enum Attempt {
    /// It was free.
    Acquired,
    /// It has an owner, and the word says that somebody waits.
    OwnedBy(Late<Thread>),
}

/// Tries to take the lock for `thread`.
fn attempt(graph: &Graph, thread: &Arc<Thread>, key: Key, address: UserAddr) -> Result<Attempt> {
    let tid = thread.tid().as_u32();
    loop {
        let value = word::load(address)?;
        if value & TID == tid {
            return Err(Errno::EDEADLK);
        }
        if let Some(owner) = graph.owner(key) {
            return Ok(Attempt::OwnedBy(owner.clone()));
        }
        if value & TID == 0 {
            if replace(address, value, value & OWNER_DIED | tid)? {
                return Ok(Attempt::Acquired);
            }
            continue;
        }
        let Some(owner) = living_owner(value) else {
            // It may have given the lock up since the word was read.
            match word::load(address)? == value {
                true => return Err(Errno::ESRCH),
                false => continue,
            }
        };
        if replace(address, value, value | WAITERS)? {
            return Ok(Attempt::OwnedBy(owner));
        }
    }
}

/// The thread that the word names, unless it has ended or is about to.
fn living_owner(value: u32) -> Option<Late<Thread>> {
    let owner = Late::new(table::find_thread(Tid::new(value & TID))?);
    (!owner.scheduling.releases_locks()).then_some(owner)
}

/// Ends a wait: with the lock if it was granted, else with what `give_up` says.
fn conclude(
    waiting: &Waiting,
    address: UserAddr,
    give_up: impl FnOnce(&mut Graph) -> Errno,
) -> Result {
    let grant = {
        let mut graph = GRAPH.lock();
        match waiting.granted() {
            Some(grant) => grant,
            None => return Err(give_up(&mut graph)),
        }
    };
    if grant == Grant::Given {
        return Ok(0);
    }
    let tid = waiting.thread.tid().as_u32();
    let written = with_graph(&[address], |graph| {
        word::update(address, |_| tid | WAITERS | OWNER_DIED)?;
        graph.written(waiting.lock);
        Ok(0)
    });
    if written.is_err() {
        // The word is gone, and the lock with it.
        GRAPH.lock().written(waiting.lock);
    }
    written
}

/// Calls `act` with the graph locked, and again if it could not reach one of the words for lack of memory.
fn with_graph<R>(words: &[UserAddr], mut act: impl FnMut(&mut Graph) -> Result<R>) -> Result<R> {
    loop {
        for &address in words {
            word::update(address, |value| value)?;
        }
        match act(&mut GRAPH.lock()) {
            Err(Errno::EFAULT) => {}
            outcome => return outcome,
        }
    }
}

/// Replaces the word's value `old` by `new`; says whether it was `old`.
fn replace(address: UserAddr, old: u32, new: u32) -> Result<bool> {
    let found = word::update(address, |value| if value == old { new } else { value })?;
    Ok(found == old)
}
