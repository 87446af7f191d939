//! A simulated task: [`SimulatedTask`] is what the scheduler sees of it, [`State`] what the simulator knows.

use std::sync::{Arc, Mutex, PoisonError};

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;
use loads::{Chance, Class, Group, Load};
use sched::policy::Event;
use sched::{Discipline, Nice, Parameters, Schedulable, TaskCore, TaskId};

use crate::trace::{Task, What};

/// Where tasks report that they were queued. The scheduler asks for `Sync`, so there is a lock, never contended.
pub(super) type Notices = Arc<Mutex<Vec<What>>>;

/// What the scheduler schedules.
pub(super) struct SimulatedTask {
    core: TaskCore,
    /// Its number in the trace.
    pub(super) number: Task,
    notices: Notices,
}

impl Schedulable for SimulatedTask {
    fn task(&self) -> &TaskCore {
        &self.core
    }

    fn was_queued(&self, cpu: CpuId, event: Event) {
        let (task, cpu) = (self.number, cpu.index());
        let notice = match event {
            Event::Woken | Event::Spawned => What::Wake { task, cpu },
            Event::Migrated => What::Migrate { task, cpu },
            _ => return,
        };
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }
}

impl SimulatedTask {
    pub(super) fn new(
        id: TaskId,
        number: Task,
        parameters: Parameters,
        affinity: &CpuMask,
        notices: &Notices,
    ) -> Arc<Self> {
        let core = TaskCore::new(id, parameters, affinity);
        Arc::new(Self { core, number, notices: Arc::clone(notices) })
    }
}

/// What a task of `group` asks of the scheduler.
pub(super) fn parameters_of(group: &Group) -> Parameters {
    let (discipline, priority) = match group.class {
        Class::Other => (Discipline::Normal, 0),
        Class::Batch => (Discipline::Batch, 0),
        Class::Idle => (Discipline::Idle, 0),
        Class::Fifo(priority) => (Discipline::Fifo, priority),
        Class::RoundRobin(priority) => (Discipline::RoundRobin, priority),
    };
    Parameters {
        discipline,
        nice: Nice::clamped(group.nice),
        priority,
        slice: Nanos(group.slice.as_nanos() as u64),
        ..Parameters::DEFAULT
    }
}

/// The CPUs of `group` on a machine with `cpus`.
pub(super) fn affinity_of(group: &Group, cpus: usize) -> CpuMask {
    if group.cpus.is_empty() {
        return CpuMask::ALL;
    }
    let mut mask = CpuMask::default();
    for &cpu in group.cpus.iter().filter(|&&cpu| cpu < cpus) {
        mask.insert(CpuId::new(cpu));
    }
    mask
}

/// What the simulator knows of a task.
pub(super) struct State {
    pub(super) task: Arc<SimulatedTask>,
    /// Its group's position in the load.
    pub(super) group: usize,
    /// Which of its group it is.
    pub(super) index: usize,
    /// The step that it is at.
    pub(super) step: usize,
    /// How much of a `run` is left, switching included.
    pub(super) left: u64,
    /// It is in the middle of the step: it has waited for what the step waits for, or runs.
    pub(super) is_in_step: bool,
    /// When it started.
    pub(super) started: u64,
    /// Times went through its steps, and times late.
    pub(super) rounds: u64,
    pub(super) missed: u64,
    /// Who started it, if a task did, and how many it started and that are still there.
    pub(super) parent: Option<usize>,
    pub(super) children: usize,
    /// It waits for its children.
    pub(super) joins: bool,
    /// It has ended.
    pub(super) has_ended: bool,
    pub(super) chance: Chance,
}

impl State {
    pub(super) fn name(&self, load: &Load) -> String {
        format!("{}-{}", load.groups[self.group].name, self.index)
    }
}
