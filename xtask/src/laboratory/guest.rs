//! `make lab`: loads as real programs on Skein in QEMU.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use lab::kernel_trace;
use lab::metrics::Metrics;
use lab::run::{Place, Progress, Run};
use lab::{report, simulator, table};
use serde_json::Value;

use super::options::{LabOptions, list};
use super::sim::{save, write};
use super::transfer::{Line, Receiver};
use crate::build::Profile;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::qemu::{self, Boot, Outcome};
use crate::tests::log_path;
use crate::{run, workspace};

/// The program in the guest.
const PROGRAM: &str = "/bin/lab";
/// Records per CPU: a few seconds of any load in the box.
const TRACE_RECORDS: u32 = 1 << 17;

/// Boots, runs every load under every policy, prints the table, and leaves the report.
///
/// # Errors
/// If something does not build, or a run does not end as it should.
pub fn experiment(options: &LabOptions) -> anyhow::Result<ExitCode> {
    let directory = workspace::target().join("lab");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let processors = std::env::var("LAB_SMP").unwrap_or_default();
    let mut counts = Vec::new();
    for word in list(&processors) {
        counts.push(word.parse::<crate::options::Processors>()?.0);
    }
    if counts.is_empty() {
        counts.push(options.machine.smp.0);
    }
    let boot = run::direct_boot(&options.machine, Profile::Release)?;
    let mut runs = Vec::new();
    for count in counts {
        let machine = options.machine.with_processors(count);
        println!("==> {count} processors: {} under {}", options.loads, options.policies);
        let found =
            on(&machine, &boot, &list(&options.policies), &list(&options.loads), options.seed)?;
        runs.extend(found);
    }
    let text = conclude(&runs, &directory)?;
    println!("{text}\n\nThe report is {}", directory.join("report.html").display());
    Ok(ExitCode::SUCCESS)
}

/// Leaves the report, the table and each run's chart and trace in `directory`; returns the table.
///
/// # Errors
/// If a file cannot be written.
pub fn conclude(runs: &[Run], directory: &Path) -> anyhow::Result<String> {
    let rows: Vec<(&Run, Metrics)> = runs.iter().map(|run| (run, Metrics::of(run))).collect();
    for run in runs {
        if run.trace.lost > 0 {
            println!("note: {}: {} records of the trace were lost", run.label(), run.trace.lost);
        }
        save(run, directory, &run.label())?;
    }
    write(directory, "report.html", report::page("The scheduler's laboratory", &rows)?)?;
    let text = table::comparison(&rows);
    write(directory, "table.txt", format!("{text}\n"))?;
    Ok(text)
}

/// Boots once and runs every load under every policy.
///
/// # Errors
/// If there is no such load or policy, or the guest does not do what it is told.
pub fn on(
    machine: &MachineOptions,
    boot: &Boot,
    policies: &[&str],
    loads: &[&str],
    seed: u64,
) -> anyhow::Result<Vec<Run>> {
    for policy in policies {
        simulator::policy(policy)?;
    }
    for load in loads {
        loads::standard(load)?;
    }
    let (policies, loads) = (policies.join(","), loads.join(","));
    let init = format!("{PROGRAM} --policies {policies} --loads {loads} --seed {seed}");
    let machine = machine
        .with_init(&init)
        .with_parameter("loglevel=4")
        .with_parameter(&format!("trace={TRACE_RECORDS}"));
    let mut guest = run::start(&machine, &boot.for_machine(&machine), &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let mut console = Console::new(input, output, &log_path(&format!("lab-{}", machine.smp.0))?)?;
    let mut receiver = Receiver::default();
    let mut runs = Vec::new();
    let mut described: Option<Value> = None;
    while let Some(line) = console.next_line()? {
        match receiver.take(&line)? {
            Line::Part => {}
            Line::Trace(bytes) => {
                let description = described.take().context("a trace without its run")?;
                runs.push(read_run(&description, &bytes)?);
            }
            Line::Other => match serde_json::from_str::<Value>(line.trim()) {
                Ok(value) if value["lab"] == "run" => {
                    println!("    {} under {}", text(&value, "load")?, text(&value, "policy")?);
                    described = Some(value);
                }
                _ if line.starts_with("lab:") => bail!("in the guest: {line}"),
                _ => {}
            },
        }
    }
    match guest.wait()? {
        Outcome::PoweredOff => Ok(runs),
        outcome => bail!("the run did not end as it should: {outcome}"),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field].as_str().with_context(|| format!("the guest does not say its {field}: {value}"))
}

/// Puts a run together from what the guest says of it and its trace.
fn read_run(description: &Value, trace: &[u8]) -> anyhow::Result<Run> {
    let load = loads::standard(text(description, "load")?)?;
    let whole = kernel_trace::read(trace)?;
    let mut window = whole.between("begin", "end").context("the trace has no begin")?;
    // CPUs that are not there have rings, too.
    let cpus =
        description["cpus"].as_u64().context("the guest does not say how many CPUs")? as usize;
    ensure!(cpus <= window.cpus, "the trace has fewer CPUs than the guest");
    window.cpus = cpus;
    let rows = description["progress"].as_array().context("the guest does not say what it did")?;
    let progress = rows.iter().map(|row| Progress {
        task: row[0].as_str().unwrap_or_default().to_owned(),
        rounds: row[1].as_u64().unwrap_or(0),
        missed: row[2].as_u64().unwrap_or(0),
    });
    Ok(Run {
        place: Place::Kernel,
        policy: text(description, "policy")?.to_owned(),
        load,
        cpus,
        trace: window,
        progress: progress.collect(),
        switch_cost: description["switch_cost"].as_u64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_put_together_from_its_description_and_its_trace() {
        let mut trace = b"SKEINTR1".to_vec();
        let mark = |time: u64, text: &[u8; 8]| [time, 16, u64::from_le_bytes(*text), 0];
        let header = [1_u64, 0, 1_000_000_000, 0, 0, 0, 32, 2, 0];
        let records = [mark(10, b"begin\0\0\0"), mark(30, b"end\0\0\0\0\0")].concat();
        trace.extend(header.iter().chain(&records).flat_map(|word| word.to_le_bytes()));
        let description = serde_json::json!({
            "lab": "run", "policy": "rr", "load": "hogs", "cpus": 1, "switch_cost": 700,
            "progress": [["hog-0", 12, 0]],
        });
        let run = read_run(&description, &trace).unwrap();
        assert_eq!((run.policy.as_str(), run.cpus, run.switch_cost), ("rr", 1, Some(700)));
        assert_eq!((run.progress[0].rounds, run.trace.entries.len()), (12, 1));
        assert!(read_run(&serde_json::json!({ "load": "hogs" }), &trace).is_err());
    }
}
