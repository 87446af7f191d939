//! Who waits for whom: the graph of contended priority-inheritance locks, and the urgency that is lent along it.
//!
//! A lock that somebody waits for has an owner; a thread waits for one lock at most. So from each thread a chain leads on:
//! to the lock that it waits for, to that lock's owner, and so forth. Nobody may join a chain that leads back to itself.
//! Every owner is lent the highest urgency of those who wait for its locks, with all that these were lent.
//!
//! Locks: the graph's own, rank `FUTEX_OWNERS`, held by the callers. Contended locks only come here, and then a sleep
//! follows: one lock for the machine keeps chains in one piece. Run queues are locked inside.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use arch::clock;
use arch::sync::atomic::{AtomicU8, Ordering};
use sched::{Loan, TaskId, WakeMask};

use super::sorted::SortedMap;
use crate::errno::{Errno, Result};
use crate::futex::key::Key;
use crate::scheduling::{Late, carry_out, scheduler, wake_thread};
use crate::task::Thread;

/// The longest chain (Linux's `max_lock_depth`).
const LONGEST_CHAIN: usize = 1024;

/// How a waiter came to own its lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    /// Its owner gave it, and wrote that into the word.
    Given,
    /// Its owner ended; the word still says so.
    Inherited,
}

/// A thread that waits for a lock, or to be requeued to one.
pub(super) struct Waiting {
    pub(super) thread: Arc<Thread>,
    /// The lock that it waits for in the end.
    pub(super) lock: Key,
    granted: AtomicU8,
}

impl Waiting {
    pub(super) fn new(thread: &Arc<Thread>, lock: Key) -> Arc<Self> {
        Arc::new(Self { thread: Arc::clone(thread), lock, granted: AtomicU8::new(0) })
    }

    /// Whether, and how, the thread owns the lock now.
    pub(super) fn granted(&self) -> Option<Grant> {
        // Acquire pairs with the release in `grant`.
        match self.granted.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Grant::Given),
            _ => Some(Grant::Inherited),
        }
    }

    fn grant(&self, grant: Grant) {
        let number = if grant == Grant::Given { 1 } else { 2 };
        self.granted.store(number, Ordering::Release);
        wake_thread(&self.thread, WakeMask::EVENT);
    }

    fn id(&self) -> TaskId {
        id(&self.thread)
    }
}

/// A contended lock.
struct Lock {
    /// Given up later: the graph is locked then, and the thread may have ended.
    owner: Late<Thread>,
    /// How its owner came to it. While that has not written the word, which seems to say that the lock is free, the lock
    /// stays here even if nobody waits: else another could take it.
    grant: Grant,
    /// The most urgent first; among equals the first that came.
    waiters: Vec<(Loan, Arc<Waiting>)>,
}

impl Lock {
    fn insert(&mut self, waiting: Arc<Waiting>) {
        let loan = Loan::of(&waiting.thread.scheduling.task);
        let place = self.waiters.partition_point(|(other, _)| *other >= loan);
        self.waiters.insert(place, (loan, waiting));
    }

    fn remove(&mut self, thread: TaskId) -> Option<Arc<Waiting>> {
        let place = self.waiters.iter().position(|(_, waiting)| waiting.id() == thread)?;
        Some(self.waiters.remove(place).1)
    }
}

/// The place of a thread that waits on a word: the word, how urgent the thread is, and when it came.
type Parked = (Key, Reverse<Loan>, u64);

/// See the module's documentation.
pub(super) struct Graph {
    locks: SortedMap<Key, Lock>,
    /// By owner, the contended locks.
    owned: SortedMap<(TaskId, Key), ()>,
    /// By waiting thread, the lock.
    blocked: SortedMap<TaskId, Key>,
    /// Those who wait on a word to be requeued to a lock, by word, the most urgent first, then by order of arrival.
    parked: SortedMap<Parked, Arc<Waiting>>,
    /// By waiting thread, where it stands among these.
    places: SortedMap<TaskId, Parked>,
    arrivals: u64,
}

impl Graph {
    pub(super) const fn new() -> Self {
        Self {
            locks: SortedMap::new(),
            owned: SortedMap::new(),
            blocked: SortedMap::new(),
            parked: SortedMap::new(),
            places: SortedMap::new(),
            arrivals: 0,
        }
    }

    /// The owner of `lock`, if it is contended.
    pub(super) fn owner(&self, lock: Key) -> Option<&Late<Thread>> {
        self.locks.get(&lock).map(|lock| &lock.owner)
    }

    /// Who gets `lock` next.
    pub(super) fn next_owner(&self, lock: Key) -> Option<&Arc<Thread>> {
        self.locks.get(&lock)?.waiters.first().map(|(_, waiting)| &waiting.thread)
    }

    /// Lets `waiting` wait for its lock, which `owner` has.
    ///
    /// # Errors
    /// `EDEADLK` if the owner waits for the thread, over however many others; `ENOMEM`.
    pub(super) fn join(&mut self, owner: &Late<Thread>, waiting: &Arc<Waiting>) -> Result<()> {
        let (key, thread) = (waiting.lock, waiting.id());
        if self.leads_to(owner, thread) {
            return Err(Errno::EDEADLK);
        }
        self.locks.reserve()?;
        self.owned.reserve()?;
        self.blocked.reserve()?;
        if self.locks.get(&key).is_none() {
            let lock = Lock { owner: owner.clone(), grant: Grant::Given, waiters: Vec::new() };
            self.locks.insert(key, lock);
            self.owned.insert((id(owner), key), ());
        }
        let Some(lock) = self.locks.get_mut(&key) else { return Err(Errno::ENOMEM) };
        if lock.waiters.try_reserve(1).is_err() {
            self.drop_if_idle(key);
            return Err(Errno::ENOMEM);
        }
        lock.insert(Arc::clone(waiting));
        self.blocked.insert(thread, key);
        self.settle(owner.clone());
        Ok(())
    }

    /// Whether the chain from `thread` leads to `target`, or has no end in sight.
    fn leads_to(&self, thread: &Late<Thread>, target: TaskId) -> bool {
        let mut thread = thread;
        for _ in 0..LONGEST_CHAIN {
            if id(thread) == target {
                return true;
            }
            let next = self.blocked.get(&id(thread)).and_then(|key| self.locks.get(key));
            match next {
                Some(lock) => thread = &lock.owner,
                None => return false,
            }
        }
        true
    }

    /// `waiting` gives up.
    pub(super) fn leave(&mut self, waiting: &Waiting) {
        self.blocked.remove(&waiting.id());
        if let Some(lock) = self.locks.get_mut(&waiting.lock)
            && lock.remove(waiting.id()).is_some()
        {
            let owner = lock.owner.clone();
            self.drop_if_idle(waiting.lock);
            self.settle(owner);
        }
    }

    /// Gives `lock` to the first who waits for it. Returns whether anybody did.
    pub(super) fn hand_over(&mut self, key: Key, grant: Grant) -> bool {
        let Some(lock) = self.locks.get_mut(&key) else { return false };
        if lock.waiters.is_empty() {
            self.written(key);
            return false;
        }
        let (_, next) = lock.waiters.remove(0);
        let owner = Late::new(Arc::clone(&next.thread));
        let former = core::mem::replace(&mut lock.owner, owner.clone());
        lock.grant = grant;
        self.blocked.remove(&next.id());
        // One out, one in: the room is there.
        self.owned.remove(&(id(&former), key));
        self.owned.insert((next.id(), key), ());
        self.drop_if_idle(key);
        self.settle(former);
        self.settle(owner);
        next.grant(grant);
        true
    }

    /// The word says who owns `lock`, or never will.
    pub(super) fn written(&mut self, key: Key) {
        if let Some(lock) = self.locks.get_mut(&key) {
            lock.grant = Grant::Given;
        }
        self.drop_if_idle(key);
    }

    /// Forgets `lock` if nobody waits for it and the word says who owns it.
    fn drop_if_idle(&mut self, key: Key) {
        if let Some(lock) = self.locks.get(&key)
            && lock.waiters.is_empty()
            && lock.grant == Grant::Given
        {
            let owner = id(&lock.owner);
            self.owned.remove(&(owner, key));
            self.locks.remove(&key);
        }
    }

    /// A contended lock that `thread` owns.
    pub(super) fn any_owned(&self, thread: &Thread) -> Option<Key> {
        let id = thread.scheduling.task.id();
        let ((owner, key), ()) = self.owned.from((id, Key::FIRST)).next()?;
        (*owner == id).then_some(*key)
    }

    /// Lends `thread` what those who wait for it are worth, and so on along its chain. Puts it where its urgency belongs.
    pub(super) fn settle(&mut self, thread: Late<Thread>) {
        let mut thread = thread;
        for _ in 0..LONGEST_CHAIN {
            let loan = self.loan_to(id(&thread));
            // The graph's lock keeps the thread on its CPU.
            let here = arch::current_cpu();
            carry_out(scheduler().lend(&thread, loan, clock::now(), here));
            self.reorder_parked(&thread);
            let Some(key) = self.blocked.get(&id(&thread)) else { return };
            let Some(lock) = self.locks.get_mut(key) else { return };
            // Its place among those who wait may have changed.
            if let Some(waiting) = lock.remove(id(&thread)) {
                lock.insert(waiting);
            }
            thread = lock.owner.clone();
        }
    }

    fn loan_to(&self, thread: TaskId) -> Loan {
        let owned = self.owned.from((thread, Key::FIRST));
        let owned = owned.take_while(|((owner, _), ())| *owner == thread);
        let first = owned.filter_map(|((_, key), ())| self.locks.get(key)?.waiters.first());
        first.map(|(loan, _)| *loan).max().unwrap_or_default()
    }

    /// Lets `waiting` wait on `word` to be requeued.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn park(&mut self, word: Key, waiting: &Arc<Waiting>) -> Result<()> {
        self.parked.reserve()?;
        self.places.reserve()?;
        self.arrivals += 1;
        let loan = Loan::of(&waiting.thread.scheduling.task);
        let place = (word, Reverse(loan), self.arrivals);
        self.parked.insert(place, Arc::clone(waiting));
        self.places.insert(waiting.id(), place);
        Ok(())
    }

    /// Takes `waiting` off the word that it waits on. Returns whether there was one.
    pub(super) fn unpark(&mut self, waiting: &Waiting) -> bool {
        let place = self.places.remove(&waiting.id());
        place.is_some_and(|place| self.parked.remove(&place).is_some())
    }

    /// Puts `thread` where it belongs by its present urgency, if it waits on a word.
    fn reorder_parked(&mut self, thread: &Thread) {
        let Some(place) = self.places.get_mut(&id(thread)) else { return };
        let Some(waiting) = self.parked.remove(place) else { return };
        place.1 = Reverse(Loan::of(&thread.scheduling.task));
        self.parked.insert(*place, waiting);
    }

    /// How many have come to wait on words so far.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// The most urgent of those who waited on `word` when `arrivals` had come; among equals the first that came.
    pub(super) fn first_parked(&self, word: Key, arrivals: u64) -> Option<Arc<Waiting>> {
        let from = self.parked.from((word, Reverse(Loan::MAX), 0));
        let mut here = from.take_while(|((other, ..), _)| *other == word);
        here.find(|((.., arrival), _)| *arrival <= arrivals).map(|(_, waiting)| Arc::clone(waiting))
    }

    /// `waiting`, which is in no queue, owns its lock, which was free.
    pub(super) fn grant_free(waiting: &Waiting) {
        waiting.grant(Grant::Given);
    }
}

fn id(thread: &Thread) -> TaskId {
    thread.scheduling.task.id()
}
