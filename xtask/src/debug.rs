//! `make debug`: QEMU stopped before the first instruction, waiting for gdb.
//!
//! With gdb and a terminal there, gdb starts on that terminal and the guest's console goes to a
//! file. Otherwise the console stays here and the command to start gdb elsewhere is printed. With
//! `GDB_SCRIPT=` gdb runs that script without a terminal.

use std::io::{IsTerminal, stdin, stdout};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context;
use clap::Args;

use crate::build::Profile;
use crate::options::MachineOptions;
use crate::qemu::{self, Boot, Console, Guest, Start};
use crate::{run, workspace};

/// What `make debug` takes.
#[derive(Args, Clone, Debug)]
pub struct DebugOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// The debugger to start; `none` only prints the command
    #[arg(long, env = "GDB", default_value = "gdb")]
    gdb: PathBuf,
    /// A file of gdb commands to run without a terminal
    #[arg(long, env = "GDB_SCRIPT", default_value = "")]
    gdb_script: String,
    /// TCP port for gdb; 0 takes a free one
    #[arg(long, env = "GDB_PORT", default_value = "1234")]
    gdb_port: u16,
}

/// Boots under the debugger.
///
/// # Errors
/// If something does not build, or QEMU or gdb does not start.
pub fn debug(options: &DebugOptions) -> anyhow::Result<ExitCode> {
    let boot = run::direct_boot(&options.machine, Profile::Checked)?;
    if !options.gdb_script.is_empty() {
        let script = Path::new(&options.gdb_script);
        let status = with_script(&options.machine, &boot, script, |command| Ok(command.status()?))?;
        return Ok(ExitCode::from(
            status.code().and_then(|code| code.try_into().ok()).unwrap_or(1),
        ));
    }
    let port = if options.gdb_port == 0 { free_port()? } else { options.gdb_port };
    let gdb = workspace::find_program(&options.gdb);
    if let Some(gdb) = gdb.filter(|_| stdin().is_terminal() && stdout().is_terminal()) {
        return interactive(&options.machine, &boot, &gdb, port);
    }
    println!("Waiting for gdb. In another terminal:\n\n    {}\n", words(boot.kernel(), port));
    println!("and there, for example: hbreak kernel::main, then continue.");
    let (console, start) = (Console::Terminal, Start::ByDebugger(port));
    let arguments = qemu::arguments(&options.machine, &boot, &console, start);
    let outcome = qemu::launch(&options.machine.qemu, arguments, &console, start)?.wait()?;
    Ok(run::report(outcome))
}

/// Replaces this process by gdb, connected to a QEMU whose console goes to a file.
fn interactive(
    machine: &MachineOptions,
    boot: &Boot,
    gdb: &Path,
    port: u16,
) -> anyhow::Result<ExitCode> {
    let (_guest, log) = in_background(machine, boot, port)?;
    println!("The guest's console goes to {}; to watch it: tail -f", log.display());
    println!("Break with hbreak: the kernel is not mapped yet when breakpoints are set.");
    // QEMU is tied to this process, and ends when gdb, which takes its place, ends.
    let error = command(gdb, boot.kernel(), port).exec();
    Err(error).with_context(|| format!("cannot start {}", gdb.display()))
}

/// Runs a script of gdb's against `boot`; `start` runs the command that is handed to it.
///
/// # Errors
/// If QEMU does not start, or what `start` returns.
pub fn with_script(
    machine: &MachineOptions,
    boot: &Boot,
    script: &Path,
    start: impl FnOnce(&mut Command) -> anyhow::Result<ExitStatus>,
) -> anyhow::Result<ExitStatus> {
    let port = free_port()?;
    let (_guest, _) = in_background(machine, boot, port)?;
    let gdb = std::env::var_os("GDB").map_or_else(|| "gdb".into(), PathBuf::from);
    let mut command = command(&gdb, boot.kernel(), port);
    command.args(["-batch", "-nx", "-x"]).arg(script);
    start(&mut command)
}

/// Starts QEMU, waiting for gdb, with its console in a file.
fn in_background(
    machine: &MachineOptions,
    boot: &Boot,
    port: u16,
) -> anyhow::Result<(Guest, PathBuf)> {
    let log = workspace::output("logs")?.join("debug-console.log");
    let (console, start) = (Console::File(log.clone()), Start::ByDebugger(port));
    let arguments = qemu::arguments(machine, boot, &console, start);
    Ok((qemu::launch(&machine.qemu, arguments, &console, start)?, log))
}

/// gdb with the kernel's symbols, connected to QEMU.
fn command(gdb: &Path, kernel: &Path, port: u16) -> Command {
    let mut command = Command::new(gdb);
    command.arg(kernel).args(["-ex", &format!("target remote 127.0.0.1:{port}")]);
    command
}

/// The same as a person types it.
fn words(kernel: &Path, port: u16) -> String {
    format!("gdb {} -ex 'target remote 127.0.0.1:{port}'", kernel.display())
}

/// A TCP port that is free now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
