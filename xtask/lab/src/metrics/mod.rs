//! What a trace measures: [`Metrics`].
//!
//! Everything is computed from switches and wake-ups, so a simulated and a real run are measured by the same rule:
//! - *latency*: from a wake-up (or fork) to the switch to the woken task;
//! - *utilisation*: the part of the time that a CPU ran something else than its idle thread;
//! - *idle while runnable*: time that CPUs idled although a task waited that was allowed there;
//! - *fairness*: Jain's index of CPU time over weight, of the fair tasks that never slept and were there all the time;
//! - *migrations*: switches to a task on another CPU than its last.

mod follow;
mod percentile;

use loads::Load;

use crate::run::{Run, group_of, weight_of};
use crate::trace::{IDLE, Reason, Task, What};
use follow::Follower;
pub use percentile::Distribution;

/// How long one point of the curves over time is, in nanoseconds.
pub const INTERVAL: u64 = 100_000_000;

/// What was measured of a run.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// How long the run was, in nanoseconds.
    pub duration: u64,
    /// From wake-up to running, in nanoseconds.
    pub latency: Distribution,
    /// For each CPU, the busy part of each interval.
    pub utilisation: Vec<Vec<f64>>,
    /// Jain's index in each interval; `None` where fewer than two tasks competed.
    pub fairness: Vec<Option<f64>>,
    /// Jain's index over the whole run.
    pub fairness_overall: Option<f64>,
    /// How far, of those who competed over the whole run, the one is from its weighted share that is furthest from it, as a
    /// part of that share.
    pub worst_share: Option<f64>,
    /// Switches to a task.
    pub switches: u64,
    /// Switches to a task that ran on another CPU before.
    pub migrations: u64,
    /// The part of all CPU time that was idle while somebody waited.
    pub idle_while_runnable: f64,
    /// Rounds of all tasks together, per second.
    pub rounds_per_second: f64,
    /// Periods missed.
    pub missed: u64,
}

impl Metrics {
    /// Measures `run`.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let trace = &run.trace;
        let duration = trace.end().max(1);
        let names = trace.final_names();
        let mut follower = Follower::new(trace.cpus, duration);
        follower.set_allowed(names.iter().map(|(task, name)| (*task, allowed(&run.load, name))));
        for entry in &trace.entries {
            follower.advance(entry.time);
            match &entry.what {
                What::Switch { from, to, reason } => {
                    follower.switch(entry.cpu, *from, *to, *reason);
                }
                What::Wake { task, .. } => follower.wake(*task),
                What::Fork { child, .. } => follower.born(*child),
                _ => {}
            }
        }
        follower.advance(duration);
        let weight = |task: Task| {
            let group = names.get(&task).and_then(|name| group_of(&run.load, name));
            group.and_then(weight_of)
        };
        let seconds = duration as f64 / 1e9;
        let rounds: u64 = run.progress.iter().map(|progress| progress.rounds).sum();
        Self {
            duration,
            fairness: follower.fairness(&weight),
            fairness_overall: follower.fairness_overall(&weight),
            worst_share: follower.worst_share(&weight),
            utilisation: follower.utilisation(),
            switches: follower.switches,
            migrations: follower.migrations,
            idle_while_runnable: follower.idle_while_runnable
                / (trace.cpus as f64 * duration as f64),
            latency: Distribution::new(follower.latencies),
            rounds_per_second: rounds as f64 / seconds,
            missed: run.progress.iter().map(|progress| progress.missed).sum(),
        }
    }

    /// The busy part of all CPUs over the whole run.
    #[must_use]
    pub fn utilisation_overall(&self) -> f64 {
        let all: Vec<f64> = self.utilisation.iter().flatten().copied().collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    }
}

/// The CPUs that the task called `name` may use; empty for all.
fn allowed(load: &Load, name: &str) -> Vec<usize> {
    group_of(load, name).map_or_else(Vec::new, |group| group.cpus.clone())
}

/// Jain's fairness index: 1 when all are equal, 1/n when one has everything.
#[must_use]
pub fn jain(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (values.len() > 1 && squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

/// Whether a task is one that competes: no idle thread, and it left the CPU only when it had to.
fn stays_runnable(task: Task, reason: Reason) -> bool {
    task != IDLE && matches!(reason, Reason::Preempted | Reason::Yielded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::simulate;

    #[test]
    fn jains_index_tells_equal_from_unequal() {
        assert_eq!(jain(&[2.0, 2.0, 2.0]), Some(1.0));
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain(&[1.0]), None);
    }

    #[test]
    fn eight_hogs_share_four_cpus_under_the_default_policy() {
        let load = loads::standard("hogs").unwrap();
        let metrics = Metrics::of(&simulate("eevdf", &load, 4, 1).unwrap());
        assert!(metrics.fairness_overall.unwrap() > 0.999, "{metrics:?}");
        assert!(metrics.worst_share.unwrap() < 0.03);
        assert!(metrics.utilisation_overall() > 0.99);
        assert!(metrics.idle_while_runnable < 0.01);
    }

    #[test]
    fn nice_values_are_weighed() {
        let load = loads::standard("nice").unwrap();
        let metrics = Metrics::of(&simulate("eevdf", &load, 2, 1).unwrap());
        assert!(metrics.fairness_overall.unwrap() > 0.995, "{metrics:?}");
        assert!(metrics.worst_share.unwrap() < 0.05);
        // The second CPU is idle, but nobody may use it.
        assert!(metrics.idle_while_runnable < 0.01);
        assert!((metrics.utilisation_overall() - 0.5).abs() < 0.01);
    }
}
