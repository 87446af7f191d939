//! Instances within instances: no loops, and not too deep.
//!
//! Asking an instance asks those that it watches, so a loop would never end and a long chain would use the stack up.
//! Every chain that a new link is part of is checked: those below the inner instance, and those above the outer one.
//!
//! Lock: [`NESTING`] (sleeping mutex), from the check until the inner instance is entered; it guards `parents` too.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::EventPoll;
use crate::errno::{Errno, Result};
use crate::fs::Special;
use crate::scheduling::{Mutex, MutexGuard};

/// How many instances a chain may have (`EP_MAX_NESTS`, and the outermost).
const CHAIN_MAX: usize = 5;

static NESTING: Mutex<()> = Mutex::new(());

/// Lengths of the longest chains from instances that were visited, by address.
type Lengths = BTreeMap<usize, usize>;

/// Checks that `outer` may watch `inner`, and notes that it does. The guard keeps that true until it is dropped.
///
/// # Errors
/// `ELOOP`, `ENOMEM`.
pub(super) fn check(
    outer: &Arc<EventPoll>,
    inner: &Arc<EventPoll>,
) -> Result<MutexGuard<'static, ()>> {
    let guard = NESTING.lock();
    let below = below(inner, outer, 1, &mut Lengths::new())?;
    let above = above(outer, 1, &mut Lengths::new())?;
    if below + above > CHAIN_MAX {
        return Err(Errno::ELOOP);
    }
    let mut parents = inner.parents.lock();
    parents.retain(|parent| parent.strong_count() > 0);
    parents.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    parents.push(Arc::downgrade(outer));
    drop(parents);
    Ok(guard)
}

/// Forgets that `outer` watched `inner`.
pub(super) fn forget(outer: &Arc<EventPoll>, inner: &Arc<EventPoll>) {
    let _guard = NESTING.lock();
    let mut parents = inner.parents.lock();
    let position = parents.iter().position(|parent| parent.as_ptr() == Arc::as_ptr(outer));
    if let Some(position) = position {
        parents.swap_remove(position);
    }
}

/// The number of instances in the longest chain from `poll` downwards; it must not lead to `forbidden`.
fn below(
    poll: &Arc<EventPoll>,
    forbidden: &Arc<EventPoll>,
    level: usize,
    known: &mut Lengths,
) -> Result {
    if Arc::ptr_eq(poll, forbidden) || level > CHAIN_MAX {
        return Err(Errno::ELOOP);
    }
    let address = Arc::as_ptr(poll).addr();
    if let Some(&length) = known.get(&address) {
        return Ok(length);
    }
    let mut longest = 0;
    for child in watched_by(poll)? {
        longest = longest.max(below(&child, forbidden, level + 1, known)?);
    }
    known.insert(address, longest + 1);
    Ok(longest + 1)
}

/// The number of instances in the longest chain from `poll` upwards.
fn above(poll: &Arc<EventPoll>, level: usize, known: &mut Lengths) -> Result {
    if level > CHAIN_MAX {
        return Err(Errno::ELOOP);
    }
    let address = Arc::as_ptr(poll).addr();
    if let Some(&length) = known.get(&address) {
        return Ok(length);
    }
    let parents = poll.parents.lock().clone();
    let mut longest = 0;
    for parent in parents.iter().filter_map(alloc::sync::Weak::upgrade) {
        longest = longest.max(above(&parent, level + 1, known)?);
    }
    known.insert(address, longest + 1);
    Ok(longest + 1)
}

/// The instances that `poll` watches.
fn watched_by(poll: &EventPoll) -> Result<Vec<Arc<EventPoll>>> {
    let set = poll.interests.lock();
    let mut watched = Vec::new();
    for file in set.by_key.values().filter_map(|interest| interest.file()) {
        if let Special::EventPoll(inner) = file.operations().special() {
            watched.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            watched.push(inner.clone());
        }
    }
    Ok(watched)
}
