//! The scheduler by what it shows: shares of CPU time, policies changed under load, the watchdog.
//!
//! Shares are ratios of CPU times taken in one run, so it does not matter how fast the machine is. What is about
//! Skein's policies is skipped where there is no `/proc/sys/kernel/sched_policy`.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::support::{Child, Mapping, Status, child, exit_now, nap, needs_root, read_text, skip, write_text};
use crate::{ok, sys};

super::area!("scheduling":
    policies_are_listed_and_changed,
    every_policy_runs_a_fork_storm,
    policy_changes_under_a_fork_storm,
    a_policy_that_starves_a_task_is_evicted,
    equal_hogs_get_equal_time,
    nice_values_get_their_shares,
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
    let log = kernel_log();
    assert!(log.contains("scheduling policy broken starves thread"), "the log: {log}");
    assert!(log.contains("scheduling policy broken is evicted: eevdf takes over"), "the log: {log}");
    assert!(log.contains(&format!("starves thread {pid} ")), "thread {pid} is not in the log: {log}");
}

/// What the kernel has said.
fn kernel_log() -> String {
    const READ_ALL: i32 = 3;
    let mut text = vec![0_u8; 1 << 18];
    let length = ok!(SYS_syslog, READ_ALL, &mut text[..], 1 << 18);
    String::from_utf8_lossy(&text[..length]).into_owned()
}

/// Runs loops at these nice values for about `seconds` and gives the CPU time of each, in seconds.
fn hog_times(nices: &[i32], seconds: u64) -> Vec<f64> {
    let page = Mapping::shared(1);
    let hogs: Vec<_> = nices
        .iter()
        .map(|&nice| {
            child(|| {
                ok!(SYS_setpriority, libc::PRIO_PROCESS, 0, nice);
                page.word(0).fetch_add(1, SeqCst);
                while page.word(1).load(SeqCst) == 0 {
                    std::hint::spin_loop();
                }
                loop {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    // Together on their marks, and a while to spread over the CPUs.
    super::support::until("all are there", || page.word(0).load(SeqCst) == nices.len() as u32);
    page.word(1).store(1, SeqCst);
    nap(300);
    let times = |hogs: &[Child]| -> Vec<f64> { hogs.iter().map(cpu_time).collect() };
    let before = times(&hogs);
    nap(seconds * 1000);
    let after = times(&hogs);
    hogs.into_iter().for_each(Child::finish);
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// The CPU time of a child so far, in seconds, by its process clock.
fn cpu_time(child: &Child) -> f64 {
    const PROCESS_SCHEDULING_CLOCK: i32 = 2;
    let clock = !child.pid() << 3 | PROCESS_SCHEDULING_CLOCK;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    ok!(SYS_clock_gettime, clock, &mut time);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Jain's index of fairness: 1 when all are equal.
fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    sum * sum / (values.len() as f64 * squares)
}

/// Four, five and eight equal loops on four CPUs: equal time within 3 %. A host that takes one of the guest's CPUs
/// away for long spoils a measurement; then there is another.
fn equal_hogs_get_equal_time() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if sys!(SYS_getppid) != Ok(1) && std::process::id() != 1 {
        skip("needs the machine to itself");
    }
    for hogs in [cpus, cpus + 1, 2 * cpus] {
        let mut tries = 0;
        loop {
            tries += 1;
            let times = hog_times(&vec![0; hogs], 4);
            let mean = times.iter().sum::<f64>() / hogs as f64;
            let worst = times.iter().map(|time| (time / mean - 1.0).abs()).fold(0.0, f64::max);
            println!("{hogs} hogs on {cpus} CPUs: off by {:.2} %, Jain {:.5}", worst * 100.0, jain(&times));
            if worst <= 0.03 && jain(&times) >= 0.999 {
                break;
            }
            assert!(tries < 3, "{hogs} hogs on {cpus} CPUs: {times:?}");
        }
    }
}

/// Loops at nice -5, 0 and 5 on one CPU: their times stand in the ratio of Linux's weights within 5 %.
fn nice_values_get_their_shares() {
    const WEIGHTS: [(i32, f64); 3] = [(-5, 3121.0), (0, 1024.0), (5, 335.0)];
    needs_root();
    if sys!(SYS_getppid) != Ok(1) {
        skip("needs the machine to itself");
    }
    ok!(SYS_sched_setaffinity, 0, 8, &1_u64);
    let total: f64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut tries = 0;
    loop {
        tries += 1;
        let times = hog_times(&WEIGHTS.map(|(nice, _)| nice), 4);
        let ran: f64 = times.iter().sum();
        let errors = times.iter().zip(WEIGHTS).map(|(time, (_, weight))| {
            (time / ran / (weight / total) - 1.0).abs()
        });
        let worst = errors.fold(0.0, f64::max);
        println!("nice -5, 0, 5: {times:.3?} s, off by {:.2} %", worst * 100.0);
        if worst <= 0.05 {
            return;
        }
        assert!(tries < 3, "nice -5, 0, 5: {times:?}");
    }
}
