//! The laboratory's part of `make test`: a short experiment, a trace and a replay on Skein in QEMU.

use anyhow::ensure;
use lab::chrome;
use lab::metrics::Metrics;
use lab::replay::{self, Outcome};

use super::tracing::Since;
use super::{guest, tracing};
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::Boot;
use crate::tests::Counts;
use crate::workspace;

/// What runs while the trace is taken.
const COMMAND: &str = "ls -lR /bin | sort | wc -l; spin 1 & spin 1; wait";
/// The policies that are compared, and the load.
const POLICIES: [&str; 3] = ["eevdf", "rr", "mlfq"];
const LOAD: &str = "mixed";

/// Runs all three.
pub fn test(machine: &MachineOptions, boot: &Boot) -> Counts {
    let stage = Stage::begin("laboratory");
    let mut counts = Counts::default();
    let parts: [(&str, &dyn Fn() -> anyhow::Result<()>); 3] = [
        ("trace", &|| trace(machine, boot)),
        ("replay", &|| replay(machine, boot)),
        ("experiment", &|| experiment(machine, boot)),
    ];
    for (name, part) in parts {
        stage.note(name);
        let result = part();
        if let Err(error) = &result {
            stage.print(&format!("{name}: {error:#}"));
        }
        counts += Counts::one(&result);
    }
    stage.finish(counts);
    counts
}

/// A trace becomes JSON that Perfetto opens, with the command's processes in it.
fn trace(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<()> {
    let trace = tracing::fetch(machine, boot, Since::Begin, COMMAND, |_| ())?;
    let checked = chrome::check(&chrome::to_json(&trace))?;
    ensure!(checked.slices > 20 && checked.arrows > 0, "the trace is poor: {checked:?}");
    let names = trace.final_names();
    for name in ["ls", "sort", "spin"] {
        ensure!(names.values().any(|known| known == name), "the trace does not know {name}");
    }
    Ok(())
}

/// What the default policy decided in the kernel, it decides again here.
fn replay(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<()> {
    let kind = lab::simulator::policy("eevdf")?;
    let machine = tracing::recording(machine, "eevdf");
    let trace = tracing::fetch(&machine, boot, Since::Boot, COMMAND, |_| ())?;
    match replay::replay(&trace, kind)? {
        Outcome::Equal(answers) => ensure!(answers > 20, "only {answers} answers"),
        Outcome::Diverged(divergence) => anyhow::bail!("{divergence}"),
    }
    Ok(())
}

/// Three policies end in three rows and a report.
fn experiment(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<()> {
    let runs = guest::on(machine, boot, &POLICIES, &[LOAD], 1)?;
    ensure!(runs.len() == POLICIES.len(), "{} runs instead of {}", runs.len(), POLICIES.len());
    let directory = workspace::output("lab-test")?;
    let table = guest::conclude(&runs, &directory)?;
    for run in &runs {
        ensure!(table.contains(&run.policy), "no row for {}", run.policy);
        let metrics = Metrics::of(run);
        ensure!(metrics.latency.count() > 10, "too few wake-ups under {}", run.policy);
        ensure!(metrics.rounds_per_second > 1.0, "nothing got done under {}", run.policy);
    }
    ensure!(directory.join("report.html").is_file(), "there is no report");
    Ok(())
}
