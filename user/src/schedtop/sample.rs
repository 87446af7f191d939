//! What `/proc` says at one moment: [`Sample`]. Formats as in proc(5) and Linux's `Documentation/scheduler/sched-stats`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Instant;

/// One CPU's counters since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Ticks in user mode, nice included.
    pub user: u64,
    /// Ticks in the kernel, interrupts included.
    pub system: u64,
    /// Ticks with nothing to do.
    pub idle: u64,
    /// Nanoseconds that tasks waited in its queue, where the kernel tells.
    pub delay: u64,
    /// Times a task was given the CPU, where the kernel tells.
    pub slices: u64,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// Its state's letter.
    pub state: char,
    /// Ticks of CPU time.
    pub ticks: u64,
    /// The nice value.
    pub nice: i64,
    /// The CPU that it ran on last.
    pub cpu: usize,
    /// Its scheduling class (`SCHED_*`).
    pub class: u32,
    /// Nanoseconds that it waited for a CPU, where the kernel tells.
    pub delay: u64,
    /// Times it was given one, where the kernel tells.
    pub slices: u64,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub taken: Instant,
    /// The policies by name, the active one in brackets; empty where there is no choice.
    pub policies: String,
    /// The line of `/proc/loadavg`.
    pub load: String,
    /// Switches of all CPUs since boot.
    pub switches: u64,
    /// Runnable tasks.
    pub runnable: u64,
    /// The CPUs by number.
    pub cpus: BTreeMap<usize, Cpu>,
    /// The processes by id.
    pub processes: BTreeMap<u32, Process>,
}

impl Sample {
    /// Reads everything.
    ///
    /// # Errors
    /// If there is no `/proc/stat`.
    pub fn take() -> io::Result<Self> {
        let optional = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = fs::read_to_string("/proc/stat")?;
        let mut cpus = cpus(&stat);
        add_queues(&mut cpus, &optional("/proc/schedstat"));
        let mut processes = BTreeMap::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may end between the listing and the reading.
            let line = optional(&format!("/proc/{id}/stat"));
            if let Some(mut process) = process(&line) {
                let times = optional(&format!("/proc/{id}/schedstat"));
                (process.delay, process.slices) = waiting(&times).unwrap_or_default();
                processes.insert(id, process);
            }
        }
        Ok(Self {
            taken: Instant::now(),
            policies: optional("/proc/sys/kernel/sched_policy").trim().to_owned(),
            load: optional("/proc/loadavg").trim().to_owned(),
            switches: number_after(&stat, "ctxt ").unwrap_or(0),
            runnable: number_after(&stat, "procs_running ").unwrap_or(0),
            cpus,
            processes,
        })
    }
}

/// The number in the line that starts with `label`.
fn number_after(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.trim().parse().ok()
}

/// The lines `cpuN` of `/proc/stat`.
fn cpus(text: &str) -> BTreeMap<usize, Cpu> {
    let read = |line: &str| {
        let mut words = line.strip_prefix("cpu")?.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        let cpu = Cpu {
            user: at(0) + at(1),
            system: at(2) + at(5) + at(6) + at(7),
            idle: at(3) + at(4),
            ..Cpu::default()
        };
        Some((number, cpu))
    };
    text.lines().filter(|line| !line.starts_with("cpu ")).filter_map(read).collect()
}

/// The lines `cpuN` of `/proc/schedstat`: the last two of nine numbers are delay and slices.
fn add_queues(cpus: &mut BTreeMap<usize, Cpu>, text: &str) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let number = words.next().and_then(|word| word.strip_prefix("cpu")?.parse::<usize>().ok());
        let values: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        if let (Some(cpu), [.., delay, slices]) =
            (number.and_then(|n| cpus.get_mut(&n)), &values[..])
        {
            (cpu.delay, cpu.slices) = (*delay, *slices);
        }
    }
}

/// The line of `/proc/PID/stat`.
fn process(line: &str) -> Option<Process> {
    // The name may hold anything, also parentheses.
    let (head, rest) = line.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Fields are counted from 3, the state, on.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    Some(Process {
        name,
        state: fields.first()?.chars().next()?,
        ticks: (number(14)? + number(15)?) as u64,
        nice: number(19)?,
        cpu: number(39)? as usize,
        class: number(41)? as u32,
        delay: 0,
        slices: 0,
    })
}

/// Delay and slices of `/proc/PID/schedstat`.
fn waiting(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_whitespace().skip(1).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_read_from_both_files() {
        let mut read = cpus("cpu  9 9 9 9\ncpu0 10 2 5 100 1 3 0 0 0 0\ncpu1 1 0 0 7\nintr 5\n");
        assert_eq!(read[&0], Cpu { user: 12, system: 8, idle: 101, ..Cpu::default() });
        add_queues(&mut read, "version 15\ntimestamp 1\ncpu1 0 0 1 2 3 4 500 600 70\ndomain0 3\n");
        assert_eq!((read.len(), read[&1].delay, read[&1].slices), (2, 600, 70));
    }

    #[test]
    fn a_process_may_have_any_name() {
        let numbers: Vec<String> = (4..53).map(|number| number.to_string()).collect();
        let read = process(&format!("7 (a) (b) S {}", numbers.join(" "))).unwrap();
        assert_eq!((read.name.as_str(), read.state, read.ticks), ("a) (b", 'S', 14 + 15));
        assert_eq!((read.nice, read.cpu, read.class), (19, 39, 41));
        assert!(process("7 (short) R 1 2").is_none());
        assert_eq!(waiting("5 600 7\n"), Some((600, 7)));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let sample = Sample::take().unwrap();
        assert!(!sample.cpus.is_empty());
        assert!(sample.processes.contains_key(&std::process::id()));
    }
}
