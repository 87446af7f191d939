//! A signal is sent to a process one of whose threads ends, or begins to block it: another one that could take it does.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p signals --profile hosted --test 'loom_*'`.
#![cfg(loom)]

mod model;

use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use model::{Place, Process, Task};
use sched::ParkMode;
use signals::{Signal, SignalSet};

const SIGNAL: Signal = Signal::SIGUSR1;

/// The first thread does `first`, the second one goes to sleep after `before_sleep`, somebody sends. If the signal is
/// pending in the end, the second thread must be awake to take it.
fn check(first: fn(&Process, &Task), before_sleep: fn(&Process, &Task)) {
    let mut builder = loom::model::Builder::new();
    // Three threads: all interleavings with up to three preemptions.
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let process = Process::new(2);
        let others = [0, 1].map(|role| {
            let process = Arc::clone(&process);
            thread::spawn(move || match role {
                0 => first(&process, &process.tasks[0]),
                _ => process.send(SIGNAL),
            })
        });
        let second = &process.tasks[1];
        before_sleep(&process, second);
        let place = process.block(second, ParkMode::Interruptible, || false);
        for other in others {
            other.join().unwrap();
        }
        assert!(process.lock().pending.contains(SIGNAL));
        let queued = second.queued.load(Ordering::Relaxed) > 0;
        assert!(place.is_none() || queued, "pending, and nobody is awake to take it");
    });
}

fn nothing(_: &Process, _: &Task) {}

#[test]
fn what_an_ending_thread_would_have_taken_goes_to_another() {
    check(
        |process, task| {
            assert_eq!(process.exit_thread(task), Place::Gone);
        },
        nothing,
    );
}

#[test]
fn what_a_thread_begins_to_block_goes_to_another() {
    check(|process, task| process.set_mask(task, SignalSet::of(&[SIGNAL])), nothing);
}

#[test]
fn an_ending_thread_hands_on_to_one_that_opens_its_mask() {
    check(
        |process, task| {
            assert_eq!(process.exit_thread(task), Place::Gone);
        },
        |process, task| {
            process.set_mask(task, SignalSet::of(&[SIGNAL]));
            process.set_mask(task, SignalSet::EMPTY);
        },
    );
}
