//! Laws that every policy in the box obeys, by property tests: no task is lost or duplicated, a waiting task is
//! picked within a bounded time, the CPU is not left idle, and EEVDF honours weights within a stated bound.
#![cfg(not(loom))]

use std::collections::BTreeMap;

use arch::cpu::CpuId;
use arch::time::Nanos;
use proptest::prelude::*;
use sched::policy::{
    Event, Memory, POLICIES, Policy, PolicyKind, Setup, TaskView, Verdict, eevdf, mlfq, stride,
};
use sched::{Nice, TaskId};

const SETUP: Setup = Setup { cpu: CpuId::BOOT, seed: 1 };

fn view(id: u64, nice: i32) -> TaskView {
    TaskView {
        id: TaskId(id),
        slot: id as u32,
        weight: Nice::clamped(nice).weight(),
        batch: false,
        slice: Nanos::ZERO,
        memory: Memory::default(),
    }
}

/// A policy, and what it should contain.
struct Model {
    policy: Box<dyn Policy>,
    /// With the slot of the latest view: an older view must not come back.
    queued: BTreeMap<TaskId, u32>,
    next_slot: u32,
    asleep: BTreeMap<TaskId, TaskView>,
    current: Option<TaskView>,
    now: Nanos,
    next_id: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Spawn(i32),
    Pick,
    Run(u64),
    Preempt,
    Yield,
    Block,
    Exit,
    Wake(usize),
    Steal,
    Remove(usize),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (-20..20).prop_map(Step::Spawn),
        6 => Just(Step::Pick),
        6 => (0_u64..20_000_000).prop_map(Step::Run),
        4 => Just(Step::Preempt),
        2 => Just(Step::Yield),
        3 => Just(Step::Block),
        1 => Just(Step::Exit),
        4 => (0_usize..8).prop_map(Step::Wake),
        1 => Just(Step::Steal),
        1 => (0_usize..8).prop_map(Step::Remove),
        1 => Just(Step::Drain),
    ]
}

impl Model {
    fn new(kind: &PolicyKind) -> Self {
        let mut policy = (kind.create)(SETUP);
        assert!(policy.reserve(256));
        Self {
            policy,
            queued: BTreeMap::new(),
            next_slot: 0,
            asleep: BTreeMap::new(),
            current: None,
            now: Nanos::ZERO,
            next_id: 1,
        }
    }

    fn enqueue(&mut self, mut task: TaskView, event: Event) {
        task.slot = self.next_slot;
        self.next_slot += 1;
        assert_eq!(self.queued.insert(task.id, task.slot), None);
        self.policy.enqueue(task, event);
    }

    /// The policy gave `task` up: it had it, by this very view.
    fn forget(&mut self, task: &TaskView) {
        assert_eq!(self.queued.remove(&task.id), Some(task.slot), "not what was queued");
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Spawn(nice) => {
                let task = view(self.next_id, nice);
                self.next_id += 1;
                self.enqueue(task, Event::Spawned);
            }
            Step::Pick if self.current.is_none() => {
                let pick = self.policy.pick(self.now);
                assert_eq!(pick.is_some(), !self.queued.is_empty(), "work conservation");
                if let Some(pick) = pick {
                    self.forget(&pick.task);
                    assert!(pick.slice > Nanos::ZERO);
                    self.current = Some(pick.task);
                }
            }
            Step::Run(span) if self.current.is_some() => {
                self.now = self.now + Nanos(span);
                if let Verdict::Continue(left) = self.policy.tick(Nanos(span)) {
                    assert!(left > Nanos::ZERO);
                }
            }
            Step::Preempt | Step::Yield => {
                if let Some(task) = self.current.take() {
                    let preempted = matches!(step, Step::Preempt);
                    let event = if preempted { Event::Preempted } else { Event::Yielded };
                    self.enqueue(task, event);
                }
            }
            Step::Block => {
                if let Some(mut task) = self.current.take() {
                    task.memory = self.policy.leave(Event::Blocked);
                    self.asleep.insert(task.id, task);
                }
            }
            Step::Exit if self.current.take().is_some() => {
                let _ = self.policy.leave(Event::Exited);
            }
            Step::Wake(which) => {
                let id = self.asleep.keys().nth(which).copied();
                if let Some(task) = id.and_then(|id| self.asleep.remove(&id)) {
                    self.enqueue(task, Event::Woken);
                }
            }
            Step::Steal => {
                let stolen = self.policy.steal(&|task| task.id.0 % 2 == 0);
                let possible = self.queued.keys().any(|id| id.0 % 2 == 0);
                assert_eq!(stolen.is_some(), possible);
                if let Some(task) = stolen {
                    assert_eq!(task.id.0 % 2, 0, "stole what may not move");
                    self.forget(&task);
                    self.asleep.insert(task.id, task);
                }
            }
            Step::Remove(which) => {
                if let Some(id) = self.queued.keys().nth(which).copied() {
                    let task = self.policy.remove(id).expect("it is queued");
                    assert_eq!(task.id, id);
                    self.forget(&task);
                    self.asleep.insert(id, task);
                }
                assert!(self.policy.remove(TaskId(u64::MAX)).is_none());
            }
            Step::Drain => {
                while let Some(task) = self.policy.drain() {
                    self.forget(&task);
                    self.asleep.insert(task.id, task);
                }
                assert!(self.queued.is_empty(), "lost in draining");
            }
            Step::Pick | Step::Run(_) | Step::Exit => {}
        }
        assert_eq!(self.policy.len(), self.queued.len(), "lost or duplicated");
    }
}

/// Runs always-runnable tasks of the given nice values for `total`. Returns each one's CPU time and its longest wait.
fn run_hogs(kind: &PolicyKind, nices: &[i32], total: Nanos) -> Vec<(Nanos, Nanos)> {
    let mut policy = (kind.create)(SETUP);
    assert!(policy.reserve(nices.len()));
    for (i, nice) in nices.iter().enumerate() {
        policy.enqueue(view(i as u64, *nice), Event::Spawned);
    }
    let mut now = Nanos::ZERO;
    let mut results = vec![(Nanos::ZERO, Nanos::ZERO); nices.len()];
    let mut waiting_since = vec![Nanos::ZERO; nices.len()];
    while now < total {
        let pick = policy.pick(now).expect("somebody is runnable");
        let index = pick.task.id.0 as usize;
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
        policy.enqueue(pick.task, Event::Preempted);
    }
    results
}

/// How long a hog of value `nice` may wait among hogs of the values `nices`.
fn longest_wait(kind: &PolicyKind, nices: &[i32], nice: i32) -> Nanos {
    let weight = |nice: i32| u64::from(Nice::clamped(nice).weight());
    let total: u64 = nices.iter().map(|&nice| weight(nice)).sum();
    let tasks = nices.len() as u64;
    let turns = match kind.name {
        // As many turns of everybody as its share is smaller than theirs.
        "eevdf" | "stride" => 2 * (total / weight(nice) + 2 * tasks),
        // Everybody's allotment at the top, scaled by weight, and what is left of the period of boosts.
        "mlfq" => 2 * total / 1024 + tasks + mlfq::BOOST_PERIOD.0 / kind.slice.0,
        // Every eighth pick is by age.
        "chaos" => 8 * tasks,
        _ => tasks,
    };
    Nanos(kind.slice.0 * turns)
}

/// How far the hog that is furthest from its weighted share is from it, in nanoseconds.
fn worst_share_error(nices: &[i32], results: &[(Nanos, Nanos)]) -> f64 {
    let ran: u64 = results.iter().map(|(time, _)| time.0).sum();
    let weights: Vec<f64> = nices.iter().map(|&n| f64::from(Nice::clamped(n).weight())).collect();
    let total: f64 = weights.iter().sum();
    let errors = results
        .iter()
        .zip(&weights)
        .map(|((time, _), weight)| (time.0 as f64 - ran as f64 * weight / total).abs());
    errors.fold(0.0, f64::max)
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

    /// Stride: after any time each task has its weighted share within a quantum for each task (the paper's bound).
    #[test]
    fn stride_honours_weights(nices in prop::collection::vec(-10_i32..11, 2..10), millis in 200_u64..3000) {
        let results = run_hogs(&stride::KIND, &nices, Nanos::from_millis(millis));
        let error = worst_share_error(&nices, &results);
        prop_assert!(error <= (stride::SLICE.0 * nices.len() as u64) as f64, "{nices:?}: {results:?} is off by {error} ns");
    }

    /// EEVDF: after any time each task has its weighted share within two slices.
    #[test]
    fn eevdf_honours_weights(nices in prop::collection::vec(-10_i32..11, 2..10), millis in 200_u64..3000) {
        let total = Nanos::from_millis(millis);
        let results = run_hogs(&eevdf::KIND, &nices, total);
        let error = worst_share_error(&nices, &results);
        prop_assert!(error <= 2.0 * eevdf::SLICE.0 as f64, "{nices:?}: {results:?} is off by {error} ns");
    }
}

/// Round-robin: after any whole number of rounds all tasks ran equally long.
#[test]
fn round_robin_gives_equal_turns() {
    let kind = sched::policy::by_name("rr").expect("in the box");
    let results = run_hogs(kind, &[0, 5, -5, 19], Nanos::from_millis(16 * 100));
    assert!(results.iter().all(|(time, _)| *time == results[0].0), "{results:?}");
}

/// EEVDF: a task that sleeps most of the time runs soon after it wakes, however many hogs there are.
#[test]
fn eevdf_lets_a_sleeper_run_soon() {
    let mut policy = (eevdf::KIND.create)(SETUP);
    assert!(policy.reserve(16));
    (0..8).for_each(|id| policy.enqueue(view(id, 0), Event::Spawned));
    let mut sleeper = view(100, 0);
    let mut now = Nanos::ZERO;
    for _ in 0..200 {
        let hog = policy.pick(now).expect("hogs");
        now = now + Nanos::from_millis(1);
        let _ = policy.tick(Nanos::from_millis(1));
        policy.enqueue(sleeper, Event::Woken);
        policy.enqueue(hog.task, Event::Preempted);
        let mut delay = Nanos::ZERO;
        loop {
            let pick = policy.pick(now).expect("runnable");
            if pick.task.id == sleeper.id {
                let _ = policy.tick(Nanos::from_micros(50));
                sleeper.memory = policy.leave(Event::Blocked);
                break;
            }
            delay = delay + pick.slice;
            let _ = policy.tick(pick.slice);
            policy.enqueue(pick.task, Event::Preempted);
        }
        assert!(delay <= Nanos(9 * eevdf::SLICE.0), "waited {delay:?}");
    }
}
