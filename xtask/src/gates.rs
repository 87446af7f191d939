//! The checks that need no test to run: formatting, lints, documentation; and the gates made of
//! them.

use std::process::{Command, ExitCode};

use crate::options::MachineOptions;
use crate::{build, tests, workspace};

/// The crates that make up the kernel, and are checked for its own target too.
const KERNEL_CRATES: [&str; 8] =
    ["--package", "arch", "--package", "mm", "--package", "sched", "--package", "kernel"];

/// Formats all code.
///
/// # Errors
/// If rustfmt fails.
pub fn format() -> anyhow::Result<()> {
    workspace::check(&mut workspace::cargo(["fmt", "--all"]), "format the code")
}

/// Formatting and clippy, warnings being errors, for the host and for the kernel's target.
///
/// # Errors
/// If anything is found.
pub fn lint() -> anyhow::Result<()> {
    let mut format = workspace::cargo(["fmt", "--all", "--check"]);
    workspace::check(&mut format, "find all code formatted (`make fmt` does it)")?;
    let mut host = workspace::cargo(["clippy", "--workspace", "--exclude", "kernel"]);
    host.arg("--all-targets");
    workspace::check(deny_warnings(&mut host), "find no warnings in host code")?;
    let mut library = workspace::cargo(["clippy", "--package", "kernel", "--lib"]);
    library.args(["--profile", "test"]);
    workspace::check(deny_warnings(&mut library), "find no warnings in the kernel library")?;
    let mut kernel = build::for_kernel_target(["clippy"])?;
    kernel.args(KERNEL_CRATES);
    workspace::check(deny_warnings(&mut kernel), "find no warnings in the kernel")
}

/// Has clippy take warnings for errors.
fn deny_warnings(command: &mut Command) -> &mut Command {
    command.args(["--", "-D", "warnings"])
}

/// The documentation of all crates, warnings being errors.
///
/// # Errors
/// If anything is found.
pub fn document() -> anyhow::Result<()> {
    let mut host = workspace::cargo(["doc", "--no-deps", "--workspace", "--exclude", "kernel"]);
    host.arg("--document-private-items").env("RUSTDOCFLAGS", "-D warnings");
    workspace::check(&mut host, "document the host's crates")?;
    let mut kernel = build::for_kernel_target(["doc", "--no-deps", "--document-private-items"])?;
    kernel.args(KERNEL_CRATES).env("RUSTDOCFLAGS", "-D warnings");
    workspace::check(&mut kernel, "document the kernel's crates")
}

/// The small gate before a push.
///
/// # Errors
/// As [`lint`].
pub fn prepush() -> anyhow::Result<ExitCode> {
    lint()?;
    tests::host_only()
}

/// Everything that must be clean.
///
/// # Errors
/// As [`lint`] and [`document`].
pub fn ci(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    lint()?;
    document()?;
    tests::everything(machine)
}
