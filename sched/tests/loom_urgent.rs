//! Interleavings of a waker of a real-time task with a CPU that turns to something less urgent.
#![cfg(loom)]

mod loom_machine;

use std::sync::Arc;

use loom::thread;
use loom_machine::{Machine, explore};
use sched::{Discipline, Leave, Parameters, ParkMode};

fn fifo(priority: u8) -> Parameters {
    Parameters { discipline: Discipline::Fifo, priority, ..Parameters::DEFAULT }
}

/// It is queued behind a more urgent task while the other CPU, that looks for such as it, goes on with a fair one.
#[test]
fn a_woken_real_time_task_is_not_stranded() {
    explore(3, || {
        let machine = Machine::new(2);
        machine.spawn(fifo(55), &[0]);
        let leaving = machine.spawn(fifo(60), &[1]);
        let fair = machine.spawn(Parameters::DEFAULT, &[1]);
        let woken = machine.make(fifo(50), &[0, 1]);
        let waker = {
            let (machine, woken) = (Arc::clone(&machine), Arc::clone(&woken));
            thread::spawn(move || machine.wake(&woken, 0))
        };
        leaving.0.park.prepare(ParkMode::Interruptible);
        machine.switch(1, Leave::Block);
        waker.join().unwrap();
        machine.settle();
        assert_eq!(machine.place_of(&woken), Some(1), "it waits while a fair task runs");
        machine.check(&woken);
        machine.check(&fair);
    });
}

/// A task that is pushed aside while the other CPU turns to something less urgent goes on there.
#[test]
fn a_displaced_real_time_task_is_not_stranded() {
    explore(3, || {
        let machine = Machine::new(2);
        let displaced = machine.spawn(fifo(50), &[0]);
        let leaving = machine.spawn(fifo(60), &[1]);
        machine.spawn(Parameters::DEFAULT, &[1]);
        let both = [0, 1].into_iter().map(arch::cpu::CpuId::new).collect();
        let here = arch::cpu::CpuId::new(0);
        let moved = machine.scheduler.set_affinity(&displaced, &both, loom_machine::NOW, here);
        machine.carry_out(moved, 0);
        machine.settle();
        assert_eq!(machine.place_of(&displaced), Some(0));
        let urgent = machine.make(fifo(70), &[0]);
        let waker = {
            let (machine, urgent) = (Arc::clone(&machine), Arc::clone(&urgent));
            thread::spawn(move || {
                machine.wake(&urgent, 0);
                machine.switch(0, Leave::Preempt);
            })
        };
        leaving.0.park.prepare(ParkMode::Interruptible);
        machine.switch(1, Leave::Block);
        waker.join().unwrap();
        machine.settle();
        assert_eq!(machine.place_of(&urgent), Some(0));
        assert_eq!(machine.place_of(&displaced), Some(1), "it waits while a fair task runs");
    });
}
