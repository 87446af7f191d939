//! `make profile CASE=...`: where a case spends its instructions, as a flame graph.
//!
//! The machine counts instructions, so that its time is the number of instructions executed. It is stopped again and again
//! through the control socket, at moments that have nothing to do with the guest; each processor that does not halt is a sample: its
//! instruction pointer, and the return addresses that the chain of frame pointers leads to (`sample`). `symbols` turns addresses into functions,
//! inlined ones too, by the debugging information of the image; `inferno` draws.

mod sample;
mod symbols;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::session::{self, Session};
use super::subject::{Kernel, Subjects};
use crate::options::MachineOptions;
use crate::qemu::Timing;

use sample::Sampler;
use symbols::Names;

/// How long the guest runs between two samples. Short against the millions of instructions of a
/// case, and long enough that most of QEMU's time goes into running it.
const INTERVAL: Duration = Duration::from_micros(1500);
/// How often a case repeats its operation, far more than a profile lasts.
const REPETITIONS: u64 = 10_000_000;
/// Silence is what a profiled guest is expected to keep.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How many functions the list on the terminal names.
const LISTED: usize = 25;

/// What `make profile` takes.
#[derive(Args, Clone, Debug)]
pub struct ProfileOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// The case to profile, and with a colon the resident size in MiB
    #[arg(long, env = "CASE", default_value = "")]
    case: String,
    /// How many samples to take
    #[arg(long, env = "N", default_value = "2000")]
    number: usize,
    /// Samples before those that count: boot, and the case's preparation
    #[arg(long, env = "SKIP", default_value = "50")]
    skip: usize,
}

/// How often each stack was seen.
type Stacks = BTreeMap<Vec<String>, u64>;

/// Profiles one case on Skein.
///
/// # Errors
/// If there is no such case, something does not build, or the run ends before the first sample.
pub fn profile(options: &ProfileOptions) -> anyhow::Result<ExitCode> {
    if options.case.is_empty() {
        bail!("say which case: make profile CASE=fork_call (or CASE=fork_call:256)");
    }
    let (case, size) = options.case.split_once(':').unwrap_or((&options.case, ""));
    let subjects = Subjects::skein_only()?;
    let image = subjects.file(Kernel::Skein)?.clone();
    let mut arguments =
        format!("--in-process --mode instructions --samples {REPETITIONS} --cases {case}");
    if !size.is_empty() {
        arguments.push_str(&format!(" --sizes {size}"));
    }
    let machine = MachineOptions { timing: Timing::Instructions, ..options.machine.clone() };
    let boot = subjects.boot(Kernel::Skein, &machine.cmdline, &arguments)?;
    let log = session::log_directory()?.join("profile.log");
    let mut session = Session::start(&machine, &boot, &log, PATIENCE)?;
    session
        .wait_for_first_program()
        .with_context(|| format!("the console is in {}", log.display()))?;
    let stacks = collect(&mut session, options, &mut Names::of(&image)?)?;
    drop(session);
    if stacks.is_empty() {
        bail!("no sample was taken: is there a case `{case}`? {} may say more", log.display());
    }
    list(&stacks);
    draw(&stacks, &options.case)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the samples, until there are enough or the run has ended.
fn collect(
    session: &mut Session,
    options: &ProfileOptions,
    names: &mut Names,
) -> anyhow::Result<Stacks> {
    let bar = ProgressBar::new(options.number as u64);
    bar.set_style(ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}, {eta} left")?);
    bar.set_prefix("sampling");
    let mut stacks = Stacks::new();
    let mut sampler = Sampler::new(session.guest(), options.machine.smp.0);
    let mut taken = 0;
    let mut skipped = 0;
    while taken < options.number {
        std::thread::sleep(INTERVAL);
        let Ok(samples) = sampler.take() else {
            bar.println("the run ended before all samples were taken");
            break;
        };
        if samples.is_empty() {
            continue;
        }
        if skipped < options.skip {
            skipped += 1;
            continue;
        }
        for sample in samples {
            *stacks.entry(names.stack(&sample)).or_default() += 1;
            taken += 1;
        }
        bar.set_position(taken as u64);
    }
    bar.finish_and_clear();
    Ok(stacks)
}

/// Prints the functions in which most samples fell, and those below which they fell.
fn list(stacks: &Stacks) {
    let total: u64 = stacks.values().sum();
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    let mut below: BTreeMap<&str, u64> = BTreeMap::new();
    for (stack, &count) in stacks {
        if let Some(innermost) = stack.last() {
            *own.entry(innermost).or_default() += count;
        }
        let mut names: Vec<&str> = stack.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            *below.entry(name).or_default() += count;
        }
    }
    let mut sorted: Vec<(&str, u64)> = own.into_iter().collect();
    sorted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let percent = |count: u64| 100.0 * count as f64 / total as f64;
    println!("{total} samples\n   self  below  function");
    for (name, count) in sorted.into_iter().take(LISTED) {
        let all = below.get(name).copied().unwrap_or(count);
        println!("{:6.1}% {:5.1}%  {name}", percent(count), percent(all));
    }
}

/// Writes the stacks, folded, and the flame graph.
fn draw(stacks: &Stacks, case: &str) -> anyhow::Result<()> {
    let lines: Vec<String> =
        stacks.iter().map(|(stack, count)| format!("{} {count}", stack.join(";"))).collect();
    let directory = super::output_directory()?;
    let name = case.replace([':', '*', '?', ','], "-");
    let folded = directory.join(format!("profile-{name}.folded"));
    let mut file = create(&folded)?;
    for line in &lines {
        writeln!(file, "{line}")?;
    }
    let graph = directory.join(format!("profile-{name}.svg"));
    let mut options = inferno::flamegraph::Options::default();
    options.title = format!("Skein: instructions of {case}");
    options.count_name = "samples".to_owned();
    inferno::flamegraph::from_lines(
        &mut options,
        lines.iter().map(String::as_str),
        create(&graph)?,
    )
    .context("cannot draw the flame graph")?;
    println!("\nflame graph: {}\nstacks:      {}", graph.display(), folded.display());
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<std::fs::File> {
    let path: PathBuf = path.into();
    std::fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))
}
