//! A signal is sent while its thread goes to sleep, gets on a processor, waits for it, or opens its mask.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p signals --profile hosted --test 'loom_*'`.
#![cfg(loom)]

mod model;

use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use model::{Place, Process};
use sched::ParkMode;
use signals::{Crew, Signal, SignalSet, duty};

const SIGNAL: Signal = Signal::SIGUSR1;

/// Sends the signal from another processor.
fn sender(process: &Arc<Process>) -> thread::JoinHandle<()> {
    let process = Arc::clone(process);
    thread::spawn(move || process.send(SIGNAL))
}

/// If the thread left its CPU, somebody queued it, and only once.
fn assert_awake(process: &Process, place: Option<Place>) {
    let queued = process.tasks[0].queued.load(Ordering::Relaxed);
    assert_eq!(queued, usize::from(place.is_some()), "queued exactly if it left its CPU");
}

#[test]
fn a_signal_ends_a_sleep_that_begins() {
    loom::model(|| {
        let process = Process::new(1);
        let sender = sender(&process);
        let place = process.block(&process.tasks[0], ParkMode::Interruptible, || false);
        sender.join().unwrap();
        assert_awake(&process, place);
    });
}

#[test]
fn a_kill_ends_a_killable_sleep_and_other_signals_do_not() {
    for (signal, wakes) in [(Signal::SIGKILL, true), (SIGNAL, false)] {
        loom::model(move || {
            let process = Process::new(1);
            let sender = {
                let process = Arc::clone(&process);
                thread::spawn(move || process.send(signal))
            };
            let place = process.block(&process.tasks[0], ParkMode::Killable, || false);
            sender.join().unwrap();
            let queued = process.tasks[0].queued.load(Ordering::Relaxed) > 0;
            assert_eq!(place.is_none() || queued, wakes);
        });
    }
}

/// rt_sigtimedwait(2): the thread blocks the signal and says that it waits for it.
#[test]
fn a_signal_that_is_awaited_is_noticed_although_it_is_blocked() {
    loom::model(|| {
        let process = Process::new(1);
        let task = &process.tasks[0];
        process.set_mask(task, SignalSet::of(&[SIGNAL]));
        let sender = sender(&process);
        {
            let mut state = process.lock();
            state.part_mut(task).awaited = SignalSet::of(&[SIGNAL]);
            duty::refresh(&*state, task);
        }
        let place = process.block(task, ParkMode::Interruptible, || false);
        sender.join().unwrap();
        assert_awake(&process, place);
    });
}

/// sigsuspend(2): the mask opens, and the thread sleeps.
#[test]
fn a_signal_is_noticed_that_came_before_or_after_the_mask_opened() {
    loom::model(|| {
        let process = Process::new(1);
        let task = &process.tasks[0];
        process.set_mask(task, SignalSet::of(&[SIGNAL]));
        let sender = sender(&process);
        process.set_mask(task, SignalSet::EMPTY);
        let place = process.block(task, ParkMode::Interruptible, || false);
        sender.join().unwrap();
        assert_awake(&process, place);
    });
}

/// The thread gets on a processor and looks before it enters user mode; or its processor is interrupted there.
#[test]
fn a_signal_is_noticed_by_a_thread_that_just_got_on_a_processor() {
    loom::model(|| {
        let process = Process::new(1);
        let task = &process.tasks[0];
        task.park.set_off_cpu();
        let sender = sender(&process);
        task.park.set_on_cpu();
        let in_user_mode = !task.attention.is_set();
        sender.join().unwrap();
        let interrupted = task.interrupted.load(Ordering::Relaxed);
        assert!(!in_user_mode || interrupted, "in user mode, and nobody interrupts it");
    });
}
