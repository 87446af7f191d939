//! What a thread does next on its way to user mode, and the end of some threads or of all. Key type: [`Duty`].

use sched::WakeMask;

use crate::attention::Attention;
use crate::crew::{Crew, Member, Part};
use crate::stop::StopNews;

/// What comes before any signal that is pending. In this order: an end goes before everything, and whoever was stopped
/// tells its parent before it stops again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Duty<S> {
    /// The whole process is ending.
    EndProcess(S),
    /// The thread is ending.
    EndThread(S),
    /// The parent is to be told this.
    Announce(StopNews),
    /// The thread owes a group stop.
    Park,
    /// Nothing of all this: the next signal.
    Signals,
}

/// How the threads of `C` end.
type Status<C> = <<C as Crew>::Part as Part>::Status;

/// Takes the next duty of `thread`, the calling one.
#[inline]
pub fn next<C: Crew>(crew: &mut C, thread: &C::Thread) -> Duty<Status<C>> {
    if let Some(status) = crew.exit() {
        return Duty::EndProcess(status);
    }
    if let Some(status) = crew.part(thread).ending() {
        return Duty::EndThread(status);
    }
    if let Some(news) = crew.stop_mut().announcement.take() {
        return Duty::Announce(news);
    }
    if crew.part(thread).owes_stop() { Duty::Park } else { Duty::Signals }
}

/// Whether `thread` is to end.
#[inline]
pub fn is_dying<C: Crew>(crew: &C, thread: &C::Thread) -> bool {
    crew.exit().is_some() || crew.part(thread).ending().is_some()
}

/// Whether `thread`, which is not to end, has something to do in the signal loop.
#[inline]
fn has_work<C: Crew>(crew: &C, thread: &C::Thread) -> bool {
    let part = crew.part(thread);
    let pending = part.pending().union(crew.shared_pending());
    !pending.difference(part.held()).is_empty()
        || part.owes_stop()
        || part.has_fatal_fault()
        || crew.stop().announcement.is_some()
}

/// Brings the thread's attention in line with the state. A thread that finds nothing to do calls this for itself;
/// for others attention is only ever added.
#[inline]
pub fn refresh<C: Crew>(crew: &C, thread: &C::Thread) {
    thread.attention().replace(if is_dying(crew, thread) {
        Some(Attention::Kill)
    } else if has_work(crew, thread) {
        Some(Attention::Signal)
    } else {
        None
    });
}

/// The process is ending, as its exit status says already: every thread sees it on its way to user mode, and no sleep that
/// a kill may end lasts.
pub fn end_all<C: Crew>(crew: &mut C) {
    crew.stop_mut().forbid();
    crew.for_each(|thread, part| {
        *part.owes_stop_mut() = false;
        thread.attention().set(Attention::Kill);
        thread.wake(WakeMask::KILL);
    });
}

/// Ends, with `status`, all threads but `survivor`, which calls execve(2).
pub fn end_others<C: Crew>(crew: &mut C, survivor: &C::Thread, status: Status<C>) {
    crew.stop_mut().forbid();
    crew.for_each(|thread, part| {
        *part.owes_stop_mut() = false;
        if !core::ptr::eq(thread, survivor) {
            *part.ending_mut() = Some(status);
            thread.attention().set(Attention::Kill);
            thread.wake(WakeMask::KILL);
        }
    });
    crew.stop_mut().abandon();
}
