//! Stop against continue against kill, in a process of one or two threads.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p signals --profile hosted --test 'loom_*'`.
#![cfg(loom)]

mod model;

use loom::sync::Arc;
use loom::thread;
use model::{Place, Process};
use sched::ParkMode;
use signals::{Signal, StopNews, StopPhase};

const STOPPED: StopNews = StopNews::Stopped(Signal::SIGSTOP);

/// What each thread of a process does while others send.
type Role = fn(&Process, usize) -> Place;

/// Passes through the signal loop, as on the way to user mode.
fn live(process: &Process, number: usize) -> Place {
    process.live(&process.tasks[number])
}

/// Ends, as by exit(2).
fn exit(process: &Process, number: usize) -> Place {
    process.exit_thread(&process.tasks[number])
}

/// A process that was sent SIGSTOP: its threads play their roles while each of `senders` sends its signals. When all have gone as far as
/// they can, `verify` looks.
fn check(
    roles: &'static [Role],
    senders: &'static [&'static [Signal]],
    verify: fn(&Process, &[Place]),
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(if roles.len() + senders.len() > 2 { 2 } else { 4 });
    builder.check(move || {
        let process = Process::new(roles.len());
        process.send(Signal::SIGSTOP);
        let senders = senders.iter().map(|signals| {
            let process = Arc::clone(&process);
            thread::spawn(move || signals.iter().for_each(|&signal| process.send(signal)))
        });
        let senders: Vec<_> = senders.collect();
        let threads = (1..roles.len()).map(|number| {
            let process = Arc::clone(&process);
            thread::spawn(move || roles[number](&process, number))
        });
        let threads: Vec<_> = threads.collect();
        let mut places = vec![roles[0](&process, 0)];
        places.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        process.settle(&mut places);
        verify(&process, &places);
    });
}

/// SIGCONT came last: nobody sleeps, and the parent heard of the stop if it began, and of its end if it was whole.
fn runs(process: &Process, places: &[Place]) {
    assert!(places.iter().all(|&place| place == Place::UserMode), "{places:?}");
    let state = process.lock();
    assert_eq!(state.stop.phase(), StopPhase::Running);
    let told = [&[][..], &[STOPPED], &[STOPPED, StopNews::Continued]];
    assert!(told.contains(&&state.told[..]), "{:?}", state.told);
}

/// Every live thread is stopped, and the parent heard of that last.
fn is_stopped(process: &Process, places: &[Place]) {
    let stopped =
        |&place: &Place| place == Place::Gone || place == Place::Asleep(ParkMode::Stopped);
    assert!(places.iter().all(stopped), "{places:?}");
    let state = process.lock();
    assert_eq!(state.stop.phase(), StopPhase::Stopped(Signal::SIGSTOP));
    assert_eq!(state.told.last(), Some(&STOPPED));
}

fn is_gone(_: &Process, places: &[Place]) {
    assert!(places.iter().all(|&place| place == Place::Gone), "{places:?}");
}

#[test]
fn two_threads_stop_and_the_parent_hears_once() {
    check(&[live, live], &[], |process, places| {
        is_stopped(process, places);
        assert_eq!(process.lock().told, [STOPPED]);
    });
}

#[test]
fn sigcont_takes_a_stop_back_at_every_stage() {
    check(&[live], &[&[Signal::SIGCONT]], runs);
    check(&[live, live], &[&[Signal::SIGCONT]], runs);
}

#[test]
fn a_second_stop_stops_who_had_not_seen_sigcont() {
    check(&[live], &[&[Signal::SIGCONT, Signal::SIGSTOP]], is_stopped);
    check(&[live, live], &[&[Signal::SIGCONT, Signal::SIGSTOP]], is_stopped);
}

#[test]
fn sigkill_ends_a_stop_at_every_stage() {
    check(&[live], &[&[Signal::SIGKILL]], is_gone);
    check(&[live, live], &[&[Signal::SIGKILL]], is_gone);
}

#[test]
fn stop_continue_and_kill_at_once_end_the_process() {
    check(&[live], &[&[Signal::SIGCONT, Signal::SIGSTOP], &[Signal::SIGKILL]], is_gone);
    check(&[live, live], &[&[Signal::SIGCONT], &[Signal::SIGKILL]], is_gone);
}

#[test]
fn a_stop_does_not_wait_for_a_thread_that_ends() {
    check(&[live, exit], &[], is_stopped);
    check(&[exit, live], &[], is_stopped);
}
