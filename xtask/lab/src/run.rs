//! One run of one load under one policy, ready to be measured and compared: [`Run`].

use loads::{Class, Load};
use sched::Nice;

use crate::trace::Trace;

/// Where a run took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the simulator: times are virtual.
    Simulator,
    /// In the kernel, as real programs.
    Kernel,
}

impl Place {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simulator => "simulator",
            Self::Kernel => "kernel",
        }
    }
}

/// What a task got done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its name: its group's, a dash, and its number.
    pub task: String,
    /// How often it went through its steps.
    pub rounds: u64,
    /// How often it came too late to a step `every`.
    pub missed: u64,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where.
    pub place: Place,
    /// The policy's name.
    pub policy: String,
    /// The load.
    pub load: Load,
    /// How many CPUs.
    pub cpus: usize,
    /// What happened.
    pub trace: Trace,
    /// What was achieved.
    pub progress: Vec<Progress>,
    /// What a switch costs under this policy, where it was measured, in nanoseconds.
    pub switch_cost: Option<u64>,
}

impl Run {
    /// The policy, the load and the number of CPUs in one word, for names of files.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}-{}-{}", self.load.name, self.policy, self.cpus)
    }
}

/// The group that a task belongs to, by its name.
#[must_use]
pub fn group_of<'a>(load: &'a Load, task: &str) -> Option<&'a loads::Group> {
    let name = task.rsplit_once('-').map_or(task, |(group, _)| group);
    load.groups.iter().find(|group| group.name == name)
}

/// The share of a group's tasks in the fair class; `None` for real-time ones.
#[must_use]
pub fn weight_of(group: &loads::Group) -> Option<f64> {
    match group.class {
        Class::Other | Class::Batch => Some(f64::from(Nice::clamped(group.nice).weight())),
        Class::Idle => Some(3.0),
        Class::Fifo(_) | Class::RoundRobin(_) => None,
    }
}
