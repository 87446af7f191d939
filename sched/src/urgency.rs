//! How urgent a task is, whatever its class, as one number: the larger goes first.
//!
//! | range | class |
//! |---|---|
//! | 0 | idle |
//! | 1 | fair: its policy decides within |
//! | 2 to 100 | real-time, by priority |
//! | 2^62 and more | deadline, the earlier the larger |
//! | 2^64 - 1 | stop |

use arch::time::Nanos;

use crate::deadline::Server;
use crate::parameters::{Discipline, Parameters, STOP_PRIORITY};
use crate::run_queue::Class;

/// See the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Urgency(pub(crate) u64);

impl Urgency {
    pub(crate) const IDLE: Self = Self(0);
    pub(crate) const FAIR: Self = Self(1);
    /// That of a real-time task of the highest priority that a user can ask for.
    pub(crate) const HIGHEST_REAL_TIME: Self = Self::real_time(STOP_PRIORITY - 1);
    const STOP: Self = Self(u64::MAX);
    const DEADLINE: u64 = 1 << 62;

    /// That of a real-time task of this priority.
    pub(crate) const fn real_time(priority: u8) -> Self {
        Self(1 + priority as u64)
    }

    /// That of a deadline task with this absolute deadline.
    pub(crate) const fn deadline(deadline: Nanos) -> Self {
        let span = if deadline.0 < Self::DEADLINE { deadline.0 } else { Self::DEADLINE - 1 };
        Self(2 * Self::DEADLINE - 1 - span)
    }

    /// The class that it lies in.
    pub(crate) const fn class(self) -> Class {
        match self.0 {
            0 => Class::Idle,
            1 => Class::Fair,
            u64::MAX => Class::Stop,
            Self::DEADLINE.. => Class::Deadline,
            _ => Class::RealTime,
        }
    }

    /// The real-time priority, if it lies in that class.
    pub(crate) const fn priority(self) -> u8 {
        self.0.saturating_sub(1) as u8
    }

    /// That of a task with these parameters and, if it is a deadline task, this server.
    pub(crate) fn of(parameters: &Parameters, server: Server) -> Self {
        match class_of(parameters) {
            Class::Stop => Self::STOP,
            Class::Deadline => Self::deadline(server.deadline),
            Class::RealTime => Self::real_time(parameters.priority),
            Class::Fair => Self::FAIR,
            Class::Idle => Self::IDLE,
        }
    }
}

/// The class of a task with these parameters.
pub(crate) fn class_of(parameters: &Parameters) -> Class {
    match parameters.discipline {
        Discipline::Deadline => Class::Deadline,
        Discipline::Fifo | Discipline::RoundRobin if parameters.priority >= STOP_PRIORITY => {
            Class::Stop
        }
        Discipline::Fifo | Discipline::RoundRobin => Class::RealTime,
        Discipline::Normal | Discipline::Batch | Discipline::Idle => Class::Fair,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_its_class() {
        assert_eq!(Urgency::deadline(Nanos::MAX).class(), Class::Deadline);
        assert_eq!(Urgency::real_time(99).class(), Class::RealTime);
        assert_eq!(Urgency::real_time(7).priority(), 7);
        assert_eq!((Urgency::STOP.class(), Urgency::FAIR.class()), (Class::Stop, Class::Fair));
    }

    #[test]
    fn classes_are_in_order_and_earlier_deadlines_first() {
        let order = [
            Urgency::IDLE,
            Urgency::FAIR,
            Urgency::real_time(1),
            Urgency::real_time(99),
            Urgency::deadline(Nanos::MAX),
            Urgency::deadline(Nanos::from_secs(2)),
            Urgency::deadline(Nanos::from_secs(1)),
            Urgency::deadline(Nanos::ZERO),
            Urgency::STOP,
        ];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }
}
