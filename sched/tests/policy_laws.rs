//! Laws that every policy in the box obeys, by property tests: no task is lost or duplicated, a waiting task is
//! picked within a bounded time, the CPU is not left idle, and weights are honoured within a stated bound. What EEVDF
//! promises beyond that is in `eevdf_laws`.
#![cfg(not(loom))]

mod laws;

use arch::time::Nanos;
use laws::history::{Model, step};
use laws::hogs::{run_hogs, worst_share_error};
use laws::longest_wait;
use laws::sleepers::{Habit, waits};
use proptest::prelude::*;
use sched::policy::{POLICIES, stride};

/// Tasks that run up to 10 ms and sleep up to 30, and now and then one that never sleeps.
fn habit() -> impl Strategy<Value = Habit> {
    let sleep = prop_oneof![4 => 100_u64..30_000, 1 => Just(0)];
    (-5_i32..6, 50_u64..10_000, sleep).prop_map(|(nice, run, sleep)| Habit {
        nice,
        run: Nanos::from_micros(run),
        sleep: Nanos::from_micros(sleep),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_task_is_lost_or_duplicated(steps in prop::collection::vec(step(), 1..200)) {
        for kind in POLICIES {
            let mut model = Model::new(kind);
            steps.iter().for_each(|&step| model.apply(step));
        }
    }

    /// Nobody waits longer than its policy promises.
    #[test]
    fn waiting_is_bounded(nices in prop::collection::vec(-5_i32..6, 2..10)) {
        for kind in POLICIES {
            let results = run_hogs(kind, &nices, Nanos::from_secs(4));
            for (result, &nice) in results.into_iter().zip(&nices) {
                let bound = longest_wait(kind, &nices, nice);
                prop_assert!(result.1 <= bound, "{kind:?}: waited {:?}, bound {bound:?}", result.1);
            }
        }
    }

    /// Nor do sleepers make each other wait longer, or those who never sleep.
    #[test]
    fn waiting_is_bounded_among_sleepers(habits in prop::collection::vec(habit(), 2..10)) {
        let nices: Vec<i32> = habits.iter().map(|habit| habit.nice).collect();
        for kind in POLICIES {
            let found = waits(kind, &habits, Nanos::from_secs(2));
            for (wait, &nice) in found.into_iter().zip(&nices) {
                let bound = longest_wait(kind, &nices, nice);
                prop_assert!(wait <= bound, "{kind:?}: waited {wait:?}, bound {bound:?}");
            }
        }
    }

    /// Stride: after any time each task has its weighted share within a quantum for each task (the paper's bound).
    #[test]
    fn stride_honours_weights(nices in prop::collection::vec(-10_i32..11, 2..10), millis in 200_u64..3000) {
        let results = run_hogs(&stride::KIND, &nices, Nanos::from_millis(millis));
        let error = worst_share_error(&nices, &results);
        prop_assert!(error <= (stride::SLICE.0 * nices.len() as u64) as f64, "{nices:?}: {results:?} is off by {error} ns");
    }
}

/// Short bursts that by themselves need more than the CPU do not starve a task that never sleeps.
#[test]
fn a_hog_gets_its_turn_among_short_bursts() {
    let [run, sleep] = [Nanos::from_millis(1), Nanos::from_millis(2)];
    let mut habits = vec![Habit { nice: 0, run, sleep }; 8];
    habits.push(Habit { nice: 0, run: Nanos::from_secs(1), sleep: Nanos::ZERO });
    for kind in POLICIES {
        let bound = longest_wait(kind, &[0; 9], 0);
        for wait in waits(kind, &habits, Nanos::from_secs(12)) {
            assert!(wait <= bound, "{kind:?}: waited {wait:?}, bound {bound:?}");
        }
    }
}

/// Round-robin: after any whole number of rounds all tasks ran equally long.
#[test]
fn round_robin_gives_equal_turns() {
    let kind = sched::policy::by_name("rr").expect("in the box");
    let results = run_hogs(kind, &[0, 5, -5, 19], Nanos::from_millis(16 * 100));
    assert!(results.iter().all(|(time, _)| *time == results[0].0), "{results:?}");
}
