//! Group stop: all threads of a process stop at the edge of user mode, and the parent hears of it once.
//!
//! The thread that takes a stop signal [`begin`]s: every live thread owes a [`park`]. The last one to arrive completes
//! the stop and tells the parent. SIGCONT, in [`super::send`], ends it; SIGKILL ends the sleep of the stopped.
//!
//! Taking the signal and beginning are two steps with the lock dropped in between, for whether the process group is
//! orphaned is known under another lock; `may_begin` says whether anything was sent meanwhile that forbids the stop.

use super::number::Signal;
use super::send;
use super::state::{ProcessSignals, StopNews, StopPhase};
use crate::scheduling::{ParkMode, block_current};
use crate::task::{Thread, family, notify};

/// Begins a group stop by `signal`, which was taken by the calling thread, unless it has been forbidden since.
pub(super) fn begin(state: &mut ProcessSignals, signal: Signal) {
    if !state.stop.may_begin || state.exit.is_some() {
        return;
    }
    state.stop.may_begin = false;
    let mut owed = 0;
    state.for_each_thread(|thread, own| {
        if !own.exiting {
            own.stop = true;
            owed += 1;
            send::alert(thread);
        }
    });
    state.stop.phase = StopPhase::Stopping(signal, owed);
    state.stop.unreported = None;
}

/// Counts off one thread that owes a stop. The caller tells the parent if that leaves none.
#[must_use]
pub(crate) fn arrive(state: &mut ProcessSignals, thread: &Thread) -> Option<StopNews> {
    if !core::mem::take(&mut state.of_mut(thread).stop) {
        return None;
    }
    let StopPhase::Stopping(signal, owed) = state.stop.phase else { return None };
    if owed > 1 {
        state.stop.phase = StopPhase::Stopping(signal, owed - 1);
        return None;
    }
    state.stop.phase = StopPhase::Stopped(signal);
    let news = StopNews::Stopped(signal);
    state.stop.unreported = Some(news);
    Some(news)
}

/// Stops the calling thread until SIGCONT or the end of the process.
pub(super) fn park(thread: &Thread) {
    let news = {
        let mut state = thread.process().signals();
        let news = arrive(&mut state, thread);
        // Signals that arrive meanwhile wait; only the end of the stop or of the process counts.
        state.refresh(thread);
        news
    };
    if let Some(news) = news {
        notify::stopped_or_continued(thread.process(), news, &family::lock());
    }
    // It ends early when the process is to end; the signal loop, to which this returns, sees that.
    let is_over = || is_over(&thread.process().signals(), thread);
    let _ended = block_current(ParkMode::Stopped, None, is_over);
}

/// Whether the stop that `thread` sleeps in has ended. Also when the next one has begun before the thread could see
/// that: it owes that one an arrival of its own.
pub(super) fn is_over(state: &ProcessSignals, thread: &Thread) -> bool {
    state.stop.phase == StopPhase::Running || state.of(thread).stop
}
