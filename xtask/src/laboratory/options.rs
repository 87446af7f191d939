//! What a person may choose about the laboratory.

use std::path::Path;

use anyhow::Context;
use clap::Args;
use loads::Load;

use crate::options::MachineOptions;

/// What `make sim` takes.
#[derive(Args, Clone, Debug)]
pub struct SimOptions {
    /// Policies, separated by commas
    #[arg(long, env = "POLICY", default_value = "eevdf")]
    pub policy: String,
    /// Loads in the box or files, separated by commas
    #[arg(long, env = "LOAD", default_value = "mixed")]
    pub load: String,
    /// Number of simulated processors
    #[arg(long, env = "CPUS", default_value = "4")]
    pub cpus: usize,
    /// Where chance starts from
    #[arg(long, env = "SEED", default_value = "1")]
    pub seed: u64,
}

/// What `make lab` takes.
#[derive(Args, Clone, Debug)]
pub struct LabOptions {
    /// The machine; its number of processors may be a list
    #[command(flatten)]
    pub machine: MachineOptions,
    /// Policies, separated by commas
    #[arg(long, env = "POLICIES", default_value = "eevdf,rr,mlfq")]
    pub policies: String,
    /// Loads in the box, separated by commas
    #[arg(long, env = "LOADS", default_value = "hogs,mixed,storm")]
    pub loads: String,
    /// Where chance starts from
    #[arg(long, env = "SEED", default_value = "1")]
    pub seed: u64,
}

/// What `make trace` takes.
#[derive(Args, Clone, Debug)]
pub struct TraceOptions {
    /// The machine
    #[command(flatten)]
    pub machine: MachineOptions,
    /// The command to run and trace, for a shell
    #[arg(long, env = "CMD", default_value = DEFAULT_COMMAND)]
    pub command: String,
}

/// What `make replay` takes.
#[derive(Args, Clone, Debug)]
pub struct ReplayOptions {
    /// The machine
    #[command(flatten)]
    pub machine: MachineOptions,
    /// The policy that decides
    #[arg(long, env = "POLICY", default_value = "eevdf")]
    pub policy: String,
    /// The command to run meanwhile, for a shell
    #[arg(long, env = "CMD", default_value = DEFAULT_COMMAND)]
    pub command: String,
}

/// What is traced where nothing else is asked for: a shell that forks, pipes and computes.
const DEFAULT_COMMAND: &str = "ls -lR /bin /etc | sort | wc -l; spin 1 & spin 1; wait";

/// The words of a list.
pub fn list(text: &str) -> Vec<&str> {
    text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// The load called `name`: one in the box, or a file.
///
/// # Errors
/// If it cannot be read.
pub fn load(name: &str) -> anyhow::Result<Load> {
    if !name.ends_with(".toml") {
        return Ok(loads::standard(name)?);
    }
    let path = Path::new(name);
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(loads::parse(&stem, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_separated_by_commas_or_blanks() {
        assert_eq!(list("eevdf,rr mlfq,"), ["eevdf", "rr", "mlfq"]);
    }

    #[test]
    fn a_load_may_be_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.toml");
        std::fs::write(&path, loads::STANDARD[0].1).unwrap();
        assert_eq!(load(path.to_str().unwrap()).unwrap().name, "mine");
        assert!(load("/no/such.toml").is_err() && load("nonsense").is_err());
    }
}
