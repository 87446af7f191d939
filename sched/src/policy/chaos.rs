//! Chaos: decides by chance, to bring out what depends on order and time in everything else.
//!
//! It picks any task for any short time, lets newcomers preempt by the toss of a coin, wakes tasks on any idle CPU
//! (on any at all when none is), and gives any task away. What it keeps is what programs may rely on: the CPU never idles
//! while a task waits, and every [`PATIENCE`] picks the one that has waited longest runs.

use alloc::boxed::Box;

use arch::cpu::CpuId;
use arch::time::Nanos;

use super::{
    CounterKind, CpuSnapshot, Event, Line, Memory, Pick, Policy, PolicyKind, Random, Setup,
    TaskView, Verdict,
};
use crate::task::TaskId;

/// The longest slice; they are powers of two below it.
pub const SLICE: Nanos = Nanos(SHORTEST << (SLICES - 1));
const SHORTEST: u64 = 50_000;
const SLICES: u64 = 7;
/// After so many picks by chance, one by age.
const PATIENCE: u64 = 8;

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "chaos",
    about: "chance decides who runs, where and how long, to amplify races; the seed is sched_seed=",
    slice: SLICE,
    create: |setup| Box::new(Chaos::new(setup)),
    select_cpu: anywhere,
    counters: &[
        CounterKind {
            name: "preemptions",
            unit: "tasks",
            about: "tasks that were allowed to preempt when they were queued",
        },
        CounterKind {
            name: "overtaken",
            unit: "picks",
            about: "picks by chance that passed over an older task",
        },
    ],
};

/// Any idle CPU, or else any.
fn anywhere(_task: &TaskView, cpus: &CpuSnapshot<'_>) -> CpuId {
    let idle = cpus.allowed.and(&cpus.idle);
    let choice = if idle.is_empty() { cpus.allowed } else { idle };
    let which = Random::new(cpus.random).below(choice.len().max(1) as u64);
    choice.iter().nth(which as usize).unwrap_or(cpus.last)
}

/// A queue in order of arrival, and chance.
#[derive(Debug)]
pub struct Chaos {
    line: Line,
    random: Random,
    /// Chance of its own for whom to give away: who may be asked for depends on affinities, of which a replay knows nothing.
    gifts: Random,
    left: Nanos,
    picks: u64,
    counters: [u64; 2],
}

impl Chaos {
    fn new(setup: Setup) -> Self {
        let seed = Random::mix(setup.seed).wrapping_add(setup.cpu.index() as u64);
        Self {
            line: Line::default(),
            random: Random::new(Random::mix(seed)),
            gifts: Random::new(Random::mix(!seed)),
            left: Nanos::ZERO,
            picks: 0,
            counters: [0; 2],
        }
    }
}

impl Policy for Chaos {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.line.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, _event: Event) {
        self.line.push_back(*task);
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        if self.line.is_empty() {
            return None;
        }
        self.picks += 1;
        let by_age = self.picks.is_multiple_of(PATIENCE);
        let which = if by_age { 0 } else { self.random.below(self.line.len() as u64) };
        self.counters[1] += u64::from(which > 0);
        let task = self.line.take(which as usize)?;
        self.left = Nanos(SHORTEST << self.random.below(SLICES));
        Some(task.runs_for(self.left))
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        self.left = self.left.saturating_sub(ran);
        if self.left > Nanos::ZERO { Verdict::Continue(self.left) } else { Verdict::Reschedule }
    }

    fn preempts(&mut self, _task: TaskId) -> bool {
        let preempts = self.random.one_in(2);
        self.counters[0] += u64::from(preempts);
        preempts
    }

    fn leave(&mut self, _event: Event) -> Memory {
        Memory::default()
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.line.remove(task)
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        let movable = self.line.iter().filter(|task| may_move(task)).count();
        let which = self.gifts.below(movable.max(1) as u64) as usize;
        let chosen = self.line.iter().filter(|task| may_move(task)).nth(which)?.id;
        self.line.remove(chosen)
    }

    fn drain(&mut self) -> Option<TaskView> {
        self.line.pop_front()
    }

    fn len(&self) -> usize {
        self.line.len()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_away_changes_no_other_answer() {
        let new = || Chaos::new(Setup { cpu: CpuId::new(0), seed: 3 });
        let (mut asked, mut left_alone) = (new(), new());
        for number in 0..100 {
            let task = TaskView {
                id: TaskId(number),
                slot: number as u32,
                weight: 1024,
                batch: false,
                slice: Nanos::ZERO,
                memory: Memory::default(),
            };
            for policy in [&mut asked, &mut left_alone] {
                policy.enqueue(&task, Event::Woken);
            }
        }
        for _ in 0..100 {
            assert!(asked.steal(&|_| false).is_none());
            let [here, there] =
                [&mut asked, &mut left_alone].map(|policy| policy.pick(Nanos::ZERO));
            assert_eq!(here.map(|pick| pick.task), there.map(|pick| pick.task));
        }
    }
}
