//! Takes the samples of a row: warm-up, how many, and how long at most.

use std::time::{Duration, Instant};

use super::cases::Case;
use super::clock::{Clock, Mode};
use super::options::{Effort, Options};
use super::report::{self, Failure, Line};
use super::statistics::{Summary, histogram};

/// How a row is sampled.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Samples of a full measurement of time. Other modes and efforts take a fraction of it.
    pub samples: usize,
    /// Operations that one sample holds.
    pub operations: u64,
}

/// Whether a row prints the distribution of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Only the summary.
    Summary,
    /// A histogram as well.
    Histogram,
}

/// What a case measures with.
#[derive(Debug)]
pub struct Meter<'a> {
    case: &'static Case,
    options: &'a Options,
    clock: Clock,
}

impl<'a> Meter<'a> {
    /// The fewest samples of a row, unless they take [`Meter::PATIENCE`] times its budget.
    const FEWEST: usize = 5;
    /// How many budgets a row may take for its fewest samples.
    const PATIENCE: u32 = 4;

    /// For one case.
    #[must_use]
    pub fn new(case: &'static Case, options: &'a Options, clock: Clock) -> Self {
        Self { case, options, clock }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The command line.
    #[must_use]
    pub fn options(&self) -> &'a Options {
        self.options
    }

    /// Prints the row of `parameter`, which `body` measures; if that fails, the row says why.
    pub fn row(&self, parameter: &str, body: impl FnOnce(&Row) -> Result<(), Failure>) {
        let row = Row { meter: self, parameter, start: Instant::now() };
        if let Err(failure) = body(&row) {
            report::print(&Line::unsupported(self.case, parameter, &failure));
        }
    }

    /// How many of something there should be where a full measurement of time takes `full`.
    #[must_use]
    pub fn scaled(&self, full: usize) -> usize {
        let fraction = match (self.options.mode, self.options.effort) {
            (Mode::Time, Effort::Full) => 1,
            // What is counted in instructions hardly varies, and each takes QEMU longer.
            (Mode::Time, Effort::Quick) | (Mode::Instructions, Effort::Full) => 4,
            (Mode::Instructions, Effort::Quick) => 10,
        };
        (full / fraction).max(Self::FEWEST)
    }

    /// How long a row goes on sampling, in the guest's time.
    fn budget(&self) -> Duration {
        Duration::from_millis(match (self.options.mode, self.options.effort) {
            (Mode::Time, Effort::Full) => 3000,
            (Mode::Time, Effort::Quick) => 300,
            // A second of virtual time is a thousand million instructions.
            (Mode::Instructions, Effort::Full) => 600,
            (Mode::Instructions, Effort::Quick) => 200,
        })
    }
}

/// A row in the making.
#[derive(Debug)]
pub struct Row<'a> {
    meter: &'a Meter<'a>,
    parameter: &'a str,
    start: Instant,
}

impl Row<'_> {
    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.meter.clock
    }

    /// Its meter.
    #[must_use]
    pub fn meter(&self) -> &Meter<'_> {
        self.meter
    }

    /// How many samples a row takes that would take `full` in a full measurement of time.
    #[must_use]
    pub fn samples(&self, full: usize) -> usize {
        self.meter.options.samples.unwrap_or_else(|| self.meter.scaled(full))
    }

    /// Takes samples after a warm-up and prints them; `body` returns what one sample took, in units of the clock.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn sample(
        &self,
        plan: Plan,
        body: impl FnMut() -> Result<u64, Failure>,
    ) -> Result<(), Failure> {
        let totals = self.collect(plan.samples, body)?;
        self.print(&totals, plan.operations, Distribution::Summary);
        Ok(())
    }

    /// Takes samples after a warm-up, as many as the plan and the time allow.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn collect(
        &self,
        full: usize,
        mut body: impl FnMut() -> Result<u64, Failure>,
    ) -> Result<Vec<u64>, Failure> {
        let samples = self.samples(full);
        let mut warmed = 0;
        while warmed < (samples / 10).clamp(1, 20) && (warmed == 0 || self.has_time(1)) {
            body()?;
            warmed += 1;
        }
        let mut totals = Vec::with_capacity(samples);
        while totals.len() < samples && self.wants_more(totals.len()) {
            totals.push(body()?);
        }
        Ok(totals)
    }

    /// Whether the row may take another sample when it has so many.
    #[must_use]
    pub fn wants_more(&self, samples: usize) -> bool {
        match samples {
            0 => true,
            few if few < Meter::FEWEST => self.has_time(Meter::PATIENCE),
            _ => self.has_time(1),
        }
    }

    /// Whether the row has taken less than so many budgets.
    fn has_time(&self, budgets: u32) -> bool {
        self.start.elapsed() < self.meter.budget() * budgets
    }

    /// Prints samples of so many operations each.
    pub fn print(&self, totals: &[u64], operations: u64, distribution: Distribution) {
        self.print_in(self.meter.options.mode.unit(), totals, operations, distribution);
    }

    /// As [`Row::print`], in a unit that is not the mode's.
    pub fn print_in(
        &self,
        unit: &'static str,
        totals: &[u64],
        operations: u64,
        distribution: Distribution,
    ) {
        let (case, parameter) = (self.meter.case, self.parameter);
        let Some(summary) = Summary::of(totals, operations) else {
            report::print(&Line::unsupported(case, parameter, &"no samples".into()));
            return;
        };
        let histogram = match distribution {
            Distribution::Summary => Vec::new(),
            Distribution::Histogram => histogram(totals),
        };
        let case = case.name;
        report::print(&Line::Figures { case, parameter, unit, operations, summary, histogram });
    }
}
