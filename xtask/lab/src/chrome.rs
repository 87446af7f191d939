//! A trace as the JSON that Perfetto opens: [`to_json`]; and a check of such JSON: [`check`].
//!
//! The format is the "Trace Event Format": an object with an array `traceEvents`. We write three processes:
//! *CPUs* with a track per CPU (what runs, interrupts in it, instants, arrows from a waking to the woken task), *tasks*
//! with a track per task (where it runs, and when it waits for a CPU), and *system calls*, if they were recorded.
//!
//! Perfetto takes `pid` and `tid` for what they are on Linux. It has thread 0 for the idle thread, whatever its process,
//! so that no track may be called 0; and the track whose number is its process's for the main thread. Both are checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::trace::{Entry, IDLE, Reason, Task, Trace, What};

/// The numbers of the processes: none is a task's, nor any CPU's.
const CPUS: u32 = 10_000_001;
const TASKS: u32 = 10_000_002;
const CALLS: u32 = 10_000_003;
/// The track of CPU 0. Perfetto shows the number behind the track's name, so it should not look like another CPU's.
const CPU_0: u32 = 1000;

/// Writes the events; keeps what is open.
struct Writer {
    events: Vec<Value>,
    names: BTreeMap<Task, String>,
    /// Per CPU, who runs since when.
    running: Vec<(Task, u64)>,
    /// Who waits for a CPU since when.
    waiting: BTreeMap<Task, u64>,
    /// Interrupts by CPU and system calls by task that have not ended.
    open: BTreeMap<(u32, u32), Vec<(String, u64)>>,
    /// Arrows that wait for their task to run.
    arrows: BTreeMap<Task, u64>,
    arrow: u64,
    seen: BTreeSet<Task>,
}

/// The number of the CPU's track.
fn track(cpu: usize) -> u32 {
    CPU_0 + cpu as u32
}

/// Microseconds, as the format has them.
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

impl Writer {
    fn name(&self, task: Task) -> String {
        self.names.get(&task).cloned().unwrap_or_else(|| format!("task {task}"))
    }

    fn slice(&mut self, process: u32, track: u32, name: &str, from: u64, to: u64, args: Value) {
        self.events.push(json!({
            "ph": "X", "pid": process, "tid": track, "name": name,
            "ts": micros(from), "dur": micros(to - from), "args": args,
        }));
    }

    fn switch(&mut self, entry: &Entry, from: Task, to: Task, reason: Reason) {
        let (time, cpu) = (entry.time, entry.cpu);
        self.stop_running(cpu, time);
        if from != IDLE && matches!(reason, Reason::Preempted | Reason::Yielded) {
            self.waiting.insert(from, time);
        }
        self.running[cpu] = (to, time);
        if let Some(since) = self.waiting.remove(&to) {
            self.slice(TASKS, to, "waits", since, time, json!({}));
        }
        if let Some(arrow) = self.arrows.remove(&to) {
            self.events.push(json!({
                "ph": "f", "bp": "e", "pid": CPUS, "tid": track(cpu), "name": "wake-up", "cat": "wake-up",
                "id": arrow, "ts": micros(time),
            }));
        }
    }

    fn stop_running(&mut self, cpu: usize, time: u64) {
        let (task, since) = self.running[cpu];
        if task == IDLE {
            return;
        }
        self.seen.insert(task);
        let name = self.name(task);
        self.slice(CPUS, track(cpu), &name, since, time, json!({ "task": task }));
        self.slice(TASKS, task, &format!("CPU {cpu}"), since, time, json!({}));
    }

    fn wake(&mut self, entry: &Entry, task: Task, cpu: usize) {
        let name = format!("wakes {} on CPU {cpu}", self.name(task));
        self.instant(entry, &name, json!({ "task": task }));
        self.waiting.insert(task, entry.time);
        // An arrow needs a slice to start from.
        let interrupted = self.open.get(&(CPUS, track(entry.cpu))).is_some_and(|it| !it.is_empty());
        if self.running[entry.cpu].0 != IDLE || interrupted {
            self.arrow += 1;
            self.arrows.insert(task, self.arrow);
            self.events.push(json!({
                "ph": "s", "pid": CPUS, "tid": track(entry.cpu), "name": "wake-up", "cat": "wake-up",
                "id": self.arrow, "ts": micros(entry.time),
            }));
        }
    }

    fn instant(&mut self, entry: &Entry, name: &str, args: Value) {
        self.events.push(json!({
            "ph": "i", "s": "t", "pid": CPUS, "tid": track(entry.cpu), "name": name,
            "ts": micros(entry.time), "args": args,
        }));
    }

    /// The track of an interrupt or a system call.
    fn place(entry: &Entry, task: Task, name: &str) -> (u32, u32) {
        if name.starts_with("system") { (CALLS, task) } else { (CPUS, track(entry.cpu)) }
    }

    fn begin(&mut self, entry: &Entry, task: Task, name: &str) {
        let place = Self::place(entry, task, name);
        self.open.entry(place).or_default().push((name.to_owned(), entry.time));
    }

    /// Ends the CPU's interrupt, or else the task's call.
    fn end(&mut self, entry: &Entry, task: Task) {
        for place in [(CPUS, track(entry.cpu)), (CALLS, task)] {
            if let Some((name, since)) = self.open.get_mut(&place).and_then(Vec::pop) {
                return self.slice(place.0, place.1, &name, since, entry.time, json!({}));
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        match &entry.what {
            What::Switch { from, to, reason } => self.switch(entry, *from, *to, *reason),
            What::Wake { task, cpu } => self.wake(entry, *task, *cpu),
            What::Migrate { task, cpu } => {
                let name = format!("{} moves to CPU {cpu}", self.name(*task));
                self.instant(entry, &name, json!({ "task": task }));
            }
            What::Fork { parent, child } => {
                let name = self.name(*parent);
                self.names.insert(*child, name.clone());
                let text = format!("{name} forks {child}");
                self.instant(entry, &text, json!({ "parent": parent, "child": child }));
            }
            What::Name { task, name } => {
                self.names.insert(*task, name.clone());
                self.instant(entry, &format!("name {name}"), json!({ "task": task }));
            }
            What::Exit { task } => self.instant(entry, "exit", json!({ "task": task })),
            What::Point { task, name, detail } => {
                self.instant(entry, name, json!({ "task": task, "detail": detail }));
            }
            What::Begin { task, name } => self.begin(entry, *task, name),
            What::End { task } => self.end(entry, *task),
            What::Mark(text) => self.instant(entry, &format!("mark {text}"), json!({})),
            What::Decision(_) => {}
        }
    }

    /// Names the processes and their tracks, and puts them in order.
    fn describe(&mut self, cpus: usize) {
        let mut tell = |what: &str, process: u32, track: u32, key: &str, value: Value| {
            self.events.push(json!({
                "ph": "M", "pid": process, "tid": track, "name": what, "args": { key: value },
            }));
        };
        for (process, name) in [(CPUS, "CPUs"), (TASKS, "tasks"), (CALLS, "system calls")] {
            tell("process_name", process, process, "name", json!(name));
            tell("process_sort_index", process, process, "sort_index", json!(process));
        }
        for cpu in 0..cpus {
            tell("thread_name", CPUS, track(cpu), "name", json!(format!("CPU {cpu}")));
            tell("thread_sort_index", CPUS, track(cpu), "sort_index", json!(cpu));
        }
        for task in &self.seen {
            let name = self.names.get(task).map_or("task", String::as_str);
            for process in [TASKS, CALLS] {
                tell("thread_name", process, *task, "name", json!(name));
                tell("thread_sort_index", process, *task, "sort_index", json!(task));
            }
        }
    }
}

/// The JSON of `trace`.
#[must_use]
pub fn to_json(trace: &Trace) -> Value {
    let mut writer = Writer {
        events: Vec::new(),
        names: trace.names.clone(),
        running: trace.first_running(),
        waiting: BTreeMap::new(),
        open: BTreeMap::new(),
        arrows: BTreeMap::new(),
        arrow: 0,
        seen: BTreeSet::new(),
    };
    trace.entries.iter().for_each(|entry| writer.entry(entry));
    for cpu in 0..trace.cpus {
        writer.stop_running(cpu, trace.end());
    }
    writer.describe(trace.cpus);
    json!({
        "displayTimeUnit": "ns",
        "otherData": { "lost": trace.lost },
        "traceEvents": writer.events,
    })
}

/// What a checked file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Slices with a length.
    pub slices: usize,
    /// Instants.
    pub instants: usize,
    /// Arrows with both ends.
    pub arrows: usize,
}

/// Checks `json` against the Trace Event Format, as far as we use it: the fields of each kind of event, numbers of tracks
/// that mean nothing else, slices of a track that lie beside or within each other, and arrows that end where there is a
/// beginning.
///
/// # Errors
/// What is wrong, and with which event.
pub fn check(json: &Value) -> anyhow::Result<Checked> {
    let events = json["traceEvents"].as_array().context("there is no array traceEvents")?;
    let mut checked = Checked::default();
    let mut slices: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let mut arrows = BTreeSet::new();
    for event in events {
        check_event(event, &mut checked, &mut slices, &mut arrows)
            .with_context(|| format!("event {event}"))?;
    }
    for ((process, track), slices) in &mut slices {
        check_nesting(slices).with_context(|| format!("process {process}, track {track}"))?;
    }
    Ok(checked)
}

/// The nanoseconds of a field in microseconds.
fn nanoseconds(field: &Value) -> Option<u64> {
    let micros = field.as_f64().filter(|micros| *micros >= 0.0)?;
    Some((micros * 1000.0).round() as u64)
}

fn check_event(
    event: &Value,
    checked: &mut Checked,
    slices: &mut BTreeMap<(u64, u64), Vec<(u64, u64)>>,
    arrows: &mut BTreeSet<u64>,
) -> anyhow::Result<()> {
    let phase = event["ph"].as_str().context("no phase")?;
    let name = event["name"].as_str().context("no name")?;
    let process = event["pid"].as_u64().context("no pid")?;
    let track = event["tid"].as_u64().context("no tid")?;
    if phase == "M" {
        let key = if name.ends_with("_sort_index") { "sort_index" } else { "name" };
        ensure!(!event["args"][key].is_null(), "metadata without a {key}");
        return Ok(());
    }
    ensure!(track != 0, "a track that Perfetto takes for the idle thread's");
    ensure!(track != process, "a track that Perfetto takes for the process's main thread");
    let time = nanoseconds(&event["ts"]).context("no time")?;
    match phase {
        "X" => {
            let length = nanoseconds(&event["dur"]).context("a slice without a length")?;
            slices.entry((process, track)).or_default().push((time, time + length));
            checked.slices += 1;
        }
        "i" => {
            ensure!(matches!(event["s"].as_str(), Some("g" | "p" | "t")), "no scope");
            checked.instants += 1;
        }
        "s" => {
            let id = event["id"].as_u64().context("an arrow without an id")?;
            ensure!(arrows.insert(id), "two arrows with one id");
        }
        "f" => {
            let id = event["id"].as_u64().context("an arrow without an id")?;
            ensure!(arrows.contains(&id), "an arrow without a beginning");
            checked.arrows += 1;
        }
        other => bail!("phase {other} is unknown"),
    }
    Ok(())
}

/// Slices of one track must not overlap in part, not by a nanosecond: Perfetto would drop one.
fn check_nesting(slices: &mut [(u64, u64)]) -> anyhow::Result<()> {
    slices.sort_by_key(|&(start, end)| (start, Reverse(end)));
    let mut open: Vec<u64> = Vec::new();
    for &(start, end) in &*slices {
        while open.last().is_some_and(|&end| end <= start) {
            open.pop();
        }
        let fits = open.last().is_none_or(|&outer| end <= outer);
        ensure!(fits, "a slice from {start} to {end} ns overlaps another in part");
        open.push(end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::simulate;

    #[test]
    fn a_simulated_run_becomes_valid_json() {
        let load = loads::standard("mixed").unwrap();
        let run = simulate("eevdf", &load, 4, 1).unwrap();
        let checked = check(&to_json(&run.trace)).unwrap();
        assert!(
            checked.slices > 500 && checked.arrows > 50 && checked.instants > 100,
            "{checked:?}"
        );
    }

    #[test]
    fn what_is_wrong_is_found() {
        let on = |track: u32, start: f64, length: f64| json!({ "ph": "X", "name": "a", "pid": 1, "tid": track, "ts": start, "dur": length });
        let slice = |start: f64, length: f64| on(2, start, length);
        let file = |events: &[Value]| json!({ "traceEvents": events });
        assert!(check(&file(&[slice(0.0, 5.0), slice(1.0, 2.0), slice(5.0, 1.0)])).is_ok());
        assert!(check(&file(&[slice(0.0, 5.0), slice(1.0, 9.0)])).is_err());
        assert!(check(&file(&[slice(0.0, 5.0), slice(4.999, 1.0)])).is_err());
        assert!(check(&file(&[slice(0.0, -1.0)])).is_err());
        assert!(check(&file(&[on(0, 0.0, 1.0)])).is_err(), "the idle thread's");
        assert!(check(&file(&[on(1, 0.0, 1.0)])).is_err(), "the main thread's");
        assert!(check(&json!({})).is_err());
        let arrow = json!({ "ph": "f", "name": "a", "pid": 1, "tid": 2, "ts": 1.0, "id": 4 });
        assert!(check(&file(&[arrow])).is_err());
    }
}
