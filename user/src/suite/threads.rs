//! Threads as Rust's std makes them, and the corners where threads meet processes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::Duration;

use super::support::{Mapping, Status, child, exit_now, in_child, nap, read_text, until};
use crate::ok;

super::area!("threads":
    spawn_and_join_gives_value,
    thread_ids_differ_from_process_id,
    scoped_threads_borrow,
    mutex_counts_exactly,
    condvar_hands_over,
    condvar_times_out,
    channel_delivers_in_order,
    rendezvous_channel,
    barrier_lets_all_go,
    rwlock_readers_and_writer,
    once_runs_once,
    thread_locals_are_local,
    thread_local_destructors_run,
    park_and_unpark,
    park_times_out,
    hundreds_of_threads_one_after_another,
    many_threads_at_once,
    threads_start_threads,
    stacks_are_separate,
    floating_point_state_is_per_thread,
    tls_base_survives_switches,
    main_thread_may_exit_first,
    exit_from_other_thread,
    thread_names_show_in_proc,
    task_directory_lists_threads,
    memory_of_ended_threads_comes_back,
    false_sharing_counts_exactly,
    fork_in_a_thread_has_one_thread,
);

fn spawn_and_join_gives_value() {
    let values: Vec<usize> = (0..8)
        .map(|index| thread::spawn(move || index * index))
        .map(|handle| handle.join().unwrap())
        .collect();
    assert_eq!(values, [0, 1, 4, 9, 16, 25, 36, 49]);
}

fn thread_ids_differ_from_process_id() {
    let pid = ok!(SYS_getpid);
    assert_eq!(ok!(SYS_gettid), pid);
    let barrier = &Barrier::new(2);
    let (first, second) = thread::scope(|scope| {
        let ids = move || {
            barrier.wait();
            assert_eq!(ok!(SYS_getpid), pid);
            let tid = ok!(SYS_gettid);
            barrier.wait();
            tid
        };
        let (first, second) = (scope.spawn(ids), scope.spawn(ids));
        (first.join().unwrap(), second.join().unwrap())
    });
    assert!(first != pid && second != pid && first != second);
}

fn scoped_threads_borrow() {
    let mut numbers = vec![0_u64; 1000];
    thread::scope(|scope| {
        for (index, part) in numbers.chunks_mut(250).enumerate() {
            scope.spawn(move || part.fill(index as u64));
        }
    });
    assert_eq!(numbers.iter().sum::<u64>(), 250 * 6);
}

fn mutex_counts_exactly() {
    let counter = Mutex::new(0_u32);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    *counter.lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(counter.into_inner().unwrap(), 16_000);
}

fn condvar_hands_over() {
    let turn = Mutex::new(0_usize);
    let changed = Condvar::new();
    thread::scope(|scope| {
        for own in 0..3 {
            let (turn, changed) = (&turn, &changed);
            scope.spawn(move || {
                for round in 0..100 {
                    let mut now =
                        changed.wait_while(turn.lock().unwrap(), |now| *now % 3 != own).unwrap();
                    assert_eq!(*now, round * 3 + own);
                    *now += 1;
                    changed.notify_all();
                }
            });
        }
    });
    assert_eq!(*turn.lock().unwrap(), 300);
}

fn condvar_times_out() {
    let lock = Mutex::new(());
    let start = std::time::Instant::now();
    let condition = Condvar::new();
    let mut guard = lock.lock().unwrap();
    loop {
        let (again, result) = condition.wait_timeout(guard, Duration::from_millis(20)).unwrap();
        guard = again;
        if result.timed_out() {
            break;
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(20));
}

fn channel_delivers_in_order() {
    let (sender, receiver) = mpsc::channel();
    for producer in 0..4 {
        let sender = sender.clone();
        thread::spawn(move || (0..500).for_each(|number| sender.send((producer, number)).unwrap()));
    }
    drop(sender);
    let mut next = [0; 4];
    for (producer, number) in receiver {
        assert_eq!(number, next[producer]);
        next[producer] += 1;
    }
    assert_eq!(next, [500; 4]);
}

fn rendezvous_channel() {
    let (sender, receiver) = mpsc::sync_channel(0);
    let producer = thread::spawn(move || (0..200).for_each(|number| sender.send(number).unwrap()));
    assert!(receiver.iter().eq(0..200));
    producer.join().unwrap();
}

fn barrier_lets_all_go() {
    let barrier = Barrier::new(5);
    let leaders = AtomicUsize::new(0);
    let round = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                for number in 0..30 {
                    assert_eq!(round.load(Ordering::SeqCst), number);
                    if barrier.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::SeqCst);
                        round.fetch_add(1, Ordering::SeqCst);
                    }
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!(leaders.into_inner(), 30);
}

fn rwlock_readers_and_writer() {
    let pair = RwLock::new((0_u32, 0_u32));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let seen = pair.read().unwrap();
                    assert_eq!(seen.0, seen.1);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..500 {
                let mut both = pair.write().unwrap();
                both.0 += 1;
                both.1 += 1;
            }
        });
    });
    assert_eq!(*pair.read().unwrap(), (500, 500));
}

fn once_runs_once() {
    let runs = AtomicUsize::new(0);
    let cell = OnceLock::new();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let value = cell.get_or_init(|| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    nap(5);
                    42
                });
                assert_eq!(*value, 42);
            });
        }
    });
    assert_eq!(runs.into_inner(), 1);
}

thread_local! {
    static LOCAL: Cell<usize> = const { Cell::new(0) };
}

fn thread_locals_are_local() {
    LOCAL.set(99);
    thread::scope(|scope| {
        for number in 1..6 {
            scope.spawn(move || {
                assert_eq!(LOCAL.get(), 0);
                for _ in 0..20 {
                    LOCAL.set(LOCAL.get() + number);
                    thread::yield_now();
                }
                assert_eq!(LOCAL.get(), 20 * number);
            });
        }
    });
    assert_eq!(LOCAL.get(), 99);
}

fn thread_local_destructors_run() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static COUNTS: Counts = const { Counts };
    }
    for _ in 0..5 {
        thread::spawn(|| COUNTS.with(|_| {})).join().unwrap();
    }
    assert_eq!(DROPPED.load(Ordering::SeqCst), 5);
}

fn park_and_unpark() {
    let value = Arc::new(AtomicU32::new(0));
    let parked = thread::spawn({
        let value = Arc::clone(&value);
        move || {
            for round in 1..=50 {
                while value.load(Ordering::SeqCst) < round {
                    thread::park();
                }
            }
        }
    });
    for round in 1..=50 {
        value.store(round, Ordering::SeqCst);
        parked.thread().unpark();
    }
    parked.join().unwrap();
}

fn park_times_out() {
    thread::park_timeout(Duration::from_millis(5));
    thread::current().unpark();
    // The token makes this return at once; without it the case would hang.
    thread::park();
}

fn hundreds_of_threads_one_after_another() {
    let counter = Arc::new(AtomicU32::new(0));
    for _ in 0..500 {
        let counter = Arc::clone(&counter);
        thread::spawn(move || counter.fetch_add(1, Ordering::SeqCst)).join().unwrap();
    }
    assert_eq!(counter.load(Ordering::SeqCst), 500);
}

fn many_threads_at_once() {
    let barrier = Barrier::new(64);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| barrier.wait());
        }
    });
}

fn threads_start_threads() {
    fn tree(depth: u32) -> u32 {
        if depth == 0 {
            return 1;
        }
        let (left, right) =
            (thread::spawn(move || tree(depth - 1)), thread::spawn(move || tree(depth - 1)));
        left.join().unwrap() + right.join().unwrap()
    }
    assert_eq!(tree(5), 32);
}

fn stacks_are_separate() {
    thread::scope(|scope| {
        for number in 0..6_u8 {
            scope.spawn(move || {
                let own = std::hint::black_box([number; 32 * 1024]);
                for _ in 0..10 {
                    thread::yield_now();
                    assert!(own.iter().all(|byte| *byte == number));
                }
            });
        }
    });
}

fn floating_point_state_is_per_thread() {
    thread::scope(|scope| {
        for number in 1..7 {
            scope.spawn(move || {
                let step = f64::from(number) / 7.0;
                let mut sum = std::hint::black_box(0.0);
                for round in 0..2000 {
                    sum += step;
                    if round % 100 == 0 {
                        thread::yield_now();
                    }
                }
                assert!((sum - 2000.0 * step).abs() < 1e-6, "{sum}");
            });
        }
    });
}

fn tls_base_survives_switches() {
    let mut own = 0_usize;
    ok!(SYS_arch_prctl, 0x1003, &mut own);
    assert_ne!(own, 0);
    let bases: Vec<usize> = thread::scope(|scope| {
        let ask = || {
            let mut base = 0_usize;
            for _ in 0..10 {
                ok!(SYS_arch_prctl, 0x1003, &mut base);
                ok!(SYS_sched_yield);
            }
            base
        };
        let handles: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert!(!bases.contains(&own));
    let mut again = 0_usize;
    ok!(SYS_arch_prctl, 0x1003, &mut again);
    assert_eq!(own, again);
}

fn main_thread_may_exit_first() {
    let page: &'static Mapping = Box::leak(Box::new(Mapping::shared(1)));
    let (lives, go) = (page.word(0), page.word(4));
    lives.store(1, Ordering::SeqCst);
    let child = child(|| {
        thread::spawn(move || {
            until("the other one may end", || go.load(Ordering::SeqCst) == 1);
            exit_now(12);
        });
        // The kernel clears the word when this thread ends.
        ok!(SYS_set_tid_address, lives);
        ok!(SYS_exit, 5);
    });
    until("the first thread has ended", || lives.load(Ordering::SeqCst) == 0);
    let waited = ok!(SYS_wait4, child.pid(), 0, libc::WNOHANG, 0);
    assert_eq!(waited, 0, "the process lives while a thread does");
    go.store(1, Ordering::SeqCst);
    assert_eq!(child.status(), Status::Exited(12));
}

fn exit_from_other_thread() {
    let child = child(|| {
        thread::spawn(|| exit_now(13));
        loop {
            nap(1000);
        }
    });
    assert_eq!(child.status(), Status::Exited(13));
}

fn thread_names_show_in_proc() {
    let builder = thread::Builder::new().name("a thread's name".to_owned());
    let (sender, receiver) = mpsc::channel();
    let (done, wait) = mpsc::channel::<()>();
    let handle = builder
        .spawn(move || {
            sender.send(ok!(SYS_gettid)).unwrap();
            wait.recv().unwrap();
        })
        .unwrap();
    let tid = receiver.recv().unwrap();
    assert_eq!(read_text(&format!("/proc/self/task/{tid}/comm")), "a thread's name\n");
    done.send(()).unwrap();
    handle.join().unwrap();
}

fn task_directory_lists_threads() {
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        assert_eq!(std::fs::read_dir("/proc/self/task").unwrap().count(), 4);
        assert!(read_text("/proc/self/status").contains("\nThreads:\t4\n"));
        barrier.wait();
    });
}

fn memory_of_ended_threads_comes_back() {
    let size =
        || -> usize { read_text("/proc/self/statm").split(' ').next().unwrap().parse().unwrap() };
    let run = || (0..20).for_each(|_| thread::spawn(|| {}).join().unwrap());
    run();
    let before = size();
    run();
    assert!(size() <= before + 1024, "grew from {before} to {} pages", size());
}

fn false_sharing_counts_exactly() {
    let counters: [AtomicU32; 4] = Default::default();
    thread::scope(|scope| {
        for counter in &counters {
            scope.spawn(move || {
                for _ in 0..20_000 {
                    // Relaxed: joining orders the result.
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(counters.iter().all(|counter| counter.load(Ordering::Relaxed) == 20_000));
}

fn fork_in_a_thread_has_one_thread() {
    thread::spawn(|| {
        in_child(|| {
            assert_eq!(ok!(SYS_gettid), ok!(SYS_getpid));
            let mut tasks = 0;
            let directory = ok!(SYS_open, c"/proc/self/task", libc::O_RDONLY);
            let mut buffer = [0_u8; 1024];
            let length = ok!(SYS_getdents64, directory, &mut buffer, buffer.len());
            let mut at = 0;
            while at < length {
                tasks += usize::from(buffer[at + 19].is_ascii_digit());
                at += usize::from(buffer[at + 16]) | usize::from(buffer[at + 17]) << 8;
            }
            assert_eq!(tasks, 1);
        });
    })
    .join()
    .unwrap();
}
