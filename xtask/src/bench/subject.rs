//! The two kernels, and the root file system that both boot from.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::build::{self, Profile};
use crate::qemu::Boot;
use crate::rootfs::Archive;
use crate::{linux, workspace};

/// The guest program.
const PROGRAM: &str = "bench";
/// What both kernels are told; Skein passes over what is for Linux only. `panic=-1` ends a run that has died.
const COMMAND_LINE: &str = "console=ttyS0 quiet mitigations=off panic=-1";

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// The distribution's Linux.
    Linux,
    /// This one.
    Skein,
}

impl Kernel {
    /// Both, in the order of the table's columns.
    pub const ALL: [Self; 2] = [Self::Linux, Self::Skein];
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Linux => "Linux",
            Self::Skein => "Skein",
        })
    }
}

/// Everything that is booted.
#[derive(Clone, Debug)]
pub struct Subjects {
    linux: Option<PathBuf>,
    skein: PathBuf,
    initrd: PathBuf,
}

impl Subjects {
    /// Compiles Skein and the guest programs, and finds or fetches Linux.
    ///
    /// # Errors
    /// If something does not compile, or there is no Linux.
    pub fn both() -> anyhow::Result<Self> {
        Ok(Self { linux: Some(linux::kernel()?), ..Self::skein_only()? })
    }

    /// Compiles Skein and the guest programs.
    ///
    /// # Errors
    /// If something does not compile.
    pub fn skein_only() -> anyhow::Result<Self> {
        let skein = build::kernel(Profile::Release)?;
        let initrd = write_archive("guest.cpio", archive()?)?;
        Ok(Self { linux: None, skein, initrd })
    }

    /// The same kernels with another root file system.
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub fn with_archive(&self, name: &str, archive: Archive) -> anyhow::Result<Self> {
        Ok(Self { initrd: write_archive(name, archive)?, ..self.clone() })
    }

    /// The file of a kernel.
    ///
    /// # Errors
    /// If it was not asked for in the first place.
    pub fn file(&self, kernel: Kernel) -> anyhow::Result<&PathBuf> {
        match kernel {
            Kernel::Linux => self.linux.as_ref().context("no Linux kernel was prepared"),
            Kernel::Skein => Ok(&self.skein),
        }
    }

    /// How a kernel is booted with these arguments for the first program, `words` being further
    /// words for the kernel.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn boot(&self, kernel: Kernel, words: &str, arguments: &str) -> anyhow::Result<Boot> {
        let kernel = self.file(kernel)?.clone();
        let words = words.trim();
        let command_line = format!("{COMMAND_LINE} {words} -- {arguments}");
        Ok(Boot::Direct { kernel, initrd: self.initrd.clone(), command_line })
    }
}

/// The words that both kernels are told, for the report.
#[must_use]
pub fn command_line() -> &'static str {
    COMMAND_LINE
}

/// The root file system of the cases: the guest program as first program.
fn archive() -> anyhow::Result<Archive> {
    let mut archive = bare_archive();
    let programs = build::user_programs()?;
    let Some((_, bench)) = programs.iter().find(|(name, _)| name == PROGRAM) else {
        bail!("there is no user program `{PROGRAM}`");
    };
    let bytes = std::fs::read(bench).with_context(|| format!("cannot read {}", bench.display()))?;
    archive.add_file("init", 0o755, bytes);
    Ok(archive)
}

/// Directories only.
#[must_use]
pub fn bare_archive() -> Archive {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.add_directory(directory, 0o755);
    }
    archive.add_console();
    archive
}

/// Writes an archive below the target directory.
fn write_archive(name: &str, archive: Archive) -> anyhow::Result<PathBuf> {
    let path = workspace::output("bench")?.join(name);
    std::fs::write(&path, archive.finish()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
