//! Workloads as data: what the simulator on the host and the program `lab` in the guest both run.
//!
//! A load file (TOML, in `xtask/lab/loads/data/`) describes groups of tasks; a task goes through its steps again and again
//! until the load's duration is over. [`Load`] is a file that was read and checked; [`standard`] are those in the box.
//! `docs/lab.md` explains every key.
//!
//! Times that vary are drawn from a seed by [`Chance`], one sequence per task, so that both interpreters ask for the same.

mod chance;
mod parse;
mod span;

use std::time::Duration;

pub use chance::Chance;
pub use parse::{Invalid, parse};
pub use span::Span;

/// A load.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Its name: that of its file.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// How long it goes on.
    pub duration: Duration,
    /// Its groups; a step's numbers of groups are positions here.
    pub groups: Vec<Group>,
    /// How many locks the steps use.
    pub locks: usize,
    /// How many channels the steps use.
    pub channels: usize,
}

/// Tasks that do the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name; tasks are called by it and a number.
    pub name: String,
    /// How many there are from the start. Zero for those that others spawn.
    pub count: usize,
    /// How they are scheduled.
    pub class: Class,
    /// The nice value.
    pub nice: i32,
    /// The slice that they ask for; zero for the policy's own.
    pub slice: Duration,
    /// The CPUs that they may use; empty for all.
    pub cpus: Vec<usize>,
    /// When the first of them starts.
    pub start: Duration,
    /// How much later each further one starts.
    pub stagger: Duration,
    /// What they do.
    pub steps: Vec<Step>,
    /// How often they go through the steps; `None` for as long as the load lasts.
    pub rounds: Option<u32>,
}

/// The scheduling class, as sched(7) names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Class {
    /// `SCHED_OTHER`.
    #[default]
    Other,
    /// `SCHED_BATCH`.
    Batch,
    /// `SCHED_IDLE`.
    Idle,
    /// `SCHED_FIFO` with this priority.
    Fifo(u8),
    /// `SCHED_RR` with this priority.
    RoundRobin(u8),
}

/// One thing that a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Uses the CPU for this long, measured in its own CPU time.
    Run(Span),
    /// Sleeps for this long.
    Sleep(Span),
    /// Sleeps until the next multiple of this period, counted from the task's start.
    Every(Duration),
    /// Lets others go first.
    Yield,
    /// Takes a lock; waits for it in order of arrival.
    Lock(usize),
    /// Gives it back.
    Unlock(usize),
    /// Puts a token into a channel.
    Send(usize),
    /// Takes a token out of a channel; waits for one.
    Receive(usize),
    /// Starts a task of this group.
    Spawn(usize),
    /// Waits until all tasks that this one has spawned have ended.
    Join,
}

impl Load {
    /// The number of tasks that are there from the start.
    #[must_use]
    pub fn initial_tasks(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }
}

/// The loads in the box, by name: the text of each file in `xtask/lab/loads/data/`.
pub const STANDARD: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/standard.rs"));

/// The load in the box that is called `name`.
///
/// # Errors
/// [`Invalid`] if there is none.
pub fn standard(name: &str) -> Result<Load, Invalid> {
    let found = STANDARD.iter().find(|(known, _)| *known == name);
    let (name, text) = found.ok_or_else(|| {
        let names: Vec<&str> = STANDARD.iter().map(|(name, _)| *name).collect();
        Invalid::new(format!("there is no load `{name}`; there are {}", names.join(", ")))
    })?;
    parse(name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_in_the_box_can_be_read() {
        for (name, _) in STANDARD {
            let load = standard(name).unwrap();
            assert!(load.initial_tasks() > 0, "{name} starts nothing");
            assert!(!load.about.is_empty(), "{name} does not say what it is");
        }
    }

    #[test]
    fn an_unknown_load_is_answered_with_the_known_ones() {
        assert!(standard("nothing").unwrap_err().to_string().contains("mixed"));
    }
}
