//! Which signal comes next, and what becomes of it: plain functions on plain data.
//!
//! [`next`] picks from the pending sets; [`dispose`] turns a picked signal and its action into a [`Disposition`].
//! The loop in [`super::deliver`] does what they say.

use super::action::{Action, Handler};
use super::number::{DefaultAction, Signal, SignalSet};

/// Where a chosen signal is pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// For this thread alone.
    Thread,
    /// For any thread of the process.
    Process,
}

/// The signal that comes next, of those pending for the thread and for its process that `blocked` does not hold.
///
/// What the processor raised for the thread (`faults`: the thread's pending signals that come from the kernel)
/// comes first, so that the handler's frame shows the instruction at fault; then what was sent to the thread, then
/// what was sent to the process. Within one set the synchronous ones come first, then the lowest number.
#[must_use]
pub fn next(
    thread: SignalSet,
    process: SignalSet,
    faults: SignalSet,
    blocked: SignalSet,
) -> Option<(Signal, Source)> {
    let own = thread.difference(blocked);
    if own.is_empty() {
        return Some((first(process.difference(blocked))?, Source::Process));
    }
    let faults = own.intersection(faults).intersection(SignalSet::SYNCHRONOUS);
    Some((faults.lowest().or_else(|| first(own))?, Source::Thread))
}

fn first(set: SignalSet) -> Option<Signal> {
    let synchronous = set.intersection(SignalSet::SYNCHRONOUS);
    if synchronous.is_empty() { set.lowest() } else { synchronous.lowest() }
}

/// What becomes of a signal that was picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Nothing.
    Ignore,
    /// The thread runs this handler.
    Deliver(Action),
    /// The process stops, also when its group is orphaned.
    Stop,
    /// The process stops unless its group is orphaned.
    StopUnlessOrphaned,
    /// The process ends.
    Terminate,
    /// The process ends and leaves a core file if its limit allows one.
    DumpCore,
}

/// Whether default actions may end or stop the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// An ordinary process.
    None,
    /// The first process: only what it handles reaches it.
    Init,
}

/// What becomes of `signal` under `action`.
#[must_use]
pub fn dispose(signal: Signal, action: &Action, protection: Protection) -> Disposition {
    match action.handler {
        Handler::Ignore => return Disposition::Ignore,
        Handler::Catch(_) => return Disposition::Deliver(*action),
        Handler::Default if protection == Protection::Init => return Disposition::Ignore,
        Handler::Default => (),
    }
    match signal.default_action() {
        DefaultAction::Ignore | DefaultAction::Continue => Disposition::Ignore,
        DefaultAction::Stop if signal == Signal::SIGSTOP => Disposition::Stop,
        DefaultAction::Stop => Disposition::StopUnlessOrphaned,
        DefaultAction::Terminate => Disposition::Terminate,
        DefaultAction::Core => Disposition::DumpCore,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(signals: &[Signal]) -> SignalSet {
        SignalSet::of(signals)
    }

    /// The order of signal(7) and of Linux's `dequeue_signal`, spelled out as a sort.
    fn model(thread: u64, process: u64, faults: u64, blocked: u64) -> Option<(Signal, Source)> {
        let synchronous = SignalSet::SYNCHRONOUS.bits();
        let mut candidates = Vec::new();
        for signal in Signal::all() {
            let bit = 1u64 << signal.index();
            if blocked & bit != 0 {
                continue;
            }
            let later = u8::from(synchronous & bit == 0);
            if thread & bit != 0 {
                let raised = faults & bit != 0 && later == 0;
                candidates.push((u8::from(!raised), 0, later, signal, Source::Thread));
            }
            if process & bit != 0 {
                candidates.push((1, 1, later, signal, Source::Process));
            }
        }
        candidates.sort_by_key(|c| (c.0, c.1, c.2, c.3));
        candidates.first().map(|c| (c.3, c.4))
    }

    proptest! {
        #[test]
        fn next_agrees_with_the_model(thread: u64, process: u64, faults: u64, blocked: u64) {
            let bits = SignalSet::from_bits;
            let chosen = next(bits(thread), bits(process), bits(faults), bits(blocked));
            prop_assert_eq!(chosen, model(thread, process, faults, blocked));
        }
    }

    #[test]
    fn faults_come_before_lower_numbers() {
        let thread = set(&[Signal::SIGHUP, Signal::SIGSEGV]);
        let chosen = next(thread, SignalSet::EMPTY, set(&[Signal::SIGSEGV]), SignalSet::EMPTY);
        assert_eq!(chosen, Some((Signal::SIGSEGV, Source::Thread)));
    }

    #[test]
    fn default_actions_spare_the_first_process() {
        let default = Action::DEFAULT;
        let of = |signal, protection| dispose(signal, &default, protection);
        assert_eq!(of(Signal::SIGTERM, Protection::None), Disposition::Terminate);
        assert_eq!(of(Signal::SIGTERM, Protection::Init), Disposition::Ignore);
        assert_eq!(of(Signal::SIGSEGV, Protection::None), Disposition::DumpCore);
        assert_eq!(of(Signal::SIGTSTP, Protection::None), Disposition::StopUnlessOrphaned);
        assert_eq!(of(Signal::SIGSTOP, Protection::None), Disposition::Stop);
        assert_eq!(of(Signal::SIGCONT, Protection::None), Disposition::Ignore);
    }
}
