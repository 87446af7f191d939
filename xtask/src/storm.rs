//! `make storm`: the signal storm on Skein, for as long as one likes. `make policy-storm`: policies changed under a fork storm.

use std::process::ExitCode;

use clap::Args;

use crate::options::MachineOptions;
use crate::tests;

/// What `make storm` takes.
#[derive(Args, Clone, Debug)]
pub struct StormOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// How long it blows
    #[arg(long, env = "SECONDS", default_value = "600")]
    seconds: u64,
    /// What its random numbers start from
    #[arg(long, env = "SEED", default_value = "1")]
    seed: u64,
}

/// Lets it blow.
///
/// # Errors
/// If something does not build or QEMU does not start.
pub fn storm(options: &StormOptions) -> anyhow::Result<ExitCode> {
    tests::storm_only(&options.machine, options.seconds, options.seed)
}

/// What `make policy-storm` takes.
#[derive(Args, Clone, Debug)]
pub struct PolicyStormOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// How long it blows
    #[arg(long, env = "SECONDS", default_value = "120")]
    seconds: u64,
}

/// Changes the policy under a fork storm.
///
/// # Errors
/// If something does not build or QEMU does not start.
pub fn policy_storm(options: &PolicyStormOptions) -> anyhow::Result<ExitCode> {
    tests::policies_only(&options.machine, options.seconds)
}
