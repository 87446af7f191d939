//! Real programs that live by signals, for the host and for the guest: bash, programs of ours, a C program, scripts.
//!
//! They stand in a directory of the host, with busybox's tools beside them, and in the guest in `/tests/programs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::standard::{self, is_static, user_program};
use crate::workspace;

/// Where the programs are in the guest.
pub const PLACE: &str = "/tests/programs";
/// The scripts and C sources, in the source tree.
const SOURCES: &str = "xtask/programs";
/// What is copied from there as it is.
const SCRIPTS: [&str; 4] = ["traps.sh", "jobs.sh", "coprocess.sh", "tools.sh"];
/// Programs of the crate `user` that use well-known crates.
const OWN: [&str; 2] = ["hooks", "nixsignals"];

/// The programs on the host, and the archive that holds them besides the default root file system.
pub struct Programs {
    /// The directory.
    pub directory: PathBuf,
    /// busybox's tools as links.
    pub tools: PathBuf,
    /// The archive.
    pub archive: PathBuf,
}

/// Puts everything in its place.
///
/// # Errors
/// If bash, busybox or a C compiler is missing, or something does not compile; the message says what to install.
pub fn prepare() -> anyhow::Result<Programs> {
    let directory = workspace::output("programs")?;
    let sources = workspace::root().join(SOURCES);
    copy(&bash()?, &directory.join("bash"))?;
    for name in SCRIPTS {
        copy(&sources.join(name), &directory.join(name))?;
    }
    for name in OWN {
        copy(&user_program(name)?, &directory.join(name))?;
    }
    compile(&sources.join("longjmp.c"), &directory.join("longjmp"))?;
    let tools = tools(&workspace::output("programs-tools")?)?;
    let mut archive = standard::build()?;
    for entry in std::fs::read_dir(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let contents = std::fs::read(entry.path())?;
        let place = format!("{}/{}", &PLACE[1..], name.to_string_lossy());
        archive.add_file(&place, 0o755, contents);
    }
    let path = workspace::output("")?.join("programs.cpio");
    std::fs::write(&path, archive.finish()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Programs { directory, tools, archive: path })
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// A bash without shared libraries.
fn bash() -> anyhow::Result<PathBuf> {
    for name in ["bash-static", "bash"] {
        if let Some(path) = workspace::find_program(name)
            && is_static(&std::fs::read(&path)?)?
        {
            return Ok(path);
        }
    }
    bail!("there is no statically linked bash (Debian and Ubuntu: bash-static)")
}

fn compile(source: &Path, program: &Path) -> anyhow::Result<()> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-O1", "-static", "-Wall", "-Wextra", "-o"]).arg(program).arg(source);
    let output = command.output().context("there is no C compiler (Debian and Ubuntu: gcc)")?;
    ensure!(
        output.status.success(),
        "cannot link a static C program; is the static C library installed (Debian and Ubuntu: libc6-dev)?\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Fills `directory` with busybox's tools.
fn tools(directory: &Path) -> anyhow::Result<PathBuf> {
    let busybox = standard::busybox()?;
    let status = Command::new(&busybox)
        .args(["--install", "-s"])
        .arg(directory)
        .stderr(std::process::Stdio::null())
        .status();
    status.with_context(|| format!("cannot start {}", busybox.display()))?;
    ensure!(directory.join("sleep").exists(), "{} installs no tools", busybox.display());
    Ok(directory.to_owned())
}
