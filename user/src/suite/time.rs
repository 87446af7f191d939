//! Clocks, sleeping, POSIX timers.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use libc::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_THREAD_CPUTIME_ID,
    SIGALRM, SIGUSR1, TIMER_ABSTIME, timespec,
};

use super::signals::pending;
use super::support::{
    Info, block, caught, child, current_cpu, in_child, install, last_info, nap, pin, pipe,
    read_text, record, set_of, unblock, until,
};
use crate::{fails, ok};

super::area!("time":
    monotonic_never_goes_back,
    monotonic_never_goes_back_across_threads,
    clocks_agree,
    clock_arguments,
    clock_resolution,
    gettimeofday_is_realtime,
    realtime_is_plausible,
    nanosleep_is_not_short,
    nanosleep_arguments,
    absolute_sleep,
    absolute_sleep_in_the_past,
    short_sleeps_are_short,
    timers_expire_in_order,
    process_clock_counts_all_threads,
    thread_clock_stands_still_asleep,
    cpu_clock_of_another_process,
    posix_timer_signals,
    posix_timer_overruns,
    posix_timer_to_thread,
    posix_timer_without_signal,
    posix_timer_arguments,
    uptime_moves_on,
    many_timers_at_once,
    virtual_timer_counts_cpu_time,
);

/// The time on `clock`, in nanoseconds.
#[track_caller]
pub(super) fn now(clock: i32) -> i64 {
    let mut time = timespec { tv_sec: 0, tv_nsec: -1 };
    ok!(SYS_clock_gettime, clock, &mut time);
    assert!((0..1_000_000_000).contains(&time.tv_nsec));
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn monotonic_never_goes_back() {
    for clock in [CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE] {
        let mut last = now(clock);
        for _ in 0..2000 {
            let time = now(clock);
            assert!(time >= last, "clock {clock}: {last} then {time}");
            last = time;
        }
    }
    let mut last = Instant::now();
    for _ in 0..2000 {
        let time = Instant::now();
        assert!(time >= last);
        last = time;
    }
}

fn monotonic_never_goes_back_across_threads() {
    let latest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3000 {
                    // What another CPU has published must lie in this CPU's past.
                    let seen = latest.load(SeqCst);
                    let time = now(CLOCK_MONOTONIC) as u64;
                    assert!(time >= seen, "{} ns back", seen - time);
                    latest.fetch_max(time, SeqCst);
                }
            });
        }
    });
}

fn clocks_agree() {
    let before = now(CLOCK_MONOTONIC);
    let others = [CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE].map(now);
    let after = now(CLOCK_MONOTONIC);
    // The raw clock drifts from the disciplined one, and the coarse one lags by a tick.
    for other in others {
        let slack = 1_000_000_000 + after / 100;
        assert!(other > before - slack && other < after + slack, "{before} {other} {after}");
    }
    let before = now(CLOCK_REALTIME);
    let coarse = now(CLOCK_REALTIME_COARSE);
    let after = now(CLOCK_REALTIME);
    // Much may happen between two looks.
    assert!(coarse > before - 1_000_000_000 && coarse <= after, "{before} {coarse} {after}");
    let coarse = now(CLOCK_MONOTONIC_COARSE);
    assert!(now(CLOCK_BOOTTIME) >= coarse);
}

fn clock_arguments() {
    let mut time = [0_i64; 2];
    fails!(EINVAL: SYS_clock_gettime, 99, &mut time);
    fails!(EFAULT: SYS_clock_gettime, CLOCK_MONOTONIC, 8);
    fails!(EINVAL: SYS_clock_settime, CLOCK_MONOTONIC, &time);
    fails!(EINVAL: SYS_clock_getres, 99, &mut time);
}

fn clock_resolution() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME] {
        let mut resolution = [9_i64; 2];
        ok!(SYS_clock_getres, clock, &mut resolution);
        assert_eq!(resolution, [0, 1]);
        ok!(SYS_clock_getres, clock, 0);
    }
}

fn gettimeofday_is_realtime() {
    let before = now(CLOCK_REALTIME);
    let mut time = [0_i64; 2];
    ok!(SYS_gettimeofday, &mut time, 0);
    let after = now(CLOCK_REALTIME);
    let middle = time[0] * 1_000_000_000 + time[1] * 1000;
    assert!(before / 1000 * 1000 <= middle && middle <= after);
    let mut seconds = 0_i64;
    let returned = ok!(SYS_time, &mut seconds) as i64;
    let after = now(CLOCK_REALTIME);
    assert_eq!(returned, seconds);
    assert!((before / 1_000_000_000 - 1..=after / 1_000_000_000 + 1).contains(&seconds));
    fails!(EFAULT: SYS_gettimeofday, 8, 0);
}

fn realtime_is_plausible() {
    // Since 2020, before 2100.
    let years = now(CLOCK_REALTIME) / 1_000_000_000 / 31_556_952;
    assert!((50..130).contains(&years), "1970 + {years}");
}

fn nanosleep_is_not_short() {
    for milliseconds in [1, 3, 10, 25] {
        let before = now(CLOCK_MONOTONIC);
        ok!(SYS_nanosleep, &timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 }, 0);
        assert!(now(CLOCK_MONOTONIC) - before >= milliseconds * 1_000_000);
    }
}

fn nanosleep_arguments() {
    fails!(EINVAL: SYS_nanosleep, &timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }, 0);
    fails!(EINVAL: SYS_nanosleep, &timespec { tv_sec: -1, tv_nsec: 0 }, 0);
    fails!(EFAULT: SYS_nanosleep, 8, 0);
    ok!(SYS_nanosleep, &timespec { tv_sec: 0, tv_nsec: 0 }, 0);
    let soon = timespec { tv_sec: 0, tv_nsec: 1 };
    fails!(EINVAL: SYS_clock_nanosleep, 99, 0, &soon, 0);
    fails!(EOPNOTSUPP: SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &soon, 0);
}

/// The time on `clock` so many milliseconds from now.
fn later(clock: i32, milliseconds: i64) -> timespec {
    let time = now(clock) + milliseconds * 1_000_000;
    timespec { tv_sec: time / 1_000_000_000, tv_nsec: time % 1_000_000_000 }
}

fn absolute_sleep() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME] {
        let target = later(clock, 10);
        ok!(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &target, 0);
        assert!(now(clock) >= target.tv_sec * 1_000_000_000 + target.tv_nsec);
    }
}

fn absolute_sleep_in_the_past() {
    let start = Instant::now();
    let past = timespec { tv_sec: 0, tv_nsec: 1 };
    ok!(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &past, 0);
    assert!(start.elapsed() < Duration::from_secs(30));
}

fn short_sleeps_are_short() {
    // Many short sleeps: a kernel that rounds each up to a tick of 10 ms needs 2 s of its own time, and
    // the best of ten tries is free of the host's noise.
    let best = (0..10)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..4 {
                std::thread::sleep(Duration::from_micros(100));
            }
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(best < Duration::from_millis(30), "four times 100 us took {best:?}");
}

/// The timers of one CPU, told by the order of real-time signals. Between CPUs there is no order: one may stand still.
fn timers_expire_in_order() {
    const SIGNAL: i32 = 45;
    const STEP: i64 = 100_000_000;
    pin(0, current_cpu());
    block(&[SIGNAL]);
    let start = now(CLOCK_MONOTONIC);
    let due = |number: i32| start + i64::from(number) * STEP;
    for number in [3, 1, 4, 2] {
        let mut event = event(SIGNAL, libc::SIGEV_SIGNAL, 0);
        event[0] = number as u64;
        let time = [due(number) / 1_000_000_000, due(number) % 1_000_000_000];
        ok!(SYS_timer_settime, create_timer(&event), TIMER_ABSTIME, &[[0, 0], time], 0);
    }
    let armed = now(CLOCK_MONOTONIC);
    let mut order = [0; 4].map(|_: i32| {
        let mut words = [0_u32; 32];
        ok!(SYS_rt_sigtimedwait, &set_of(&[SIGNAL]), &mut words, 0, 8);
        let number = Info::decode(&words).status;
        assert!(now(CLOCK_MONOTONIC) >= due(number), "timer {number} is early");
        number
    });
    // On a slow machine the first may have been due before the last was armed.
    if armed >= due(1) {
        order.sort_unstable();
    }
    assert_eq!(order, [1, 2, 3, 4]);
}

/// Uses so many milliseconds of this thread's CPU time.
fn burn(milliseconds: i64) {
    let end = now(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1_000_000;
    while now(CLOCK_THREAD_CPUTIME_ID) < end {}
}

fn process_clock_counts_all_threads() {
    let before = now(CLOCK_PROCESS_CPUTIME_ID);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| burn(15));
        }
    });
    let used = now(CLOCK_PROCESS_CPUTIME_ID) - before;
    assert!(used >= 45_000_000, "three times 15 ms, and the process used {used} ns");
}

fn thread_clock_stands_still_asleep() {
    let before = (now(CLOCK_THREAD_CPUTIME_ID), now(CLOCK_MONOTONIC));
    nap(200);
    let used = now(CLOCK_THREAD_CPUTIME_ID) - before.0;
    let passed = now(CLOCK_MONOTONIC) - before.1;
    assert!(used * 2 < passed, "used {used} of {passed} ns asleep");
}

fn cpu_clock_of_another_process() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        burn(10);
        ok!(SYS_write, write_end, b"x", 1);
        nap(100_000);
    });
    ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
    // CPUCLOCK_SCHED of a process: ~pid << 3 | 2.
    let used = now(!child.pid() << 3 | 2);
    assert!(used >= 10_000_000, "{used}");
    child.finish();
}

/// `struct sigevent` of 64 bytes: value, signal, how, thread.
pub(super) fn event(signal: i32, how: i32, thread: usize) -> [u64; 8] {
    let mut event = [0_u64; 8];
    event[0] = 77;
    event[1] = signal as u64 | (how as u64) << 32;
    event[2] = thread as u64;
    event
}

#[track_caller]
pub(super) fn create_timer(event: &[u64; 8]) -> i32 {
    let mut timer = -1_i32;
    ok!(SYS_timer_create, CLOCK_MONOTONIC, event, &mut timer);
    timer
}

#[track_caller]
fn arm(timer: i32, interval: i64, value: i64) {
    ok!(SYS_timer_settime, timer, 0, &[[0, interval], [0, value]], 0);
}

fn posix_timer_signals() {
    record(SIGUSR1, 0);
    let timer = create_timer(&event(SIGUSR1, libc::SIGEV_SIGNAL, 0));
    arm(timer, 0, 5_000_000);
    until("the timer fired", || caught(SIGUSR1) == 1);
    assert_eq!((last_info().code, last_info().status), (libc::SI_TIMER, 77));
    arm(timer, 1_000_000, 1_000_000);
    until("it fired again and again", || caught(SIGUSR1) >= 5);
    ok!(SYS_timer_delete, timer);
    fails!(EINVAL: SYS_timer_delete, timer);
    // Without a description it is SIGALRM with the timer's id.
    record(SIGALRM, 0);
    let mut timer = -1_i32;
    ok!(SYS_timer_create, CLOCK_REALTIME, 0, &mut timer);
    arm(timer, 0, 1);
    until("the default signal came", || caught(SIGALRM) == 1);
}

fn posix_timer_overruns() {
    record(SIGUSR1, 0);
    block(&[SIGUSR1]);
    let timer = create_timer(&event(SIGUSR1, libc::SIGEV_SIGNAL, 0));
    arm(timer, 1_000_000, 1_000_000);
    until("the signal is pending", || pending() & set_of(&[SIGUSR1]) != 0);
    // It expires again, which is not told.
    nap(30);
    unblock(&[SIGUSR1]);
    assert!(caught(SIGUSR1) >= 1);
    assert!(ok!(SYS_timer_getoverrun, timer) < 1 << 30);
    ok!(SYS_timer_delete, timer);
}

fn posix_timer_to_thread() {
    static RAN_IN: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: i32, _: usize, _: usize) {
        RAN_IN.store(ok!(SYS_gettid) as u64, SeqCst);
    }
    install(SIGUSR1, handler as *const () as usize, 0);
    let tid = std::thread::spawn(|| {
        let tid = ok!(SYS_gettid);
        let timer = create_timer(&event(SIGUSR1, libc::SIGEV_THREAD_ID, tid));
        arm(timer, 0, 3_000_000);
        until("the timer fired", || RAN_IN.load(SeqCst) != 0);
        tid
    })
    .join()
    .unwrap();
    assert_eq!(RAN_IN.load(SeqCst), tid as u64);
}

fn posix_timer_without_signal() {
    let timer = create_timer(&event(0, libc::SIGEV_NONE, 0));
    ok!(SYS_timer_settime, timer, 0, &[[0_i64, 0], [100, 0]], 0);
    let mut left = [[0_i64; 2]; 2];
    ok!(SYS_timer_gettime, timer, &mut left);
    assert!((1..=100).contains(&left[1][0]));
    let mut old = [[0_i64; 2]; 2];
    ok!(SYS_timer_settime, timer, 0, &[[0_i64; 2]; 2], &mut old);
    assert!((1..=100).contains(&old[1][0]));
    ok!(SYS_timer_delete, timer);
}

fn posix_timer_arguments() {
    let mut timer = 0_i32;
    fails!(EINVAL: SYS_timer_create, 99, 0, &mut timer);
    fails!(EINVAL: SYS_timer_create, CLOCK_MONOTONIC, &event(65, libc::SIGEV_SIGNAL, 0), &mut timer);
    fails!(EINVAL: SYS_timer_create, CLOCK_MONOTONIC, &event(SIGUSR1, 99, 0), &mut timer);
    fails!(EINVAL: SYS_timer_gettime, 12345, &mut [[0_i64; 2]; 2]);
    let timer = create_timer(&event(0, libc::SIGEV_NONE, 0));
    fails!(EINVAL: SYS_timer_settime, timer, 0, &[[0_i64, 0], [0, 1_000_000_000]], 0);
    in_child(|| fails!(EINVAL: SYS_timer_gettime, timer, &mut [[0_i64; 2]; 2]));
}

fn uptime_moves_on() {
    let uptime =
        || -> f64 { read_text("/proc/uptime").split(' ').next().unwrap().parse().unwrap() };
    let before = uptime();
    nap(30);
    assert!(uptime() > before);
}

fn many_timers_at_once() {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..30_u64 {
            scope.spawn(move || {
                for round in 1..4 {
                    let length = Duration::from_micros(500 + number * 37 * round);
                    let before = Instant::now();
                    std::thread::sleep(length);
                    assert!(before.elapsed() >= length);
                }
            });
        }
    });
    assert!(start.elapsed() >= Duration::from_millis(3));
}

fn virtual_timer_counts_cpu_time() {
    record(libc::SIGVTALRM, 0);
    record(libc::SIGPROF, 0);
    let before = now(CLOCK_PROCESS_CPUTIME_ID);
    ok!(SYS_setitimer, libc::ITIMER_VIRTUAL, &[0_i64, 0, 0, 20_000], 0);
    ok!(SYS_setitimer, libc::ITIMER_PROF, &[0_i64, 0, 0, 20_000], 0);
    nap(40);
    let early = caught(libc::SIGVTALRM);
    // What a host takes away while it runs counts as its own.
    let used = now(CLOCK_PROCESS_CPUTIME_ID) - before;
    assert!(early == 0 || used >= 20_000_000, "sleeping does not count: {used} ns");
    while caught(libc::SIGVTALRM) == 0 || caught(libc::SIGPROF) == 0 {
        std::hint::spin_loop();
    }
}
