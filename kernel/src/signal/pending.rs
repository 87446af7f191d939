//! Signals that were sent and not yet taken. Key type: [`PendingSignals`].
//!
//! A standard signal is pending once, with the information of its first occurrence; a real-time signal as often as
//! it was sent, first in first out (signal(7)). Information needs memory and an allowance (`RLIMIT_SIGPENDING`); the
//! bit that says *pending* needs neither.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::info::{Code, SignalInfo};
use super::number::{Signal, SignalSet};
use crate::errno::{Errno, Result};
use crate::task::{Account, Pid};

/// One queued occurrence. It counts against the allowance of the user to whom it was sent until it is dropped.
#[derive(Debug)]
struct Occurrence {
    info: SignalInfo,
    account: Option<Arc<Account>>,
}

impl Drop for Occurrence {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.remove_signal();
        }
    }
}

/// Whose allowance an occurrence is charged to, and how much there is.
#[derive(Clone, Copy, Debug)]
pub enum Charge<'a> {
    /// Counted, up to the limit.
    Limited(&'a Arc<Account>, u64),
    /// Counted, past any limit: what the kernel raises itself.
    Unlimited(&'a Arc<Account>),
    /// Not counted.
    Nobody,
}

impl Charge<'_> {
    #[inline(always)]
    fn take(self) -> Result<Option<Arc<Account>>> {
        match self {
            Self::Limited(account, limit) => {
                account.add_signal(limit)?;
                Ok(Some(account.clone()))
            }
            Self::Unlimited(account) => {
                account.add_signal_past_limit();
                Ok(Some(account.clone()))
            }
            Self::Nobody => Ok(None),
        }
    }
}

/// The queue of one signal number.
#[derive(Debug)]
struct Queue {
    signal: Signal,
    occurrences: VecDeque<Occurrence>,
}

/// A set of pending signals: those of a thread, or those of a process that any of its threads may take.
#[derive(Debug, Default)]
pub struct PendingSignals {
    set: SignalSet,
    /// An occurrence that comes before those in the queue of its number. Most signals are taken before the next one comes,
    /// and go no further than here.
    first: Option<(Signal, Occurrence)>,
    /// At most one per number; made when a number first needs it.
    queues: Vec<Queue>,
}

impl PendingSignals {
    /// Which signals are pending.
    #[must_use]
    #[inline]
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// Adds an occurrence of `signal`. A standard signal that is pending already stays as it is.
    ///
    /// # Errors
    /// `EAGAIN` when there is no memory or allowance for the information; the signal is then not pending because
    /// of this call. [`add_without_info`](Self::add_without_info) always works.
    #[inline]
    pub fn add(&mut self, signal: Signal, info: &SignalInfo, charge: Charge<'_>) -> Result<()> {
        if !signal.is_real_time() && self.set.contains(signal) {
            return Ok(());
        }
        self.append(signal, info, charge)
    }

    /// Adds an occurrence of `signal` in any case.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    #[inline]
    pub fn append(&mut self, signal: Signal, info: &SignalInfo, charge: Charge<'_>) -> Result<()> {
        if self.first.is_none() && !self.set.contains(signal) {
            let account = charge.take()?;
            self.first = Some((signal, Occurrence { info: *info, account }));
        } else {
            self.enqueue(signal, info, charge)?;
        }
        self.set.insert(signal);
        Ok(())
    }

    fn enqueue(&mut self, signal: Signal, info: &SignalInfo, charge: Charge<'_>) -> Result<()> {
        let queue = self.queue(signal)?;
        queue.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        let account = charge.take()?;
        queue.push_back(Occurrence { info: *info, account });
        Ok(())
    }

    /// Makes `signal` pending and remembers nothing else. Allocates nothing.
    pub fn add_without_info(&mut self, signal: Signal) {
        self.set.insert(signal);
    }

    /// Takes the first occurrence of `signal`, which is pending.
    #[inline(always)]
    pub fn take(&mut self, signal: Signal) -> SignalInfo {
        if let Some((_, first)) = self.first.take_if(|(number, _)| *number == signal) {
            if !self.has_queued(signal) {
                self.set.remove(signal);
            }
            return first.info;
        }
        self.dequeue(signal)
    }

    fn dequeue(&mut self, signal: Signal) -> SignalInfo {
        let queue = self.queues.iter_mut().find(|queue| queue.signal == signal);
        let first = queue.and_then(|queue| {
            let first = queue.occurrences.pop_front()?;
            Some((first.info, queue.occurrences.is_empty()))
        });
        match first {
            Some((info, false)) => info,
            Some((info, true)) => {
                self.set.remove(signal);
                info
            }
            None => {
                self.set.remove(signal);
                SignalInfo::sent(signal, Code::SI_USER, Pid::KERNEL, 0)
            }
        }
    }

    fn has_queued(&self, signal: Signal) -> bool {
        let queue = self.queues.iter().find(|queue| queue.signal == signal);
        queue.is_some_and(|queue| !queue.occurrences.is_empty())
    }

    /// Whether the first occurrence of `signal` was raised by the kernel.
    #[must_use]
    pub fn is_from_kernel(&self, signal: Signal) -> bool {
        if let Some((_, first)) = self.first.as_ref().filter(|(number, _)| *number == signal) {
            return first.info.is_from_kernel();
        }
        let queue = self.queues.iter().find(|queue| queue.signal == signal);
        queue.and_then(|queue| queue.occurrences.front()).is_some_and(|o| o.info.is_from_kernel())
    }

    /// Bytes of kernel memory that the queues take.
    #[must_use]
    pub fn held_memory(&self) -> usize {
        let capacities = self.queues.iter().map(|queue| queue.occurrences.capacity());
        capacities.sum::<usize>() * size_of::<Occurrence>()
    }

    /// Forgets every occurrence of the signals in `set`.
    pub fn flush(&mut self, set: SignalSet) {
        if self.set.intersection(set).is_empty() {
            return;
        }
        self.set = self.set.difference(set);
        self.first.take_if(|(signal, _)| set.contains(*signal));
        let flushed = |queue: &&mut Queue| set.contains(queue.signal);
        self.queues.iter_mut().filter(flushed).for_each(|queue| queue.occurrences.clear());
    }

    /// Forgets every occurrence that a POSIX timer sent: execve(2) deletes the timers.
    pub fn flush_timers(&mut self) {
        let is_timers = |occurrence: &Occurrence| occurrence.info.timer_id().is_some();
        let mut flushed = SignalSet::EMPTY;
        if let Some((signal, _)) = self.first.take_if(|(_, first)| is_timers(first)) {
            flushed.insert(signal);
        }
        for queue in &mut self.queues {
            let before = queue.occurrences.len();
            queue.occurrences.retain(|occurrence| !is_timers(occurrence));
            if queue.occurrences.len() < before {
                flushed.insert(queue.signal);
            }
        }
        let has_first = |signal| self.first.as_ref().is_some_and(|(first, _)| *first == signal);
        let gone = flushed.iter().filter(|&s| !has_first(s) && !self.has_queued(s)).collect();
        self.set = self.set.difference(gone);
    }

    fn queue(&mut self, signal: Signal) -> Result<&mut VecDeque<Occurrence>> {
        let place = match self.queues.iter().position(|queue| queue.signal == signal) {
            Some(place) => place,
            None => {
                self.queues.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
                self.queues.push(Queue { signal, occurrences: VecDeque::new() });
                self.queues.len() - 1
            }
        };
        Ok(&mut self.queues[place].occurrences)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(signal: Signal, sender: u32) -> SignalInfo {
        SignalInfo::sent(signal, Code::SI_USER, Pid::new(sender), 0)
    }

    fn real_time(number: u32) -> Signal {
        Signal::new(number).expect("a valid number")
    }

    #[test]
    fn a_standard_signal_is_pending_once_with_its_first_information() {
        let mut pending = PendingSignals::default();
        for sender in 1..4 {
            let first = info(Signal::SIGUSR1, sender);
            assert_eq!(pending.add(Signal::SIGUSR1, &first, Charge::Nobody), Ok(()));
        }
        assert_eq!(pending.take(Signal::SIGUSR1).sender(), 1);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn the_allowance_bounds_queued_signals_and_comes_back() {
        let account = Account::of(4_000_002);
        let signal = real_time(40);
        let mut pending = PendingSignals::default();
        let charge = || Charge::Limited(&account, 2);
        assert_eq!(pending.add(signal, &info(signal, 1), charge()), Ok(()));
        assert_eq!(pending.add(signal, &info(signal, 2), charge()), Ok(()));
        assert_eq!(pending.add(signal, &info(signal, 3), charge()), Err(Errno::EAGAIN));
        assert_eq!(pending.take(signal).sender(), 1);
        assert_eq!(account.signals(), 1);
        drop(pending);
        assert_eq!(account.signals(), 0);
    }

    #[test]
    fn a_signal_without_information_looks_like_one_from_nobody() {
        let mut pending = PendingSignals::default();
        pending.add_without_info(Signal::SIGTERM);
        assert_eq!(pending.take(Signal::SIGTERM).sender(), 0);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn what_timers_sent_can_be_forgotten() {
        let (one, two, three) = (real_time(34), real_time(35), real_time(36));
        let mut pending = PendingSignals::default();
        pending.add(one, &SignalInfo::timer(one, 0, 7), Charge::Nobody).expect("memory");
        pending.add(one, &info(one, 1), Charge::Nobody).expect("memory");
        pending.add(two, &info(two, 2), Charge::Nobody).expect("memory");
        pending.add(two, &SignalInfo::timer(two, 1, 7), Charge::Nobody).expect("memory");
        pending.add(three, &SignalInfo::timer(three, 2, 7), Charge::Nobody).expect("memory");
        pending.add_without_info(Signal::SIGUSR1);
        pending.flush_timers();
        assert_eq!(pending.set(), SignalSet::of(&[one, two, Signal::SIGUSR1]));
        assert_eq!(pending.take(one).sender(), 1);
        assert_eq!(pending.take(two).sender(), 2);
        assert_eq!(pending.set(), SignalSet::of(&[Signal::SIGUSR1]));
    }

    proptest! {
        #[test]
        fn real_time_signals_come_in_order_and_all(sent in prop::collection::vec((34u32..38, 1u32..1000), 0..60)) {
            let mut pending = PendingSignals::default();
            for &(number, sender) in &sent {
                let signal = real_time(number);
                prop_assert!(pending.add(signal, &info(signal, sender), Charge::Nobody).is_ok());
            }
            for number in 34..38 {
                let signal = real_time(number);
                let expected = sent.iter().filter(|sent| sent.0 == number).map(|sent| sent.1);
                for sender in expected {
                    prop_assert!(pending.set().contains(signal));
                    prop_assert_eq!(pending.take(signal).sender(), sender);
                }
                prop_assert!(!pending.set().contains(signal));
            }
        }
    }
}
