//! Who waits on which word: a hash table of waiters that live on their threads' stacks.
//!
//! A waiter is linked into the list of its key's bucket. Key, bucket and list are guarded by the bucket's lock; a requeue
//! changes them under the locks of both buckets. Whoever unlinks a waiter in order to wake it says so in its [`Stand`].
//!
//! A waiter is linked *before* its word is compared: a waker changes the word and then takes the lock, so either it finds the
//! waiter, or the waiter sees the change.
//!
//! Locks: each bucket's, rank `FUTEX`; two are taken in the order of their numbers. Threads are woken while it is held.
//! Who was woken does not take it again, but waits until the waker is done with the waiter.
#![allow(unsafe_code, reason = "waiters are links on the stacks of the threads that wait")]

use alloc::sync::Arc;
use core::cell::Cell;

use arch::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use arch::sync::{Rank, SpinGuard, SpinLock};
use intrusive_collections::{LinkedList, LinkedListAtomicLink, UnsafeRef, intrusive_adapter};
use sched::{Stand, WakeMask};

use super::key::Key;
use crate::scheduling::wake_thread;
use crate::task::Thread;

/// A thread that waits on a word.
pub(super) struct Waiter {
    link: LinkedListAtomicLink,
    thread: Arc<Thread>,
    bitset: u32,
    /// Guarded by the lock of the bucket that `bucket` names.
    key: Cell<Key>,
    /// The number of the bucket. Written under the locks of the old and the new one.
    bucket: AtomicUsize,
    /// Written under the bucket's lock, by the waker who unlinks the waiter.
    stand: Stand,
}

// SAFETY: `key` is accessed under the bucket's lock only; the rest is `Sync` by itself.
unsafe impl Sync for Waiter {}

intrusive_adapter!(Waiters = UnsafeRef<Waiter>: Waiter { link => LinkedListAtomicLink });

/// The waiters of the keys that hash alike.
struct Bucket {
    waiters: SpinLock<LinkedList<Waiters>>,
    /// How many waiters are linked, for wakers to see without the lock that there are none.
    population: AtomicU32,
}

const BUCKETS: usize = 1024;

/// All waiters.
pub(super) struct Table([Bucket; BUCKETS]);

/// The machine's futexes.
pub(super) static TABLE: Table = Table([const { Bucket::new() }; BUCKETS]);

impl Bucket {
    const fn new() -> Self {
        Self {
            waiters: SpinLock::new(Rank::FUTEX, LinkedList::new(Waiters::NEW)),
            population: AtomicU32::new(0),
        }
    }
}

impl Waiter {
    pub(super) fn new(thread: Arc<Thread>, key: Key, bitset: u32) -> Self {
        Self {
            link: LinkedListAtomicLink::new(),
            thread,
            bitset,
            key: Cell::new(key),
            bucket: AtomicUsize::new(key.hash() % BUCKETS),
            stand: Stand::default(),
        }
    }

    /// Whether a waker chose this waiter.
    pub(super) fn is_woken(&self) -> bool {
        self.stand.is_woken()
    }
}

/// A waiter's place in the table; given up when dropped.
pub(super) struct Place<'a> {
    table: &'a Table,
    waiter: &'a Waiter,
}

impl Place<'_> {
    /// Leaves the table. If a waker chose this waiter although it does not need the wake-up, another one gets it.
    pub(super) fn leave_passing_on(self) {
        self.leave();
        if self.waiter.is_woken() {
            // Nobody else uses it any more.
            self.table.wake(self.waiter.key.get(), 1, self.waiter.bitset);
        }
    }

    #[inline]
    fn leave(&self) {
        if self.waiter.is_woken() {
            self.waiter.stand.await_release();
        } else {
            self.unlink();
        }
    }

    /// Unlinks the waiter unless a waker has just done that.
    #[inline(never)]
    fn unlink(&self) {
        loop {
            let number = self.waiter.bucket.load(Ordering::Relaxed);
            let bucket = &self.table.0[number];
            let mut waiters = bucket.waiters.lock();
            if self.waiter.bucket.load(Ordering::Relaxed) != number {
                continue;
            }
            if self.waiter.link.is_linked() {
                // SAFETY: a linked waiter is in the list of the bucket that it names, whose lock is held.
                unsafe { waiters.cursor_mut_from_ptr(self.waiter) }.remove();
                bucket.population.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Bucket {
    /// Wakes up to `count` of its waiters. Its lock is held, `waiters` is the list.
    fn wake(&self, waiters: &mut LinkedList<Waiters>, key: Key, count: u32, bitset: u32) -> u32 {
        let mut woken = 0;
        let mut cursor = waiters.front_mut();
        while woken < count
            && let Some(waiter) = cursor.get()
        {
            if waiter.key.get() != key || waiter.bitset & bitset == 0 {
                cursor.move_next();
                continue;
            }
            let Some(waiter) = cursor.remove() else { break };
            self.population.fetch_sub(1, Ordering::Relaxed);
            waiter.stand.choose();
            wake_thread(&waiter.thread, WakeMask::EVENT);
            waiter.stand.release();
            woken += 1;
        }
        woken
    }
}

type BucketGuard<'a> = SpinGuard<'a, LinkedList<Waiters>>;

impl Table {
    fn number(key: Key) -> usize {
        key.hash() % BUCKETS
    }

    /// Links `waiter`. What it waits for is checked afterwards.
    pub(super) fn join<'a>(&'a self, waiter: &'a Waiter) -> Place<'a> {
        let bucket = &self.0[waiter.bucket.load(Ordering::Relaxed)];
        let mut waiters = bucket.waiters.lock();
        // SAFETY: the node outlives its place in the list: `Place` borrows it and unlinks it when dropped.
        waiters.push_back(unsafe { UnsafeRef::from_raw(waiter) });
        bucket.population.fetch_add(1, Ordering::Relaxed);
        drop(waiters);
        // Pairs with the fence in `wake`: link, then look at the word; change the word, then look for waiters.
        fence(Ordering::SeqCst);
        Place { table: self, waiter }
    }

    /// Wakes up to `count` waiters on `key` whose bits are among `bitset`, and returns how many.
    pub(super) fn wake(&self, key: Key, count: u32, bitset: u32) -> u32 {
        // Pairs with the fence in `join`.
        fence(Ordering::SeqCst);
        let bucket = &self.0[Self::number(key)];
        if bucket.population.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut waiters = bucket.waiters.lock();
        bucket.wake(&mut waiters, key, count, bitset)
    }

    /// Wakes up to `wake` waiters on `from` and moves up to `requeue` others to `to`, if `check` agrees while both
    /// words' lists are locked. Returns how many were woken, and how many moved.
    ///
    /// # Errors
    /// That of `check`; nothing was changed then.
    pub(super) fn requeue<E>(
        &self,
        (from, wake): (Key, u32),
        (to, requeue): (Key, u32),
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(u32, u32), E> {
        let (mut source, target) = self.lock_pair(Self::number(from), Self::number(to));
        check()?;
        let woken = self.0[Self::number(from)].wake(&mut source, from, wake, u32::MAX);
        let moved = match target {
            _ if from == to => 0,
            None => rename(&mut source, from, to, requeue),
            Some(mut target) => self.transfer((&mut source, from), (&mut target, to), requeue),
        };
        Ok((woken, moved))
    }

    /// Locks bucket `source` and, if it is another, `target`, in the order of their numbers.
    fn lock_pair(
        &self,
        source: usize,
        target: usize,
    ) -> (BucketGuard<'_>, Option<BucketGuard<'_>>) {
        let lock = |number: usize| &self.0[number].waiters;
        match source.cmp(&target) {
            core::cmp::Ordering::Equal => (lock(source).lock(), None),
            core::cmp::Ordering::Less => {
                let first = lock(source).lock();
                (first, Some(lock(target).lock_nested()))
            }
            core::cmp::Ordering::Greater => {
                let first = lock(target).lock();
                (lock(source).lock_nested(), Some(first))
            }
        }
    }

    /// Moves up to `count` waiters from one bucket to another, both locked.
    fn transfer(
        &self,
        (source, from): (&mut LinkedList<Waiters>, Key),
        (target, to): (&mut LinkedList<Waiters>, Key),
        count: u32,
    ) -> u32 {
        let mut moved = 0;
        let mut cursor = source.front_mut();
        while moved < count
            && let Some(waiter) = cursor.get()
        {
            if waiter.key.get() != from {
                cursor.move_next();
                continue;
            }
            let Some(waiter) = cursor.remove() else { break };
            waiter.key.set(to);
            waiter.bucket.store(Self::number(to), Ordering::Relaxed);
            target.push_back(waiter);
            moved += 1;
        }
        self.0[Self::number(from)].population.fetch_sub(moved, Ordering::Relaxed);
        self.0[Self::number(to)].population.fetch_add(moved, Ordering::Relaxed);
        moved
    }
}

/// Gives up to `count` waiters on `from` the key `to`, which is in the same bucket.
fn rename(waiters: &mut LinkedList<Waiters>, from: Key, to: Key, count: u32) -> u32 {
    let matching = waiters.iter().filter(|waiter| waiter.key.get() == from);
    matching.take(count as usize).map(|waiter| waiter.key.set(to)).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::scheduling::{self, ThreadCore};

    fn waiter(key: Key, bitset: u32) -> Waiter {
        scheduling::initialize(1, None, 0);
        let core = ThreadCore::new_kernel(sched::Parameters::DEFAULT, || ()).expect("memory");
        Waiter::new(Thread::new_kernel("waiter", core), key, bitset)
    }

    fn woken(waiters: &[Waiter]) -> alloc::vec::Vec<bool> {
        waiters.iter().map(Waiter::is_woken).collect()
    }

    /// Two keys in one bucket, and one in another.
    fn keys() -> (Key, Key, Key) {
        let first = Key::new(0x1000, 0);
        let numbered = |n: u64| Key::new(0x1000, n * 4);
        let same = (1..).map(numbered).find(|&key| Table::number(key) == Table::number(first));
        let other = (1..).map(numbered).find(|&key| Table::number(key) != Table::number(first));
        (first, same.expect("collisions exist"), other.expect("buckets differ"))
    }

    #[test]
    fn waking_is_first_come_first_served_by_key_and_bits() {
        static TABLE: Table = Table([const { Bucket::new() }; BUCKETS]);
        let (key, same_bucket, _) = keys();
        let waiters = [waiter(key, 1), waiter(same_bucket, !0), waiter(key, 2), waiter(key, 3)];
        let places = waiters.each_ref().map(|waiter| TABLE.join(waiter));
        assert_eq!(TABLE.wake(key, 1, 2), 1);
        assert_eq!(woken(&waiters), [false, false, true, false]);
        assert_eq!(TABLE.wake(key, 9, !0), 2);
        assert_eq!(woken(&waiters), [true, false, true, true]);
        drop(places);
        assert_eq!(TABLE.wake(same_bucket, 9, !0), 0, "who left is not woken");
    }

    #[test]
    fn requeueing_moves_the_rest_within_and_across_buckets() {
        static TABLE: Table = Table([const { Bucket::new() }; BUCKETS]);
        let (key, same_bucket, other) = keys();
        for target in [same_bucket, other] {
            let waiters = [waiter(key, !0), waiter(key, !0), waiter(key, !0), waiter(key, !0)];
            let places = waiters.each_ref().map(|waiter| TABLE.join(waiter));
            let agree = || Ok::<_, Errno>(());
            assert_eq!(TABLE.requeue((key, 1), (target, 2), agree), Ok((1, 2)));
            assert_eq!(woken(&waiters), [true, false, false, false]);
            assert_eq!(TABLE.wake(target, 9, !0), 2);
            assert_eq!(woken(&waiters), [true, true, true, false]);
            drop(places);
        }
    }

    #[test]
    fn a_failed_check_changes_nothing() {
        static TABLE: Table = Table([const { Bucket::new() }; BUCKETS]);
        let (key, _, other) = keys();
        let sleeper = waiter(key, !0);
        let place = TABLE.join(&sleeper);
        let refuse = || Err(Errno::EAGAIN);
        assert_eq!(TABLE.requeue((key, 1), (other, 1), refuse), Err(Errno::EAGAIN));
        assert!(!sleeper.is_woken());
        drop(place);
    }

    #[test]
    fn who_does_not_need_its_wake_up_passes_it_on() {
        static TABLE: Table = Table([const { Bucket::new() }; BUCKETS]);
        let (key, ..) = keys();
        let waiters = [waiter(key, !0), waiter(key, !0)];
        let [first, second] = waiters.each_ref().map(|waiter| TABLE.join(waiter));
        assert_eq!(TABLE.wake(key, 1, !0), 1);
        first.leave_passing_on();
        assert_eq!(woken(&waiters), [true, true]);
        drop(second);
    }
}
