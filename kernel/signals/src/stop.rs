//! Group stop: all threads of a process stop at the edge of user mode, and the parent hears of it once.
//!
//! The thread that takes a stop signal [permits](StopState::permit) the stop, lets go of the lock, and [`begin`]s: every live
//! thread owes an arrival. The last one to [`arrive`] completes the stop. SIGCONT takes all of it back ([`cancel_opposites`]).
//!
//! Taking the signal and beginning are two steps with the lock dropped in between, for whether the process group is
//! orphaned is known under another lock; the permit says whether anything was sent meanwhile that forbids the stop.

use sched::WakeMask;

use crate::attention::Attention;
use crate::crew::{Crew, Member, Part};
use crate::number::{Signal, SignalSet};
use crate::taker;

/// Where a process stands between running and being stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopPhase {
    /// Not stopped.
    Running,
    /// A stop signal was taken; this many threads have not stopped yet.
    Stopping(Signal, u32),
    /// All threads are stopped.
    Stopped(Signal),
}

/// What the parent has not been told yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopNews {
    /// It stopped by this signal.
    Stopped(Signal),
    /// It went on.
    Continued,
}

/// Job control of one process.
#[derive(Debug)]
pub struct StopState {
    phase: StopPhase,
    /// A stop signal was taken and no SIGCONT or SIGKILL has come since. Checked again when the
    /// stop begins, because the lock is dropped in between.
    may_begin: bool,
    /// What wait(2) has not reported yet.
    pub unreported: Option<StopNews>,
    /// What the next thread to pass through the signal loop tells the parent.
    pub announcement: Option<StopNews>,
}

impl StopState {
    /// A process that runs.
    #[must_use]
    pub const fn new() -> Self {
        Self { phase: StopPhase::Running, may_begin: false, unreported: None, announcement: None }
    }

    /// Where the process stands.
    #[must_use]
    pub const fn phase(&self) -> StopPhase {
        self.phase
    }

    /// Whether all threads are stopped.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.phase, StopPhase::Stopped(_))
    }

    /// A stop signal was taken: a stop may [`begin`] until something forbids it.
    pub fn permit(&mut self) {
        self.may_begin = true;
    }

    /// A stop whose signal was taken already must not begin: SIGCONT or SIGKILL came, or the process ends.
    pub fn forbid(&mut self) {
        self.may_begin = false;
    }

    /// execve(2) ends the threads that a stop under way waits for.
    pub fn abandon(&mut self) {
        if let StopPhase::Stopping(..) = self.phase {
            self.phase = StopPhase::Running;
        }
    }
}

impl Default for StopState {
    fn default() -> Self {
        Self::new()
    }
}

/// Begins a group stop by `signal`, which was taken by the calling thread, unless it has been forbidden since.
pub fn begin<C: Crew>(crew: &mut C, signal: Signal) {
    if !crew.stop().may_begin || crew.exit().is_some() {
        return;
    }
    crew.stop_mut().may_begin = false;
    let mut owed = 0;
    crew.for_each(|thread, part| {
        if !part.is_exiting() {
            *part.owes_stop_mut() = true;
            owed += 1;
            taker::alert(thread);
        }
    });
    crew.stop_mut().phase = StopPhase::Stopping(signal, owed);
    crew.stop_mut().unreported = None;
}

/// Counts off one thread that owes a stop. The caller tells the parent if that leaves none.
#[must_use]
pub fn arrive<C: Crew>(crew: &mut C, thread: &C::Thread) -> Option<StopNews> {
    if !core::mem::take(crew.part_mut(thread).owes_stop_mut()) {
        return None;
    }
    let stop = crew.stop_mut();
    let StopPhase::Stopping(signal, owed) = stop.phase else { return None };
    if owed > 1 {
        stop.phase = StopPhase::Stopping(signal, owed - 1);
        return None;
    }
    stop.phase = StopPhase::Stopped(signal);
    let news = StopNews::Stopped(signal);
    stop.unreported = Some(news);
    Some(news)
}

/// Whether the stop that `thread` sleeps in has ended. Also when the next one has begun before the thread could see
/// that: it owes that one an arrival of its own.
#[must_use]
pub fn is_over<C: Crew>(crew: &C, thread: &C::Thread) -> bool {
    crew.stop().phase == StopPhase::Running || crew.part(thread).owes_stop()
}

/// `signal` is being sent: SIGCONT takes back pending stops and ends a stop; a stop signal takes back a pending SIGCONT.
#[inline]
pub fn cancel_opposites<C: Crew>(crew: &mut C, signal: Signal) {
    const WITH_OPPOSITES: SignalSet =
        SignalSet::STOP.union(SignalSet::of(&[Signal::SIGCONT, Signal::SIGKILL]));
    if WITH_OPPOSITES.contains(signal) {
        cancel(crew, signal);
    }
}

fn cancel<C: Crew>(crew: &mut C, signal: Signal) {
    if SignalSet::STOP.contains(signal) {
        crew.discard(SignalSet::of(&[Signal::SIGCONT]));
    } else if signal == Signal::SIGCONT {
        crew.discard(SignalSet::STOP);
        resume(crew);
    } else if signal == Signal::SIGKILL {
        crew.stop_mut().forbid();
    }
}

/// Ends a group stop, whole or half done.
fn resume<C: Crew>(crew: &mut C) {
    let stop = crew.stop_mut();
    stop.forbid();
    let former = core::mem::replace(&mut stop.phase, StopPhase::Running);
    let news = match former {
        StopPhase::Running => return,
        // The parent hears of the stop that was under way and of nothing else, as on Linux.
        StopPhase::Stopping(signal, _) => StopNews::Stopped(signal),
        StopPhase::Stopped(_) => {
            stop.unreported = Some(StopNews::Continued);
            StopNews::Continued
        }
    };
    stop.announcement = Some(news);
    crew.for_each(|thread, part| {
        *part.owes_stop_mut() = false;
        thread.attention().set(Attention::Signal);
        thread.wake(WakeMask::CONTINUE);
    });
}
