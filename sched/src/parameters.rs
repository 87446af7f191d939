//! What a user may ask of the scheduler for a task: discipline, nice value, real-time priority, slice.

use arch::time::Nanos;

use crate::deadline::Reservation;

/// A nice value, -20 (most CPU time) to 19.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Nice(i8);

impl Nice {
    /// The largest share.
    pub const MIN: Self = Self(-20);
    /// The smallest share.
    pub const MAX: Self = Self(19);

    /// `value`, clamped to the valid range as `setpriority(2)` does.
    #[must_use]
    pub fn clamped(value: i32) -> Self {
        Self(value.clamp(-20, 19) as i8)
    }

    /// The value.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0 as i32
    }

    /// The share of CPU time that this nice value stands for: 1024 at nice 0, and about 1.25 times more per step down.
    ///
    /// The ratios are Linux's (`sched(7)`: "a factor of 1.25"), computed rather than tabulated.
    #[must_use]
    pub const fn weight(self) -> u32 {
        WEIGHTS[(self.0 as i32 + 20) as usize]
    }
}

/// The weight at each nice value, from -20 on.
const WEIGHTS: [u32; 40] = {
    let mut weights = [0; 40];
    let mut i = 0;
    while i < weights.len() {
        weights[i] = weight_of(i as i32 - 20);
        i += 1;
    }
    weights
};

/// 1024 · 1.25^-nice in fixed point with 20 fractional bits, rounded at each step.
const fn weight_of(nice: i32) -> u32 {
    let mut weight: u64 = 1024 << 20;
    let mut step = 0;
    while step < nice.unsigned_abs() {
        weight = if nice > 0 { (weight * 4 + 2) / 5 } else { (weight * 5 + 2) / 4 };
        step += 1;
    }
    ((weight + (1 << 19)) >> 20) as u32
}

/// The scheduling policy in the sense of `sched(7)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discipline {
    /// `SCHED_OTHER`: the fair class.
    Normal,
    /// `SCHED_BATCH`: the fair class, without wake-up preemption.
    Batch,
    /// `SCHED_IDLE`: the fair class, with the smallest weight of all.
    Idle,
    /// `SCHED_FIFO`: runs until it blocks or a higher priority wants the CPU.
    Fifo,
    /// `SCHED_RR`: as FIFO, but takes turns within its priority.
    RoundRobin,
    /// `SCHED_DEADLINE`: runs before all others, within the bandwidth that it reserved.
    Deadline,
}

impl Discipline {
    /// Whether tasks of this discipline are in the real-time class.
    #[must_use]
    pub const fn is_real_time(self) -> bool {
        matches!(self, Self::Fifo | Self::RoundRobin)
    }

    /// Whether tasks of this discipline go before all fair ones.
    pub(crate) const fn is_urgent(self) -> bool {
        self.is_real_time() || matches!(self, Self::Deadline)
    }
}

/// The weight of `SCHED_IDLE` tasks, whatever their nice value (as on Linux).
const IDLE_WEIGHT: u32 = 3;

/// The priority that stands for the stop class: no user can ask for it.
pub(crate) const STOP_PRIORITY: u8 = 100;

/// All of a task's parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// The scheduling policy.
    pub discipline: Discipline,
    /// The nice value; kept, though without effect, while the task is real-time.
    pub nice: Nice,
    /// 1 (lowest) to 99 for the real-time disciplines, else 0.
    pub priority: u8,
    /// Children start with default parameters (`SCHED_RESET_ON_FORK`).
    pub reset_on_fork: bool,
    /// The slice asked for with `sched_setattr(2)`; zero means the policy's default.
    pub slice: Nanos,
    /// What a deadline task reserved; zeros for all others.
    pub reservation: Reservation,
}

impl Parameters {
    /// `SCHED_OTHER` at nice 0.
    pub const DEFAULT: Self = Self {
        discipline: Discipline::Normal,
        nice: Nice(0),
        priority: 0,
        reset_on_fork: false,
        slice: Nanos::ZERO,
        reservation: Reservation {
            runtime: Nanos::ZERO,
            deadline: Nanos::ZERO,
            period: Nanos::ZERO,
        },
    };

    /// The stop class, above all others: for the kernel's own urgent work.
    pub const STOP: Self =
        Self { discipline: Discipline::Fifo, priority: STOP_PRIORITY, ..Self::DEFAULT };

    /// The task's weight in the fair class.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        Self::weight_of(self.discipline, self.nice)
    }

    /// The weight of a task of this discipline at this nice value.
    pub(crate) const fn weight_of(discipline: Discipline, nice: Nice) -> u32 {
        match discipline {
            Discipline::Idle => IDLE_WEIGHT,
            _ => nice.weight(),
        }
    }

    /// What a child of a task with these parameters starts with (`sched(7)`, "Resetting scheduling policy").
    #[must_use]
    pub fn inherited(self) -> Self {
        if !self.reset_on_fork {
            return self;
        }
        if self.discipline.is_urgent() {
            return Self::DEFAULT;
        }
        let (discipline, nice) = (self.discipline, self.nice.max(Nice(0)));
        Self { discipline, nice, ..Self::DEFAULT }
    }

    /// The parameters without slice and reservation in one word, for an atomic.
    pub(crate) const fn pack(self) -> u32 {
        let discipline = match self.discipline {
            Discipline::Normal => 0,
            Discipline::Fifo => 1,
            Discipline::RoundRobin => 2,
            Discipline::Batch => 3,
            Discipline::Idle => 5,
            Discipline::Deadline => 6,
        };
        discipline
            | ((self.nice.get() + 20) as u32) << 8
            | (self.priority as u32) << 16
            | (self.reset_on_fork as u32) << 24
    }

    /// The nice value in a [packed](Self::pack) word.
    pub(crate) fn nice_of(word: u32) -> Nice {
        Nice::clamped((word >> 8 & 0xff) as i32 - 20)
    }

    /// The discipline in a [packed](Self::pack) word.
    pub(crate) const fn discipline_of(word: u32) -> Discipline {
        match word & 0xff {
            1 => Discipline::Fifo,
            2 => Discipline::RoundRobin,
            3 => Discipline::Batch,
            5 => Discipline::Idle,
            6 => Discipline::Deadline,
            _ => Discipline::Normal,
        }
    }

    /// Undoes [`pack`](Self::pack).
    pub(crate) fn unpack(word: u32, slice: Nanos, reservation: Reservation) -> Self {
        Self {
            discipline: Self::discipline_of(word),
            nice: Self::nice_of(word),
            priority: (word >> 16) as u8,
            reset_on_fork: word >> 24 & 1 != 0,
            slice,
            reservation,
        }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_linux_within_three_percent() {
        for (nice, linux) in [(-20, 88761), (-10, 9548), (-5, 3121), (0, 1024), (5, 335), (10, 110)]
        {
            let weight = f64::from(Nice::clamped(nice).weight());
            assert!((weight / f64::from(linux) - 1.0).abs() < 0.03, "nice {nice}: {weight}");
        }
    }

    #[test]
    fn packing_keeps_every_field() {
        let all = [
            Discipline::Normal,
            Discipline::Batch,
            Discipline::Idle,
            Discipline::Fifo,
            Discipline::RoundRobin,
            Discipline::Deadline,
        ];
        for (discipline, nice, priority, reset_on_fork) in
            all.into_iter().flat_map(|d| [(d, -20, 0, false), (d, 19, 99, true)])
        {
            let slice = Nanos(7);
            let nice = Nice::clamped(nice);
            let reservation = Reservation { runtime: slice, deadline: slice, period: slice };
            let parameters =
                Parameters { discipline, nice, priority, reset_on_fork, slice, reservation };
            assert_eq!(Parameters::unpack(parameters.pack(), slice, reservation), parameters);
        }
    }

    #[test]
    fn reset_on_fork_drops_privilege_but_no_modesty() {
        let real_time = Parameters {
            discipline: Discipline::Fifo,
            priority: 5,
            reset_on_fork: true,
            ..Parameters::DEFAULT
        };
        assert_eq!(real_time.inherited(), Parameters::DEFAULT);
        let nice =
            |n| Parameters { nice: Nice::clamped(n), reset_on_fork: true, ..Parameters::DEFAULT };
        assert_eq!(nice(7).inherited().nice.get(), 7);
        assert_eq!(nice(-7).inherited().nice.get(), 0);
        for discipline in [Discipline::Batch, Discipline::Idle] {
            let modest = Parameters { discipline, ..nice(7) }.inherited();
            assert_eq!((modest.discipline, modest.nice.get()), (discipline, 7));
            assert!(!modest.reset_on_fork);
        }
    }
}
