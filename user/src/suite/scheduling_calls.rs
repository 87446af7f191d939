//! The scheduling system calls: what they refuse, and what children and groups get.

use std::sync::atomic::Ordering::SeqCst;

use libc::{SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RR};

use super::support::{Mapping, child, in_child, needs_root, read_text, skip, until, write_text};
use crate::sys::Errno;
use crate::{fails, ok, sys};

super::area!("scheduling_calls":
    kept_parameters_must_fit_the_policy,
    negative_thread_ids,
    leaving_sched_idle_takes_a_limit,
    children_of_modest_threads_are_modest,
    a_limit_below_what_is_reserved,
    a_group_gets_one_nice_value,
    renicing_does_not_refill_a_reservation,
);

/// `struct sched_attr` (sched_setattr(2)).
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const RESET_ON_FORK: i32 = 0x4000_0000;
const KEEP_PARAMS: u64 = 0x10;

impl Attributes {
    fn of(policy: i32) -> Self {
        Self { size: size_of::<Self>() as u32, policy: policy as u32, ..Self::default() }
    }

    fn deadline(runtime: u64, period: u64) -> Self {
        Self { runtime, deadline: period, period, ..Self::of(SCHED_DEADLINE) }
    }
}

/// Gives the calling thread a reservation, or skips the case where that is not allowed at all.
fn reserve(runtime: u64, period: u64) {
    match sys!(SYS_sched_setattr, 0, &Attributes::deadline(runtime, period), 0) {
        Ok(_) => {}
        Err(error) if ok!(SYS_getppid) > 2 => skip(&format!("no reservation here: {error}")),
        Err(error) => panic!("no reservation: {error}"),
    }
}

fn kept_parameters_must_fit_the_policy() {
    needs_root();
    for policy in [SCHED_FIFO, SCHED_RR, SCHED_DEADLINE] {
        let keeping = Attributes { flags: KEEP_PARAMS, ..Attributes::of(policy) };
        fails!(EINVAL: SYS_sched_setattr, 0, &keeping, 0);
    }
    ok!(SYS_sched_setscheduler, 0, SCHED_FIFO, &7_i32);
    let keeping = |policy| Attributes { flags: KEEP_PARAMS, ..Attributes::of(policy) };
    fails!(EINVAL: SYS_sched_setattr, 0, &keeping(SCHED_OTHER), 0);
    // They fit this one; but who keeps the parameters keeps the policy, too.
    ok!(SYS_sched_setattr, 0, &keeping(SCHED_RR), 0);
    let mut priority = 0_i32;
    ok!(SYS_sched_getparam, 0, &mut priority);
    assert_eq!((ok!(SYS_sched_getscheduler, 0), priority), (SCHED_FIFO as usize, 7));
}

fn negative_thread_ids() {
    let mut mask = [0_u64; 16];
    fails!(ESRCH: SYS_sched_getaffinity, -1, 128, &mut mask);
    let all = u64::MAX;
    fails!(ESRCH: SYS_sched_setaffinity, -1, 8, &all);
    fails!(EINVAL: SYS_sched_getscheduler, -1);
    fails!(EINVAL: SYS_sched_getparam, -1, &mut 0_i32);
}

fn leaving_sched_idle_takes_a_limit() {
    needs_root();
    // A child cannot skip the case. From here the limit only goes down, which needs nothing.
    if sys!(SYS_setrlimit, libc::RLIMIT_NICE, &[40_u64, 40]).is_err() {
        skip("needs CAP_SYS_RESOURCE");
    }
    for (nice, outcome) in [(0_u64, Err(Errno::EPERM)), (19, Err(Errno::EPERM)), (20, Ok(0))] {
        in_child(|| {
            ok!(SYS_setrlimit, libc::RLIMIT_NICE, &[nice, nice]);
            ok!(SYS_setresuid, 1000, 1000, 1000);
            ok!(SYS_sched_setscheduler, 0, SCHED_IDLE, &0_i32);
            ok!(SYS_sched_setscheduler, 0, SCHED_IDLE, &0_i32);
            for policy in [SCHED_OTHER, SCHED_BATCH] {
                assert_eq!(sys!(SYS_sched_setscheduler, 0, policy, &0_i32), outcome);
                ok!(SYS_sched_setscheduler, 0, SCHED_IDLE, &0_i32);
            }
        });
    }
}

fn children_of_modest_threads_are_modest() {
    for policy in [SCHED_BATCH, SCHED_IDLE] {
        in_child(|| {
            ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, 3);
            ok!(SYS_sched_setscheduler, 0, policy | RESET_ON_FORK, &0_i32);
            in_child(|| {
                assert_eq!(ok!(SYS_sched_getscheduler, 0), policy as usize);
                assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 17);
            });
        });
    }
}

const LIMIT: &str = "/proc/sys/kernel/sched_rt_runtime_us";

fn a_limit_below_what_is_reserved() {
    needs_root();
    if ok!(SYS_getppid) > 2 {
        skip("needs the machine to itself");
    }
    let before = read_text(LIMIT);
    let page = Mapping::shared(1);
    let reserving = child(|| {
        reserve(5_000_000, 10_000_000);
        page.word(0).store(1, SeqCst);
        ok!(SYS_pause);
    });
    until("it has its reservation", || page.word(0).load(SeqCst) == 1);
    let outcome = std::fs::write(LIMIT, "1000").map_err(|error| error.raw_os_error());
    reserving.finish();
    if outcome.is_ok() {
        write_text(LIMIT, before.trim());
    }
    assert_eq!(outcome, Err(Some(libc::EBUSY)));
    assert_eq!(read_text(LIMIT), before);
}

fn a_group_gets_one_nice_value() {
    let page = Mapping::shared(1);
    let ends = page.word(0);
    let leader = child(|| {
        ok!(SYS_setpgid, 0, 0);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    page.word(4).fetch_add(1, SeqCst);
                    until("the case is over", || ends.load(SeqCst) == 1);
                    assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 13);
                });
            }
        });
    });
    until("all threads run", || page.word(4).load(SeqCst) == 40);
    ok!(SYS_setpriority, libc::PRIO_PGRP, leader.pid(), 7);
    assert_eq!(ok!(SYS_getpriority, libc::PRIO_PGRP, leader.pid()), 13);
    assert_eq!(ok!(SYS_getpriority, libc::PRIO_PROCESS, 0), 20);
    ends.store(1, SeqCst);
    leader.success();
}

/// A loop with a reservation that changes its nice value all the time gets no more than it reserved.
fn renicing_does_not_refill_a_reservation() {
    needs_root();
    let page = Mapping::shared(1);
    let hog = child(|| {
        reserve(2_000_000, 20_000_000);
        page.word(0).store(1, SeqCst);
        for nice in 0.. {
            ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, nice % 19);
        }
    });
    until("it has its reservation", || page.word(0).load(SeqCst) == 1);
    let time = || {
        let text = read_text(&format!("/proc/{}/stat", hog.pid()));
        let fields: Vec<_> =
            text.rsplit(") ").next().unwrap_or("").split(' ').map(str::to_owned).collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    };
    let (before, started) = (time(), std::time::Instant::now());
    // In the long run, as interrupts may come late; with refills it would be near 1 all the time.
    until("it has run for a while, and no longer than it reserved", || {
        let share = (time() - before) / started.elapsed().as_secs_f64();
        started.elapsed().as_secs() >= 1 && share < 0.3
    });
    hog.finish();
}
