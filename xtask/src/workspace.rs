//! Where things are in the workspace, and how commands are run in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How often somebody who waits looks whether a process has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The top level of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// Cargo's target directory.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A place below the target directory for what this tool makes, created when it is missing.
///
/// # Errors
/// If the directory cannot be made.
pub fn output(below: impl AsRef<Path>) -> anyhow::Result<PathBuf> {
    let directory = target().join("skein").join(below);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    Ok(directory)
}

/// A cargo command, to run at the top level.
#[must_use]
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command to its end, its output going where this tool's goes.
///
/// # Errors
/// If it cannot be started, or does not succeed; `purpose` says in the message what failed.
pub fn check(command: &mut Command, purpose: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start `{program}`, which is needed to {purpose}"))?;
    if !status.success() {
        bail!("could not {purpose}: `{program}` ended with {status}; its messages are above");
    }
    Ok(())
}

/// Waits until a process ends; kills it, and returns nothing, if that takes longer than `limit`.
///
/// # Errors
/// If it cannot be waited for or killed.
pub fn wait_within(process: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            process.kill()?;
            process.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Finds a program: a path is taken as it is, a bare name is looked up in `PATH`.
#[must_use]
pub fn find_program(name: impl AsRef<Path>) -> Option<PathBuf> {
    let name = name.as_ref();
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_path_buf());
    }
    let search = std::env::var_os("PATH")?;
    std::env::split_paths(&search).map(|directory| directory.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_only_by_bare_name() {
        assert!(find_program("sh").is_some());
        assert!(find_program("/no/such/program").is_none());
        assert!(find_program("no-such-program-anywhere").is_none());
    }

    #[test]
    fn what_takes_too_long_is_killed() {
        let mut quick = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let status = wait_within(&mut quick, Duration::from_secs(60)).unwrap();
        assert_eq!(status.unwrap().code(), Some(3));
        let mut endless = Command::new("sh").args(["-c", "kill -STOP $$"]).spawn().unwrap();
        assert!(wait_within(&mut endless, Duration::from_millis(50)).unwrap().is_none());
    }

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
