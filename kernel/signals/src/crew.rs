//! What the protocol asks of the state under a process's signal lock. Key trait: [`Crew`].

use sched::WakeMask;

use crate::attention::AttentionWord;
use crate::number::{Signal, SignalSet};
use crate::stop::StopState;

/// A thread as its senders see it, without the lock.
pub trait Member {
    /// The word that says that there is something to do.
    fn attention(&self) -> &AttentionWord;

    /// Ends the thread's sleep if it is one of `sleeps`, and makes it enter the kernel if it is in user mode.
    fn wake(&self, sleeps: WakeMask);
}

/// What a thread has under the lock.
pub trait Part {
    /// How a thread ends.
    type Status: Copy;

    /// The signal mask.
    fn blocked(&self) -> SignalSet;

    /// Blocked signals that end the thread's sleep all the same: it waits for them in rt_sigtimedwait(2).
    fn awaited(&self) -> SignalSet;

    /// What is pending for this thread alone.
    fn pending(&self) -> SignalSet;

    /// Whether the thread takes no more signals: it is ending.
    fn is_exiting(&self) -> bool;

    /// It takes no more from now on.
    fn set_exiting(&mut self);

    /// Whether the thread is to take part in a group stop.
    fn owes_stop(&self) -> bool;

    /// The same, to change it.
    fn owes_stop_mut(&mut self) -> &mut bool;

    /// Whether a fault ends the process that the thread cannot survive.
    fn has_fatal_fault(&self) -> bool;

    /// How the thread alone is to end, if it is.
    fn ending(&self) -> Option<Self::Status>;

    /// The same, to change it.
    fn ending_mut(&mut self) -> &mut Option<Self::Status>;

    /// What neither wakes the thread nor is delivered to it.
    fn held(&self) -> SignalSet {
        self.blocked().difference(self.awaited())
    }

    /// Whether a process-directed `signal` may go to this thread.
    fn accepts(&self, signal: Signal) -> bool {
        !self.is_exiting() && !self.held().contains(signal)
    }
}

/// The live threads of a process and what they share, all of it guarded by the process's signal lock.
pub trait Crew {
    /// A thread.
    type Thread: Member;
    /// What a thread has under the lock.
    type Part: Part;

    /// The live threads, the first one first.
    fn threads(&self) -> impl Iterator<Item = &Self::Thread>;

    /// The part of `thread`.
    fn part<'a>(&'a self, thread: &'a Self::Thread) -> &'a Self::Part;

    /// The part of `thread`, to change it.
    fn part_mut<'a>(&'a mut self, thread: &'a Self::Thread) -> &'a mut Self::Part;

    /// Changes the part of every live thread.
    fn for_each(&mut self, change: impl FnMut(&Self::Thread, &mut Self::Part));

    /// What is pending for the process.
    fn shared_pending(&self) -> SignalSet;

    /// Forgets all pending occurrences of `signals`, for the process and for its threads.
    fn discard(&mut self, signals: SignalSet);

    /// How the whole process is to end, if it is.
    fn exit(&self) -> Option<<Self::Part as Part>::Status>;

    /// Job control.
    fn stop(&self) -> &StopState;

    /// Job control, to change it.
    fn stop_mut(&mut self) -> &mut StopState;
}
