//! Sending, choosing threads, stopping and continuing, on real processes whose threads never run.

use alloc::sync::Arc;

use signals::{StopNews, StopPhase, stop, taker};

use super::action::{Action, Handler};
use super::choose::Protection;
use super::info::{Code, SignalInfo};
use super::number::{Signal, SignalSet};
use super::{deliver, mask, send};
use crate::errno::Errno;
use crate::scheduling::{self, ThreadCore};
use crate::task::{CoreFile, ExitStatus, Pid, Process, Thread, testing};

/// A process with `count` threads.
fn process(count: usize) -> (Arc<Process>, Vec<Arc<Thread>>) {
    scheduling::initialize(1, None, 0);
    let process = testing::process();
    let thread = |_| {
        let core = ThreadCore::new_kernel(sched::Parameters::DEFAULT, || ()).expect("memory");
        testing::add_thread(&process, core)
    };
    let threads = (0..count).map(thread).collect();
    (process, threads)
}

fn set_handler(process: &Process, signal: Signal, handler: Handler) {
    process.signals().actions.replace(signal, Action { handler, ..Action::DEFAULT });
}

fn block(thread: &Thread, signals: &[Signal]) {
    mask::set(&mut thread.process().signals(), thread, SignalSet::of(signals));
}

fn kill(process: &Process, signal: Signal) {
    let info = SignalInfo::sent(signal, Code::SI_USER, Pid::new(7), 0);
    assert_eq!(send::to_process(process, signal, info), Ok(()));
}

fn killed_by(signal: Signal) -> Option<ExitStatus> {
    Some(ExitStatus::Killed(signal, CoreFile::Absent))
}

#[test]
fn deadly_signals_end_every_thread_and_the_first_status_counts() {
    let (process, threads) = process(3);
    kill(&process, Signal::SIGTERM);
    kill(&process, Signal::SIGKILL);
    assert_eq!(process.signals().exit, killed_by(Signal::SIGTERM));
    assert!(threads.iter().all(|thread| thread.has_fatal_signal()));
}

#[test]
fn a_blocked_signal_waits_and_an_ignored_one_is_gone() {
    let (process, threads) = process(1);
    block(&threads[0], &[Signal::SIGTERM, Signal::SIGCHLD]);
    kill(&process, Signal::SIGTERM);
    kill(&process, Signal::SIGCHLD);
    kill(&process, Signal::SIGWINCH);
    let pending = process.signals().pending.set();
    assert_eq!(pending, SignalSet::of(&[Signal::SIGTERM, Signal::SIGCHLD]));
    assert!(!threads[0].has_pending_signal());
    block(&threads[0], &[]);
    assert!(threads[0].has_pending_signal());
}

#[test]
fn sigkill_gets_past_every_mask_and_only_the_first_process_is_spared() {
    let (process, threads) = process(2);
    threads.iter().for_each(|thread| block(thread, &[Signal::SIGKILL, Signal::SIGTERM]));
    process.signals().protection = Protection::Init;
    kill(&process, Signal::SIGKILL);
    assert_eq!(process.signals().exit, None);
    process.signals().protection = Protection::None;
    kill(&process, Signal::SIGKILL);
    assert_eq!(process.signals().exit, killed_by(Signal::SIGKILL));
}

#[test]
fn a_process_directed_signal_goes_to_one_thread_that_can_take_it() {
    let (process, threads) = process(3);
    set_handler(&process, Signal::SIGUSR1, Handler::Catch(0x1000));
    block(&threads[0], &[Signal::SIGUSR1]);
    kill(&process, Signal::SIGUSR1);
    let alerted: Vec<bool> = threads.iter().map(|thread| thread.has_pending_signal()).collect();
    assert_eq!(alerted, [false, true, false]);
    // The chosen one blocks it before taking it: the next one gets it.
    block(&threads[1], &[Signal::SIGUSR1]);
    assert!(!threads[1].has_pending_signal() && threads[2].has_pending_signal());
}

#[test]
fn an_ending_thread_hands_its_signals_on() {
    let (process, threads) = process(2);
    set_handler(&process, Signal::SIGUSR1, Handler::Catch(0x1000));
    kill(&process, Signal::SIGUSR1);
    assert!(threads[0].has_pending_signal() && !threads[1].has_pending_signal());
    taker::retire(&mut *process.signals(), &threads[0]);
    assert!(threads[1].has_pending_signal());
}

#[test]
fn a_thread_directed_signal_stays_with_its_thread() {
    let (process, threads) = process(2);
    set_handler(&process, Signal::SIGUSR1, Handler::Catch(0x1000));
    let info = SignalInfo::kernel(Signal::SIGUSR1);
    assert_eq!(send::to_thread(&threads[1], Signal::SIGUSR1, info), Ok(()));
    assert!(!threads[0].has_pending_signal() && threads[1].has_pending_signal());
    let mut state = process.signals();
    assert!(deliver::dequeue(&mut state, &threads[0], SignalSet::EMPTY).is_none());
    assert!(deliver::dequeue(&mut state, &threads[1], SignalSet::EMPTY).is_some());
}

#[test]
fn a_waiting_thread_is_woken_by_a_signal_that_it_blocks() {
    let (process, threads) = process(1);
    block(&threads[0], &[Signal::SIGTERM]);
    process.signals().of_mut(&threads[0]).awaited = SignalSet::of(&[Signal::SIGTERM]);
    kill(&process, Signal::SIGTERM);
    assert!(threads[0].has_pending_signal());
    assert_eq!(process.signals().exit, None, "it is awaited, so it does not kill");
}

#[test]
fn a_fault_that_is_blocked_ignored_or_not_handled_is_fatal() {
    let raise = |thread: &Thread| {
        send::force(thread, Signal::SIGSEGV, SignalInfo::kernel(Signal::SIGSEGV));
        thread.process().signals().of(thread).fatal_fault.map(|(signal, _)| signal)
    };
    let (process, threads) = process(4);
    assert_eq!(raise(&threads[0]), Some(Signal::SIGSEGV));
    set_handler(&process, Signal::SIGSEGV, Handler::Ignore);
    assert_eq!(raise(&threads[1]), Some(Signal::SIGSEGV));
    set_handler(&process, Signal::SIGSEGV, Handler::Catch(0x1000));
    assert_eq!(raise(&threads[2]), None);
    block(&threads[3], &[Signal::SIGSEGV]);
    assert_eq!(raise(&threads[3]), Some(Signal::SIGSEGV));
}

#[test]
fn stops_and_sigcont_take_each_other_back() {
    let (process, threads) = process(1);
    block(&threads[0], &[Signal::SIGTSTP, Signal::SIGCONT]);
    kill(&process, Signal::SIGTSTP);
    kill(&process, Signal::SIGCONT);
    assert_eq!(process.signals().pending.set(), SignalSet::of(&[Signal::SIGCONT]));
    kill(&process, Signal::SIGTSTP);
    assert_eq!(process.signals().pending.set(), SignalSet::of(&[Signal::SIGTSTP]));
}

#[test]
fn the_last_thread_completes_a_stop_and_sigcont_ends_it() {
    let (process, threads) = process(2);
    let mut state = process.signals();
    state.stop.permit();
    stop::begin(&mut *state, Signal::SIGSTOP);
    assert_eq!(stop::arrive(&mut *state, &threads[0]), None);
    let news = stop::arrive(&mut *state, &threads[1]);
    assert_eq!(news, Some(StopNews::Stopped(Signal::SIGSTOP)));
    assert!(state.stop.is_stopped());
    drop(state);
    // A stopped process takes nothing but SIGKILL and SIGCONT.
    kill(&process, Signal::SIGTERM);
    assert_eq!(process.signals().exit, None);
    kill(&process, Signal::SIGCONT);
    let state = process.signals();
    assert_eq!(state.stop.phase(), StopPhase::Running);
    assert_eq!(state.stop.unreported, Some(StopNews::Continued));
    assert_eq!(state.stop.announcement, Some(StopNews::Continued));
}

#[test]
fn a_thread_that_slept_through_sigcont_takes_part_in_the_next_stop() {
    let (process, threads) = process(2);
    let begin = || {
        let mut state = process.signals();
        state.stop.permit();
        stop::begin(&mut *state, Signal::SIGSTOP);
    };
    begin();
    let mut state = process.signals();
    assert_eq!(stop::arrive(&mut *state, &threads[0]), None);
    assert!(stop::arrive(&mut *state, &threads[1]).is_some());
    assert!(!stop::is_over(&*state, &threads[1]));
    drop(state);
    // The first thread goes on and takes the next stop signal before the second one has run at all.
    kill(&process, Signal::SIGCONT);
    begin();
    let mut state = process.signals();
    assert!(stop::is_over(&*state, &threads[1]), "it would sleep on and never arrive");
    assert_eq!(stop::arrive(&mut *state, &threads[0]), None);
    assert!(stop::arrive(&mut *state, &threads[1]).is_some());
}

#[test]
fn sigcont_between_taking_a_stop_and_beginning_it_forbids_it() {
    let (process, _threads) = process(1);
    process.signals().stop.permit();
    kill(&process, Signal::SIGCONT);
    let mut state = process.signals();
    stop::begin(&mut *state, Signal::SIGTSTP);
    assert_eq!(state.stop.phase(), StopPhase::Running);
}

#[test]
fn an_ending_thread_does_not_hold_a_stop_up() {
    let (process, threads) = process(2);
    let mut state = process.signals();
    state.stop.permit();
    stop::begin(&mut *state, Signal::SIGSTOP);
    assert_eq!(stop::arrive(&mut *state, &threads[1]), None);
    taker::retire(&mut *state, &threads[0]);
    assert!(stop::arrive(&mut *state, &threads[0]).is_some());
}

#[test]
fn the_queue_limit_holds_for_sigqueue_and_not_for_kill() {
    let (process, threads) = process(1);
    let signal = Signal::new(40).expect("a real-time signal");
    block(&threads[0], &[signal]);
    process.signals().queue_limit = 0;
    let queued = SignalInfo::sent(signal, Code::SI_QUEUE, Pid::new(7), 0);
    assert_eq!(send::to_process(&process, signal, queued), Err(Errno::EAGAIN));
    assert!(process.signals().pending.set().is_empty());
    kill(&process, signal);
    assert!(process.signals().pending.set().contains(signal));
}

#[test]
fn execve_ends_all_threads_but_its_own_and_only_once() {
    let (process, threads) = process(3);
    let mut state = process.signals();
    assert_eq!(send::begin_replacement(&mut state, &threads[1]), Ok(()));
    assert_eq!(send::begin_replacement(&mut state, &threads[2]), Err(Errno::EAGAIN));
    drop(state);
    let ending: Vec<bool> = threads.iter().map(|thread| thread.has_fatal_signal()).collect();
    assert_eq!(ending, [true, false, true]);
}
