//! `make test-linux-guest`: the guest suite and the console session on a Linux kernel in QEMU.
//!
//! Linux is the oracle: a test that fails there is wrong. The kernel is Debian's own package,
//! unpacked below the target directory and never installed; `LINUX=` names another image
//! (`LINUX_KERNEL=` as well). The benchmarks compare Skein with the same kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::options::MachineOptions;
use crate::qemu::Boot;
use crate::tests::{Counts, suite_on};
use crate::{rootfs, session, workspace};

/// The packages that depend on the newest kernel for virtual machines, of Debian and of Ubuntu.
const META_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];
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
///
/// # Errors
/// If there is none and it cannot be fetched; the message says what to do.
pub fn kernel() -> anyhow::Result<PathBuf> {
    for variable in ["LINUX", "LINUX_KERNEL"] {
        if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            if !path.is_file() {
                bail!("{variable}={} is not a file", path.display());
            }
            return Ok(path);
        }
    }
    let directory = workspace::output("linux")?;
    if let Some(image) = image_below(&directory) {
        return Ok(image);
    }
    fetch(&directory).context(
        "cannot fetch a Linux kernel. On Debian and Ubuntu it comes by apt-get, after \
         `apt-get update`; elsewhere set LINUX= to a kernel image (bzImage) with an 8250 console \
         and an initial RAM disk built in, such as the one in /boot of a cloud image",
    )?;
    image_below(&directory).context("the kernel package holds no boot/vmlinuz")
}

/// The kernel image in an unpacked package.
fn image_below(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory.join("boot")).ok()?.flatten();
    let mut names = entries.map(|entry| entry.path());
    names.find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    })
}

/// Fetches the package that a meta package depends on, and unpacks it.
fn fetch(directory: &Path) -> anyhow::Result<()> {
    let package = match newest_package()? {
        Some(package) => package,
        None => {
            refresh_lists()?;
            newest_package()?.with_context(|| {
                format!("apt knows none of the packages {}", META_PACKAGES.join(", "))
            })?
        }
    };
    println!("Fetching {package}, to unpack it below {} ...", directory.display());
    let mut download = Command::new("apt-get");
    download.args(["download", &package]).current_dir(directory);
    if workspace::check(&mut download, "fetch a Linux kernel").is_err() {
        // The lists may name a version that the server has replaced.
        refresh_lists()?;
        workspace::check(&mut download, "fetch a Linux kernel")?;
    }
    let archive = std::fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"));
    let Some(archive) = archive else { bail!("apt-get left no package behind") };
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(archive).arg(directory);
    workspace::check(&mut unpack, "unpack the Linux kernel")
}

/// The package that the first known meta package depends on.
fn newest_package() -> anyhow::Result<Option<String>> {
    for meta_package in META_PACKAGES {
        let output = Command::new("apt-cache")
            .args(["depends", meta_package])
            .output()
            .context("there is no apt-cache here")?;
        let depends = String::from_utf8_lossy(&output.stdout);
        let mut packages = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        if let Some(package) = packages.find(|package| package.starts_with("linux-image-")) {
            return Ok(Some(package.to_owned()));
        }
    }
    Ok(None)
}

/// Has apt learn which packages there are, as root or by sudo.
fn refresh_lists() -> anyhow::Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let mut update = Command::new(if is_root { "apt-get" } else { "sudo" });
    update.args(if is_root { &["update"][..] } else { &["-n", "apt-get", "update"] });
    workspace::check(&mut update, "refresh apt's lists of packages")
}
