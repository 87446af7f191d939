//! The scheduler by what it shows: shares of CPU time, policies changed under load, the watchdog.
//!
//! Shares are compared coarsely here, as a host may take a CPU away for a while; `xtask` measures them where clocks count
//! instructions. What is about Skein's policies is skipped where there is no `/proc/sys/kernel/sched_policy`.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::support::{
    Child, Mapping, Status, child, exit_now, nap, needs_root, read_text, skip, write_text,
};
use crate::{fails, ok, sys};

super::area!("scheduling":
    policies_are_listed_and_changed,
    every_policy_runs_a_fork_storm,
    policy_changes_under_a_fork_storm,
    a_policy_that_starves_a_task_is_evicted,
    every_one_of_many_hogs_gets_on,
    a_smaller_nice_value_gets_more,
    reservations_are_kept_in_attributes,
    reservations_must_make_sense,
    a_deadline_thread_is_not_forked,
    a_deadline_thread_runs_no_longer_than_it_reserved,
    fifo_keeps_its_cpu_and_leaves_some_to_others,
);

const POLICY: &str = "/proc/sys/kernel/sched_policy";
const PATIENCE: &str = "/proc/sys/kernel/sched_watchdog_ms";

/// Skips the case unless this kernel has policies to choose from.
fn needs_policies() {
    if !std::path::Path::new(POLICY).exists() {
        skip("needs policies to choose from");
    }
    needs_root();
}

/// Skips the case unless the suite is what the machine was started for: its parent is the first process, or next to it.
fn needs_the_machine() {
    if ok!(SYS_getppid) > 2 {
        skip("needs the machine to itself");
    }
}

/// The names of the policies, and the active one.
fn policies() -> (Vec<String>, String) {
    let text = read_text(POLICY);
    let bare = |word: &str| word.trim_matches(['[', ']']).to_owned();
    let active = text.split_whitespace().find(|word| word.starts_with('[')).map(bare);
    (text.split_whitespace().map(bare).collect(), active.expect("one is active"))
}

/// Makes `name` the policy.
#[track_caller]
fn choose(name: &str) {
    write_text(POLICY, name);
}

/// Restores the policy when dropped, also by a panic.
struct Restored(String);

impl Restored {
    fn new() -> Self {
        Self(policies().1)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        choose(&self.0);
    }
}

fn policies_are_listed_and_changed() {
    needs_policies();
    let _restored = Restored::new();
    let (names, _) = policies();
    for name in ["eevdf", "rr", "mlfq", "stride", "fifo", "chaos", "template"] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
        choose(&format!("{name}\n"));
        assert_eq!(policies().1, name);
        let counters = read_text("/proc/sched_policy");
        assert!(counters.starts_with(&format!("policy {name}: ")), "{counters}");
        assert!(counters.lines().filter(|line| line.contains(" # ")).count() > 0, "{counters}");
    }
    let (_, before) = policies();
    assert!(std::fs::write(POLICY, "none such").is_err());
    assert_eq!(policies().1, before);
}

/// Children that have children, until `word` says stop; each checks that all of its own come back.
fn fork_storm(stop: &AtomicU32, children: usize) -> Vec<Child> {
    let storm = || {
        while stop.load(SeqCst) == 0 {
            let (first, second) = (child(|| exit_now(3)), child(|| nap(1)));
            ok!(SYS_sched_yield);
            assert_eq!(first.status(), Status::Exited(3));
            assert_eq!(second.status(), Status::Exited(0));
        }
    };
    (0..children).map(|_| child(storm)).collect()
}

fn every_policy_runs_a_fork_storm() {
    needs_policies();
    let _restored = Restored::new();
    let names = policies().0.into_iter().filter(|name| name != "broken");
    for name in names {
        choose(&name);
        let page = Mapping::shared(1);
        let storm = fork_storm(page.word(0), 6);
        nap(200);
        page.word(0).store(1, SeqCst);
        storm.into_iter().for_each(Child::success);
        assert_eq!(policies().1, name);
    }
}

/// Another policy every 10 ms, while processes come and go: if a task were lost, its parent would wait for ever.
fn policy_changes_under_a_fork_storm() {
    needs_policies();
    let _restored = Restored::new();
    let names: Vec<_> = policies().0.into_iter().filter(|name| name != "broken").collect();
    let page = Mapping::shared(1);
    let storm = fork_storm(page.word(0), 8);
    let started = Instant::now();
    let length = storm_length();
    for name in names.iter().cycle() {
        choose(name);
        nap(10);
        if started.elapsed() > length {
            break;
        }
    }
    page.word(0).store(1, SeqCst);
    storm.into_iter().for_each(Child::success);
}

/// How long the policy is changed under a fork storm: briefly, or what `--torture` says.
fn storm_length() -> Duration {
    let seconds = std::env::var(super::harness::TORTURE_SECONDS).ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(3))
}

/// The broken policy never picks the first task that each CPU spawns. The watchdog names it, and it runs after all.
fn a_policy_that_starves_a_task_is_evicted() {
    needs_policies();
    if !policies().0.iter().any(|name| name == "broken") {
        skip("needs sched_test on the kernel's command line");
    }
    let patience = read_text(PATIENCE);
    let (restored, page) = (Restored::new(), Mapping::shared(1));
    write_text(PATIENCE, "500");
    choose("broken");
    let victim = child(|| {
        page.word(0).store(1, SeqCst);
    });
    let pid = victim.pid();
    victim.success();
    assert_eq!(page.word(0).load(SeqCst), 1);
    // The child that was starved is the first of its CPU; if another was first there, it is that one's turn.
    while policies().1 == "broken" {
        child(|| ()).success();
    }
    assert_eq!(policies().1, "eevdf");
    write_text(PATIENCE, patience.trim());
    drop(restored);
    // The new policy is in force before the log says so.
    super::support::until("the log tells of the eviction", || {
        kernel_log().contains("scheduling policy broken is evicted: eevdf takes over")
    });
    let log = kernel_log();
    assert!(log.contains("scheduling policy broken starves thread"), "the log: {log}");
    assert!(
        log.contains(&format!("starves thread {pid} ")),
        "thread {pid} is not in the log: {log}"
    );
}

/// What the kernel has said.
fn kernel_log() -> String {
    const READ_ALL: i32 = 3;
    let mut text = vec![0_u8; 1 << 18];
    let length = ok!(SYS_syslog, READ_ALL, &mut text[..], 1 << 18);
    String::from_utf8_lossy(&text[..length]).into_owned()
}

/// Starts loops at these nice values, which begin together.
fn hogs(page: &Mapping, nices: &[i32]) -> Vec<Child> {
    let start = |&nice: &i32| {
        child(move || {
            ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, nice);
            page.word(0).fetch_add(1, SeqCst);
            while page.word(4).load(SeqCst) == 0 {
                ok!(SYS_sched_yield);
            }
            loop {
                std::hint::spin_loop();
            }
        })
    };
    let hogs = nices.iter().map(start).collect();
    super::support::until("all are there", || page.word(0).load(SeqCst) == nices.len() as u32);
    page.word(4).store(1, SeqCst);
    hogs
}

/// The CPU time of a child so far, in seconds, by its process clock.
fn cpu_time(child: &Child) -> f64 {
    const PROCESS_SCHEDULING_CLOCK: i32 = 2;
    let clock = !child.pid() << 3 | PROCESS_SCHEDULING_CLOCK;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    ok!(SYS_clock_gettime, clock, &mut time);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Twice as many loops as CPUs: each gets on, whatever the policy. (How equal their times are is measured where it does not
/// depend on the host, by `xtask`'s stage of shares.)
fn every_one_of_many_hogs_gets_on() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let page = Mapping::shared(1);
    let hogs = hogs(&page, &vec![0; 2 * cpus]);
    let before: Vec<_> = hogs.iter().map(cpu_time).collect();
    super::support::until("all have run", || {
        hogs.iter().zip(&before).all(|(hog, before)| cpu_time(hog) > *before)
    });
    hogs.into_iter().for_each(Child::finish);
}

/// Two loops on one CPU at nice 5 and -5: the second gets more, by far.
fn a_smaller_nice_value_gets_more() {
    needs_root();
    if std::path::Path::new(POLICY).exists() && policies().1 != "eevdf" {
        skip("needs a policy that promises shares");
    }
    ok!(SYS_sched_setaffinity, 0, 8, &1_u64);
    let page = Mapping::shared(1);
    let hogs = hogs(&page, &[5, -5]);
    let before: Vec<_> = hogs.iter().map(cpu_time).collect();
    let ran = |hog: usize| cpu_time(&hogs[hog]) - before[hog];
    // At one moment it may look different, as a host may keep them from running.
    super::support::until("the first has run for a while, and the second far more", || {
        let (little, much) = (ran(0), ran(1));
        little > 0.1 && much > 2.0 * little
    });
    println!("{:.3} s and {:.3} s", ran(0), ran(1));
    hogs.into_iter().for_each(Child::finish);
}

/// `struct sched_attr` (sched_setattr(2)).
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
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

impl Attributes {
    const SIZE: u32 = size_of::<Self>() as u32;

    fn deadline(runtime_us: u64, deadline_us: u64, period_us: u64) -> Self {
        Self {
            size: Self::SIZE,
            policy: libc::SCHED_DEADLINE as u32,
            runtime: runtime_us * 1000,
            deadline: deadline_us * 1000,
            period: period_us * 1000,
            ..Self::default()
        }
    }

    /// Those of the calling thread.
    fn current() -> Self {
        let mut found = Self::default();
        ok!(SYS_sched_getattr, 0, &mut found, Self::SIZE, 0);
        found
    }
}

/// Gives the calling thread a reservation, or skips the case where that is not allowed at all.
fn reserve(runtime_us: u64, deadline_us: u64, period_us: u64) {
    needs_root();
    let wanted = Attributes::deadline(runtime_us, deadline_us, period_us);
    match sys!(SYS_sched_setattr, 0, &wanted, 0) {
        Ok(_) => {}
        Err(error) if ok!(SYS_getppid) > 2 => skip(&format!("no reservation here: {error}")),
        Err(error) => panic!("no reservation: {error}"),
    }
}

fn reservations_are_kept_in_attributes() {
    reserve(1000, 5000, 10_000);
    assert_eq!(Attributes::current(), Attributes::deadline(1000, 5000, 10_000));
    assert_eq!(ok!(SYS_sched_getscheduler, 0), libc::SCHED_DEADLINE as usize);
    let mut priority = 7_i32;
    ok!(SYS_sched_getparam, 0, &mut priority);
    assert_eq!(priority, 0);
    // A period of zero stands for the deadline.
    reserve(1000, 10_000, 0);
    assert_eq!(Attributes::current().period, 10_000_000);
    if std::thread::available_parallelism().map_or(1, usize::from) > 1 {
        fails!(EBUSY: SYS_sched_setaffinity, 0, 8, &1_u64);
    }
    let normal = Attributes { size: Attributes::SIZE, ..Attributes::default() };
    ok!(SYS_sched_setattr, 0, &normal, 0);
    assert_eq!(ok!(SYS_sched_getscheduler, 0), 0);
}

fn reservations_must_make_sense() {
    reserve(1000, 5000, 10_000);
    for (runtime, deadline, period) in
        [(6000, 5000, 10_000), (1000, 11_000, 10_000), (0, 5000, 10_000), (1, 10, 20), (1000, 0, 0)]
    {
        let wanted = Attributes::deadline(runtime, deadline, period);
        fails!(EINVAL: SYS_sched_setattr, 0, &wanted, 0);
    }
    fails!(EINVAL: SYS_sched_setscheduler, 0, libc::SCHED_DEADLINE, &0_i32);
    assert_eq!(ok!(SYS_sched_get_priority_max, libc::SCHED_DEADLINE), 0);
}

fn a_deadline_thread_is_not_forked() {
    const RESET_ON_FORK: u64 = 1;
    reserve(1000, 5000, 10_000);
    fails!(EAGAIN: SYS_fork);
    let resetting = Attributes { flags: RESET_ON_FORK, ..Attributes::current() };
    ok!(SYS_sched_setattr, 0, &resetting, 0);
    child(|| assert_eq!(ok!(SYS_sched_getscheduler, 0), 0)).success();
}

/// A loop that reserved a fifth of a CPU gets that much and no more, whatever else the machine does.
fn a_deadline_thread_runs_no_longer_than_it_reserved() {
    needs_the_machine();
    let page = Mapping::shared(1);
    let hog = child(|| {
        reserve(4000, 20_000, 20_000);
        page.word(0).store(1, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    });
    super::support::until("it has its reservation", || page.word(0).load(SeqCst) == 1);
    let (before, started) = (cpu_time(&hog), Instant::now());
    // Interrupts come late on a busy host, and what was overrun is taken off the next period: in the long run the share is
    // right. Without a reservation it is near 1 all the time.
    super::support::until("it has run for a while, as long as it reserved", || {
        let share = (cpu_time(&hog) - before) / started.elapsed().as_secs_f64();
        started.elapsed() >= Duration::from_secs(2) && (0.10..0.23).contains(&share)
    });
    hog.finish();
}

/// A FIFO loop leaves 5 % to a fair one on the same CPU, by default.
fn fifo_keeps_its_cpu_and_leaves_some_to_others() {
    needs_root();
    needs_the_machine();
    if read_text("/proc/sys/kernel/sched_rt_runtime_us").trim() != "950000" {
        skip("needs the usual limit for real-time threads");
    }
    let last_cpu = 1_u64 << (std::thread::available_parallelism().map_or(1, usize::from) - 1);
    let page = Mapping::shared(1);
    let start = |policy: i32, priority: i32| {
        let page = &page;
        child(move || {
            ok!(SYS_sched_setaffinity, 0, 8, &last_cpu);
            ok!(SYS_sched_setscheduler, 0, policy, &priority);
            page.word(0).fetch_add(1, SeqCst);
            while page.word(4).load(SeqCst) == 0 {
                ok!(SYS_sched_yield);
            }
            loop {
                std::hint::spin_loop();
            }
        })
    };
    let fair = start(libc::SCHED_OTHER, 0);
    super::support::until("the fair one is there", || page.word(0).load(SeqCst) == 1);
    let urgent = start(libc::SCHED_FIFO, 10);
    super::support::until("both are there", || page.word(0).load(SeqCst) == 2);
    page.word(4).store(1, SeqCst);
    let before = (cpu_time(&urgent), cpu_time(&fair));
    nap(4000);
    let (much, little) = (cpu_time(&urgent) - before.0, cpu_time(&fair) - before.1);
    urgent.finish();
    fair.finish();
    println!("{much:.3} s and {little:.3} s");
    assert!(little > 0.01 * much && little < 0.2 * much, "{much} s and {little} s");
}
