//! The simulated machine: CPUs, time, and the switching that the kernel would do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, PoisonError};

use anyhow::Context;
use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;
use loads::{Chance, Load};
use sched::policy::PolicyKind;
use sched::{
    Fate, Leave, Parameters, ParkMode, Resched, Schedulable, Scheduler, Switch, Switched, WakeMask,
};

use super::SWITCH_COST;
use super::task::{Notices, SimulatedTask, State, affinity_of, parameters_of};
use crate::run::Progress;
use crate::trace::{Entry, Reason, Trace, What};

/// A deadline of the scheduler that has passed already is served this much later, in nanoseconds.
const SHORTEST_TICK: u64 = 10_000;

/// A lock of the load.
#[derive(Default)]
pub(super) struct Lock {
    pub(super) holder: Option<usize>,
    pub(super) waiters: VecDeque<usize>,
}

/// A channel of the load.
#[derive(Default)]
pub(super) struct Channel {
    pub(super) tokens: u64,
    pub(super) waiters: VecDeque<usize>,
}

/// A CPU.
struct Cpu {
    /// What runs there; position in `tasks`, or `None` for its idle thread.
    running: Option<usize>,
    /// It was told to call the scheduler.
    pending: bool,
    /// Up to when the running task's work was counted.
    counted: u64,
}

/// What is due at some time, beside slices and work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A task of the load starts.
    Start(usize, usize),
    /// A task's sleep is over.
    Wake(usize),
}

pub(super) struct Machine<'a> {
    pub(super) load: &'a Load,
    scheduler: Scheduler<SimulatedTask>,
    cpus: Vec<Cpu>,
    pub(super) tasks: Vec<State>,
    pub(super) locks: Vec<Lock>,
    pub(super) channels: Vec<Channel>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    /// Numbers what is due, so that equal times keep their order.
    sequence: u64,
    pub(super) now: u64,
    notices: Notices,
    entries: Vec<Entry>,
    seed: u64,
}

impl<'a> Machine<'a> {
    pub(super) fn new(
        kind: &'static PolicyKind,
        load: &'a Load,
        cpus: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let scheduler = Scheduler::with_seed(cpus, kind, seed);
        let notices = Notices::default();
        for cpu in (0..cpus).map(CpuId::new) {
            let id = scheduler.reserve_task().ok().context("no memory")?;
            let mask = CpuMask::only(cpu);
            let idle = SimulatedTask::new(id, 0, Parameters::DEFAULT, &mask, &notices);
            scheduler.bring_online(cpu, idle, Nanos::ZERO);
        }
        let mut machine = Self {
            load,
            scheduler,
            cpus: (0..cpus).map(|_| Cpu { running: None, pending: false, counted: 0 }).collect(),
            tasks: Vec::new(),
            locks: (0..load.locks).map(|_| Lock::default()).collect(),
            channels: (0..load.channels).map(|_| Channel::default()).collect(),
            due: BinaryHeap::new(),
            sequence: 0,
            now: 0,
            notices,
            entries: Vec::new(),
            seed,
        };
        machine.plan();
        Ok(machine)
    }

    /// Notes when the tasks of the load start.
    fn plan(&mut self) {
        for (number, group) in self.load.groups.iter().enumerate() {
            for index in 0..group.count {
                let start = group.start + group.stagger * index as u32;
                self.when(start.as_nanos() as u64, Due::Start(number, index));
            }
        }
    }

    fn when(&mut self, time: u64, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((time, self.sequence, due)));
    }

    /// Has `task` woken at `time`.
    pub(super) fn wake_at(&mut self, time: u64, task: usize) {
        self.when(time, Due::Wake(task));
    }

    /// Goes on until the load's time is over.
    pub(super) fn run(&mut self) {
        let end = self.load.duration.as_nanos() as u64;
        self.record(0, What::Mark("begin".into()));
        loop {
            let next = self.next_time();
            if next >= end {
                break;
            }
            self.now = next;
            while let Some(&Reverse((time, _, due))) = self.due.peek()
                && time <= self.now
            {
                self.due.pop();
                self.happen(due);
            }
            for cpu in 0..self.cpus.len() {
                self.count(cpu);
                self.work_is_done(cpu);
                self.tick(cpu);
            }
            self.settle();
        }
        self.now = end;
        self.record(0, What::Mark("end".into()));
    }

    /// When something happens next.
    fn next_time(&self) -> u64 {
        let due = self.due.peek().map_or(u64::MAX, |&Reverse((time, ..))| time);
        let cpus = self.cpus.iter().enumerate().map(|(number, cpu)| {
            let work = cpu.running.map_or(u64::MAX, |task| cpu.counted + self.tasks[task].left);
            work.min(self.scheduler.deadline(CpuId::new(number)).0.max(self.now + SHORTEST_TICK))
        });
        cpus.fold(due, u64::min)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Start(group, index) => {
                let cpu = self.tasks.len() % self.cpus.len();
                self.start(group, index, None, cpu);
            }
            Due::Wake(task) => {
                let cpu = self.tasks[task].task.task().cpu().index();
                self.wake(task, cpu);
            }
        }
    }

    /// Makes a task of `group` runnable; `cpu` does it.
    pub(super) fn start(&mut self, group: usize, index: usize, parent: Option<usize>, cpu: usize) {
        let Ok(id) = self.scheduler.reserve_task() else { return };
        let description = &self.load.groups[group];
        let affinity = affinity_of(description, self.cpus.len());
        let number = self.tasks.len() as u32 + 1;
        let parameters = parameters_of(description);
        let task = SimulatedTask::new(id, number, parameters, &affinity, &self.notices);
        let state = State {
            task: Arc::clone(&task),
            group,
            index,
            step: 0,
            left: 0,
            is_in_step: false,
            started: self.now,
            rounds: 0,
            missed: 0,
            parent,
            children: 0,
            joins: false,
            has_ended: false,
            chance: Chance::new(self.seed, u64::from(number)),
        };
        let name = state.name(self.load);
        self.tasks.push(state);
        if let Some(parent) = parent {
            let parent = self.tasks[parent].task.number;
            self.record(cpu, What::Fork { parent, child: number });
        }
        self.record(cpu, What::Name { task: number, name });
        let resched = self.scheduler.spawn(&task, Nanos(self.now), CpuId::new(cpu));
        self.carry_out(resched, cpu);
    }

    /// Wakes `task`; `cpu` does it.
    pub(super) fn wake(&mut self, task: usize, cpu: usize) {
        let task = Arc::clone(&self.tasks[task].task);
        let here = CpuId::new(cpu);
        let resched = self.scheduler.wake(&task, WakeMask::EVENT, Nanos(self.now), here);
        self.carry_out(resched, cpu);
    }

    fn carry_out(&mut self, resched: Resched, here: usize) {
        self.take_notices(here);
        let told = match resched {
            Resched::No => [None, None],
            Resched::Here => [Some(here), None],
            Resched::Cpu(cpu) => [Some(cpu.index()), None],
            Resched::Both(first, second) => [Some(first.index()), Some(second.index())],
        };
        for cpu in told.into_iter().flatten() {
            self.cpus[cpu].pending |= self.scheduler.should_switch(CpuId::new(cpu));
        }
    }

    pub(super) fn record(&mut self, cpu: usize, what: What) {
        self.entries.push(Entry { time: self.now, cpu, what });
    }

    fn take_notices(&mut self, cpu: usize) {
        let notices =
            std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner));
        notices.into_iter().for_each(|notice| self.record(cpu, notice));
    }

    /// Takes the time since the last count off the running task's work.
    fn count(&mut self, cpu: usize) {
        let this = &mut self.cpus[cpu];
        let elapsed = self.now - this.counted;
        this.counted = self.now;
        if let Some(task) = this.running {
            let left = &mut self.tasks[task].left;
            *left = left.saturating_sub(elapsed);
        }
    }

    /// If the running task's work is done, it goes on to its next steps, until there is work again or it leaves.
    fn work_is_done(&mut self, cpu: usize) {
        while let Some(task) = self.cpus[cpu].running
            && self.tasks[task].left == 0
            && !self.cpus[cpu].pending
        {
            match self.go_on(task, cpu) {
                None => break,
                Some(Leave::Block) => {
                    let core = self.tasks[task].task.task();
                    core.park.prepare(ParkMode::Interruptible);
                    self.switch(cpu, Leave::Block);
                }
                Some(leave) => self.switch(cpu, leave),
            }
        }
    }

    fn tick(&mut self, cpu: usize) {
        let id = CpuId::new(cpu);
        if self.scheduler.deadline(id).0 <= self.now {
            let resched = self.scheduler.tick(id, Nanos(self.now));
            self.carry_out(resched, cpu);
            let resched = self.scheduler.balance(id, Nanos(self.now));
            self.carry_out(resched, cpu);
        }
    }

    /// Lets every CPU that was told to switch do so, and what runs then begin its work.
    fn settle(&mut self) {
        while let Some(cpu) = self.cpus.iter().position(|cpu| cpu.pending) {
            self.switch(cpu, Leave::Preempt);
            self.work_is_done(cpu);
        }
    }

    /// Has the scheduler choose who runs next. `None` if that is who runs.
    fn choose(
        &self,
        cpu: CpuId,
        leave: Leave,
    ) -> Option<(Arc<SimulatedTask>, Fate, Arc<SimulatedTask>)> {
        match self.scheduler.begin_switch(self.scheduler.queue(cpu), Nanos(self.now), leave) {
            Switched::Stay => None,
            Switched::To(switch) => {
                let next = Arc::clone(switch.next());
                let Switch { previous, fate, guard: _guard } = switch;
                previous.task().park.set_off_cpu();
                Some((previous, fate, next))
            }
        }
    }

    fn switch(&mut self, cpu: usize, leave: Leave) {
        let id = CpuId::new(cpu);
        arch::set_current_cpu(id);
        self.count(cpu);
        self.cpus[cpu].pending = false;
        let outcome = self.choose(id, leave);
        self.take_notices(cpu);
        let Some((previous, fate, next)) = outcome else { return };
        let reason = match leave {
            Leave::Block => Reason::Blocked,
            Leave::Preempt => Reason::Preempted,
            Leave::Yield => Reason::Yielded,
            Leave::Exit => Reason::Ended,
        };
        self.record(cpu, What::Switch { from: previous.number, to: next.number, reason });
        self.cpus[cpu].running = (next.number as usize).checked_sub(1);
        if let Some(task) = self.cpus[cpu].running {
            self.tasks[task].left += SWITCH_COST;
        }
        if fate == Fate::Ended {
            self.scheduler.release_task();
        }
        let resched = self.scheduler.finish_switch(previous, fate, Nanos(self.now), id);
        self.carry_out(resched, cpu);
    }

    /// The trace, and what every task of the load achieved.
    pub(super) fn finish(self) -> (Trace, Vec<Progress>) {
        let progress = self.tasks.iter().map(|task| Progress {
            task: task.name(self.load),
            rounds: task.rounds,
            missed: task.missed,
        });
        let progress = progress.collect();
        let trace = Trace { cpus: self.cpus.len(), entries: self.entries, ..Trace::default() };
        (trace, progress)
    }
}
