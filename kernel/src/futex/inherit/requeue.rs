//! Condition variables around priority-inheritance locks: `FUTEX_WAIT_REQUEUE_PI` and `FUTEX_CMP_REQUEUE_PI`.
//!
//! The waiter waits on one word and names the lock that it wants afterwards. The waker moves waiters from the word to the
//! lock, the first of them into its possession if it is free. Nobody wakes such a waiter in another way.

use alloc::sync::Arc;

use arch::addr::UserAddr;

use super::graph::{Graph, Waiting};
use super::{Attempt, attempt, conclude, with_graph};
use crate::errno::{Errno, Result};
use crate::futex::key::{Key, Sharing};
use crate::futex::wait::{Deadline, block_until};
use crate::futex::word;
use crate::scheduling::WaitEnd;
use crate::syscall::Caller;

/// How many waiters are moved before others get at the graph.
const BATCH: usize = 16;

/// How far one hold of the graph got.
enum Batch {
    /// There may be more to move.
    Full,
    /// There is not.
    Last,
}

/// Waits on the word at `address`, if it is `expected`, until somebody requeues the caller to the lock at `target` and the
/// lock is the caller's.
pub(in crate::futex) fn wait_and_lock(
    caller: &mut Caller<'_>,
    (address, target): (UserAddr, UserAddr),
    sharing: Sharing,
    expected: u32,
    deadline: Option<Deadline>,
) -> Result {
    let word_key = Key::of(caller.thread, address, sharing)?;
    let lock_key = Key::of(caller.thread, target, sharing)?;
    if word_key == lock_key {
        return Err(Errno::EINVAL);
    }
    let waiting = Waiting::new(caller.thread, lock_key);
    with_graph(&[address, target], |graph| {
        if word::load(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        graph.park(word_key, &waiting)
    })?;
    let end = block_until(caller.thread, deadline, || waiting.granted().is_some());
    conclude(&waiting, target, |graph| {
        let was_parked = graph.unpark(&waiting);
        graph.leave(&waiting);
        match end {
            Err(WaitEnd::TimedOut) => Errno::ETIMEDOUT,
            Ok(()) | Err(WaitEnd::Interrupted) if was_parked => Errno::ERESTARTNOINTR,
            // The word has changed since: waiting on it again would be another wait.
            Ok(()) | Err(WaitEnd::Interrupted) => Errno::EAGAIN,
        }
    })
}

/// Moves one waiter and up to `more` others from the word at `address`, if it is `expected`, to the lock at `target`.
/// Returns how many.
pub(in crate::futex) fn requeue(
    caller: &Caller<'_>,
    (address, target): (UserAddr, UserAddr),
    sharing: Sharing,
    expected: u32,
    more: u32,
) -> Result {
    let word_key = Key::of(caller.thread, address, sharing)?;
    let lock_key = Key::of(caller.thread, target, sharing)?;
    if word_key == lock_key {
        return Err(Errno::EINVAL);
    }
    let wanted = (more as usize).saturating_add(1);
    let (mut moved, mut arrivals) = (0, None);
    loop {
        let batch = with_graph(&[address, target], |graph| {
            if arrivals.is_none() && word::load(address)? != expected {
                return Err(Errno::EAGAIN);
            }
            // Who comes to wait between two batches waits for another call.
            let until = *arrivals.get_or_insert(graph.arrivals());
            let room = BATCH.min(wanted - moved);
            for _ in 0..room {
                let Some(waiting) = graph.first_parked(word_key, until) else {
                    return Ok(Batch::Last);
                };
                move_one(graph, lock_key, target, &waiting)?;
                moved += 1;
            }
            Ok(if moved < wanted { Batch::Full } else { Batch::Last })
        });
        match batch {
            Ok(Batch::Full) => {}
            // What has been moved stays moved.
            Err(error) if moved == 0 => return Err(error),
            Ok(Batch::Last) | Err(_) => return Ok(moved),
        }
    }
}

fn move_one(
    graph: &mut Graph,
    lock_key: Key,
    target: UserAddr,
    waiting: &Arc<Waiting>,
) -> Result<()> {
    if waiting.lock != lock_key {
        return Err(Errno::EINVAL);
    }
    match attempt(graph, &waiting.thread, lock_key, target)? {
        Attempt::Acquired => {
            graph.unpark(waiting);
            Graph::grant_free(waiting);
        }
        Attempt::OwnedBy(owner) => {
            graph.join(&owner, waiting)?;
            graph.unpark(waiting);
        }
    }
    Ok(())
}
