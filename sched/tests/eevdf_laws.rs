//! What EEVDF promises, by property tests against the paper's own definitions: how far anybody falls behind or runs ahead
//! of its share of an ideal machine, which runs all tasks at once, each as fast as its weight allows (its *lag*).
#![cfg(not(loom))]

mod laws;

use arch::time::Nanos;
use laws::hogs::{run_hogs, worst_share_error};
use laws::{SETUP, view};
use proptest::prelude::*;
use sched::policy::{Event, Policy, TaskView, Verdict, eevdf};

/// The shortest time between two decisions: how far a turn may go beyond its slice.
const GRANULARITY: f64 = 100_000.0;

/// A task in competition, or out of it.
#[derive(Clone, Debug)]
struct Client {
    view: TaskView,
    /// What the ideal machine has given it more than the policy, in nanoseconds.
    lag: f64,
    competes: bool,
}

impl Client {
    fn weight(&self) -> f64 {
        f64::from(self.view.weight)
    }

    fn slice(&self) -> f64 {
        let own = self.view.slice;
        (if own > Nanos::ZERO { own } else { eevdf::SLICE }).0 as f64
    }
}

/// The policy beside the ideal machine.
struct Ideal {
    policy: Box<dyn Policy>,
    clients: Vec<Client>,
    now: Nanos,
}

impl Ideal {
    /// All of `tasks`, by nice value and slice in microseconds, compete from the start.
    fn new(tasks: &[(i32, u64)]) -> Self {
        let mut policy = (eevdf::KIND.create)(SETUP);
        assert!(policy.reserve(tasks.len()));
        let clients = (0..).zip(tasks).map(|(id, &(nice, slice))| Client {
            view: TaskView { slice: Nanos::from_micros(slice), ..view(id, nice) },
            lag: 0.0,
            competes: true,
        });
        let clients: Vec<Client> = clients.collect();
        clients.iter().for_each(|client| policy.enqueue(&client.view, Event::Spawned));
        Self { policy, clients, now: Nanos::ZERO }
    }

    /// The weight of all that compete.
    fn weight(&self) -> f64 {
        self.clients.iter().filter(|client| client.competes).map(Client::weight).sum()
    }

    /// Spreads `lag` over all that compete, by weight: what one leaves behind, or brings along (the paper's section 4).
    fn spread(&mut self, lag: f64) {
        let total = self.weight();
        for client in self.clients.iter_mut().filter(|client| client.competes) {
            client.lag += lag * client.weight() / total;
        }
    }

    /// One turn, cut short at `cut` if it is longer than that. Returns who had it.
    fn turn(&mut self, cut: Nanos) -> usize {
        let pick = self.policy.pick(self.now).expect("somebody competes");
        let id = pick.task.0 as usize;
        let span = pick.slice.min(cut);
        self.now = self.now + span;
        let verdict = self.policy.tick(span);
        assert!(span < pick.slice || verdict == Verdict::Reschedule, "the slice is used up");
        self.clients[id].lag -= span.0 as f64;
        self.spread(span.0 as f64);
        id
    }

    /// Who has just had its turn competes on.
    fn stay(&mut self, id: usize) {
        self.policy.enqueue(&self.clients[id].view, Event::Preempted);
    }

    /// Who has just had its turn goes to sleep.
    fn sleep(&mut self, id: usize) {
        self.clients[id].view.memory = self.policy.leave(Event::Blocked);
        self.clients[id].competes = false;
        if self.weight() > 0.0 {
            self.spread(self.clients[id].lag);
        }
    }

    /// If `id` sleeps it comes back, with the lag that it went with, as far as two slices will have it.
    fn wake(&mut self, id: usize) {
        let Client { lag, competes, .. } = self.clients[id];
        if competes {
            return;
        }
        let (others, own) = (self.weight(), self.clients[id].weight());
        let mut restored = 0.0;
        if others > 0.0 {
            // Who joins drags the others along; the bound holds for the place where it joins.
            let bound = 2.0 * self.clients[id].slice();
            let stretched = (lag * (others + own) / others).clamp(-bound, bound);
            restored = stretched * others / (others + own);
            self.spread(-restored);
        }
        self.clients[id].lag = restored;
        self.clients[id].competes = true;
        self.policy.enqueue(&self.clients[id].view, Event::Woken);
    }
}

fn task() -> impl Strategy<Value = (i32, u64)> {
    (-10_i32..11, prop_oneof![Just(0), 200_u64..10_000])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The paper's theorem 1: among tasks that always compete nobody is ahead by more than its own slice, nor behind by
    /// more than the longest one, wherever turns are cut short.
    #[test]
    fn lag_is_bounded_by_a_slice(
        tasks in prop::collection::vec(task(), 1..10),
        cuts in prop::collection::vec(100_u64..20_000, 1..400),
    ) {
        let mut ideal = Ideal::new(&tasks);
        let longest = ideal.clients.iter().map(Client::slice).fold(0.0, f64::max);
        for cut in cuts {
            let id = ideal.turn(Nanos::from_micros(cut));
            ideal.stay(id);
            for client in &ideal.clients {
                let (ahead, behind) = (-client.slice() - GRANULARITY, longest + GRANULARITY);
                prop_assert!((ahead..=behind).contains(&client.lag), "{client:?}");
            }
        }
    }

    /// With comings and goings, and the lag of those who come back: three of the longest slices either way. Who joins or
    /// leaves drags the others along, so one slice is not enough.
    #[test]
    fn lag_is_bounded_while_tasks_come_and_go(
        tasks in prop::collection::vec(task(), 2..10),
        steps in prop::collection::vec((100_u64..20_000, 0_u32..4, 0_usize..10), 1..400),
    ) {
        let mut ideal = Ideal::new(&tasks);
        let longest = ideal.clients.iter().map(Client::slice).fold(0.0, f64::max);
        let bound = 3.0 * longest + GRANULARITY;
        for (cut, sleeps, wakes) in steps {
            if ideal.weight() > 0.0 {
                let id = ideal.turn(Nanos::from_micros(cut));
                if sleeps == 0 { ideal.sleep(id) } else { ideal.stay(id) }
            }
            ideal.wake(wakes % tasks.len());
            for client in ideal.clients.iter().filter(|client| client.competes) {
                prop_assert!(client.lag.abs() <= bound, "{client:?}");
            }
        }
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

/// EEVDF: a task that sleeps most of the time runs soon after it wakes, however many hogs there are.
#[test]
fn eevdf_lets_a_sleeper_run_soon() {
    let mut policy = (eevdf::KIND.create)(SETUP);
    assert!(policy.reserve(16));
    (0..8).for_each(|id| policy.enqueue(&view(id, 0), Event::Spawned));
    let mut sleeper = view(100, 0);
    let mut now = Nanos::ZERO;
    for _ in 0..200 {
        let hog = policy.pick(now).expect("hogs");
        now = now + Nanos::from_millis(1);
        let _ = policy.tick(Nanos::from_millis(1));
        policy.enqueue(&sleeper, Event::Woken);
        policy.enqueue(&view(hog.task.0, 0), Event::Preempted);
        let mut delay = Nanos::ZERO;
        loop {
            let pick = policy.pick(now).expect("runnable");
            if pick.task == sleeper.id {
                let _ = policy.tick(Nanos::from_micros(50));
                sleeper.memory = policy.leave(Event::Blocked);
                break;
            }
            delay = delay + pick.slice;
            let _ = policy.tick(pick.slice);
            policy.enqueue(&view(pick.task.0, 0), Event::Preempted);
        }
        assert!(delay <= Nanos(9 * eevdf::SLICE.0), "waited {delay:?}");
    }
}

/// Who yields over and over puts its deadline off, and runs until then when it is chosen: not for longer than others do.
#[test]
fn who_has_yielded_often_gets_no_long_turn() {
    let mut policy = (eevdf::KIND.create)(SETUP);
    assert!(policy.reserve(2));
    let (polite, other) = (view(1, 0), view(2, 0));
    policy.enqueue(&polite, Event::Spawned);
    for _ in 0..1000 {
        assert!(policy.pick(Nanos::ZERO).is_some());
        let _ = policy.tick(Nanos::from_micros(1));
        policy.enqueue(&polite, Event::Yielded);
    }
    policy.enqueue(&other, Event::Spawned);
    for _ in 0..100 {
        let pick = policy.pick(Nanos::ZERO).expect("two wait");
        assert!(pick.slice.0 <= 2 * eevdf::SLICE.0, "{:?} for {:?}", pick.task, pick.slice);
        let _ = policy.tick(pick.slice);
        policy.enqueue(&view(pick.task.0, 0), Event::Preempted);
    }
}
