//! `make iso` and `make run-iso`: a hybrid BIOS and UEFI image that boots by Limine.
//!
//! The image holds the kernel, the root file system as its only module, Limine's stages, and its
//! configuration twice: `limine.cfg` for Limine 7 and `limine.conf` for 8 and later. Limine itself
//! comes from an installation; the layout follows Limine's `USAGE.md`.

mod config;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::build::{self, Profile};
use crate::options::MachineOptions;
use crate::qemu::{Boot, Firmware};
use crate::{rootfs, run, workspace};
use config::Config;

/// What `make iso` and `make run-iso` take.
#[derive(Args, Clone, Debug)]
pub struct IsoOptions {
    #[command(flatten)]
    machine: MachineOptions,
    /// Where Limine's files are, instead of a distribution's directory
    #[arg(long, env = "LIMINE_DIR", default_value = "")]
    limine_dir: String,
    /// The firmware that `run-iso` boots with
    #[arg(long, env = "FIRMWARE", default_value = "bios")]
    firmware: FirmwareKind,
}

/// Which firmware to boot with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FirmwareKind {
    /// QEMU's SeaBIOS
    Bios,
    /// OVMF
    Uefi,
}

/// Where distributions put Limine's files.
const LIMINE_DIRECTORIES: [&str; 4] = [
    "/usr/share/limine",
    "/usr/local/share/limine",
    "/opt/homebrew/share/limine",
    "/usr/lib/limine",
];
/// Limine's stages, and where they go on the image.
const LIMINE_FILES: [(&str, &str); 4] = [
    ("limine-bios.sys", "boot/limine/limine-bios.sys"),
    ("limine-bios-cd.bin", "boot/limine/limine-bios-cd.bin"),
    ("limine-uefi-cd.bin", "boot/limine/limine-uefi-cd.bin"),
    ("BOOTX64.EFI", "EFI/BOOT/BOOTX64.EFI"),
];
/// Where distributions put UEFI firmware for x86-64 machines.
const UEFI_IMAGES: [&str; 6] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/qemu/edk2-x86_64-code.fd",
];

/// Builds the image and returns where it is.
///
/// # Errors
/// If Limine or xorriso is missing, or something does not build.
pub fn build(options: &IsoOptions) -> anyhow::Result<PathBuf> {
    let limine = Limine::find(&options.limine_dir)?;
    let xorriso = workspace::find_program("xorriso").context(
        "xorriso is not installed; it writes the image (Debian, Ubuntu, Fedora, Alpine: xorriso; \
         Arch: libisoburn)",
    )?;
    let tree = workspace::output("iso")?;
    let place = |below: &str, from: &Path| copy(from, &tree.join(below));
    place("boot/kernel", &build::kernel(Profile::Release)?)?;
    place("boot/rootfs.cpio", &rootfs::prepare(&options.machine.rootfs)?)?;
    for (name, below) in LIMINE_FILES {
        place(below, &limine.directory.join(name))?;
    }
    let config = std::fs::read_to_string(workspace::root().join("limine.cfg"))
        .context("cannot read limine.cfg")?;
    let config = Config::parse(&config).with_command_line(&options.machine.kernel_command_line());
    std::fs::write(tree.join("boot/limine/limine.cfg"), config.for_limine_7())?;
    std::fs::write(tree.join("boot/limine/limine.conf"), config.for_limine_8())?;

    let image = workspace::target().join("skein.iso");
    workspace::check(&mut write_image(&xorriso, &tree, &image), "write the image")?;
    let mut install = Command::new(&limine.tool);
    install.arg("bios-install").arg(&image);
    workspace::check(&mut install, "make the image boot by BIOS")?;
    println!("The image is {}", image.display());
    Ok(image)
}

/// Builds the image and boots it.
///
/// # Errors
/// As [`build()`], and if QEMU or its firmware is missing.
pub fn run(options: &IsoOptions) -> anyhow::Result<ExitCode> {
    let firmware = match options.firmware {
        FirmwareKind::Bios => Firmware::Bios,
        FirmwareKind::Uefi => Firmware::Uefi(uefi_image()?),
    };
    let iso = build(options)?;
    let boot = Boot::Image { iso, firmware };
    Ok(run::report(run::on_standard_streams(&options.machine, &boot)?))
}

/// The first UEFI firmware there is.
fn uefi_image() -> anyhow::Result<PathBuf> {
    let found = UEFI_IMAGES.iter().map(PathBuf::from).find(|path| path.is_file());
    found.context("no UEFI firmware is installed (Debian and Ubuntu: ovmf; Fedora: edk2-ovmf)")
}

/// xorriso, told to write a tree as a hybrid image.
fn write_image(xorriso: &Path, tree: &Path, image: &Path) -> Command {
    let mut command = Command::new(xorriso);
    command.args(["-as", "mkisofs", "-quiet", "-R", "-r", "-J"]);
    command.args(["-b", "boot/limine/limine-bios-cd.bin"]);
    command.args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]);
    command.args(["-hfsplus", "-apm-block-size", "2048"]);
    command.args(["--efi-boot", "boot/limine/limine-uefi-cd.bin"]);
    command.args(["-efi-boot-part", "--efi-boot-image", "--protective-msdos-label"]);
    command.arg(tree).arg("-o").arg(image);
    command
}

/// Copies a file, making the directories above it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(directory) = to.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// An installed Limine.
#[derive(Debug)]
struct Limine {
    /// Where its stages are.
    directory: PathBuf,
    /// The `limine` program.
    tool: PathBuf,
}

impl Limine {
    /// Looks in the directory that was asked for, else where distributions put it.
    fn find(asked_for: &str) -> anyhow::Result<Self> {
        let candidates: Vec<PathBuf> = if asked_for.is_empty() {
            LIMINE_DIRECTORIES.iter().map(PathBuf::from).collect()
        } else {
            vec![asked_for.into()]
        };
        let has_all =
            |path: &PathBuf| LIMINE_FILES.iter().all(|(name, _)| path.join(name).is_file());
        let Some(directory) = candidates.iter().find(|path| has_all(path)).cloned() else {
            let places = candidates.iter().map(|path| path.display().to_string());
            bail!(
                "Limine, the boot loader that goes on the image, is not in {}. Install it (Arch, \
                 Alpine, Fedora: limine), or clone a binary release of it from its home page, run \
                 `make` there, and say LIMINE_DIR=that directory. `make run` needs no Limine",
                places.collect::<Vec<_>>().join(" or ")
            );
        };
        let beside = [directory.join("limine"), directory.join("../../bin/limine")];
        let beside = beside.into_iter().find(|path| path.is_file());
        let tool = beside.or_else(|| workspace::find_program("limine")).with_context(|| {
            format!(
                "the program `limine`, which makes the image boot by BIOS, is neither in PATH nor \
                 in {}; run `make` there if it holds limine.c",
                directory.display()
            )
        })?;
        Ok(Self { directory, tool })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limine_is_found_where_it_was_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let asked_for = directory.path().to_str().unwrap();
        let message = Limine::find(asked_for).unwrap_err().to_string();
        assert!(message.contains("LIMINE_DIR"), "{message}");
        for (name, _) in LIMINE_FILES {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        std::fs::write(directory.path().join("limine"), "").unwrap();
        let limine = Limine::find(asked_for).unwrap();
        assert_eq!(limine.directory, directory.path());
        assert_eq!(limine.tool, directory.path().join("limine"));
    }

    #[test]
    fn the_image_boots_both_ways() {
        let command = write_image(Path::new("xorriso"), Path::new("/tree"), Path::new("/i.iso"));
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        for wanted in [LIMINE_FILES[1].1, LIMINE_FILES[2].1, "-boot-info-table", "/i.iso"] {
            assert!(words.iter().any(|word| word == wanted), "{wanted} in {words:?}");
        }
    }
}
