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
    /// A bit for each task queued for it. Relaxed: what the poke does not order, nothing does.
    queued: AtomicUsize,
    /// By whom it was interrupted.
    interrupted: [AtomicBool; 2],
}

impl Cpu {
    /// Another CPU queues a task here.
    fn queue(&self, number: usize) {
        self.queued.fetch_or(1 << number, Ordering::Relaxed);
        if !self.idle.poke() {
            self.interrupted[number].store(true, Ordering::Relaxed);
        }
    }

    /// Polls in vain or not, and then looks at the queue if it was poked. Returns which tasks it has seen.
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
        let others = [0, 1].map(|number| {
            let cpu = cpu.clone();
            thread::spawn(move || cpu.queue(number))
        });
        let seen = cpu.poll() | cpu.poll();
        for (number, other) in others.into_iter().enumerate() {
            other.join().expect("joined");
            let interrupted = cpu.interrupted[number].load(Ordering::Relaxed);
            assert!(interrupted || seen & 1 << number != 0, "task {number} waits unseen");
        }
    });
}
