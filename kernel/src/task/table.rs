//! The table of ids: from a number to the thread, process, process group and session that bear it.
//!
//! One number space serves all four, and a number is free again only when none of the four bears it. The table
//! holds weak references: it finds things, it does not keep them alive. Key functions: [`allocate`],
//! [`find_thread`], [`find_process`], [`find_group`], [`find_session`].
//!
//! Locks: [`SHARDS`] locks of rank `IDENTITY`, chosen by the number's low bits, each for a few instructions; so
//! a look-up contends with nobody in particular. They are taken with any other lock of this module held.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicU32, Ordering};
use arch::sync::{Irq, Rank, SpinLock};

use super::group::{ProcessGroup, Session};
use super::id::{ID_LIMIT, Pid, Tid};
use super::process::Process;
use super::thread::Thread;
use crate::errno::{Errno, Result};

/// A power of two: consecutive ids land on different shards.
const SHARDS: usize = 64;
/// Where numbers start again after [`ID_LIMIT`] is reached (Linux's `RESERVED_PIDS`).
const FIRST_AFTER_WRAP: u32 = 300;

static TABLE: [SpinLock<BTreeMap<u32, Bearers>, Irq>; SHARDS] =
    [const { SpinLock::new(Rank::IDENTITY, BTreeMap::new()) }; SHARDS];
/// The next number to try. Relaxed: uniqueness comes from the shard's lock.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Who bears one number.
#[derive(Debug, Default)]
struct Bearers {
    thread: Weak<Thread>,
    process: Weak<Process>,
    group: Weak<ProcessGroup>,
    session: Weak<Session>,
    /// Set from allocation until the first bearer is entered.
    reserved: bool,
}

impl Bearers {
    fn is_free(&self) -> bool {
        !self.reserved
            && self.thread.strong_count() == 0
            && self.process.strong_count() == 0
            && self.group.strong_count() == 0
            && self.session.strong_count() == 0
    }
}

/// A fresh number that nobody bears. Dropping it unused gives it back.
#[must_use = "dropping it gives the number back"]
#[derive(Debug)]
pub struct FreshId(u32);

impl FreshId {
    /// The number as a thread id.
    #[must_use]
    pub fn tid(&self) -> Tid {
        Tid::new(self.0)
    }

    /// Enters `thread` under this number, and its process too when it is the process's first thread.
    pub fn enter(self, thread: &Arc<Thread>) {
        let number = self.0;
        let process = thread.process();
        with_bearers(number, |bearers| {
            bearers.thread = Arc::downgrade(thread);
            if process.pid().leader() == thread.tid() {
                bearers.process = Arc::downgrade(process);
            }
        });
    }
}

impl Drop for FreshId {
    fn drop(&mut self) {
        let number = self.0;
        with_bearers(number, |bearers| bearers.reserved = false);
    }
}

/// Takes the next free number, in ascending order with wrap-around.
///
/// # Errors
/// `EAGAIN` when every number is in use.
pub fn allocate() -> Result<FreshId> {
    for _ in 0..ID_LIMIT {
        let number = next_number();
        let mut shard = shard(number).lock();
        if shard.contains_key(&number) {
            continue;
        }
        shard.insert(number, Bearers { reserved: true, ..Bearers::default() });
        return Ok(FreshId(number));
    }
    Err(Errno::EAGAIN)
}

fn next_number() -> u32 {
    let advance = |now: u32| Some(if now + 1 < ID_LIMIT { now + 1 } else { FIRST_AFTER_WRAP });
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance).unwrap_or_else(|now| now)
}

/// The most recently allocated number, for `/proc/loadavg`.
#[must_use]
pub fn last_allocated() -> u32 {
    NEXT.load(Ordering::Relaxed) - 1
}

/// The live thread with this id.
#[must_use]
pub fn find_thread(tid: Tid) -> Option<Arc<Thread>> {
    shard(tid.as_u32()).lock().get(&tid.as_u32())?.thread.upgrade()
}

/// The process with this id, which may be a zombie.
#[must_use]
pub fn find_process(pid: Pid) -> Option<Arc<Process>> {
    shard(pid.as_u32()).lock().get(&pid.as_u32())?.process.upgrade()
}

/// The process group with this id.
#[must_use]
pub fn find_group(id: Pid) -> Option<Arc<ProcessGroup>> {
    shard(id.as_u32()).lock().get(&id.as_u32())?.group.upgrade()
}

/// The session with this id.
#[must_use]
pub fn find_session(id: Pid) -> Option<Arc<Session>> {
    shard(id.as_u32()).lock().get(&id.as_u32())?.session.upgrade()
}

/// All processes, zombies included, in ascending order of their ids as far as they live through the scan.
///
/// # Errors
/// `ENOMEM` when the list does not fit into memory.
pub fn processes() -> Result<Vec<Arc<Process>>> {
    let mut list = collect(|bearers| bearers.process.upgrade())?;
    list.sort_unstable_by_key(|process| process.pid());
    Ok(list)
}

fn collect<T>(pick: impl Fn(&Bearers) -> Option<Arc<T>>) -> Result<Vec<Arc<T>>> {
    let mut list = Vec::new();
    for shard in &TABLE {
        loop {
            let wanted = shard.lock().len();
            list.try_reserve(wanted).map_err(|_| Errno::ENOMEM)?;
            let shard = shard.lock();
            if shard.len() <= wanted {
                list.extend(shard.values().filter_map(&pick));
                break;
            }
        }
    }
    Ok(list)
}

/// Calls `visit` for every process, zombies included, in no particular order. Allocates nothing; `visit` is called
/// without locks.
pub fn visit_processes(mut visit: impl FnMut(&Arc<Process>)) {
    for shard in &TABLE {
        let mut from = 0;
        loop {
            let guard = shard.lock();
            let mut rest = guard.range(from..);
            let next =
                rest.find_map(|(&number, bearers)| Some((number, bearers.process.upgrade()?)));
            drop(guard);
            let Some((number, process)) = next else { break };
            visit(&process);
            from = number + 1;
        }
    }
}

/// How many processes there are, zombies included.
#[must_use]
pub fn process_count() -> usize {
    let count = |bearers: &&Bearers| bearers.process.strong_count() > 0;
    TABLE.iter().map(|shard| shard.lock().values().filter(count).count()).sum()
}

/// How many threads there are, the kernel's own not counted.
#[must_use]
pub fn thread_count() -> usize {
    let count = |bearers: &&Bearers| bearers.thread.strong_count() > 0;
    TABLE.iter().map(|shard| shard.lock().values().filter(count).count()).sum()
}

/// Ends the thread's claim to its number: it exits. A thread that took the number over meanwhile (exec) keeps it.
pub(super) fn remove_thread(thread: &Thread) {
    with_bearers(thread.tid().as_u32(), |bearers| {
        if core::ptr::eq(bearers.thread.as_ptr(), thread) {
            bearers.thread = Weak::new();
        }
    });
}

/// Makes `tid` find `thread`, which takes over the id of a leader that has exited (exec by another thread).
pub(super) fn replace_thread(tid: Tid, thread: &Arc<Thread>) {
    with_bearers(tid.as_u32(), |bearers| bearers.thread = Arc::downgrade(thread));
}

/// Ends the process's claim to its number: it is reaped.
pub(super) fn remove_process(process: &Process) {
    with_bearers(process.pid().as_u32(), |bearers| bearers.process = Weak::new());
}

/// Makes the number of `group` find it.
pub(super) fn enter_group(group: &Arc<ProcessGroup>) {
    with_bearers(group.id().as_u32(), |bearers| bearers.group = Arc::downgrade(group));
}

/// Makes the number of `session` find it.
pub(super) fn enter_session(session: &Arc<Session>) {
    with_bearers(session.id().as_u32(), |bearers| bearers.session = Arc::downgrade(session));
}

/// Gives the number back if nobody bears it any more. Called when a group or session has ended.
pub(super) fn release_if_free(number: u32) {
    with_bearers(number, |_| ());
}

/// Changes who bears `number`, and gives the number back if that leaves nobody.
///
/// A weak reference keeps its target's memory, so what `change` replaces is dropped with the lock held; that
/// frees memory and runs no destructor.
fn with_bearers(number: u32, change: impl FnOnce(&mut Bearers)) {
    let mut shard = shard(number).lock();
    let Some(bearers) = shard.get_mut(&number) else { return };
    change(bearers);
    if bearers.is_free() {
        shard.remove(&number);
    }
}

fn shard(number: u32) -> &'static SpinLock<BTreeMap<u32, Bearers>, Irq> {
    &TABLE[number as usize % SHARDS]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_come_back() {
        let ids: Vec<FreshId> = (0..200).filter_map(|_| allocate().ok()).collect();
        let mut numbers: Vec<u32> = ids.iter().map(|id| id.tid().as_u32()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 200);
        drop(ids);
        for number in numbers {
            assert!(!shard(number).lock().contains_key(&number), "{number} is still taken");
        }
    }

    #[test]
    fn a_reserved_number_names_nobody() {
        let Ok(id) = allocate() else { panic!("there are numbers left") };
        assert!(find_thread(id.tid()).is_none());
        assert!(find_process(id.tid().as_pid()).is_none());
        assert!(find_group(id.tid().as_pid()).is_none());
    }

    #[test]
    fn a_number_that_exec_has_taken_over_outlives_its_former_bearer() {
        crate::scheduling::initialize(1, None, 0);
        let process = crate::task::testing::process();
        let thread = || {
            let core = crate::scheduling::ThreadCore::new_kernel(sched::Parameters::DEFAULT, || ())
                .expect("memory");
            crate::task::testing::add_thread(&process, core)
        };
        let (leader, successor) = (thread(), thread());
        let tid = leader.tid();
        let bearers = Bearers { thread: Arc::downgrade(&leader), ..Bearers::default() };
        shard(tid.as_u32()).lock().insert(tid.as_u32(), bearers);
        // The successor sees that it is alone before the leader has left the table.
        replace_thread(tid, &successor);
        remove_thread(&leader);
        assert!(find_thread(tid).is_some_and(|found| Arc::ptr_eq(&found, &successor)));
    }
}
