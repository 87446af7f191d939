//! Interleavings of an idle CPU that steals a task with another thief, with the task's next sleep, and with a change of
//! where the task may run.
#![cfg(loom)]

mod loom_machine;

use std::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use loom_machine::{Machine, NOW, Task, explore};
use sched::{Leave, Parameters, ParkMode};

/// A CPU with two tasks, of which the second waits and may run everywhere.
fn contended(cpus: usize) -> (Arc<Machine>, Arc<Task>) {
    let machine = Machine::with_one_online(cpus);
    machine.spawn(Parameters::DEFAULT, &[0]);
    let waiting = machine.spawn(Parameters::DEFAULT, &[0, 1, 2]);
    assert_eq!(machine.place_of(&waiting), None);
    (1..cpus).for_each(|cpu| machine.bring_online(cpu));
    (machine, waiting)
}

#[test]
fn a_task_is_run_by_one_of_two_thieves() {
    explore(3, || {
        let (machine, waiting) = contended(3);
        let thief = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || machine.switch(1, Leave::Preempt))
        };
        machine.switch(2, Leave::Preempt);
        thief.join().unwrap();
        machine.settle();
        machine.check(&waiting);
    });
}

#[test]
fn a_stolen_task_sleeps_and_no_wake_up_is_lost() {
    explore(3, || {
        let (machine, stolen) = contended(2);
        let event = Arc::new(AtomicBool::new(false));
        let waker = {
            let (machine, stolen, event) =
                (Arc::clone(&machine), Arc::clone(&stolen), Arc::clone(&event));
            thread::spawn(move || {
                event.store(true, Ordering::Relaxed);
                machine.wake(&stolen, 0);
            })
        };
        machine.switch(1, Leave::Preempt);
        assert_eq!(machine.place_of(&stolen), Some(1));
        stolen.0.park.prepare(ParkMode::Interruptible);
        if event.load(Ordering::Relaxed) {
            stolen.0.park.cancel();
        } else {
            machine.switch(1, Leave::Block);
        }
        waker.join().unwrap();
        machine.settle();
        assert_ne!(stolen.0.park.phase(), sched::Phase::Parked, "a wake-up was lost");
        machine.check(&stolen);
    });
}

#[test]
fn a_stolen_task_does_not_stay_where_it_may_no_longer_run() {
    explore(3, || {
        let (machine, waiting) = contended(2);
        let thief = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || machine.switch(1, Leave::Preempt))
        };
        let home = CpuMask::only(CpuId::new(0));
        let resched = machine.scheduler.set_affinity(&waiting, &home, NOW, CpuId::new(0));
        machine.carry_out(resched, 0);
        thief.join().unwrap();
        machine.settle();
        machine.check(&waiting);
    });
}
