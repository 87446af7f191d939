//! `make soak-boot`: boots in a row. `make test-chaos`: the guest suite under chance.

use std::process::ExitCode;

use clap::Args;

use crate::options::{self, MachineOptions};
use crate::tests;

/// What `make soak-boot` takes.
#[derive(Args, Clone, Debug)]
pub struct SoakOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// How many boots
    #[arg(long, env = "N", default_value = "200")]
    number: u32,
}

/// Boots as often as asked for.
///
/// # Errors
/// If something does not build or QEMU does not start.
pub fn soak_boot(options: &SoakOptions) -> anyhow::Result<ExitCode> {
    tests::boots_only(&options.machine, options.number)
}

/// How often `make test-chaos` runs the suite if nobody says.
const CHAOS_ROUNDS: u32 = 3;

/// What `make test-chaos` takes.
#[derive(Args, Clone, Debug)]
pub struct ChaosOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// How often the suite runs, each time from another seed (3 times if empty)
    #[arg(long, env = "ROUNDS", default_value = "")]
    rounds: String,
}

/// Runs the suite under chance as often as asked for.
///
/// # Errors
/// If something does not build or QEMU does not start.
pub fn chaos(chaos: &ChaosOptions) -> anyhow::Result<ExitCode> {
    let rounds = options::rounds(&chaos.rounds)?.unwrap_or(CHAOS_ROUNDS);
    tests::chaos_only(&chaos.machine, rounds)
}
