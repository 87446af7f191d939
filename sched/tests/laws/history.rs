//! A random history of calls to one policy, beside what the policy should contain.

use std::collections::BTreeMap;

use arch::time::Nanos;
use proptest::prelude::*;
use sched::TaskId;
use sched::policy::{Event, Policy, PolicyKind, TaskView, Verdict};

use super::{SETUP, view};

/// A policy, and what it should contain.
pub struct Model {
    policy: Box<dyn Policy>,
    /// As it was enqueued: a view from an earlier stay must not come back.
    queued: BTreeMap<TaskId, TaskView>,
    next_slot: u32,
    asleep: BTreeMap<TaskId, TaskView>,
    current: Option<TaskView>,
    now: Nanos,
    next_id: u64,
}

/// A call, or nothing where there is nothing to make it with.
#[derive(Clone, Copy, Debug)]
pub enum Step {
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

/// Any call that a run queue may make.
pub fn step() -> impl Strategy<Value = Step> {
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
    /// An empty one.
    pub fn new(kind: &PolicyKind) -> Self {
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
        if !matches!(event, Event::Preempted | Event::Yielded) {
            task.slot = self.next_slot;
            self.next_slot += 1;
        }
        assert_eq!(self.queued.insert(task.id, task), None);
        self.policy.enqueue(&task, event);
    }

    /// The policy gave up `task`, in `slot`: it had it, by this very view, which is returned.
    fn forget(&mut self, task: TaskId, slot: u32) -> TaskView {
        let queued = self.queued.remove(&task).expect("it was not queued");
        assert_eq!(queued.slot, slot, "not what was queued");
        queued
    }

    /// Makes the call, and checks what comes of it.
    pub fn apply(&mut self, step: Step) {
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
                    assert!(pick.slice > Nanos::ZERO);
                    self.current = Some(self.forget(pick.task, pick.slot));
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
                    self.forget(task.id, task.slot);
                    self.asleep.insert(task.id, task);
                }
            }
            Step::Remove(which) => {
                if let Some(id) = self.queued.keys().nth(which).copied() {
                    let task = self.policy.remove(id).expect("it is queued");
                    assert_eq!(task.id, id);
                    self.forget(task.id, task.slot);
                    self.asleep.insert(id, task);
                }
                assert!(self.policy.remove(TaskId(u64::MAX)).is_none());
            }
            Step::Drain => {
                while let Some(task) = self.policy.drain() {
                    self.forget(task.id, task.slot);
                    self.asleep.insert(task.id, task);
                }
                assert!(self.queued.is_empty(), "lost in draining");
            }
            Step::Pick | Step::Run(_) | Step::Exit => {}
        }
        assert_eq!(self.policy.len(), self.queued.len(), "lost or duplicated");
    }
}
