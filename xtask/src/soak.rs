//! `make soak-boot`: boots in a row.

use std::process::ExitCode;

use clap::Args;

use crate::options::MachineOptions;
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
