//! The scheduler and what a kernel does around it: several CPUs, played in turn by one host thread, in virtual time.
//!
//! Each CPU has a timer that is set where a kernel sets it, which is when the CPU looks: after its own switches and ticks,
//! and when it is told to. Nothing else is noticed before the timer fires.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;
use sched::policy::{POLICIES, PolicyKind};
use sched::{
    Fate, Leave, Parameters, ParkMode, Resched, Schedulable, Scheduler, Switch, Switched, TaskCore,
    WakeMask,
};

/// A task without a thread.
pub struct Task(pub TaskCore);

impl Schedulable for Task {
    fn task(&self) -> &TaskCore {
        &self.0
    }
}

struct Cpu {
    running: Arc<Task>,
    timer: Nanos,
    is_told: bool,
}

/// See the module's documentation.
pub struct Machine {
    pub scheduler: Scheduler<Task>,
    pub now: Nanos,
    cpus: Vec<Cpu>,
}

impl Machine {
    pub fn new(cpus: usize) -> Self {
        Self::with_policy(cpus, &POLICIES[0])
    }

    pub fn with_policy(cpus: usize, policy: &'static PolicyKind) -> Self {
        let scheduler = Scheduler::new(cpus, policy);
        let bring_online = |cpu| {
            let mask = CpuMask::only(CpuId::new(cpu));
            let idle = make(&scheduler, Parameters::DEFAULT, &mask);
            scheduler.bring_online(CpuId::new(cpu), Arc::clone(&idle), Nanos::ZERO);
            Cpu { running: idle, timer: Nanos::MAX, is_told: false }
        };
        let cpus = (0..cpus).map(bring_online).collect();
        Self { scheduler, now: Nanos(1), cpus }
    }

    /// A task that sleeps.
    pub fn make(&self, parameters: Parameters, cpus: &[usize]) -> Arc<Task> {
        let mask: CpuMask = cpus.iter().copied().map(CpuId::new).collect();
        make(&self.scheduler, parameters, &mask)
    }

    /// A task that runs or waits.
    pub fn spawn(&mut self, parameters: Parameters, cpus: &[usize]) -> Arc<Task> {
        let task = self.make(parameters, cpus);
        let resched = self.scheduler.spawn(&task, self.now, CpuId::BOOT);
        self.carry_out(resched, 0);
        self.settle();
        task
    }

    /// Wakes a task from the first CPU.
    pub fn wake(&mut self, task: &Arc<Task>) {
        let resched = self.scheduler.wake(task, WakeMask::EVENT, self.now, CpuId::BOOT);
        self.carry_out(resched, 0);
        self.settle();
    }

    /// The task that runs on `cpu` goes to sleep.
    pub fn block(&mut self, cpu: usize) {
        self.cpus[cpu].running.0.park.prepare(ParkMode::Interruptible);
        self.switch(cpu, Leave::Block);
        self.settle();
    }

    /// Whether `task` runs, and where.
    pub fn place_of(&self, task: &Arc<Task>) -> Option<usize> {
        self.cpus.iter().position(|cpu| Arc::ptr_eq(&cpu.running, task))
    }

    /// What `task` has had so far, with the time since it was charged last.
    pub fn run_time(&self, task: &Arc<Task>) -> Nanos {
        let since = match self.place_of(task) {
            Some(_) => self.now.saturating_sub(task.0.started_at()),
            None => Nanos::ZERO,
        };
        task.0.statistics().run_time.saturating_add(since)
    }

    /// Lets time pass until `end`, from timer to timer.
    pub fn run_until(&mut self, end: Nanos) {
        while let Some(cpu) = (0..self.cpus.len()).min_by_key(|&cpu| self.cpus[cpu].timer)
            && self.cpus[cpu].timer <= end
        {
            self.now = self.now.saturating_add(Nanos(1)).max(self.cpus[cpu].timer);
            self.cpus[cpu].timer = Nanos::MAX;
            let id = CpuId::new(cpu);
            let resched = self.scheduler.tick(id, self.now);
            self.carry_out(resched, cpu);
            let resched = self.scheduler.balance(id, self.now);
            self.carry_out(resched, cpu);
            self.look(cpu);
            self.settle();
        }
        self.now = self.now.max(end);
    }

    pub fn carry_out(&mut self, resched: Resched, here: usize) {
        match resched {
            Resched::No => {}
            Resched::Here => self.look(here),
            Resched::Cpu(cpu) => self.look(cpu.index()),
            Resched::Both(first, second) => {
                self.look(first.index());
                self.look(second.index());
            }
        }
    }

    fn look(&mut self, cpu: usize) {
        let id = CpuId::new(cpu);
        self.cpus[cpu].is_told |= self.scheduler.should_switch(id);
        self.cpus[cpu].timer = self.scheduler.deadline(id);
    }

    /// `cpu` calls the scheduler.
    pub fn switch(&mut self, cpu: usize, leave: Leave) {
        let id = CpuId::new(cpu);
        arch::set_current_cpu(id);
        self.cpus[cpu].is_told = false;
        let left = match self.scheduler.begin_switch(self.scheduler.queue(id), self.now, leave) {
            Switched::Stay => None,
            Switched::To(switch) => {
                let next = Arc::clone(switch.next());
                let Switch { previous, fate, guard: _guard } = switch;
                previous.0.park.set_off_cpu();
                self.cpus[cpu].running = next;
                Some((previous, fate))
            }
        };
        self.look(cpu);
        if let Some((previous, fate)) = left {
            assert_ne!(fate, Fate::Ended, "no task ends here");
            let resched = self.scheduler.finish_switch(previous, fate, self.now, id);
            self.carry_out(resched, cpu);
        }
    }

    /// Lets every CPU that was told to switch do so, until none is.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let Some(cpu) = self.cpus.iter().position(|cpu| cpu.is_told) else { return };
            self.switch(cpu, Leave::Preempt);
        }
        panic!("reschedule requests without end");
    }
}

fn make(scheduler: &Scheduler<Task>, parameters: Parameters, mask: &CpuMask) -> Arc<Task> {
    let id = scheduler.reserve_task().expect("memory");
    Arc::new(Task(TaskCore::new(id, parameters, mask)))
}
