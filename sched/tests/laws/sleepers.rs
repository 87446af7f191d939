//! Tasks that run for a while, sleep for a while, and so on, under one policy on one CPU: who waits for how long.

use arch::time::Nanos;
use sched::policy::{Event, Policy, PolicyKind, TaskView, Verdict};

use super::{SETUP, view};

/// What a task does, over and over.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    pub nice: i32,
    /// How long it runs.
    pub run: Nanos,
    /// How long it sleeps then; zero for a task that never does.
    pub sleep: Nanos,
}

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { since: Nanos },
    Running,
    Asleep { until: Nanos },
}

struct Sleeper {
    habit: Habit,
    view: TaskView,
    state: State,
    /// What is left to run before it sleeps.
    left: Nanos,
    longest_wait: Nanos,
}

impl Sleeper {
    fn new(id: u64, habit: Habit) -> Self {
        Self {
            habit,
            view: view(id, habit.nice),
            state: State::Waiting { since: Nanos::ZERO },
            left: habit.run,
            longest_wait: Nanos::ZERO,
        }
    }

    fn wake_time(&self) -> Option<Nanos> {
        match self.state {
            State::Asleep { until } => Some(until),
            _ => None,
        }
    }
}

struct Machine {
    policy: Box<dyn Policy>,
    tasks: Vec<Sleeper>,
    now: Nanos,
}

/// Runs tasks of these habits for `total`. Returns the longest wait of each, one that has not ended included.
pub fn waits(kind: &PolicyKind, habits: &[Habit], total: Nanos) -> Vec<Nanos> {
    let mut policy = (kind.create)(SETUP);
    assert!(policy.reserve(habits.len()));
    let tasks: Vec<_> = (0..).zip(habits).map(|(id, &habit)| Sleeper::new(id, habit)).collect();
    tasks.iter().for_each(|task| policy.enqueue(&task.view, Event::Spawned));
    let mut machine = Machine { policy, tasks, now: Nanos::ZERO };
    while machine.now < total {
        machine.turn();
    }
    let waits = machine.tasks.iter().map(|task| match task.state {
        State::Waiting { since } => task.longest_wait.max(machine.now - since),
        _ => task.longest_wait,
    });
    waits.collect()
}

impl Machine {
    /// One task's turn, or idleness until somebody wakes.
    fn turn(&mut self) {
        let Some(pick) = self.policy.pick(self.now) else {
            let waking = self.tasks.iter().filter_map(Sleeper::wake_time).min();
            self.now = waking.expect("nobody is there");
            self.wake();
            return;
        };
        let id = pick.task.0 as usize;
        let task = &mut self.tasks[id];
        if let State::Waiting { since } = task.state {
            task.longest_wait = task.longest_wait.max(self.now - since);
        }
        task.state = State::Running;
        let mut slice = pick.slice;
        loop {
            let waking = self.tasks.iter().filter_map(Sleeper::wake_time).min();
            let until_wake = waking.map_or(slice, |time| time.saturating_sub(self.now));
            let task = &mut self.tasks[id];
            let span = slice.min(until_wake).min(task.left);
            task.left = task.left - span;
            self.now = self.now + span;
            let verdict = self.policy.tick(span);
            if self.tasks[id].left == Nanos::ZERO && self.goes_to_sleep(id) {
                self.wake();
                return;
            }
            let preempted = self.wake();
            match verdict {
                Verdict::Continue(left) if !preempted => slice = left,
                _ => break,
            }
        }
        let task = &mut self.tasks[id];
        task.state = State::Waiting { since: self.now };
        self.policy.enqueue(&task.view, Event::Preempted);
    }

    /// The running task has done what it does; says whether it sleeps.
    fn goes_to_sleep(&mut self, id: usize) -> bool {
        let task = &mut self.tasks[id];
        task.left = task.habit.run;
        if task.habit.sleep == Nanos::ZERO {
            return false;
        }
        task.state = State::Asleep { until: self.now + task.habit.sleep };
        task.view.memory = self.policy.leave(Event::Blocked);
        true
    }

    /// Wakes everybody whose time has come; says whether one of them preempts.
    fn wake(&mut self) -> bool {
        let mut preempts = false;
        for task in &mut self.tasks {
            if task.wake_time().is_some_and(|time| time <= self.now) {
                task.state = State::Waiting { since: self.now };
                self.policy.enqueue(&task.view, Event::Woken);
                preempts |= self.policy.preempts(task.view.id);
            }
        }
        preempts
    }
}
