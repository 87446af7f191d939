//! futex by itself: values, time-outs, requeueing, keys, robust lists.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use libc::{
    CLOCK_MONOTONIC, CLOCK_REALTIME, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_PRIVATE_FLAG,
    FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
    timespec,
};

use super::support::{
    Child, Mapping, PAGE, Status, caught, child, nap, record, until, until_sleeping,
    until_thread_sleeps,
};
use crate::sys::{Errno, SysResult};
use crate::{fails, ok, sys};

super::area!("futex":
    wait_checks_the_value,
    wake_without_waiters_wakes_none,
    wait_times_out,
    bitset_wait_takes_absolute_time,
    bitset_selects_waiters,
    wake_wakes_so_many,
    private_and_shared_keys_differ,
    works_between_processes,
    works_through_different_mappings,
    works_on_file_mappings,
    requeue_moves_waiters,
    cmp_requeue_checks_the_value,
    wake_op_computes_and_wakes,
    interrupted_wait,
    restarted_wait,
    bad_arguments,
    mutex_between_processes,
    robust_list_marks_owner_died,
    robust_list_of_a_dying_thread,
    robust_list_is_read_back,
    lost_wakeup_hunt,
);

const WAIT: i32 = FUTEX_WAIT | FUTEX_PRIVATE_FLAG;
const WAKE: i32 = FUTEX_WAKE | FUTEX_PRIVATE_FLAG;

fn milliseconds(count: i64) -> timespec {
    timespec { tv_sec: count / 1000, tv_nsec: count % 1000 * 1_000_000 }
}

/// Runs `act` while `count` threads wait on `word` with these operations; gives what each got.
fn with_waiters(
    word: &'static AtomicU32,
    operation: i32,
    bitsets: &[u32],
    act: impl FnOnce(),
) -> Vec<SysResult> {
    let handles: Vec<_> = bitsets
        .iter()
        .map(|&bitset| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let handle = std::thread::spawn(move || {
                sender.send(ok!(SYS_gettid) as u32).unwrap();
                let mut limit = timespec { tv_sec: 0, tv_nsec: 0 };
                if operation & 0x7f == FUTEX_WAIT_BITSET {
                    ok!(SYS_clock_gettime, CLOCK_MONOTONIC, &mut limit);
                }
                limit.tv_sec += 60;
                sys!(SYS_futex, word, operation, 0, &limit, 0, bitset)
            });
            until_thread_sleeps(receiver.recv().unwrap());
            handle
        })
        .collect();
    act();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

fn word(value: u32) -> &'static AtomicU32 {
    Box::leak(Box::new(AtomicU32::new(value)))
}

fn wait_checks_the_value() {
    let word = word(3);
    fails!(EAGAIN: SYS_futex, word, WAIT, 2, 0);
    fails!(EAGAIN: SYS_futex, word, FUTEX_WAIT, 4, 0);
}

fn wake_without_waiters_wakes_none() {
    assert_eq!(ok!(SYS_futex, word(0), WAKE, 100), 0);
}

fn wait_times_out() {
    let start = Instant::now();
    fails!(ETIMEDOUT: SYS_futex, word(0), WAIT, 0, &milliseconds(15));
    assert!(start.elapsed() >= Duration::from_millis(15));
    fails!(ETIMEDOUT: SYS_futex, word(0), WAIT, 0, &milliseconds(0));
}

fn bitset_wait_takes_absolute_time() {
    for (clock, flag) in [(CLOCK_MONOTONIC, 0), (CLOCK_REALTIME, FUTEX_CLOCK_REALTIME)] {
        let operation = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | flag;
        let mut limit = timespec { tv_sec: 0, tv_nsec: 0 };
        ok!(SYS_clock_gettime, clock, &mut limit);
        fails!(ETIMEDOUT: SYS_futex, word(0), operation, 0, &limit, 0, u32::MAX);
        limit.tv_nsec += 10_000_000;
        if limit.tv_nsec >= 1_000_000_000 {
            limit.tv_sec += 1;
            limit.tv_nsec -= 1_000_000_000;
        }
        fails!(ETIMEDOUT: SYS_futex, word(0), operation, 0, &limit, 0, u32::MAX);
        let mut now = limit;
        ok!(SYS_clock_gettime, clock, &mut now);
        assert!((now.tv_sec, now.tv_nsec) >= (limit.tv_sec, limit.tv_nsec));
    }
}

fn bitset_selects_waiters() {
    let word = word(0);
    let wake = FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG;
    let results = with_waiters(word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, &[1, 2, 6], || {
        assert_eq!(ok!(SYS_futex, word, wake, 10, 0, 0, 8), 0);
        assert_eq!(ok!(SYS_futex, word, wake, 10, 0, 0, 4), 1);
        assert_eq!(ok!(SYS_futex, word, wake, 10, 0, 0, 3), 2);
    });
    assert_eq!(results, [Ok(0), Ok(0), Ok(0)]);
    fails!(EINVAL: SYS_futex, word, wake, 1, 0, 0, 0);
}

fn wake_wakes_so_many() {
    let word = word(0);
    let results = with_waiters(word, WAIT, &[0; 5], || {
        assert_eq!(ok!(SYS_futex, word, WAKE, 2), 2);
        assert_eq!(ok!(SYS_futex, word, WAKE, i32::MAX), 3);
        assert_eq!(ok!(SYS_futex, word, WAKE, 1), 0);
    });
    assert_eq!(results, [Ok(0); 5]);
}

fn private_and_shared_keys_differ() {
    let page = Box::leak(Box::new(Mapping::shared(1)));
    let word = page.word(0);
    with_waiters(word, WAIT, &[0], || {
        assert_eq!(ok!(SYS_futex, word, FUTEX_WAKE, 1), 0);
        assert_eq!(ok!(SYS_futex, word, WAKE, 1), 1);
    });
}

/// A child waits on `theirs` until this process wakes `ours`; both are the same memory.
fn wake_across_processes(ours: &AtomicU32, theirs: &AtomicU32) {
    let child = child(|| {
        while theirs.load(SeqCst) == 0 {
            match sys!(SYS_futex, theirs, FUTEX_WAIT, 0, &milliseconds(60_000)) {
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    until_sleeping(child.pid());
    ours.store(1, SeqCst);
    assert_eq!(ok!(SYS_futex, ours, FUTEX_WAKE, 1), 1);
    child.success();
}

fn works_between_processes() {
    let page = Mapping::shared(1);
    wake_across_processes(page.word(8), page.word(8));
}

fn works_through_different_mappings() {
    let fd = ok!(SYS_memfd_create, c"futex", 0) as i32;
    ok!(SYS_ftruncate, fd, PAGE);
    let (first, second) =
        (Mapping::file(fd, PAGE, libc::MAP_SHARED), Mapping::file(fd, PAGE, libc::MAP_SHARED));
    wake_across_processes(first.word(128), second.word(128));
}

fn works_on_file_mappings() {
    std::fs::write("file", [0; 64]).unwrap();
    let fd = ok!(SYS_open, c"file", libc::O_RDWR) as i32;
    let (first, second) =
        (Mapping::file(fd, PAGE, libc::MAP_SHARED), Mapping::file(fd, PAGE, libc::MAP_SHARED));
    wake_across_processes(first.word(4), second.word(4));
}

fn requeue_moves_waiters() {
    let (from, to) = (word(0), word(0));
    let requeue = FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG;
    let results = with_waiters(from, WAIT, &[0; 4], || {
        // Wakes one, moves two, and counts both.
        assert_eq!(ok!(SYS_futex, from, requeue, 1, 2, to), 3);
        assert_eq!(ok!(SYS_futex, to, WAKE, 10), 2);
        assert_eq!(ok!(SYS_futex, from, WAKE, 10), 1);
    });
    assert_eq!(results, [Ok(0); 4]);
}

fn cmp_requeue_checks_the_value() {
    let (from, to) = (word(0), word(0));
    let requeue = FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG;
    with_waiters(from, WAIT, &[0; 3], || {
        fails!(EAGAIN: SYS_futex, from, requeue, 1, 10, to, 7);
        // Counts both those that it woke and those that it moved.
        assert_eq!(ok!(SYS_futex, from, requeue, 1, 10, to, 0), 3);
        assert_eq!(ok!(SYS_futex, from, WAKE, 10), 0);
        assert_eq!(ok!(SYS_futex, to, WAKE, 10), 2);
    });
}

fn wake_op_computes_and_wakes() {
    let (first, second) = (word(0), word(5));
    let operation = FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG;
    // second = 9 (SET), and wake its waiters too if it was 5 (CMP_EQ).
    let code = 9 << 12 | 5;
    with_waiters(first, WAIT, &[0; 2], || {
        assert_eq!(ok!(SYS_futex, first, operation, 1, 1, second, code), 1);
        assert_eq!(second.load(SeqCst), 9);
        assert_eq!(ok!(SYS_futex, first, WAKE, 5), 1);
    });
    // OR with 1 << 4 (shifted operand), then ADD -1, ANDN, XOR.
    for (code, expected) in [
        (2 << 28 | 8 << 28 | 4 << 12, 25_u32),
        (1 << 28 | 0xfff << 12, 24),
        (3 << 28 | 8 << 12, 16),
        (4 << 28 | 1 << 12, 17),
    ] {
        ok!(SYS_futex, first, operation, 0, 0, second, code as u32);
        assert_eq!(second.load(SeqCst), expected);
    }
}

fn pester(tid: usize) -> std::thread::JoinHandle<()> {
    let pid = ok!(SYS_getpid);
    std::thread::spawn(move || {
        until_thread_sleeps(tid as u32);
        ok!(SYS_tgkill, pid, tid, libc::SIGUSR1);
    })
}

fn interrupted_wait() {
    record(libc::SIGUSR1, 0);
    let other = pester(ok!(SYS_gettid));
    fails!(EINTR: SYS_futex, word(0), WAIT, 0, &milliseconds(60_000));
    other.join().unwrap();
}

fn restarted_wait() {
    record(libc::SIGUSR1, libc::SA_RESTART);
    // With a relative time-out it would only go on if no handler had run.
    let other = pester(ok!(SYS_gettid));
    fails!(EINTR: SYS_futex, word(0), WAIT, 0, &milliseconds(60_000));
    other.join().unwrap();
    let word = word(0);
    let other = pester(ok!(SYS_gettid));
    let waker = std::thread::spawn(move || {
        until("the handler had run again", || caught(libc::SIGUSR1) == 2);
        nap(10);
        word.store(1, SeqCst);
        ok!(SYS_futex, word, WAKE, 1);
    });
    let result = sys!(SYS_futex, word, WAIT, 0, 0);
    assert!(matches!(result, Ok(0) | Err(Errno::EAGAIN)), "{result:?}");
    assert_eq!(word.load(SeqCst), 1, "it slept on after the handler");
    other.join().unwrap();
    waker.join().unwrap();
}

fn bad_arguments() {
    let page = Mapping::private(2);
    fails!(EINVAL: SYS_futex, page.address() + 1, WAIT, 0, 0);
    fails!(EINVAL: SYS_futex, page.address() + 2, WAKE, 1);
    fails!(EFAULT: SYS_futex, 16, WAIT, 0, 0);
    fails!(EFAULT: SYS_futex, 0xffff_8000_0000_0000_usize, WAIT, 0, 0);
    fails!(ENOSYS: SYS_futex, page.address(), 99, 0, 0);
    let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    fails!(EINVAL: SYS_futex, page.address(), WAIT, 0, &bad);
    let negative = timespec { tv_sec: -1, tv_nsec: 0 };
    fails!(EINVAL: SYS_futex, page.address(), WAIT, 0, &negative);
    fails!(EFAULT: SYS_futex, page.address(), WAIT, 0, 8);
    page.unmap(1, 1);
    fails!(EFAULT: SYS_futex, page.page(1), FUTEX_WAIT, 0, 0);
}

/// A lock of one word: 0 free, 1 taken, 2 taken with waiters.
fn lock(word: &AtomicU32) {
    if word.compare_exchange(0, 1, SeqCst, SeqCst).is_err() {
        while word.swap(2, SeqCst) != 0 {
            let _ = sys!(SYS_futex, word, FUTEX_WAIT, 2, 0);
        }
    }
}

fn unlock(word: &AtomicU32) {
    if word.swap(0, SeqCst) == 2 {
        ok!(SYS_futex, word, FUTEX_WAKE, 1);
    }
}

fn mutex_between_processes() {
    let page = Mapping::shared(1);
    let children: Vec<Child> = (0..4)
        .map(|_| {
            child(|| {
                for _ in 0..500 {
                    lock(page.word(0));
                    // Not atomic as a whole: the lock makes it so.
                    let value = page.word(64).load(SeqCst);
                    page.word(64).store(value + 1, SeqCst);
                    unlock(page.word(0));
                }
            })
        })
        .collect();
    for child in children {
        child.success();
    }
    assert_eq!(page.word(64).load(SeqCst), 2000);
}

/// A robust list head of one entry at `page`: head at 0, entry at 64, its futex word at 96.
fn make_robust_list(page: &Mapping) {
    let entry = page.address() as u64 + 64;
    page.long(0).store(entry, SeqCst);
    page.long(8).store(32, SeqCst);
    page.long(16).store(0, SeqCst);
    page.long(64).store(page.address() as u64, SeqCst);
    ok!(SYS_set_robust_list, page.address(), 24);
}

const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;

fn robust_list_marks_owner_died() {
    let page = Mapping::shared(1);
    let futex = page.word(96);
    let child = child(|| {
        futex.store(ok!(SYS_gettid) as u32 | WAITERS, SeqCst);
        make_robust_list(&page);
        nap(20);
        ok!(SYS_kill, ok!(SYS_getpid), libc::SIGKILL);
    });
    until("the child had the lock", || futex.load(SeqCst) != 0);
    while futex.load(SeqCst) & OWNER_DIED == 0 {
        let value = futex.load(SeqCst);
        let _ = sys!(SYS_futex, futex, FUTEX_WAIT, value, &milliseconds(60_000));
    }
    assert_eq!(futex.load(SeqCst), OWNER_DIED | WAITERS);
    assert_eq!(child.status(), Status::Killed(libc::SIGKILL));
}

fn robust_list_of_a_dying_thread() {
    let page: &'static Mapping = Box::leak(Box::new(Mapping::shared(1)));
    let other = page.word(256);
    other.store(12345, SeqCst);
    std::thread::spawn(|| {
        page.word(96).store(ok!(SYS_gettid) as u32, SeqCst);
        make_robust_list(page);
    })
    .join()
    .unwrap();
    until("the owner's death was marked", || page.word(96).load(SeqCst) == OWNER_DIED);
    assert_eq!(other.load(SeqCst), 12345);
}

fn robust_list_is_read_back() {
    let page = Mapping::shared(1);
    make_robust_list(&page);
    let (mut head, mut length) = (0_usize, 0_usize);
    ok!(SYS_get_robust_list, 0, &mut head, &mut length);
    assert_eq!((head, length), (page.address(), 24));
    fails!(EINVAL: SYS_set_robust_list, page.address(), 23);
    fails!(ESRCH: SYS_get_robust_list, 0x3fff_ffff, &mut head, &mut length);
}

fn lost_wakeup_hunt() {
    let ping = word(0);
    let other = std::thread::spawn(move || {
        for round in 0..2000_u32 {
            while ping.load(SeqCst) != round * 2 + 1 {
                let _ = sys!(SYS_futex, ping, WAIT, round * 2, &milliseconds(60_000));
            }
            ping.store(round * 2 + 2, SeqCst);
            ok!(SYS_futex, ping, WAKE, 1);
        }
    });
    for round in 0..2000_u32 {
        ping.store(round * 2 + 1, SeqCst);
        ok!(SYS_futex, ping, WAKE, 1);
        while ping.load(SeqCst) != round * 2 + 2 {
            let result = sys!(SYS_futex, ping, WAIT, round * 2 + 1, &milliseconds(60_000));
            assert_ne!(result, Err(Errno::ETIMEDOUT), "a wake-up was lost in round {round}");
        }
    }
    other.join().unwrap();
}
