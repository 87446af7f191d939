//! A run as a list of events: [`Trace`]. Times are nanoseconds from its beginning.

use std::collections::BTreeMap;

/// A task: a thread id in the kernel's traces, a number in the simulator's. 0 is every CPU's idle thread.
pub type Task = u32;

/// The idle thread of whichever CPU.
pub const IDLE: Task = 0;

/// Why a CPU went from one task to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It waits for something.
    Blocked,
    /// Something else was more urgent, or its slice was over.
    Preempted,
    /// It let others go first.
    Yielded,
    /// It has ended.
    Ended,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The entry's CPU went from one task to another.
    Switch {
        /// Who had the CPU.
        from: Task,
        /// Who has it now.
        to: Task,
        /// Why the first gave it up.
        reason: Reason,
    },
    /// A task was woken, by what runs on the entry's CPU, and queued.
    Wake {
        /// Who.
        task: Task,
        /// Where.
        cpu: usize,
    },
    /// A runnable task was moved.
    Migrate {
        /// Who.
        task: Task,
        /// Where to.
        cpu: usize,
    },
    /// A task was made.
    Fork {
        /// By whom.
        parent: Task,
        /// Which.
        child: Task,
    },
    /// A task has a name from now on.
    Name {
        /// Who.
        task: Task,
        /// What it is called.
        name: String,
    },
    /// A task ends.
    Exit {
        /// Who.
        task: Task,
    },
    /// Something else at one point in time, for display.
    Point {
        /// Whom it concerns.
        task: Task,
        /// What it is.
        name: &'static str,
        /// More about it.
        detail: String,
    },
    /// An interrupt handler or a system call begins.
    Begin {
        /// Who is interrupted, or calls.
        task: Task,
        /// What it is.
        name: String,
    },
    /// It ends.
    End {
        /// Who was interrupted, or called.
        task: Task,
    },
    /// A mark that divides the run.
    Mark(String),
    /// A word of a policy's conversation with its queue; see [`crate::replay`].
    Decision(crate::replay::Word),
}

/// An event, and when and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds from the beginning of the trace.
    pub time: u64,
    /// The CPU.
    pub cpu: usize,
    /// What.
    pub what: What,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// How many CPUs there are.
    pub cpus: usize,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// Names of tasks whose naming is not among the entries.
    pub names: BTreeMap<Task, String>,
    /// How many records were lost before they could be read.
    pub lost: u64,
}

impl Trace {
    /// The time of the last event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.time)
    }

    /// Who runs on each CPU when its first event is recorded, and when that is: its first switch says whom it switches
    /// from. A CPU that never switches counts as idle, from the beginning on.
    #[must_use]
    pub fn first_running(&self) -> Vec<(Task, u64)> {
        let of = |cpu: usize| {
            let mut events = self.entries.iter().filter(|entry| entry.cpu == cpu).peekable();
            let since = events.peek()?.time;
            events.find_map(|entry| match entry.what {
                What::Switch { from, .. } => Some((from, since)),
                _ => None,
            })
        };
        (0..self.cpus).map(|cpu| of(cpu).unwrap_or((IDLE, 0))).collect()
    }

    /// The last name of every task; children without one have their parent's.
    #[must_use]
    pub fn final_names(&self) -> BTreeMap<Task, String> {
        let mut names = self.names.clone();
        for entry in &self.entries {
            match &entry.what {
                What::Name { task, name } => {
                    names.insert(*task, name.clone());
                }
                What::Fork { parent, child } => {
                    if let Some(name) = names.get(parent).cloned() {
                        names.entry(*child).or_insert(name);
                    }
                }
                _ => {}
            }
        }
        names
    }

    /// What lies between the marks `begin` and `end` (or the end of the trace), with the time counted from the first.
    /// Names given before stay known. `None` without the first mark.
    #[must_use]
    pub fn between(&self, begin: &str, end: &str) -> Option<Self> {
        let is_mark =
            |entry: &Entry, text: &str| matches!(&entry.what, What::Mark(mark) if mark == text);
        let first = self.entries.iter().position(|entry| is_mark(entry, begin))?;
        let length = self.entries[first..].iter().position(|entry| is_mark(entry, end));
        let last = length.map_or(self.entries.len(), |length| first + length);
        let origin = self.entries[first].time;
        let before = Self { entries: self.entries[..first].to_vec(), ..self.clone() };
        let shifted = self.entries[first..last].iter().cloned();
        let shift = |mut entry: Entry| {
            entry.time -= origin;
            entry
        };
        Some(Self {
            cpus: self.cpus,
            entries: shifted.map(shift).collect(),
            names: before.final_names(),
            lost: self.lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: u64, what: What) -> Entry {
        Entry { time, cpu: 0, what }
    }

    #[test]
    fn who_runs_at_first_is_whom_the_first_switch_leaves() {
        let switch = |from: Task, to: Task| What::Switch { from, to, reason: Reason::Blocked };
        let trace = Trace {
            cpus: 2,
            entries: vec![
                entry(4, What::Mark("begin".into())),
                entry(5, switch(7, 8)),
                entry(6, switch(8, 7)),
            ],
            ..Trace::default()
        };
        assert_eq!(trace.first_running(), [(7, 4), (IDLE, 0)]);
    }

    #[test]
    fn a_window_begins_at_its_mark_and_knows_older_names() {
        let trace = Trace {
            cpus: 1,
            entries: vec![
                entry(5, What::Name { task: 7, name: "a".into() }),
                entry(10, What::Mark("begin".into())),
                entry(12, What::Fork { parent: 7, child: 8 }),
                entry(20, What::Mark("end".into())),
                entry(30, What::Exit { task: 7 }),
            ],
            ..Trace::default()
        };
        let window = trace.between("begin", "end").unwrap();
        assert_eq!((window.entries.len(), window.end()), (2, 2));
        assert_eq!(window.final_names()[&8], "a");
        assert!(trace.between("other", "end").is_none());
    }
}
