//! `make test-linux-guest`: the guest suite and the console session on a Linux kernel in QEMU.
//!
//! Linux is the oracle: a test that fails there is wrong. The kernel is Debian's own package,
//! unpacked below the target directory and never installed; `LINUX_KERNEL=` names another image.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::options::MachineOptions;
use crate::qemu::Boot;
use crate::tests::{Counts, suite_on};
use crate::{rootfs, session, workspace};

/// The package that depends on the newest kernel for virtual machines.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// What Linux needs to be told to have its console on the serial port, and to end when it panics.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1";
/// Linux's first program is the suite; Linux would panic if it exited, so it powers off instead.
const SUITE: &str = "rdinit=/tests/suite -- --power-off";

/// Holds suite and session on Linux.
///
/// # Errors
/// If there is no Linux kernel to boot, or something does not build.
pub fn test(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let kernel = kernel()?;
    let initrd = rootfs::prepare(&machine.rootfs)?;
    let boot = |more: &str| Boot::Direct {
        kernel: kernel.clone(),
        initrd: initrd.clone(),
        command_line: format!("{COMMAND_LINE} {} {more}", machine.cmdline),
    };
    let mut counts = Counts::default();
    counts += suite_on(machine, &boot(SUITE), "guest suite on Linux in QEMU")?;
    counts += session::on(machine, &boot("rdinit=/init"))?;
    Ok(counts.conclude())
}

/// The Linux image to boot, fetched when it is not there yet.
fn kernel() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("LINUX_KERNEL").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let directory = workspace::output("linux")?;
    if let Some(image) = image_below(&directory) {
        return Ok(image);
    }
    fetch(&directory).context(
        "cannot fetch a Linux kernel; on Debian run `apt-get update` first, elsewhere set \
         LINUX_KERNEL= to an image with an 8250 console",
    )?;
    image_below(&directory).context("Debian's kernel package holds no boot/vmlinuz")
}

/// The kernel image in an unpacked package.
fn image_below(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory.join("boot")).ok()?.flatten();
    let mut names = entries.map(|entry| entry.path());
    names.find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    })
}

/// Fetches the package that the meta package depends on, and unpacks it.
fn fetch(directory: &Path) -> anyhow::Result<()> {
    let output = Command::new("apt-cache").args(["depends", META_PACKAGE]).output()?;
    let depends = String::from_utf8_lossy(&output.stdout);
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| format!("apt knows no package {META_PACKAGE}"))?;
    println!("Fetching {package}, to unpack it below {} ...", directory.display());
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(directory);
    workspace::check(&mut download, "fetch Debian's Linux kernel")?;
    let archive = std::fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"));
    let Some(archive) = archive else { bail!("apt-get left no package behind") };
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(archive).arg(directory);
    workspace::check(&mut unpack, "unpack Debian's Linux kernel")
}
