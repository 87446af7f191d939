//! Several CPUs: affinity, parallelism, scheduling between processes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

use super::support::{
    Child, Mapping, Status, allowed_cpus, child, current_cpu, exit_now, in_child, nap, needs_cpus,
    needs_root, pin, pipe, read_text, until,
};
use crate::{fails, ok};

super::area!("smp":
    affinity_is_obeyed,
    affinity_of_another_process,
    affinity_is_inherited,
    affinity_arguments,
    running_thread_is_moved,
    busy_threads_spread,
    busy_processes_spread,
    yield_lets_others_run,
    busy_threads_all_make_progress,
    sleeper_is_not_starved,
    nice_values,
    nice_gives_less,
    many_short_processes_in_parallel,
    ping_pong_between_cpus,
    store_buffer_litmus,
    message_passing_litmus,
    atomic_increments_from_all_cpus,
);

fn affinity_is_obeyed() {
    for cpu in allowed_cpus() {
        pin(0, cpu);
        for _ in 0..20 {
            assert_eq!(current_cpu(), cpu);
            ok!(SYS_sched_yield);
        }
        nap(1);
        assert_eq!((current_cpu(), allowed_cpus()), (cpu, vec![cpu]));
        // A second mask in between would have been lost.
        let mut all = [u64::MAX; 16];
        ok!(SYS_sched_setaffinity, 0, 128, &mut all);
    }
}

fn affinity_of_another_process() {
    let cpu = *allowed_cpus().last().unwrap();
    let page = Mapping::shared(1);
    let child = child(|| {
        loop {
            page.word(0).store(current_cpu() as u32, SeqCst);
            page.word(4).fetch_add(1, SeqCst);
        }
    });
    pin(child.pid() as usize, cpu);
    // What it says may be from before: only a round that began since then counts.
    let before = page.word(4).load(SeqCst);
    until("the child ran there", || {
        let rounds = page.word(4).load(SeqCst).wrapping_sub(before);
        rounds >= 2 && page.word(0).load(SeqCst) == cpu as u32
    });
    nap(5);
    assert_eq!(page.word(0).load(SeqCst), cpu as u32);
    child.finish();
}

fn affinity_is_inherited() {
    let cpu = *allowed_cpus().last().unwrap();
    pin(0, cpu);
    in_child(|| assert_eq!((allowed_cpus(), current_cpu()), (vec![cpu], cpu)));
    std::thread::spawn(move || assert_eq!(allowed_cpus(), [cpu])).join().unwrap();
}

fn affinity_arguments() {
    fails!(EINVAL: SYS_sched_setaffinity, 0, 128, &[0_u64; 16]);
    fails!(ESRCH: SYS_sched_setaffinity, 0x3fff_ffff, 8, &1_u64);
    fails!(EFAULT: SYS_sched_setaffinity, 0, 8, 8);
    let mut impossible = [0_u64; 16];
    impossible[15] = 1 << 63;
    fails!(EINVAL: SYS_sched_setaffinity, 0, 128, &impossible);
}

fn running_thread_is_moved() {
    needs_cpus(2);
    let cpus = allowed_cpus();
    let stop = AtomicBool::new(false);
    let (tid, seen) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            tid.store(ok!(SYS_gettid), SeqCst);
            while !stop.load(SeqCst) {
                seen.store(current_cpu(), SeqCst);
            }
        });
        until("the thread had started", || tid.load(SeqCst) != 0);
        for round in 0..6 {
            let cpu = cpus[round % 2];
            pin(tid.load(SeqCst), cpu);
            until("the thread ran there", || seen.load(SeqCst) == cpu);
        }
        stop.store(true, SeqCst);
    });
}

/// Fails unless `count` tasks that `start` has started are seen on `count` CPUs at one time or another.
fn spreads(count: usize, seen: impl Fn() -> HashSet<u32>) {
    let mut all = HashSet::new();
    until("the tasks used all CPUs", || {
        all.extend(seen());
        all.len() >= count
    });
}

fn busy_threads_spread() {
    needs_cpus(2);
    let count = allowed_cpus().len().min(4);
    let (stop, places) = (AtomicBool::new(false), [const { AtomicU32::new(0) }; 4]);
    std::thread::scope(|scope| {
        for place in places.iter().take(count) {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    place.store(current_cpu() as u32, SeqCst);
                }
            });
        }
        spreads(count, || places[..count].iter().map(|place| place.load(SeqCst)).collect());
        stop.store(true, SeqCst);
    });
}

fn busy_processes_spread() {
    needs_cpus(2);
    let count = allowed_cpus().len().min(4);
    let page = Mapping::shared(1);
    let children: Vec<Child> = (0..count)
        .map(|index| {
            child(|| {
                loop {
                    page.word(index * 64).store(current_cpu() as u32, SeqCst);
                }
            })
        })
        .collect();
    spreads(count, || (0..count).map(|index| page.word(index * 64).load(SeqCst)).collect());
    for child in children {
        child.finish();
    }
}

fn yield_lets_others_run() {
    pin(0, current_cpu());
    let page = Mapping::shared(1);
    let child = child(|| {
        for round in 0..50 {
            while page.word(0).load(SeqCst) != round * 2 + 1 {
                ok!(SYS_sched_yield);
            }
            page.word(0).store(round * 2 + 2, SeqCst);
        }
    });
    for round in 0..50 {
        page.word(0).store(round * 2 + 1, SeqCst);
        while page.word(0).load(SeqCst) != round * 2 + 2 {
            ok!(SYS_sched_yield);
        }
    }
    child.success();
}

fn busy_threads_all_make_progress() {
    // More than there are CPUs, none of which yields.
    let counters = [const { AtomicU32::new(0) }; 10];
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for counter in &counters {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    counter.fetch_add(1, SeqCst);
                }
            });
        }
        until("every thread had run", || counters.iter().all(|counter| counter.load(SeqCst) > 100));
        stop.store(true, SeqCst);
    });
}

fn sleeper_is_not_starved() {
    let children: Vec<Child> = (0..allowed_cpus().len().min(4) * 2)
        .map(|_| {
            child(|| {
                loop {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    for _ in 0..10 {
        nap(1);
    }
    for child in children {
        child.finish();
    }
}

fn nice_values() {
    in_child(|| {
        // The system call gives 20 - nice.
        assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 20);
        ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, 7);
        assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 13);
        ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, 99);
        assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 1);
        in_child(|| assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 1));
        let stat = read_text("/proc/self/stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        assert_eq!((fields[15], fields[16]), ("39", "19"));
        fails!(EINVAL: SYS_setpriority, 9, 0, 0);
        fails!(ESRCH: SYS_setpriority, libc::PRIO_PROCESS, 0x3fff_ffff, 0);
        fails!(ESRCH: SYS_getpriority, libc::PRIO_PROCESS, 0x3fff_ffff);
    });
    needs_root();
    in_child(|| {
        ok!(SYS_setresuid, 1000, 1000, 1000);
        ok!(SYS_prlimit64, 0, libc::RLIMIT_NICE, &[0_u64, 0], 0);
        fails!(EACCES: SYS_setpriority, libc::PRIO_PROCESS, 0, -5);
    });
}

fn nice_gives_less() {
    // Both on one CPU: the nice one must not get more, whatever the policy.
    pin(0, current_cpu());
    let page = Mapping::shared(1);
    let start = |nice: i32, offset: usize| {
        let page = &page;
        child(move || {
            ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, nice);
            page.word(128).fetch_add(1, SeqCst);
            while page.word(128).load(SeqCst) < 2 {
                ok!(SYS_sched_yield);
            }
            loop {
                page.long(offset).fetch_add(1, SeqCst);
            }
        })
    };
    let (normal, nice) = (start(0, 0), start(19, 64));
    // A policy that ignores nice values may favour the nice one for a while, but not for ever.
    until("the normal one has run a while, and the nice one not much more", || {
        let (much, little) = (page.long(0).load(SeqCst), page.long(64).load(SeqCst));
        much > 5_000_000 && little < much * 3 / 2
    });
    normal.finish();
    nice.finish();
}

fn many_short_processes_in_parallel() {
    let children: Vec<Child> = (0..4)
        .map(|_| {
            child(|| {
                for round in 0..25 {
                    let child = child(|| exit_now(round));
                    assert_eq!(child.status(), Status::Exited(round));
                }
            })
        })
        .collect();
    for child in children {
        child.success();
    }
}

fn ping_pong_between_cpus() {
    let cpus = allowed_cpus();
    let ((there_read, there_write), (back_read, back_write)) = (pipe(0), pipe(0));
    let child = child(|| {
        pin(0, *cpus.last().unwrap());
        for _ in 0..200 {
            ok!(SYS_read, there_read, &mut [0_u8; 1], 1);
            ok!(SYS_write, back_write, b"b", 1);
        }
    });
    pin(0, cpus[0]);
    for _ in 0..200 {
        ok!(SYS_write, there_write, b"a", 1);
        ok!(SYS_read, back_read, &mut [0_u8; 1], 1);
    }
    child.success();
}

/// Runs `left` and `right` at the same time, `rounds` times, with everything at zero before each.
fn litmus(
    rounds: u32,
    left: impl Fn(u32) + Sync,
    right: impl Fn(u32) + Sync,
    check: impl Fn(u32) + Sync,
) {
    let barrier = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                barrier.wait();
                left(round);
                barrier.wait();
            }
        });
        for round in 1..=rounds {
            barrier.wait();
            right(round);
            barrier.wait();
            check(round);
        }
    });
}

fn store_buffer_litmus() {
    let (x, y, seen) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let mine = AtomicU32::new(0);
    litmus(
        300,
        |round| {
            x.store(round, SeqCst);
            seen.store(y.load(SeqCst), SeqCst);
        },
        |round| {
            y.store(round, SeqCst);
            mine.store(x.load(SeqCst), SeqCst);
        },
        |round| {
            let (left, right) = (seen.load(SeqCst), mine.load(SeqCst));
            assert!(left == round || right == round, "both missed the other's store");
        },
    );
}

fn message_passing_litmus() {
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    let (data, flag) = (AtomicU32::new(0), AtomicU32::new(0));
    litmus(
        300,
        |round| {
            data.store(round, Relaxed);
            // Release pairs with the Acquire of the other side.
            flag.store(round, Release);
        },
        |round| {
            if flag.load(Acquire) == round {
                assert_eq!(data.load(Relaxed), round);
            }
        },
        |_| {},
    );
}

fn atomic_increments_from_all_cpus() {
    let page = Mapping::shared(1);
    let children: Vec<Child> = allowed_cpus()
        .into_iter()
        .take(4)
        .map(|cpu| {
            let page = &page;
            child(move || {
                pin(0, cpu);
                for _ in 0..20_000 {
                    page.word(0).fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let count = children.len() as u32;
    for child in children {
        child.success();
    }
    assert_eq!(page.word(0).load(SeqCst), count * 20_000);
}
