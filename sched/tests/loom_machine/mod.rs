//! The scheduler and what a kernel does around it, for loom: each thread of a model plays a CPU, or a waker.
//!
//! All of it is the scheduler's own code, its spin locks included (`arch::sync` hands them to loom). The models are small and
//! their preemptions bounded, as real code has many steps.
#![allow(dead_code, reason = "each model uses some of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;
use sched::policy::POLICIES;
use sched::{
    Fate, Leave, Parameters, Phase, Resched, Schedulable, Scheduler, Switch, Switched, TaskCore,
    WakeMask,
};

/// The time of everything: nothing here waits for it.
pub const NOW: Nanos = Nanos(1000);

/// A task without a thread.
pub struct Task(pub TaskCore);

impl Schedulable for Task {
    fn task(&self) -> &TaskCore {
        &self.0
    }
}

/// What one CPU knows. No thread of a model gives way while it holds the lock, so loom need not know it.
struct Cpu {
    running: Mutex<Arc<Task>>,
    /// Somebody made the CPU look, and it saw that it should switch.
    is_told: AtomicBool,
}

/// See the module's documentation.
pub struct Machine {
    pub scheduler: Scheduler<Task>,
    cpus: Vec<Cpu>,
}

/// Explores the interleavings of `model` with at most `preemptions` preemptions in each.
pub fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

impl Machine {
    /// A machine of `cpus` CPUs, all online.
    pub fn new(cpus: usize) -> Arc<Self> {
        let machine = Self::with_one_online(cpus);
        (1..cpus).for_each(|cpu| machine.bring_online(cpu));
        machine
    }

    /// A machine of `cpus` CPUs, of which the first is online.
    pub fn with_one_online(cpus: usize) -> Arc<Self> {
        let scheduler = Scheduler::new(cpus, &POLICIES[1]);
        let offline = |cpu| {
            let idle = make(&scheduler, Parameters::DEFAULT, &[cpu]);
            Cpu { running: Mutex::new(idle), is_told: AtomicBool::new(false) }
        };
        let cpus = (0..cpus).map(offline).collect();
        let machine = Arc::new(Self { scheduler, cpus });
        machine.bring_online(0);
        machine
    }

    /// Lets `cpu` take part.
    pub fn bring_online(&self, cpu: usize) {
        let idle = Arc::clone(&self.running(cpu));
        self.scheduler.bring_online(CpuId::new(cpu), idle, Nanos::ZERO);
    }

    /// A task that sleeps.
    pub fn make(&self, parameters: Parameters, cpus: &[usize]) -> Arc<Task> {
        make(&self.scheduler, parameters, cpus)
    }

    /// A task that runs or waits.
    pub fn spawn(&self, parameters: Parameters, cpus: &[usize]) -> Arc<Task> {
        let task = self.make(parameters, cpus);
        self.wake(&task, cpus[0]);
        self.settle();
        task
    }

    /// Wakes `task`; the CPU `here` does it.
    pub fn wake(&self, task: &Arc<Task>, here: usize) {
        let resched = self.scheduler.wake(task, WakeMask::EVENT, NOW, CpuId::new(here));
        self.carry_out(resched, here);
    }

    pub fn carry_out(&self, resched: Resched, here: usize) {
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

    fn look(&self, cpu: usize) {
        if self.scheduler.should_switch(CpuId::new(cpu)) {
            self.cpus[cpu].is_told.store(true, Ordering::Relaxed);
        }
    }

    /// `cpu` calls the scheduler.
    pub fn switch(&self, cpu: usize, leave: Leave) {
        let id = CpuId::new(cpu);
        self.cpus[cpu].is_told.store(false, Ordering::Relaxed);
        let Switched::To(switch) =
            self.scheduler.begin_switch(self.scheduler.queue(id), NOW, leave)
        else {
            return self.look(cpu);
        };
        let next = Arc::clone(switch.next());
        let Switch { guard, previous, fate } = switch;
        assert!(Arc::ptr_eq(&previous, &self.running(cpu)), "another task had the CPU");
        let elsewhere = (0..self.cpus.len()).filter(|&other| other != cpu);
        for other in elsewhere {
            assert!(!Arc::ptr_eq(&next, &self.running(other)), "a task runs on two CPUs");
        }
        *self.running(cpu) = next;
        previous.0.park.set_off_cpu();
        drop(guard);
        if fate != Fate::Left {
            let resched = self.scheduler.finish_switch(previous, fate, NOW, id);
            self.carry_out(resched, cpu);
            self.look(cpu);
        }
    }

    /// Lets every CPU that was told to switch do so, until none is. Nobody else does anything any more.
    pub fn settle(&self) {
        for _ in 0..100 {
            let told = |cpu: &Cpu| cpu.is_told.load(Ordering::Relaxed);
            let Some(cpu) = self.cpus.iter().position(told) else { return };
            self.switch(cpu, Leave::Preempt);
        }
        panic!("reschedule requests without end");
    }

    /// The task that runs on `cpu`.
    pub fn running(&self, cpu: usize) -> MutexGuard<'_, Arc<Task>> {
        self.cpus[cpu].running.lock().unwrap()
    }

    /// The CPU that `task` runs on.
    pub fn place_of(&self, task: &Arc<Task>) -> Option<usize> {
        (0..self.cpus.len()).find(|&cpu| Arc::ptr_eq(task, &self.running(cpu)))
    }

    /// Checks that `task` is in one place if it is runnable, else in none, and only where it may be.
    pub fn check(&self, task: &Arc<Task>) {
        let mut places = 0;
        for cpu in 0..self.cpus.len() {
            let runs = usize::from(Arc::ptr_eq(task, &self.running(cpu)));
            let queue = self.scheduler.queue(CpuId::new(cpu)).lock();
            let here = runs + queue.tasks().filter(|queued| Arc::ptr_eq(queued, task)).count();
            assert!(here == 0 || task.0.may_run_on(CpuId::new(cpu)), "on a forbidden CPU");
            places += here;
        }
        let expected = usize::from(task.0.park.phase() != Phase::Parked);
        assert_eq!(places, expected, "a task lost or duplicated");
    }
}

fn make(scheduler: &Scheduler<Task>, parameters: Parameters, cpus: &[usize]) -> Arc<Task> {
    let id = scheduler.reserve_task().expect("memory");
    let mask: CpuMask = cpus.iter().copied().map(CpuId::new).collect();
    Arc::new(Task(TaskCore::new(id, parameters, &mask)))
}
