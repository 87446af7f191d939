//! `make test` and its parts: everything that can be wrong, counted in one closing line.

mod boots;
mod counts;
mod debugger;
mod guest;
mod host;
mod logged;
mod panic;

use std::process::ExitCode;

use crate::build::Profile;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::{run, session};

pub use counts::Counts;
pub use guest::suite_on;
pub use host::close;
pub use logged::log_path;

/// How many boots in a row are part of `make test`.
const BOOTS: u32 = 5;

/// Every test there is.
///
/// # Errors
/// If something does not build; a test that fails is counted instead.
pub fn everything(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let mut total = Counts::default();
    total += host::tests()?;
    total += host::suite()?;
    let machine = &on_own_files(machine);
    let build = Stage::begin("compile kernel and programs");
    let boot = run::direct_boot(machine, Profile::Checked)?;
    build.finish("done");
    for processors in [4, 1] {
        total += guest::suite(&machine.with_processors(processors), Profile::Checked)?;
    }
    total += session::on(&machine.with_processors(4), &boot)?;
    total += boots::row(&machine.with_processors(4), BOOTS, Profile::Checked)?;
    total += panic::test(&machine.with_processors(4))?;
    total += debugger::test(&machine.with_processors(4))?;
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
    Ok(guest::suite(&on_own_files(machine), Profile::Checked)?.conclude())
}

/// The console session on Skein.
///
/// # Errors
/// As [`everything`].
pub fn console_only(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let machine = on_own_files(machine);
    let boot = run::direct_boot(&machine, Profile::Checked)?;
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
    Ok(boots::row(machine, number, Profile::Release)?.conclude())
}
