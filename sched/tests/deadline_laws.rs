//! Laws of the deadline class, by property tests: earliest deadline first meets every feasible set of deadlines, whatever
//! else wants the CPU, and a task that overruns its reservation harms nobody but itself.
#![cfg(not(loom))]

use std::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;
use proptest::prelude::*;
use sched::policy::POLICIES;
use sched::{
    Discipline, Leave, Parameters, ParkMode, Phase, Resched, Reservation, Schedulable, Scheduler,
    Switch, Switched, TaskCore, WakeMask,
};

const CPU: CpuId = CpuId::BOOT;
const MICROSECOND: u64 = 1000;

struct Task(TaskCore);

impl Schedulable for Task {
    fn task(&self) -> &TaskCore {
        &self.0
    }
}

/// A periodic task: each period it wants `demand` and then sleeps.
struct Periodic {
    task: Arc<Task>,
    period: u64,
    demand: u64,
    released: u64,
    left: u64,
    missed: u32,
    jobs: u32,
}

/// One CPU, advanced from event to event.
struct Machine {
    scheduler: Scheduler<Task>,
    running: Arc<Task>,
    periodic: Vec<Periodic>,
    now: u64,
    /// When the timer fires. It is set where a kernel sets it: when the CPU looks.
    timer: u64,
}

impl Machine {
    fn new() -> Self {
        let scheduler = Scheduler::new(1, &POLICIES[0]);
        let idle = make(&scheduler);
        scheduler.bring_online(CPU, Arc::clone(&idle), Nanos::ZERO);
        Self { scheduler, running: idle, periodic: Vec::new(), now: 1, timer: u64::MAX }
    }

    /// Adds a task that reserves `runtime` of each `period` and uses `demand` (microseconds).
    fn add(&mut self, runtime: u64, period: u64, demand: u64) -> bool {
        let task = make(&self.scheduler);
        let span = |micros| Nanos::from_micros(micros);
        let reservation =
            Reservation { runtime: span(runtime), deadline: span(period), period: span(period) };
        let parameters =
            Parameters { discipline: Discipline::Deadline, reservation, ..Parameters::DEFAULT };
        let now = Nanos(self.now);
        if self.scheduler.set_parameters(&task, parameters, now, CPU).is_err() {
            return false;
        }
        let resched = self.scheduler.spawn(&task, now, CPU);
        self.carry_out(resched);
        self.periodic.push(Periodic {
            task,
            period: period * MICROSECOND,
            demand: demand * MICROSECOND,
            released: self.now,
            left: demand * MICROSECOND,
            missed: 0,
            jobs: 0,
        });
        true
    }

    /// Adds a task of the fair class that never sleeps.
    fn add_hog(&mut self) {
        let hog = make(&self.scheduler);
        let resched = self.scheduler.spawn(&hog, Nanos(self.now), CPU);
        self.carry_out(resched);
    }

    fn carry_out(&mut self, resched: Resched) {
        if resched != Resched::No {
            self.look();
        }
    }

    fn look(&mut self) {
        self.timer = self.scheduler.deadline(CPU).0;
    }

    fn switch(&mut self, leave: Leave) {
        let now = Nanos(self.now);
        if let Switched::To(switch) =
            self.scheduler.begin_switch(self.scheduler.queue(CPU), now, leave)
        {
            let next = Arc::clone(switch.next());
            let Switch { previous, fate, guard } = switch;
            previous.0.park.set_off_cpu();
            drop(guard);
            self.running = next;
            let _ = self.scheduler.finish_switch(previous, fate, now, CPU);
        }
        self.look();
    }

    fn current(&mut self) -> Option<&mut Periodic> {
        self.periodic.iter_mut().find(|periodic| Arc::ptr_eq(&periodic.task, &self.running))
    }

    /// Runs until `end`.
    fn run(&mut self, end: u64) {
        while self.now < end {
            while self.scheduler.should_switch(CPU) {
                self.switch(Leave::Preempt);
            }
            let finish = self.current().map_or(u64::MAX, |job| job.left);
            let release =
                self.periodic.iter().map(|task| task.released + task.period).min().unwrap_or(end);
            let tick = self.timer.max(self.now + 1);
            let next = end.min(release).min(tick).min(self.now.saturating_add(finish));
            let span = next.saturating_sub(self.now);
            self.now = next;
            if let Some(job) = self.current() {
                job.left -= span;
                if job.left == 0 {
                    job.task.0.park.prepare(ParkMode::Interruptible);
                    self.switch(Leave::Block);
                }
            }
            self.release();
            if self.timer <= self.now {
                let _ = self.scheduler.tick(CPU, Nanos(self.now));
                self.look();
            }
        }
    }

    /// Begins the periods that begin now.
    fn release(&mut self) {
        let mut is_told = false;
        for task in &mut self.periodic {
            if self.now < task.released + task.period {
                continue;
            }
            task.jobs += 1;
            task.missed += u32::from(task.left > 0);
            task.released += task.period;
            task.left += task.demand;
            if task.task.0.park.phase() == Phase::Parked {
                let now = Nanos(self.now);
                let resched = self.scheduler.wake(&task.task, WakeMask::EVENT, now, CPU);
                is_told |= resched != Resched::No;
            }
        }
        if is_told {
            self.look();
        }
    }
}

fn make(scheduler: &Scheduler<Task>) -> Arc<Task> {
    let id = scheduler.reserve_task().expect("memory");
    Arc::new(Task(TaskCore::new(id, Parameters::DEFAULT, &CpuMask::only(CPU))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every set that is admitted meets all its deadlines, beside hogs of the fair class.
    #[test]
    fn every_feasible_set_meets_its_deadlines(
        wanted in prop::collection::vec((1_u64..40, 1_u64..60), 1..8),
        hogs in 0..3,
    ) {
        let mut machine = Machine::new();
        (0..hogs).for_each(|_| machine.add_hog());
        for (percent, period) in wanted {
            let period = period * 1000;
            machine.add(period * percent / 100, period, period * percent / 100);
        }
        machine.run(2_000_000_000);
        for task in &machine.periodic {
            prop_assert_eq!(task.missed, 0, "of {} jobs, period {}", task.jobs, task.period);
        }
    }

    /// One that wants the whole CPU gets what it reserved, and the others meet their deadlines.
    #[test]
    fn an_overrun_harms_nobody_else(
        wanted in prop::collection::vec((1_u64..20, 2_u64..60), 1..4),
        greedy in 1_u64..30,
    ) {
        let mut machine = Machine::new();
        machine.add_hog();
        prop_assert!(machine.add(greedy * 100, 10_000, 10_000));
        for (percent, period) in wanted {
            let period = period * 1000;
            machine.add(period * percent / 100, period, period * percent / 100);
        }
        machine.run(2_000_000_000);
        for task in machine.periodic.iter().skip(1) {
            prop_assert_eq!(task.missed, 0, "of {} jobs, period {}", task.jobs, task.period);
        }
        let ran = machine.periodic[0].task.0.statistics().run_time.0;
        let reserved = 2_000_000_000 / 100 * greedy;
        prop_assert!(ran.abs_diff(reserved) <= 20_000_000, "ran {ran} of {reserved}");
    }
}

/// More than the CPU can give is refused.
#[test]
fn admission_ends_at_the_limit() {
    let mut machine = Machine::new();
    assert!(machine.add(50_000, 100_000, 1));
    assert!(machine.add(44_000, 100_000, 1));
    assert!(!machine.add(2_000, 100_000, 1));
    assert!(machine.add(900, 100_000, 1));
}
