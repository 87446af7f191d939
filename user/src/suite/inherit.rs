//! Priority-inheritance futexes: ownership in the word, deadlocks, requeueing, and urgency along chains.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use libc::{
    CLOCK_MONOTONIC, CLOCK_REALTIME, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI,
    FUTEX_LOCK_PI2, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI,
    FUTEX_WAIT_REQUEUE_PI, FUTEX_WAITERS, timespec,
};

use super::support::{Mapping, child, nap, needs_root, until, until_sleeping, until_thread_sleeps};
use crate::sys::{Errno, SysResult};
use crate::{fails, ok, sys};

super::area!("inherit":
    the_word_names_the_owner,
    a_contended_lock_is_handed_over,
    only_the_owner_unlocks,
    own_lock_is_a_deadlock,
    a_ring_of_waiters_is_a_deadlock,
    a_wait_for_a_lock_times_out,
    an_owner_that_does_not_exist,
    a_dead_owner_leaves_its_lock,
    bad_requeues,
    requeued_waiters_get_the_lock_in_turn,
    waiters_are_served_by_priority,
    urgency_is_lent_along_a_chain,
);

fn tid() -> u32 {
    ok!(SYS_gettid) as u32
}

fn lock(word: &AtomicU32) -> SysResult {
    sys!(SYS_futex, word, FUTEX_LOCK_PI, 0, 0)
}

fn unlock(word: &AtomicU32) -> SysResult {
    sys!(SYS_futex, word, FUTEX_UNLOCK_PI)
}

/// Waits until another thread or process waits for the lock in the kernel.
#[track_caller]
fn until_contended(word: &AtomicU32) {
    until("somebody waits for the lock", || word.load(SeqCst) & FUTEX_WAITERS != 0);
}

fn the_word_names_the_owner() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), tid());
    assert_eq!(unlock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), 0);
    ok!(SYS_futex, &word, FUTEX_TRYLOCK_PI);
    assert_eq!(word.load(SeqCst), tid());
    std::thread::scope(|scope| {
        scope.spawn(|| fails!(EAGAIN: SYS_futex, &word, FUTEX_TRYLOCK_PI));
    });
    assert_eq!(unlock(&word), Ok(0));
}

fn a_contended_lock_is_handed_over() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert_eq!(lock(&word), Ok(0));
            let owner = word.load(SeqCst) & FUTEX_TID_MASK;
            assert_eq!(unlock(&word), Ok(0));
            (owner, tid())
        });
        until_contended(&word);
        assert_eq!(unlock(&word), Ok(0));
        let (owner, waiter) = other.join().unwrap();
        assert_eq!(owner, waiter);
    });
    assert_eq!(word.load(SeqCst), 0);
}

fn only_the_owner_unlocks() {
    let word = AtomicU32::new(0);
    fails!(EPERM: SYS_futex, &word, FUTEX_UNLOCK_PI);
    assert_eq!(lock(&word), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(|| fails!(EPERM: SYS_futex, &word, FUTEX_UNLOCK_PI));
    });
    assert_eq!(unlock(&word), Ok(0));
}

fn own_lock_is_a_deadlock() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    fails!(EDEADLK: SYS_futex, &word, FUTEX_LOCK_PI, 0, 0);
    fails!(EDEADLK: SYS_futex, &word, FUTEX_TRYLOCK_PI);
}

fn a_ring_of_waiters_is_a_deadlock() {
    let (first, second) = (AtomicU32::new(0), AtomicU32::new(0));
    assert_eq!(lock(&first), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(lock(&second), Ok(0));
            assert_eq!(lock(&first), Ok(0));
            assert_eq!(unlock(&first), Ok(0));
            assert_eq!(unlock(&second), Ok(0));
        });
        until_contended(&first);
        until_thread_sleeps(second.load(SeqCst) & FUTEX_TID_MASK);
        assert_eq!(lock(&second), Err(Errno::EDEADLK));
        assert_eq!(unlock(&first), Ok(0));
    });
}

fn a_wait_for_a_lock_times_out() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    let soon = |clock: i32| {
        let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
        ok!(SYS_clock_gettime, clock, &mut time);
        time.tv_nsec += 5_000_000;
        time.tv_sec += time.tv_nsec / 1_000_000_000;
        time.tv_nsec %= 1_000_000_000;
        time
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let by_real_time = soon(CLOCK_REALTIME);
            fails!(ETIMEDOUT: SYS_futex, &word, FUTEX_LOCK_PI, 0, &by_real_time);
            let operation = FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME;
            fails!(ETIMEDOUT: SYS_futex, &word, operation, 0, &by_real_time);
            fails!(ETIMEDOUT: SYS_futex, &word, FUTEX_LOCK_PI2, 0, &soon(CLOCK_MONOTONIC));
        });
    });
    assert_eq!(unlock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), 0);
}

fn an_owner_that_does_not_exist() {
    let word = AtomicU32::new(0x003f_ffff);
    fails!(ESRCH: SYS_futex, &word, FUTEX_LOCK_PI, 0, 0);
}

/// The lock goes to who waits for it, and the word says why.
fn a_dead_owner_leaves_its_lock() {
    let page = Mapping::shared(1);
    let word = page.word(0);
    let owner = child(|| {
        assert_eq!(lock(word), Ok(0));
        page.word(4).store(1, SeqCst);
        until_contended(word);
        until_sleeping(page.word(8).load(SeqCst) as i32);
    });
    until("it has the lock", || page.word(4).load(SeqCst) == 1);
    page.word(8).store(tid(), SeqCst);
    assert_eq!(lock(word), Ok(0));
    owner.success();
    let value = word.load(SeqCst);
    assert_eq!(value & FUTEX_TID_MASK, tid());
    assert_ne!(value & FUTEX_OWNER_DIED, 0, "{value:#x}");
    assert_eq!(unlock(word), Ok(0));
}

fn bad_requeues() {
    let (condition, word) = (AtomicU32::new(3), AtomicU32::new(0));
    fails!(EINVAL: SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI, 2, 1, &word, 3);
    fails!(EINVAL: SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI, 1, 1, &condition, 3);
    fails!(EAGAIN: SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI, 1, 1, &word, 4);
    fails!(EAGAIN: SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI, 4, 0, &word);
    fails!(EINVAL: SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI, 3, 0, &condition);
    assert_eq!(sys!(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI, 1, 1, &word, 3), Ok(0));
}

/// A broadcast to four who wait on a condition: each comes back with the lock, one at a time.
fn requeued_waiters_get_the_lock_in_turn() {
    let (condition, word) = (&AtomicU32::new(0), &AtomicU32::new(0));
    let (inside, served) = (&AtomicU32::new(0), &AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (sender, receiver) = std::sync::mpsc::channel();
            scope.spawn(move || {
                sender.send(tid()).unwrap();
                ok!(SYS_futex, condition, FUTEX_WAIT_REQUEUE_PI, 0, 0, word);
                assert_eq!(word.load(SeqCst) & FUTEX_TID_MASK, tid());
                assert_eq!(inside.fetch_add(1, SeqCst), 0, "two have the lock");
                nap(1);
                inside.fetch_sub(1, SeqCst);
                served.fetch_add(1, SeqCst);
                assert_eq!(unlock(word), Ok(0));
            });
            until_thread_sleeps(receiver.recv().unwrap());
        }
        assert_eq!(lock(word), Ok(0));
        condition.store(1, SeqCst);
        assert_eq!(sys!(SYS_futex, condition, FUTEX_CMP_REQUEUE_PI, 1, 9, word, 1), Ok(4));
        assert_eq!(served.load(SeqCst), 0);
        assert_eq!(unlock(word), Ok(0));
    });
    assert_eq!(served.load(SeqCst), 4);
}

/// Makes the calling thread a FIFO thread.
fn become_fifo(priority: i32) {
    ok!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &priority);
}

fn waiters_are_served_by_priority() {
    needs_root();
    let word = &AtomicU32::new(0);
    let order = std::sync::Mutex::new(Vec::new());
    assert_eq!(lock(word), Ok(0));
    std::thread::scope(|scope| {
        for priority in [10, 30, 20] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let order = &order;
            scope.spawn(move || {
                become_fifo(priority);
                sender.send(tid()).unwrap();
                assert_eq!(lock(word), Ok(0));
                order.lock().unwrap().push(priority);
                assert_eq!(unlock(word), Ok(0));
            });
            let waiter = receiver.recv().unwrap();
            until_contended(word);
            until_thread_sleeps(waiter);
        }
        assert_eq!(unlock(word), Ok(0));
    });
    assert_eq!(*order.lock().unwrap(), [30, 20, 10]);
}

/// On one CPU: a loop of middle priority keeps two threads of low priority from running, of which one waits for the other;
/// who waits for the first of them, at high priority, gets it all going.
fn urgency_is_lent_along_a_chain() {
    needs_root();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        super::support::skip("needs more CPUs");
    }
    let page = &Mapping::shared(1);
    let [first, second, stage, finished] = [0, 4, 8, 12].map(|offset| page.word(offset));
    let only_cpu = 1_u64 << (cpus - 1);
    let pinned = move |priority: i32| {
        // Before it goes to that CPU: an ordinary process has to wait there for what the loop leaves over.
        become_fifo(priority);
        ok!(SYS_sched_setaffinity, 0, 8, &only_cpu);
    };
    // Others keep off that CPU.
    ok!(SYS_sched_setaffinity, 0, 8, &1_u64);
    let owner = child(|| {
        pinned(10);
        assert_eq!(lock(first), Ok(0));
        stage.store(1, SeqCst);
        while stage.load(SeqCst) < 3 {
            std::hint::spin_loop();
        }
        // Only with lent urgency does it come here.
        assert_eq!(unlock(first), Ok(0));
    });
    until("the first lock is taken", || stage.load(SeqCst) == 1);
    let link = child(|| {
        pinned(11);
        assert_eq!(lock(second), Ok(0));
        assert_eq!(lock(first), Ok(0));
        assert_eq!(unlock(first), Ok(0));
        assert_eq!(unlock(second), Ok(0));
    });
    until_contended(first);
    let hog = child(|| {
        pinned(20);
        stage.store(2, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    });
    until("the loop has the CPU", || stage.load(SeqCst) == 2);
    let urgent = child(|| {
        pinned(30);
        stage.store(3, SeqCst);
        assert_eq!(lock(second), Ok(0));
        finished.store(1, SeqCst);
        assert_eq!(unlock(second), Ok(0));
    });
    until("the urgent one has its lock", || finished.load(SeqCst) == 1);
    urgent.success();
    // With what they were lent gone, the others wait for the loop again.
    hog.finish();
    link.success();
    owner.success();
}
