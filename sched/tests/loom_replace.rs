//! Interleavings of a policy's replacement with a waker, a thief and a sleeper.
#![cfg(loom)]

mod loom_machine;

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use loom_machine::{Machine, NOW, Task, explore};
use sched::policy::POLICIES;
use sched::{Leave, Parameters, ParkMode, Phase, Resched};

/// Replaces the policy by another; CPU 0 does it.
fn replace(machine: &Machine) {
    let replaced = machine.scheduler.replace_policy(&POLICIES[0], NOW).expect("memory");
    for cpu in replaced.0.iter() {
        machine.carry_out(if cpu.index() == 0 { Resched::Here } else { Resched::Cpu(cpu) }, 0);
    }
}

/// Afterwards the task is where it should be, the policy there knows it, and it runs.
fn check(machine: &Machine, task: &Arc<Task>) {
    machine.settle();
    assert_eq!(machine.scheduler.policy().name, POLICIES[0].name);
    machine.check(task);
    let waits = task.0.park.phase() != Phase::Parked && machine.place_of(task).is_none();
    assert!(!waits, "it waits though a CPU is idle");
}

#[test]
fn a_waking_task_ends_up_with_the_new_policy() {
    explore(3, || {
        let machine = Machine::new(2);
        let task = machine.make(Parameters::DEFAULT, &[0, 1]);
        let waker = {
            let (machine, task) = (Arc::clone(&machine), Arc::clone(&task));
            thread::spawn(move || machine.wake(&task, 1))
        };
        replace(&machine);
        waker.join().unwrap();
        check(&machine, &task);
        assert_ne!(task.0.park.phase(), Phase::Parked);
    });
}

#[test]
fn a_stolen_task_is_neither_lost_nor_with_the_old_policy() {
    explore(3, || {
        let machine = Machine::with_one_online(2);
        let first = machine.spawn(Parameters::DEFAULT, &[0]);
        let waiting = machine.spawn(Parameters::DEFAULT, &[0, 1]);
        machine.bring_online(1);
        let thief = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || machine.switch(1, Leave::Preempt))
        };
        replace(&machine);
        thief.join().unwrap();
        machine.settle();
        machine.check(&first);
        machine.check(&waiting);
    });
}

#[test]
fn sleeping_and_waking_go_on_during_a_replacement() {
    explore(3, || {
        let machine = Machine::new(2);
        let task = machine.spawn(Parameters::DEFAULT, &[0, 1]);
        let here = machine.place_of(&task).expect("it runs");
        let event = Arc::new(AtomicBool::new(false));
        let waker = {
            let (machine, task, event) =
                (Arc::clone(&machine), Arc::clone(&task), Arc::clone(&event));
            thread::spawn(move || {
                event.store(true, Ordering::Relaxed);
                machine.wake(&task, 1 - here);
            })
        };
        let replacer = {
            let machine = Arc::clone(&machine);
            thread::spawn(move || replace(&machine))
        };
        task.0.park.prepare(ParkMode::Interruptible);
        if event.load(Ordering::Relaxed) {
            task.0.park.cancel();
        } else {
            machine.switch(here, Leave::Block);
        }
        waker.join().unwrap();
        replacer.join().unwrap();
        check(&machine, &task);
        assert_ne!(task.0.park.phase(), Phase::Parked, "a wake-up was lost");
    });
}
