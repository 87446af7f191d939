//! Laws of balancing: tasks that may not use every CPU divide those that they may use, and long queues are looked through.
#![cfg(not(loom))]

mod machine;

use arch::time::Nanos;
use machine::Machine;
use sched::policy::broken;
use sched::{Leave, Parameters};

/// Five equal hogs that may use two of four CPUs get equal time, though the other two CPUs are the least loaded.
#[test]
fn hogs_divide_the_cpus_that_they_may_use() {
    let mut machine = Machine::new(4);
    let hogs: Vec<_> = (0..5).map(|_| machine.spawn(Parameters::DEFAULT, &[0, 1])).collect();
    machine.run_until(Nanos::from_secs(8));
    let times: Vec<_> = hogs.iter().map(|hog| machine.run_time(hog).0 as f64).collect();
    let mean = times.iter().sum::<f64>() / 5.0;
    let worst = times.iter().map(|time| (time / mean - 1.0).abs()).fold(0.0, f64::max);
    assert!(worst < 0.05, "{times:?}");
}

/// A task that cannot move hides none that can.
#[test]
fn who_may_move_does_though_others_may_not() {
    let mut machine = Machine::new(2);
    let pinned: Vec<_> = (0..3).map(|_| machine.spawn(Parameters::DEFAULT, &[0])).collect();
    let hogs: Vec<_> = (0..3).map(|_| machine.spawn(Parameters::DEFAULT, &[0, 1])).collect();
    machine.run_until(Nanos::from_secs(4));
    let time = |task| machine.run_time(task).0;
    let least = pinned.iter().chain(&hogs).map(time).min();
    assert!(least >= Some(1_200_000_000), "{least:?} of 1.33 s");
}

/// The watchdog finds a starved task in a queue that is longer than what it looks at in one go.
#[test]
fn a_starved_task_is_found_in_a_long_queue() {
    let mut machine = Machine::with_policy(1, &broken::KIND);
    machine.scheduler.set_patience(Nanos::from_millis(100));
    // The first spawned starves. To have it in a late slot, others are put before it.
    let before = machine.now;
    machine.spawn(Parameters::DEFAULT, &[0]);
    for _ in 0..600 {
        machine.spawn(Parameters::DEFAULT, &[0]);
    }
    machine.switch(0, Leave::Preempt);
    while !machine.scheduler.take_alarm() {
        assert!(machine.now < before.saturating_add(Nanos::from_secs(120)), "nobody noticed");
        let next = machine.now.saturating_add(Nanos::from_millis(100));
        machine.run_until(next);
    }
    assert!(machine.scheduler.starved(machine.now).is_some());
}
