//! `make bench-check`: no case may take more instructions than the committed file allows.
//!
//! The figures repeat exactly from run to run with one compiler and one QEMU, and differ by a few per cent between
//! compilers; ceilings leave room for that. To raise one is a change of the file, with its reason.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::record::{Figures, Record};
use super::session::{self, Ending, Session};
use super::subject::{Kernel, Subjects};
use super::table;
use crate::options::{Accelerator, MachineOptions, Processors};
use crate::progress::Stage;
use crate::qemu::Timing;
use crate::tests::Counts;
use crate::workspace;

/// Where the ceilings are.
const FILE: &str = "user/bench-ceilings.toml";
/// How far below its ceiling a figure may lie before it is said that the ceiling could come down.
const SLACK: f64 = 0.25;
/// Silence after which the guest hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ceilings {
    machine: Machine,
    ceiling: Vec<Ceiling>,
}

/// What the figures were taken on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    processors: u32,
    memory: String,
    /// Samples for each figure.
    samples: u32,
}

/// One ceiling.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Ceiling {
    case: String,
    /// Empty where the case has none.
    #[serde(default)]
    parameter: String,
    /// The median may not be above this.
    instructions: f64,
    /// Why it is what it is.
    #[serde(default)]
    reason: String,
}

/// What became of a ceiling.
#[derive(Debug, PartialEq)]
enum Verdict {
    Held,
    /// Held by far.
    Loose(String),
    Broken(String),
}

impl FromStr for Ceilings {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let ceilings: Self = toml::from_str(text)?;
        if ceilings.ceiling.is_empty() {
            bail!("there is no ceiling in it");
        }
        Ok(ceilings)
    }
}

impl Ceilings {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        text.parse().with_context(|| format!("{} is not as it should be", path.display()))
    }

    /// The guest program's arguments that yield all figures.
    fn arguments(&self) -> String {
        let cases: BTreeSet<&str> =
            self.ceiling.iter().map(|ceiling| ceiling.case.as_str()).collect();
        let sizes: BTreeSet<u64> =
            self.ceiling.iter().filter_map(|ceiling| mebibytes(&ceiling.parameter)).collect();
        let cases: Vec<&str> = cases.into_iter().collect();
        let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
        let mut arguments = format!(
            "--mode instructions --quick --samples {} --cases {}",
            self.machine.samples,
            cases.join(",")
        );
        if !sizes.is_empty() {
            arguments.push_str(&format!(" --sizes {}", sizes.join(",")));
        }
        arguments
    }
}

/// The size in a parameter such as `256 MiB`.
fn mebibytes(parameter: &str) -> Option<u64> {
    parameter.strip_suffix(" MiB")?.parse().ok()
}

impl Ceiling {
    fn name(&self) -> String {
        format!("{} {}", self.case, self.parameter).trim().to_owned()
    }

    /// Compares with what was measured, or why nothing was.
    fn judge(&self, measured: Result<f64, String>) -> Verdict {
        let ceiling = table::value(self.instructions, "instructions");
        match measured {
            Err(reason) => Verdict::Broken(format!(
                "{} has a ceiling of {ceiling} instructions but no figure: {reason}",
                self.name()
            )),
            Ok(value) if value > self.instructions => Verdict::Broken(format!(
                "{} takes {} instructions, more than its ceiling of {ceiling} in {FILE}{}",
                self.name(),
                table::value(value, "instructions"),
                if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) }
            )),
            Ok(value) if value < self.instructions * (1.0 - SLACK) => Verdict::Loose(format!(
                "{} takes {} instructions; its ceiling of {ceiling} could come down",
                self.name(),
                table::value(value, "instructions")
            )),
            Ok(_) => Verdict::Held,
        }
    }
}

/// Checks and says how it went, for `make bench-check`.
///
/// # Errors
/// If something does not build, the file cannot be read, or QEMU does not start.
pub fn check_only(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    Ok(check(machine)?.conclude())
}

/// Checks; each ceiling counts as a test.
///
/// # Errors
/// As [`check_only`].
pub fn check(machine: &MachineOptions) -> anyhow::Result<Counts> {
    let ceilings = Ceilings::read(&workspace::root().join(FILE))?;
    let subjects = Subjects::skein_only()?;
    let stage = Stage::begin("instructions against their ceilings");
    let machine = MachineOptions {
        smp: Processors(ceilings.machine.processors),
        mem: ceilings.machine.memory.clone(),
        accel: Accelerator::Tcg,
        timing: Timing::Instructions,
        cmdline: String::new(),
        ..machine.clone()
    };
    let boot = subjects.boot(Kernel::Skein, "", &ceilings.arguments())?;
    let log = session::log_directory()?.join("check.log");
    let session = Session::start(&machine, &boot, &log, PATIENCE)?;
    let mut records = Vec::new();
    let ending = session.follow(|record, _| {
        if let Record::Figures { case, parameter, .. } = &record {
            stage.note(&format!("{case} {parameter}"));
        }
        records.push(record);
    })?;
    let mut counts = Counts::default();
    for ceiling in &ceilings.ceiling {
        match ceiling.judge(measured(ceiling, &records, &ending)) {
            Verdict::Held => counts.passed += 1,
            Verdict::Loose(sentence) => {
                counts.passed += 1;
                stage.print(&sentence);
            }
            Verdict::Broken(sentence) => {
                counts.failed += 1;
                stage.print(&sentence);
            }
        }
    }
    stage.finish(counts);
    Ok(counts)
}

/// The median of a ceiling's row, or why there is none.
fn measured(ceiling: &Ceiling, records: &[Record], ending: &Ending) -> Result<f64, String> {
    for record in records {
        match record {
            Record::Figures { case, parameter, figures: Figures { median, .. } }
                if *case == ceiling.case && *parameter == ceiling.parameter =>
            {
                return Ok(*median);
            }
            Record::Unsupported { case, parameter, unsupported }
                if *case == ceiling.case
                    && (parameter.is_empty() || *parameter == ceiling.parameter) =>
            {
                return Err(unsupported.clone());
            }
            _ => {}
        }
    }
    Err(match ending {
        Ending::Complete => "the guest program knows no such case or parameter".to_owned(),
        Ending::Early(reason) => reason.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [machine]
        processors = 4
        memory = "512M"
        samples = 20
        [[ceiling]]
        case = "fork_call"
        parameter = "64 MiB"
        instructions = 1000
        reason = "constant in size"
        [[ceiling]]
        case = "null_call"
        instructions = 100
    "#;

    #[test]
    fn the_file_says_what_to_run() {
        let ceilings: Ceilings = TEXT.parse().unwrap();
        assert_eq!(
            ceilings.arguments(),
            "--mode instructions --quick --samples 20 --cases fork_call,null_call --sizes 64"
        );
        assert!("[machine]\nprocessors = 4".parse::<Ceilings>().is_err());
    }

    #[test]
    fn a_broken_ceiling_is_named() {
        let ceilings: Ceilings = TEXT.parse().unwrap();
        let fork = &ceilings.ceiling[0];
        assert_eq!(fork.judge(Ok(1000.0)), Verdict::Held);
        assert!(matches!(fork.judge(Ok(500.0)), Verdict::Loose(_)));
        let Verdict::Broken(sentence) = fork.judge(Ok(1001.0)) else { panic!("held") };
        assert!(sentence.starts_with("fork_call 64 MiB takes 1,001"), "{sentence}");
        let absent = measured(&ceilings.ceiling[1], &[], &Ending::Complete);
        assert!(matches!(ceilings.ceiling[1].judge(absent), Verdict::Broken(_)));
    }

    #[test]
    fn the_committed_file_is_well_formed() {
        Ceilings::read(&workspace::root().join(FILE)).unwrap();
    }
}
