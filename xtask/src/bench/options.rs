//! What a person may choose about a comparison.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::environment;
use crate::options::{self, Accelerator, MachineOptions, Processors};
use crate::qemu::Timing;

/// Rounds where the person does not say: enough for a spread.
const ROUNDS: u32 = 3;
/// Rounds of the quick mode.
const QUICK_ROUNDS: u32 = 2;
/// Seconds that one case may take in the guest, and in the quick mode.
const CASE_LIMIT: u32 = 300;
const QUICK_CASE_LIMIT: u32 = 40;

/// The first version of QEMU that shares its time among processors, when it counts instructions, such
/// that Linux boots on several of them.
const FIRST_QEMU_FOR_MANY: u32 = 8;

/// What `make bench` and its kin take.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    /// The machine, the same for both kernels.
    #[command(flatten)]
    pub machine: MachineOptions,
    /// How often each kernel is booted and measured in time
    #[arg(long, env = "ROUNDS", default_value = "")]
    rounds: String,
    /// Shell patterns of the cases to run, with commas between them
    #[arg(long, env = "CASES", default_value = "")]
    pub cases: String,
    /// Resident sizes in MiB for the cases that depend on them, with commas between them
    #[arg(long, env = "SIZES", default_value = "")]
    pub sizes: String,
    /// Samples for each figure; the program knows how many are good
    #[arg(long, env = "SAMPLES", default_value = "")]
    pub samples: String,
    /// Anything but nothing and 0: fewer samples, sizes and rounds, done within three minutes
    #[arg(long, env = "QUICK", default_value = "")]
    quick: String,
    /// A static Linux program, with its arguments, to measure from exec to exit on both kernels
    #[arg(long, env = "PROGRAM", default_value = "", allow_hyphen_values = true)]
    program: String,
    /// Processors while instructions are counted
    #[arg(long, env = "ICOUNT_SMP", default_value = "")]
    icount_smp: String,
    /// Which passes to make: `time`, `instructions` or `both`
    #[arg(long, env = "PASSES", default_value = "")]
    passes: String,
}

/// What is counted in a pass over all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Nanoseconds.
    Time,
    /// Instructions.
    Instructions,
}

impl Pass {
    /// The word that the guest program's `--mode` takes, and that the files say.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Instructions => "instructions",
        }
    }
}

impl BenchOptions {
    /// Fills in cases and sizes where the person has chosen none.
    pub fn prefer(&mut self, cases: &str, sizes: &str) {
        for (chosen, preferred) in [(&mut self.cases, cases), (&mut self.sizes, sizes)] {
            if chosen.is_empty() {
                preferred.clone_into(chosen);
            }
        }
    }

    /// Whether a quick answer is wanted.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        !matches!(self.quick.as_str(), "" | "0")
    }

    /// How often each kernel is measured in time.
    ///
    /// # Errors
    /// If `ROUNDS` is not a number from 1 on.
    pub fn rounds(&self) -> anyhow::Result<u32> {
        let usual = if self.is_quick() { QUICK_ROUNDS } else { ROUNDS };
        Ok(options::rounds(&self.rounds)?.unwrap_or(usual))
    }

    /// The passes to make.
    ///
    /// # Errors
    /// If `PASSES` names none of them.
    pub fn passes(&self) -> anyhow::Result<Vec<Pass>> {
        match self.passes.as_str() {
            "time" => Ok(vec![Pass::Time]),
            "instructions" => Ok(vec![Pass::Instructions]),
            // Instructions are counted by translation only.
            "" | "both" => Ok(vec![Pass::Time, Pass::Instructions]),
            other => bail!("PASSES={other} is not time, instructions or both"),
        }
    }

    /// Processors while instructions are counted: as many as otherwise, but one with a QEMU before 8,
    /// under which Linux does not come up with more in any bearable time.
    ///
    /// # Errors
    /// If `ICOUNT_SMP` is not a number of processors.
    pub fn processors_that_count(&self) -> anyhow::Result<u32> {
        if !self.icount_smp.is_empty() {
            return Ok(self.icount_smp.parse::<Processors>()?.0);
        }
        let is_old = environment::qemu_major_version(&self.machine.qemu)
            .is_some_and(|version| version < FIRST_QEMU_FOR_MANY);
        Ok(if is_old { 1 } else { self.machine.smp.0 })
    }

    /// Path and arguments of the person's own program, if there is one.
    ///
    /// # Errors
    /// If it is not a file, or the quotes do not match.
    pub fn program(&self) -> anyhow::Result<Option<(PathBuf, Vec<String>)>> {
        let words = shlex::split(&self.program).context("quotes in PROGRAM= do not match")?;
        let Some((path, arguments)) = words.split_first() else { return Ok(None) };
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("PROGRAM={} is not a file", path.display());
        }
        Ok(Some((path, arguments.to_vec())))
    }

    /// Seconds that a case may take in the guest.
    #[must_use]
    pub fn case_limit(&self) -> u32 {
        if self.is_quick() { QUICK_CASE_LIMIT } else { CASE_LIMIT }
    }

    /// Arguments of the guest program for a pass, apart from the cases to run.
    #[must_use]
    pub fn guest_arguments(&self, pass: Pass) -> String {
        let mut arguments = format!("--mode {} --timeout {}", pass.name(), self.case_limit());
        if self.is_quick() {
            arguments.push_str(" --quick");
        }
        for (option, value) in [("--samples", &self.samples), ("--sizes", &self.sizes)] {
            if !value.is_empty() {
                arguments.push_str(&format!(" {option} {value}"));
            }
        }
        arguments
    }

    /// The machine of a pass: instructions are counted by translation whatever `ACCEL` says.
    #[must_use]
    pub fn machine_for(&self, pass: Pass) -> MachineOptions {
        let mut machine = self.machine.clone();
        if pass == Pass::Instructions {
            machine.accel = Accelerator::Tcg;
            machine.timing = Timing::Instructions;
        }
        machine
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: BenchOptions,
    }

    fn parse(arguments: &[&str]) -> BenchOptions {
        Line::parse_from([&["xtask"], arguments].concat()).options
    }

    #[test]
    fn what_is_empty_is_as_if_it_were_not_there() {
        let options = parse(&["--rounds=", "--quick=", "--program=", "--passes="]);
        assert_eq!(options.rounds().unwrap(), ROUNDS);
        assert_eq!(options.program().unwrap(), None);
        assert_eq!(options.passes().unwrap(), [Pass::Time, Pass::Instructions]);
        assert_eq!(options.guest_arguments(Pass::Time), "--mode time --timeout 300");
    }

    #[test]
    fn the_quick_mode_is_quicker_unless_told_otherwise() {
        let options = parse(&["--quick=1", "--sizes=1,16"]);
        assert_eq!(options.rounds().unwrap(), QUICK_ROUNDS);
        let arguments = options.guest_arguments(Pass::Instructions);
        assert_eq!(arguments, "--mode instructions --timeout 40 --quick --sizes 1,16");
        assert_eq!(parse(&["--quick=1", "--rounds=5"]).rounds().unwrap(), 5);
        assert!(parse(&["--rounds=0"]).rounds().is_err());
    }

    #[test]
    fn a_program_may_have_arguments() {
        let program = parse(&["--program=/bin/sh -c 'exit 0'"]).program().unwrap().unwrap();
        assert_eq!(program, ("/bin/sh".into(), vec!["-c".into(), "exit 0".into()]));
        assert!(parse(&["--program=/no/such/program"]).program().is_err());
    }
}
