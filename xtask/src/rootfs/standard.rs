//! The default root file system: the own user programs, and busybox where the host has one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use object::Endianness;
use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

use super::archive::Archive;
use crate::{build, workspace};

/// Directories, with their permissions.
const DIRECTORIES: [(&str, u32); 15] = [
    ("bin", 0o755),
    ("sbin", 0o755),
    ("dev", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("etc", 0o755),
    ("root", 0o700),
    ("home", 0o755),
    ("tests", 0o755),
    ("mnt", 0o755),
    ("run", 0o755),
    ("var/log", 0o755),
    ("var/run", 0o755),
    ("var/tmp", 0o1777),
];

/// Configuration files and their contents.
const FILES: [(&str, &str); 6] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         user:x:1000:1000:a person:/tmp:/bin/sh\n\
         nobody:x:65534:65534:nobody:/tmp:/bin/sh\n",
    ),
    ("etc/group", "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n"),
    ("etc/shells", "/bin/sh\n"),
    ("etc/hostname", "skein\n"),
    ("etc/hosts", "127.0.0.1 localhost skein\n"),
    ("etc/profile", "export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/tests\nexport HOME=/root\n"),
];

/// Where one of our own programs goes in the tree.
fn place(program: &str) -> String {
    match program {
        "init" => "init".to_owned(),
        "suite" => "tests/suite".to_owned(),
        other => format!("bin/{other}"),
    }
}

/// The file of one user program, compiled.
///
/// # Errors
/// If it does not compile or there is none of that name.
pub fn user_program(name: &str) -> anyhow::Result<PathBuf> {
    let programs = build::user_programs()?;
    let found = programs.into_iter().find(|(program, _)| program == name);
    found.map(|(_, path)| path).with_context(|| format!("there is no user program `{name}`"))
}

/// Builds the tree.
///
/// # Errors
/// If the user programs do not compile or a file cannot be read.
pub fn build() -> anyhow::Result<Archive> {
    let mut archive = Archive::default();
    for (path, mode) in DIRECTORIES {
        archive.add_directory(path, mode);
    }
    for (path, contents) in FILES {
        archive.add_file(path, 0o644, contents);
    }
    for (name, path) in build::user_programs()? {
        let contents =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        archive.add_file(&place(&name), 0o755, contents);
    }
    if let Err(reason) = add_busybox(&mut archive) {
        eprintln!("note: no busybox in the root file system: {reason:#}");
    }
    Ok(archive)
}

/// Adds busybox and a symbolic link for each of its applets.
fn add_busybox(archive: &mut Archive) -> anyhow::Result<()> {
    let path = busybox()?;
    let program =
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let applets = applets(&path)?;
    archive.add_file("bin/busybox", 0o755, program);
    for applet in applets.lines().filter(|line| !line.is_empty()) {
        archive.add_symlink(applet, "/bin/busybox");
    }
    Ok(())
}

/// The host's busybox, or the one that `BUSYBOX` names.
///
/// # Errors
/// If there is none, or it needs shared libraries.
pub fn busybox() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("BUSYBOX").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => workspace::find_program("busybox").context(
            "it is not installed (Debian and Ubuntu: busybox-static). The fallback shell of our \
             own is there all the same",
        )?,
    };
    let program =
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if !is_static(&program)? {
        bail!("{} needs shared libraries; a static one is wanted", path.display());
    }
    Ok(path)
}

/// The paths of all applets, as busybox itself lists them.
fn applets(busybox: &Path) -> anyhow::Result<String> {
    let output = Command::new(busybox).arg("--list-full").output();
    let output = output.with_context(|| format!("cannot start {}", busybox.display()))?;
    if !output.status.success() {
        bail!("{} --list-full ended with {}", busybox.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether an ELF program names no interpreter, that is, no dynamic loader.
pub fn is_static(program: &[u8]) -> anyhow::Result<bool> {
    let file = ElfFile64::<Endianness>::parse(program)?;
    let endian = file.elf_header().endian()?;
    Ok(!file.elf_program_headers().iter().any(|header| header.p_type(endian) == PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_programs_have_their_places() {
        assert_eq!(place("init"), "init");
        assert_eq!(place("suite"), "tests/suite");
        assert_eq!(place("strace"), "bin/strace");
    }

    #[test]
    fn this_very_program_is_linked_dynamically() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&program).unwrap());
        assert!(is_static(b"not ELF").is_err());
    }
}
