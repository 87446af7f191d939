//! Compiles the two things that a boot needs: the kernel and the user programs.
//!
//! Both targets normally come from rustup. Where one is missing, the kernel's library is compiled
//! from the compiler's own library source, and the user programs are linked statically against the
//! host's C library instead: to the kernel they are ordinary Linux programs either way.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{symbols, workspace};

/// The target of the kernel image.
pub const KERNEL_TARGET: &str = "x86_64-unknown-none";
/// The target of the user programs.
const USER_TARGET: &str = "x86_64-unknown-linux-musl";
/// The target that stands in for it where only a distribution's compiler is there.
const USER_TARGET_FALLBACK: &str = "x86_64-unknown-linux-gnu";

/// A cargo profile that the kernel is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Optimised: what `make run` boots.
    Release,
    /// Optimised, with debug assertions: what the tests boot.
    Checked,
}

impl Profile {
    /// Cargo's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Checked => "checked",
        }
    }
}

/// Compiles the kernel and gives it its symbol table.
///
/// The result is a copy below `target/skein`; cargo's own file stays as the linker left it.
///
/// # Errors
/// If it does not compile, or its symbols do not fit into the space reserved for them.
pub fn kernel(profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = workspace::cargo(["rustc", "--package", "kernel", "--bin", "kernel"]);
    command.args(["--profile", profile.name(), MESSAGES]).args(kernel_target_arguments()?);
    if profile == Profile::Release {
        // The kernel is one unit then, and its paths go through many small functions: what it costs to call them is a
        // tenth of a thread switch at the compiler's own threshold (225).
        command.args(["--", "-C", "llvm-args=-inline-threshold=600"]);
    }
    command.envs(library_source_environment(KERNEL_TARGET)?);
    let built = executables(&mut command, "compile the kernel")?;
    let Some((_, linked)) = built.into_iter().find(|(name, _)| name == "kernel") else {
        bail!("cargo built no program called `kernel`");
    };
    let mut image =
        std::fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    match symbols::embed(&mut image).context("cannot give the kernel its symbol table")? {
        symbols::Embedded::Written { .. } => {}
        symbols::Embedded::NoSection => {
            eprintln!("note: the kernel has no .ksyms section, so backtraces will lack names");
        }
    }
    let path = workspace::output(profile.name())?.join("kernel");
    std::fs::write(&path, image).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Which target arguments the kernel's crates are built with.
///
/// # Errors
/// If the target is missing and cannot be compiled from source either.
pub fn kernel_target_arguments() -> anyhow::Result<Vec<&'static str>> {
    let mut arguments = vec!["--target", KERNEL_TARGET];
    if !is_installed(KERNEL_TARGET)? {
        arguments.extend([
            "-Zbuild-std=core,alloc,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
        ]);
    }
    Ok(arguments)
}

/// The environment under which a stable compiler agrees to compile its own library.
///
/// # Errors
/// If the target is missing and the library's source as well.
pub fn library_source_environment(target: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    if is_installed(target)? {
        return Ok(Vec::new());
    }
    let source = PathBuf::from(rustc_print(&["--print", "sysroot"])?)
        .join("lib/rustlib/src/rust/library/Cargo.lock");
    if !source.exists() {
        bail!(
            "the Rust target {target} is not installed, nor the library source to compile it \
             from. Run `rustup target add {target}` with a network connection, or install a \
             compiler together with its library source (Debian, Ubuntu: rustc, cargo, rust-src)"
        );
    }
    Ok(vec![("RUSTC_BOOTSTRAP", "1".to_owned())])
}

/// Compiles all user programs as static executables; the pairs are name and file.
///
/// # Errors
/// If they do not compile.
pub fn user_programs() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut command =
        workspace::cargo(["build", "--package", "user", "--bins", "--profile=hosted", MESSAGES]);
    // The programs live in the guest's memory; line numbers would be most of what they take there.
    command.env("CARGO_PROFILE_HOSTED_STRIP", "debuginfo");
    if is_installed(USER_TARGET)? {
        command.args(["--target", USER_TARGET]);
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            // The host's own linker makes no x86-64 Linux programs.
            command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
        }
    } else {
        let flags = format!(
            "target.{USER_TARGET_FALLBACK}.rustflags=[\"-C\", \"target-feature=+crt-static\"]"
        );
        command.args(["--target", USER_TARGET_FALLBACK, "--config", &flags]);
    }
    executables(&mut command, "compile the user programs")
}

/// Whether the standard library for `target` is there.
fn is_installed(target: &str) -> anyhow::Result<bool> {
    let directory = rustc_print(&["--print", "target-libdir", "--target", target])?;
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(false) };
    Ok(entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-")))
}

/// What the compiler answers to a `--print` question.
fn rustc_print(arguments: &[&str]) -> anyhow::Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&program)
        .args(arguments)
        .current_dir(workspace::root())
        .output()
        .with_context(|| format!("cannot start `{}`", program.to_string_lossy()))?;
    if !output.status.success() {
        bail!("rustc {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes cargo say what programs it has built, in a form that [`executables`] reads.
const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// Runs a cargo command, with [`MESSAGES`] among its options, and returns the programs that it reports, by name and file.
fn executables(command: &mut Command, purpose: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("could not {purpose}; the compiler's messages are above");
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
}

/// The program that one of cargo's JSON messages names, if it names one.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = Path::new(message.get("executable")?.as_str()?);
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), path.to_path_buf()))
}

/// Adds build flags for the kernel's target to a cargo command such as `clippy` or `doc`.
///
/// # Errors
/// As [`library_source_environment`].
pub fn for_kernel_target<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> anyhow::Result<Command> {
    let mut command = workspace::cargo(arguments);
    command.args(kernel_target_arguments()?).envs(library_source_environment(KERNEL_TARGET)?);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"init","kind":["bin"]},
            "executable":"/t/hosted/init"}"#;
        assert_eq!(executable(message), Some(("init".into(), "/t/hosted/init".into())));
        assert_eq!(executable(r#"{"reason":"build-finished","executable":null}"#), None);
        assert_eq!(executable("not json"), None);
    }
}
