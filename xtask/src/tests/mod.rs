//! `make test` and its parts: everything that can be wrong, counted in one closing line.

mod boots;
mod chance;
mod core_file;
mod counts;
mod debugger;
mod guest;
mod host;
mod logged;
mod on_host;
mod panic;
mod policies;
mod programs;
mod torture;

use std::process::ExitCode;

use crate::build::Profile;
use crate::options::MachineOptions;
use crate::qemu::Boot;
use crate::{bench, laboratory, run, session};

pub use counts::Counts;
pub use guest::suite_on;
pub use host::close;
pub use logged::log_path;
pub use torture::Plan as TorturePlan;

/// How many processors the guest has where a test does not say otherwise.
const PROCESSORS: u32 = 4;
/// The torture that is part of `make test`.
const TORTURE: TorturePlan = TorturePlan { seconds: 15, seed: 1 };
/// How many boots in a row are part of `make test`.
const BOOTS: u32 = 5;

/// How long the signal storm of `make test` blows, and its seed.
const STORM_SECONDS: u64 = 15;
const STORM_SEED: u64 = 1;

/// Every test there is.
///
/// # Errors
/// If something does not build; a test that fails is counted instead.
pub fn everything(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let mut total = Counts::default();
    total += host::tests()?;
    total += host::suite()?;
    let machine = &on_own_files(machine).with_processors(PROCESSORS);
    let boot = &build(machine, Profile::Checked)?;
    for processors in [PROCESSORS, 1] {
        total += guest::suite(&machine.with_processors(processors), boot)?;
    }
    total += chance::suite(machine, boot, 1)?;
    total += torture::test(machine, boot, &TORTURE)?;
    total += guest::storm(machine, boot, STORM_SECONDS, STORM_SEED)?;
    total += programs::test(machine, boot, &[PROCESSORS, 1])?;
    total += core_file::test(machine, boot);
    total += session::on(machine, boot)?;
    total += boots::row(machine, boot, BOOTS);
    total += laboratory::test(machine, boot);
    total += laboratory::test_shares(machine, boot);
    total += panic::test(machine, boot)?;
    total += debugger::test(machine, boot);
    total += bench::check(machine)?;
    Ok(total.conclude())
}

/// The tests that need no QEMU.
///
/// # Errors
/// As [`everything`].
pub fn host_only() -> anyhow::Result<ExitCode> {
    Ok(host::tests()?.conclude())
}

/// The guest suite on the host's own Linux.
///
/// # Errors
/// As [`everything`].
pub fn host_linux_only() -> anyhow::Result<ExitCode> {
    Ok(host::suite()?.conclude())
}

/// The guest suite on Skein.
///
/// # Errors
/// As [`everything`].
pub fn guest_only(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(guest::suite(&machine, &boot)?.conclude())
}

/// The torture of the memory manager on the host.
///
/// # Errors
/// As [`everything`].
pub fn torture_host(plan: &TorturePlan) -> anyhow::Result<ExitCode> {
    Ok(host::torture(plan)?.conclude())
}

/// The torture program on Skein.
///
/// # Errors
/// As [`everything`].
pub fn torture_only(machine: &MachineOptions, plan: &TorturePlan) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(torture::test(&machine, &boot, plan)?.conclude())
}

/// The guest suite on Skein under the scheduling policy that decides by chance, from as many seeds as `rounds`.
///
/// # Errors
/// As [`everything`].
pub fn chaos_only(machine: &MachineOptions, rounds: u32) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(chance::suite(&machine, &boot, rounds)?.conclude())
}

/// Another scheduling policy every 10 ms under a fork storm on Skein, for so many seconds.
///
/// # Errors
/// As [`everything`].
pub fn policies_only(machine: &MachineOptions, seconds: u64) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(policies::storm(&machine, &boot, seconds)?.conclude())
}

/// Shares of CPU time on Skein, by counted instructions.
///
/// # Errors
/// As [`everything`].
pub fn shares_only(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine).with_processors(PROCESSORS);
    let boot = build(&machine, Profile::Checked)?;
    Ok(laboratory::test_shares(&machine, &boot).conclude())
}

/// The signal storm on Skein.
///
/// # Errors
/// As [`everything`].
pub fn storm_only(machine: &MachineOptions, seconds: u64, seed: u64) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(guest::storm(&machine, &boot, seconds, seed)?.conclude())
}

/// Real programs, on the host's Linux and on Skein.
///
/// # Errors
/// As [`everything`].
pub fn programs_only(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(programs::test(&machine, &boot, &[machine.smp.0])?.conclude())
}

/// The console session on Skein.
///
/// # Errors
/// As [`everything`].
pub fn console_only(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = build(&machine, Profile::Checked)?;
    Ok(session::on(&machine, &boot)?.conclude())
}

/// The tests choose the first program and boot the default root file system, whatever a person has
/// set for `make run`.
fn on_own_files(machine: &MachineOptions) -> MachineOptions {
    MachineOptions { rootfs: String::new(), init: String::new(), ..machine.clone() }
}

/// Boots a row on its own, for `make soak-boot`.
///
/// # Errors
/// As [`everything`].
pub fn boots_only(machine: &MachineOptions, number: u32) -> anyhow::Result<ExitCode> {
    let boot = build(machine, Profile::Release)?;
    Ok(boots::row(machine, &boot, number).conclude())
}

/// Compiles what the tests boot, as a stage of its own.
fn build(machine: &MachineOptions, profile: Profile) -> anyhow::Result<Boot> {
    println!("==> compile the kernel and the user programs");
    run::direct_boot(machine, profile)
}
