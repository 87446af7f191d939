//! Tasks that always want to run, under one policy on one CPU: who runs for how long, and who waits for how long.

use arch::time::Nanos;
use sched::Nice;
use sched::policy::{Event, PolicyKind, Verdict};

use super::{SETUP, view};

/// Runs always-runnable tasks of the given nice values for `total`. Returns each one's CPU time and its longest wait.
pub fn run_hogs(kind: &PolicyKind, nices: &[i32], total: Nanos) -> Vec<(Nanos, Nanos)> {
    let mut policy = (kind.create)(SETUP);
    assert!(policy.reserve(nices.len()));
    for (i, nice) in nices.iter().enumerate() {
        policy.enqueue(&view(i as u64, *nice), Event::Spawned);
    }
    let mut now = Nanos::ZERO;
    let mut results = vec![(Nanos::ZERO, Nanos::ZERO); nices.len()];
    let mut waiting_since = vec![Nanos::ZERO; nices.len()];
    while now < total {
        let pick = policy.pick(now).expect("somebody is runnable");
        let index = pick.task.0 as usize;
        let waited = now - waiting_since[index];
        results[index].1 = results[index].1.max(waited);
        let mut slice = pick.slice;
        loop {
            now = now + slice;
            results[index].0 = results[index].0 + slice;
            match policy.tick(slice) {
                Verdict::Continue(left) => slice = left,
                Verdict::Reschedule => break,
            }
        }
        waiting_since[index] = now;
        policy.enqueue(&view(pick.task.0, nices[index]), Event::Preempted);
    }
    results
}

/// How far the hog that is furthest from its weighted share is from it, in nanoseconds.
pub fn worst_share_error(nices: &[i32], results: &[(Nanos, Nanos)]) -> f64 {
    let ran: u64 = results.iter().map(|(time, _)| time.0).sum();
    let weights: Vec<f64> = nices.iter().map(|&n| f64::from(Nice::clamped(n).weight())).collect();
    let total: f64 = weights.iter().sum();
    let errors = results
        .iter()
        .zip(&weights)
        .map(|((time, _), weight)| (time.0 as f64 - ran as f64 * weight / total).abs());
    errors.fold(0.0, f64::max)
}
