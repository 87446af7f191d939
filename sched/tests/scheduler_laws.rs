//! Laws of the whole scheduler with several CPUs, by property tests over random histories: every runnable task is in exactly
//! one place, runs only where it may, and no CPU stays idle while a task that it may run waits.
#![cfg(not(loom))]

use std::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;
use proptest::prelude::*;
use sched::policy::POLICIES;
use sched::{
    Discipline, Fate, Leave, Nice, Parameters, ParkMode, Phase, Resched, Schedulable, Scheduler,
    Switch, Switched, TaskCore, WakeMask,
};

const CPUS: usize = 4;

struct Task(TaskCore);

impl Schedulable for Task {
    fn task(&self) -> &TaskCore {
        &self.0
    }
}

/// The scheduler and what a kernel would do around it, on one host thread that plays every CPU in turn.
struct Machine {
    scheduler: Scheduler<Task>,
    running: Vec<Arc<Task>>,
    idle: Vec<Arc<Task>>,
    tasks: Vec<Arc<Task>>,
    pending: Vec<bool>,
    now: Nanos,
}

#[derive(Clone, Debug)]
enum Step {
    Spawn(i32),
    Block(usize),
    Wake(usize),
    Yield(usize),
    Exit(usize),
    Tick(usize, u64),
    Affinity(usize, u8),
    RealTime(usize, u8),
    Nice(usize, i32),
    Policy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (-20..20).prop_map(Step::Spawn),
        4 => (0..CPUS).prop_map(Step::Block),
        5 => (0_usize..32).prop_map(Step::Wake),
        2 => (0..CPUS).prop_map(Step::Yield),
        1 => (0..CPUS).prop_map(Step::Exit),
        8 => (0..CPUS, 0_u64..15_000_000).prop_map(|(cpu, span)| Step::Tick(cpu, span)),
        2 => (0_usize..32, 1_u8..16).prop_map(|(task, mask)| Step::Affinity(task, mask)),
        1 => (0_usize..32, 0_u8..4).prop_map(|(task, priority)| Step::RealTime(task, priority)),
        1 => (0_usize..32, -20..20).prop_map(|(task, nice)| Step::Nice(task, nice)),
        1 => (0..POLICIES.len()).prop_map(Step::Policy),
    ]
}

impl Machine {
    fn new(policy: usize) -> Self {
        let scheduler = Scheduler::new(CPUS, &POLICIES[policy]);
        let idle: Vec<_> = (0..CPUS)
            .map(|cpu| {
                let id = scheduler.reserve_task().expect("memory");
                let mask = CpuMask::only(CpuId::new(cpu));
                Arc::new(Task(TaskCore::new(id, Parameters::DEFAULT, &mask)))
            })
            .collect();
        for (cpu, task) in idle.iter().enumerate() {
            scheduler.bring_online(CpuId::new(cpu), Arc::clone(task), Nanos::ZERO);
        }
        let running = idle.clone();
        let pending = vec![false; CPUS];
        Self { scheduler, running, idle, tasks: Vec::new(), pending, now: Nanos(1) }
    }

    fn carry_out(&mut self, resched: Resched, here: usize) {
        let told = match resched {
            Resched::No => [None, None],
            Resched::Here => [Some(here), None],
            Resched::Cpu(cpu) => [Some(cpu.index()), None],
            Resched::Both(first, second) => [Some(first.index()), Some(second.index())],
        };
        for cpu in told.into_iter().flatten() {
            self.pending[cpu] |= self.scheduler.should_switch(CpuId::new(cpu));
        }
    }

    fn switch(&mut self, cpu: usize, leave: Leave) {
        let id = CpuId::new(cpu);
        arch::set_current_cpu(id);
        self.pending[cpu] = false;
        let (previous, fate, next) =
            match self.scheduler.begin_switch(self.scheduler.queue(id), self.now, leave) {
                Switched::Stay => return,
                Switched::To(switch) => {
                    let next = Arc::clone(switch.next());
                    let Switch { previous, fate, guard: _guard } = switch;
                    previous.0.park.set_off_cpu();
                    (previous, fate, next)
                }
            };
        assert!(Arc::ptr_eq(&previous, &self.running[cpu]));
        self.running[cpu] = next;
        if fate == Fate::Ended {
            self.tasks.retain(|task| !Arc::ptr_eq(task, &previous));
            self.scheduler.release_task();
        }
        let resched = self.scheduler.finish_switch(previous, fate, self.now, id);
        self.carry_out(resched, cpu);
    }

    /// Lets every CPU that was told to switch do so, until none is.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let Some(cpu) = self.pending.iter().position(|&pending| pending) else { return };
            self.switch(cpu, Leave::Preempt);
        }
        panic!("reschedule requests without end");
    }

    fn is_idle(&self, cpu: usize) -> bool {
        Arc::ptr_eq(&self.running[cpu], &self.idle[cpu])
    }

    fn apply(&mut self, step: &Step) {
        self.now = self.now + Nanos(1000);
        let here = CpuId::BOOT;
        let task = |tasks: &[Arc<Task>], index: usize| tasks.get(index).cloned();
        match *step {
            Step::Spawn(nice) => {
                let Ok(id) = self.scheduler.reserve_task() else { panic!("no memory") };
                let nice = Nice::clamped(nice);
                let parameters = Parameters { nice, ..Parameters::DEFAULT };
                let task = Arc::new(Task(TaskCore::new(id, parameters, &CpuMask::ALL)));
                self.tasks.push(Arc::clone(&task));
                let resched = self.scheduler.spawn(&task, self.now, here);
                self.carry_out(resched, 0);
            }
            Step::Block(cpu) if !self.is_idle(cpu) => {
                self.running[cpu].0.park.prepare(ParkMode::Interruptible);
                self.switch(cpu, Leave::Block);
            }
            Step::Exit(cpu) if !self.is_idle(cpu) => self.switch(cpu, Leave::Exit),
            Step::Yield(cpu) if !self.is_idle(cpu) => self.switch(cpu, Leave::Yield),
            Step::Wake(index) => {
                if let Some(task) = task(&self.tasks, index) {
                    let resched = self.scheduler.wake(&task, WakeMask::EVENT, self.now, here);
                    self.carry_out(resched, 0);
                }
            }
            Step::Tick(cpu, span) => {
                self.now = self.now + Nanos(span);
                let id = CpuId::new(cpu);
                let resched = self.scheduler.tick(id, self.now);
                self.carry_out(resched, cpu);
                let resched = self.scheduler.balance(id, self.now);
                self.carry_out(resched, cpu);
            }
            Step::Affinity(index, mask) => {
                if let Some(task) = task(&self.tasks, index) {
                    let mask = CpuMask::from_words([u64::from(mask), 0, 0, 0]);
                    let resched = self.scheduler.set_affinity(&task, &mask, self.now, here);
                    self.carry_out(resched, 0);
                }
            }
            Step::RealTime(index, priority) => {
                let discipline = if priority == 0 { Discipline::Normal } else { Discipline::Fifo };
                self.set(index, |old| Parameters { discipline, priority, ..old });
            }
            Step::Nice(index, nice) => {
                self.set(index, |old| Parameters { nice: Nice::clamped(nice), ..old });
            }
            Step::Policy(which) => {
                let replaced =
                    self.scheduler.replace_policy(&POLICIES[which], self.now).expect("memory");
                assert_eq!(self.scheduler.policy().name, POLICIES[which].name);
                replaced.0.iter().for_each(|cpu| self.carry_out(Resched::Cpu(cpu), 0));
            }
            Step::Block(_) | Step::Exit(_) | Step::Yield(_) => {}
        }
        self.settle();
        self.check();
    }

    fn set(&mut self, index: usize, change: impl FnOnce(Parameters) -> Parameters) {
        if let Some(task) = self.tasks.get(index).cloned() {
            let parameters = change(task.0.parameters());
            let resched = self.scheduler.set_parameters(&task, parameters, self.now, CpuId::BOOT);
            self.carry_out(resched.expect("no deadline task"), 0);
        }
    }

    fn check(&self) {
        let mut waiting = Vec::new();
        for cpu in 0..CPUS {
            let queue = self.scheduler.queue(CpuId::new(cpu)).lock();
            waiting.extend(queue.tasks().map(|task| (cpu, task.0.id(), task.0.affinity())));
            let published = self.scheduler.load(CpuId::new(cpu));
            assert_eq!(
                published,
                queue.load(),
                "what CPU {cpu} publishes ({} idle)",
                queue.is_idle()
            );
        }
        for task in &self.tasks {
            let runs = (0..CPUS).filter(|&cpu| Arc::ptr_eq(&self.running[cpu], task));
            let queued = waiting.iter().filter(|(_, id, _)| *id == task.0.id());
            let places = runs.count() + queued.count();
            let expected = usize::from(task.0.park.phase() != Phase::Parked);
            assert_eq!(places, expected, "a task lost or duplicated");
        }
        for cpu in 0..CPUS {
            let here = CpuId::new(cpu);
            assert!(self.running[cpu].0.may_run_on(here), "affinity of a running task");
            assert!(waiting.iter().all(|(at, _, mask)| *at != cpu || mask.contains(here)));
            let could_run = waiting.iter().any(|(_, _, mask)| mask.contains(here));
            assert!(!self.is_idle(cpu) || !could_run, "CPU {cpu} idles while a task waits");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_task_is_in_one_place_where_it_may_be(
        policy in 0..POLICIES.len(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut machine = Machine::new(policy);
        steps.iter().for_each(|step| machine.apply(step));
    }
}

/// A task that is started before any CPU takes part runs as soon as the boot processor does.
#[test]
fn tasks_may_be_started_before_the_first_cpu_is_online() {
    let scheduler = Scheduler::new(2, &POLICIES[0]);
    let task = |affinity| {
        let id = scheduler.reserve_task().expect("memory");
        Arc::new(Task(TaskCore::new(id, Parameters::DEFAULT, &affinity)))
    };
    let early = task(CpuMask::ALL);
    assert_eq!(scheduler.spawn(&early, Nanos(1), CpuId::BOOT), Resched::Here);
    scheduler.bring_online(CpuId::BOOT, task(CpuMask::only(CpuId::BOOT)), Nanos(2));
    assert!(scheduler.should_switch(CpuId::BOOT));
    match scheduler.begin_switch(scheduler.queue(CpuId::BOOT), Nanos(3), Leave::Preempt) {
        Switched::To(switch) => assert!(Arc::ptr_eq(switch.next(), &early)),
        Switched::Stay => panic!("the early task waits"),
    }
}

/// Five equal hogs on four CPUs, and 8, and 4: equal time for all within 3 % over four seconds.
#[test]
fn equal_hogs_get_equal_time() {
    for hogs in [4, 5, 8] {
        let mut machine = Machine::new(0);
        (0..hogs).for_each(|_| machine.apply(&Step::Spawn(0)));
        for millis in 0..4000 {
            // Ticks come late and irregularly, as on a busy host.
            if millis % 37 < 12 && millis % 12 != 0 {
                continue;
            }
            machine.now = Nanos::from_millis(10 + millis);
            for cpu in 0..CPUS {
                if machine.scheduler.deadline(CpuId::new(cpu)) <= machine.now {
                    let id = CpuId::new(cpu);
                    let resched = machine.scheduler.tick(id, machine.now);
                    machine.carry_out(resched, cpu);
                    let resched = machine.scheduler.balance(id, machine.now);
                    machine.carry_out(resched, cpu);
                }
            }
            machine.settle();
        }
        (0..CPUS).for_each(|cpu| machine.switch(cpu, Leave::Preempt));
        let times: Vec<_> =
            machine.tasks.iter().map(|task| task.0.statistics().run_time.0 as f64).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let worst = times.iter().map(|time| (time / mean - 1.0).abs()).fold(0.0, f64::max);
        let moves: Vec<_> =
            machine.tasks.iter().map(|task| task.0.statistics().migrations).collect();
        assert!(worst < 0.03, "{hogs} hogs: {times:?}, migrations {moves:?}");
    }
}
