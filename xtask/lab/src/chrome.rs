//! A trace as the JSON that Perfetto and Chrome's `about:tracing` open: [`to_json`]; and a check of such JSON: [`check`].
//!
//! The format is the "Trace Event Format": an object with an array `traceEvents`. We write three processes:
//! *CPUs* with a track per CPU (what runs, interrupts in it, instants, arrows from a waking to the woken task), *tasks*
//! with a track per task (where it runs, and when it waits for a CPU), and *system calls*, if they were recorded.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::trace::{Entry, IDLE, Reason, Task, Trace, What};

const CPUS: u32 = 1;
const TASKS: u32 = 2;
const CALLS: u32 = 3;

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
                "ph": "f", "bp": "e", "pid": CPUS, "tid": cpu, "name": "wake-up", "cat": "wake-up",
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
        self.slice(CPUS, cpu as u32, &name, since, time, json!({ "task": task }));
        self.slice(TASKS, task, &format!("CPU {cpu}"), since, time, json!({}));
    }

    fn wake(&mut self, entry: &Entry, task: Task, cpu: usize) {
        let name = format!("wakes {} on CPU {cpu}", self.name(task));
        self.instant(entry, &name, json!({ "task": task }));
        self.waiting.insert(task, entry.time);
        // An arrow needs a slice to start from.
        if self.running[entry.cpu].0 != IDLE {
            self.arrow += 1;
            self.arrows.insert(task, self.arrow);
            self.events.push(json!({
                "ph": "s", "pid": CPUS, "tid": entry.cpu, "name": "wake-up", "cat": "wake-up",
                "id": self.arrow, "ts": micros(entry.time),
            }));
        }
    }

    fn instant(&mut self, entry: &Entry, name: &str, args: Value) {
        self.events.push(json!({
            "ph": "i", "s": "t", "pid": CPUS, "tid": entry.cpu, "name": name,
            "ts": micros(entry.time), "args": args,
        }));
    }

    /// The track of an interrupt or a system call.
    fn track(entry: &Entry, task: Task, name: &str) -> (u32, u32) {
        if name.starts_with("system") { (CALLS, task) } else { (CPUS, entry.cpu as u32) }
    }

    fn begin(&mut self, entry: &Entry, task: Task, name: &str) {
        let track = Self::track(entry, task, name);
        self.open.entry(track).or_default().push((name.to_owned(), entry.time));
    }

    /// Ends the CPU's interrupt, or else the task's call.
    fn end(&mut self, entry: &Entry, task: Task) {
        for track in [(CPUS, entry.cpu as u32), (CALLS, task)] {
            if let Some((name, since)) = self.open.get_mut(&track).and_then(Vec::pop) {
                return self.slice(track.0, track.1, &name, since, entry.time, json!({}));
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

    /// Names the processes and their tracks.
    fn describe(&mut self, cpus: usize) {
        let mut tell = |what: &str, process: u32, track: u32, name: String| {
            self.events.push(json!({
                "ph": "M", "pid": process, "tid": track, "name": what, "args": { "name": name },
            }));
        };
        tell("process_name", CPUS, 0, "CPUs".into());
        tell("process_name", TASKS, 0, "tasks".into());
        for cpu in 0..cpus {
            tell("thread_name", CPUS, cpu as u32, format!("CPU {cpu}"));
        }
        for task in &self.seen {
            let name = self.names.get(task).map_or("task", String::as_str);
            tell("thread_name", TASKS, *task, format!("{name} ({task})"));
        }
    }
}

/// The JSON of `trace`.
#[must_use]
pub fn to_json(trace: &Trace) -> Value {
    let mut writer = Writer {
        events: Vec::new(),
        names: trace.names.clone(),
        running: vec![(IDLE, 0); trace.cpus],
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

/// Checks `json` against the Trace Event Format, as far as we use it: the fields of each kind of event, slices of a
/// track that lie beside or within each other, and arrows that end where there is a beginning.
///
/// # Errors
/// What is wrong, and with which event.
pub fn check(json: &Value) -> anyhow::Result<Checked> {
    let events = json["traceEvents"].as_array().context("there is no array traceEvents")?;
    let mut checked = Checked::default();
    let mut slices: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
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

fn check_event(
    event: &Value,
    checked: &mut Checked,
    slices: &mut BTreeMap<(u64, u64), Vec<(f64, f64)>>,
    arrows: &mut BTreeSet<u64>,
) -> anyhow::Result<()> {
    let phase = event["ph"].as_str().context("no phase")?;
    ensure!(event["name"].is_string(), "no name");
    let process = event["pid"].as_u64().context("no pid")?;
    let track = event["tid"].as_u64().context("no tid")?;
    if phase == "M" {
        ensure!(event["args"]["name"].is_string(), "metadata without a name");
        return Ok(());
    }
    let time = event["ts"].as_f64().filter(|time| *time >= 0.0).context("no time")?;
    match phase {
        "X" => {
            let length = event["dur"].as_f64().filter(|length| *length >= 0.0);
            let length = length.context("a slice without a length")?;
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

/// Slices of one track must not overlap in part.
fn check_nesting(slices: &mut [(f64, f64)]) -> anyhow::Result<()> {
    /// Microseconds are written with rounding.
    const TOLERANCE: f64 = 0.002;
    slices.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut open: Vec<f64> = Vec::new();
    for &(start, end) in &*slices {
        while open.last().is_some_and(|&end| end <= start + TOLERANCE) {
            open.pop();
        }
        let fits = open.last().is_none_or(|&outer| end <= outer + TOLERANCE);
        ensure!(fits, "a slice from {start} to {end} overlaps another in part");
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
        let slice = |start: f64, length: f64| json!({ "ph": "X", "name": "a", "pid": 1, "tid": 1, "ts": start, "dur": length });
        let file = |events: &[Value]| json!({ "traceEvents": events });
        assert!(check(&file(&[slice(0.0, 5.0), slice(1.0, 2.0), slice(5.0, 1.0)])).is_ok());
        assert!(check(&file(&[slice(0.0, 5.0), slice(1.0, 9.0)])).is_err());
        assert!(check(&file(&[slice(0.0, -1.0)])).is_err());
        assert!(check(&json!({})).is_err());
        let arrow = json!({ "ph": "f", "name": "a", "pid": 1, "tid": 1, "ts": 1.0, "id": 4 });
        assert!(check(&file(&[arrow])).is_err());
    }
}
