//! Every interleaving of a CPU that stops polling and others that have work for it, on the very code of [`sched::IdlePoll`].
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use sched::IdlePoll;

/// An idle CPU.
#[derive(Default)]
struct Cpu {
    idle: IdlePoll,
    /// Tasks queued for it. Relaxed: what the poke does not order, nothing does.
    queued: AtomicUsize,
    interrupted: AtomicBool,
}

impl Cpu {
    /// Another CPU queues a task here.
    fn queue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        if !self.idle.poke() {
            self.interrupted.store(true, Ordering::Relaxed);
        }
    }

    /// Polls in vain or not, and then looks at the queue if it was poked. Returns how many tasks it has seen.
    fn poll(&self) -> usize {
        self.idle.begin();
        let _ = self.idle.is_poked();
        if self.idle.end() { self.queued.load(Ordering::Relaxed) } else { 0 }
    }
}

/// Two others queue one task each while the CPU polls twice and halts. Whatever it has not seen then, an interrupt tells it of.
#[test]
fn nothing_is_queued_for_a_cpu_that_halts_unaware() {
    loom::model(|| {
        let cpu = Arc::new(Cpu::default());
        let others = [(); 2].map(|()| {
            let cpu = cpu.clone();
            thread::spawn(move || cpu.queue())
        });
        let seen = cpu.poll().max(cpu.poll());
        for other in others {
            other.join().expect("joined");
        }
        assert!(seen == 2 || cpu.interrupted.load(Ordering::Relaxed), "a task waits unseen");
    });
}
