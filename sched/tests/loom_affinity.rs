//! Interleavings of a wake-up with a change of where the sleeping task may run.
#![cfg(loom)]

mod loom_machine;

use std::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use loom::thread;
use loom_machine::{Machine, NOW, explore};
use sched::Parameters;

#[test]
fn a_waker_finds_a_place_while_the_affinity_changes() {
    explore(2, || {
        let machine = Machine::new(2);
        let pinned = machine.make(Parameters::DEFAULT, &[0]);
        let setter = {
            let (machine, pinned) = (Arc::clone(&machine), Arc::clone(&pinned));
            thread::spawn(move || {
                let elsewhere = CpuMask::only(CpuId::new(1));
                let here = CpuId::new(1);
                let resched = machine.scheduler.set_affinity(&pinned, &elsewhere, NOW, here);
                machine.carry_out(resched, 1);
            })
        };
        // It does not wait for the setter, which it may have interrupted: a loop here exceeds what the model allows.
        machine.wake(&pinned, 0);
        setter.join().unwrap();
        machine.settle();
        machine.check(&pinned);
        assert_eq!(machine.place_of(&pinned), Some(1));
    });
}
