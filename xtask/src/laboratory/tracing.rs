//! `make trace` and `make replay`: a command on Skein in QEMU, and the trace of it.

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use lab::replay::Outcome as Replayed;
use lab::trace::Trace;
use lab::{chrome, gantt, kernel_trace, simulator};

use super::options::{ReplayOptions, TraceOptions};
use super::sim::write;
use super::transfer::{Line, Receiver};
use crate::build::Profile;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::qemu::{self, Boot, Outcome};
use crate::tests::log_path;
use crate::{run, workspace};

/// Records per CPU for a command of unknown length.
const TRACE_RECORDS: u32 = 1 << 16;
/// Records per CPU when every decision is recorded.
const DECISION_RECORDS: u32 = 1 << 18;

/// Runs the command and leaves the trace as JSON for Perfetto and as a chart.
///
/// # Errors
/// If something does not build, or the guest does not send a trace.
pub fn trace(options: &TraceOptions) -> anyhow::Result<ExitCode> {
    let boot = run::direct_boot(&options.machine, Profile::Release)?;
    let machine = options.machine.with_parameter(&format!("trace={TRACE_RECORDS}"));
    let trace = fetch(&machine, &boot, Since::Begin, &options.command, |line| println!("{line}"))?;
    let json = chrome::to_json(&trace);
    let checked = chrome::check(&json).context("the JSON is not what Perfetto reads")?;
    let directory = workspace::target().join("trace");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let file = write(&directory, "trace.json", serde_json::to_string(&json)?)?;
    let title = format!("{} on {} CPUs", options.command, trace.cpus);
    let chart = gantt::draw(&trace, &title, 0, trace.end());
    let chart = write(&directory, "trace.svg", chart)?;
    println!(
        "\n{} events in {:.3} s ({} lost): {} slices, {} instants, {} arrows",
        trace.entries.len(),
        trace.end() as f64 / 1e9,
        trace.lost,
        checked.slices,
        checked.instants,
        checked.arrows
    );
    println!("Open {} in https://ui.perfetto.dev; a chart is {}", file.display(), chart.display());
    Ok(ExitCode::SUCCESS)
}

/// Runs the command with every decision recorded, and has the policy decide again.
///
/// # Errors
/// As [`trace`]; if there is no such policy, or the decisions' beginning was lost.
pub fn replay(options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let kind = simulator::policy(&options.policy)?;
    let boot = run::direct_boot(&options.machine, Profile::Release)?;
    let machine = recording(&options.machine, &options.policy);
    let trace = fetch(&machine, &boot, Since::Boot, &options.command, |line| println!("{line}"))?;
    match lab::replay::replay(&trace, kind)? {
        Replayed::Equal(answers) => {
            println!("\n{answers} answers of {}, all equal in the replay", options.policy);
            Ok(ExitCode::SUCCESS)
        }
        Replayed::Diverged(divergence) => {
            println!("\nfirst divergence of {} {divergence}", options.policy);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The machine with a kernel that records what `policy` decides.
pub fn recording(machine: &MachineOptions, policy: &str) -> MachineOptions {
    machine
        .with_parameter(&format!("sched={policy}"))
        .with_parameter("record=decisions")
        .with_parameter(&format!("trace={DECISION_RECORDS}"))
}

/// What a trace holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Everything since the kernel started.
    Boot,
    /// What happens from the command's beginning on.
    Begin,
}

/// Boots, runs `command` and returns the trace of it; every other line of the console goes to `show`.
///
/// # Errors
/// If the guest does not send a trace, or does not end as it should.
pub fn fetch(
    machine: &MachineOptions,
    boot: &Boot,
    since: Since,
    command: &str,
    mut show: impl FnMut(&str),
) -> anyhow::Result<Trace> {
    ensure!(!command.contains('"'), "CMD must not hold double quotes; single ones will do");
    let verb = match since {
        Since::Boot => "record",
        Since::Begin => "run",
    };
    let machine = machine.with_init(&format!("/bin/trace {verb} \"{command}\""));
    let machine = machine.with_parameter("loglevel=4");
    let mut guest = run::start(&machine, &boot.for_machine(&machine), &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let mut console = Console::new(input, output, &log_path("trace")?)?;
    let mut receiver = Receiver::default();
    let mut trace = None;
    while let Some(line) = console.next_line()? {
        match receiver.take(&line)? {
            Line::Part => {}
            Line::Trace(bytes) => trace = Some(kernel_trace::read(&bytes)?),
            Line::Other => show(&line),
        }
    }
    match guest.wait()? {
        Outcome::PoweredOff => trace.context("the guest sent no trace"),
        outcome => bail!("the run did not end as it should: {outcome}"),
    }
}
