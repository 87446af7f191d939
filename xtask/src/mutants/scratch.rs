//! The copy of the tree that mutants live in, below `target/mutants`.
//!
//! It is brought up to date file by file, and only what differs is written, so that little is compiled again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use walkdir::{DirEntry, WalkDir};

use super::{Killer, Kind, Mutant};
use crate::workspace;

/// A copy of the working tree.
pub struct Scratch {
    tree: PathBuf,
    home: PathBuf,
}

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Passed,
    Failed,
    /// Not at all.
    Hung,
}

impl Scratch {
    /// Copies the tree.
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub fn prepare() -> anyhow::Result<Self> {
        let home = workspace::target().join("mutants");
        let scratch = Self { tree: home.join("tree"), home };
        let root = workspace::root();
        for entry in WalkDir::new(&root).into_iter().filter_entry(is_source) {
            let entry = entry?;
            let copy = scratch.tree.join(entry.path().strip_prefix(&root)?);
            if entry.file_type().is_dir() {
                fs::create_dir_all(&copy)?;
            } else if entry.file_type().is_file() {
                update(&copy, &fs::read(entry.path())?)?;
            }
        }
        scratch.remove_strays(&root)?;
        Ok(scratch)
    }

    /// Removes what the tree does not have any more.
    fn remove_strays(&self, root: &Path) -> anyhow::Result<()> {
        for entry in WalkDir::new(&self.tree) {
            let entry = entry?;
            let original = root.join(entry.path().strip_prefix(&self.tree)?);
            if entry.file_type().is_file() && !original.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The content of the mutant's file, in which its text is found exactly once.
    ///
    /// # Errors
    /// If it is not.
    pub fn find(&self, mutant: &Mutant) -> anyhow::Result<String> {
        let path = self.tree.join(mutant.file);
        let content = fs::read_to_string(&path)
            .with_context(|| format!("mutant {:?}: no file {}", mutant.name, mutant.file))?;
        let found = content.matches(mutant.text).count();
        if found != 1 {
            bail!(
                "mutant {:?}: this text is {found} times in {}, not once; mend the list:\n{}",
                mutant.name,
                mutant.file,
                mutant.text
            );
        }
        Ok(content)
    }

    /// Calls `act` while the mutant is in the copy.
    ///
    /// # Errors
    /// Those of `act`, or if the file cannot be changed.
    pub fn with<R>(
        &self,
        mutant: &Mutant,
        act: impl FnOnce(&Self) -> anyhow::Result<R>,
    ) -> anyhow::Result<R> {
        let content = self.find(mutant)?;
        let path = self.tree.join(mutant.file);
        fs::write(&path, content.replacen(mutant.text, mutant.instead, 1))?;
        let outcome = act(self).with_context(|| format!("mutant {:?}", mutant.name));
        fs::write(&path, content)?;
        outcome
    }

    /// Compiles and runs one test.
    ///
    /// # Errors
    /// If it does not compile, is not there, or cannot be started.
    pub fn test(&self, killer: Killer, patience: Duration) -> anyhow::Result<Verdict> {
        let mut command = Command::new(self.compile(killer)?);
        command.args(["--exact", killer.test]).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // The program itself and not cargo, so that nothing is left behind when it is stopped.
        let mut run = command.spawn()?;
        let Some(status) = workspace::wait_within(&mut run, patience)? else {
            return Ok(Verdict::Hung);
        };
        let output = run.wait_with_output()?;
        if !String::from_utf8_lossy(&output.stdout).contains("running 1 test") {
            bail!("there is no test {}::{}", killer.program, killer.test);
        }
        Ok(if status.success() { Verdict::Passed } else { Verdict::Failed })
    }

    /// Compiles the test program and says where it is.
    fn compile(&self, killer: Killer) -> anyhow::Result<PathBuf> {
        let mut command = workspace::cargo(["test", "--no-run", "--message-format=json"]);
        command.current_dir(&self.tree).args(["--package", killer.package]);
        match killer.kind {
            Kind::Kernel => command.arg("--lib"),
            Kind::Simulation | Kind::Model => command.args(["--test", killer.program]),
        };
        let target = match killer.kind {
            Kind::Simulation | Kind::Kernel => "build",
            Kind::Model => {
                command.arg("--profile=hosted").env("RUSTFLAGS", "--cfg loom");
                "loom"
            }
        };
        let output = command.env("CARGO_TARGET_DIR", self.home.join(target)).output()?;
        if !output.status.success() {
            bail!("it does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = messages.lines().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_program = message["target"]["name"] == killer.program;
            let path = message["executable"].as_str().filter(|_| is_program)?;
            Some(PathBuf::from(path))
        });
        executable.with_context(|| format!("cargo names no program {}", killer.program))
    }
}

/// What is not built and not history.
fn is_source(entry: &DirEntry) -> bool {
    entry.depth() != 1 || !matches!(entry.file_name().to_str(), Some("target" | ".git"))
}

/// Writes `content` to `path` unless it is there already.
fn update(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|known| known == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
