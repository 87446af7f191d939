//! What a report must say about where its figures come from.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde::Serialize;

use super::options::{BenchOptions, Pass};
use super::passes;
use super::subject::{self, Kernel, Subjects};
use crate::workspace;

/// Machine, versions, flags and date.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// When the report was made (UTC).
    pub date: String,
    /// The host's processor.
    pub processor: String,
    /// How many of them the host has.
    pub host_processors: usize,
    /// The host's kernel.
    pub host: String,
    /// QEMU's version.
    pub qemu: String,
    /// The accelerator of the pass in time.
    pub accelerator: &'static str,
    /// Processors of the guest in the pass in time, and in that in instructions.
    pub processors: [u32; 2],
    /// The guest's memory.
    pub memory: String,
    /// Rounds of the pass in time.
    pub rounds: u32,
    /// The Linux that was measured.
    pub linux: String,
    /// The commit of Skein, with a mark if something was changed since.
    pub skein: String,
    /// Both kernels' command line.
    pub command_line: &'static str,
    /// QEMU's flags of the pass in instructions.
    pub counting_flags: &'static str,
}

impl Environment {
    /// Looks around.
    ///
    /// # Errors
    /// If the options are wrong.
    pub fn of(options: &BenchOptions, subjects: &Subjects) -> anyhow::Result<Self> {
        let machine = &options.machine;
        let linux = subjects.file(Kernel::Linux).map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.trim_start_matches("vmlinuz-").to_owned()
        });
        Ok(Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            processor: processor(),
            host_processors: std::thread::available_parallelism().map_or(1, usize::from),
            host: output("uname", &["-s", "-r", "-m"]),
            qemu: first_line(&output(&machine.qemu.to_string_lossy(), &["--version"])),
            accelerator: machine.accel.name(),
            processors: [machine.smp.0, passes::machine_for(options, Pass::Instructions)?.smp.0],
            memory: machine.mem.clone(),
            rounds: options.rounds()?,
            linux: linux.unwrap_or_else(|_| "none".to_owned()),
            skein: output("git", &["describe", "--always", "--dirty"]),
            command_line: subject::command_line(),
            counting_flags: "-icount shift=0,sleep=off -seed 1 -rtc base=2026-01-01T00:00:00,clock=vm -cpu max,-erms,-fsrm",
        })
    }

    /// The same as lines of name and value.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let [time, instructions] = self.processors;
        vec![
            ("date", self.date.clone()),
            ("host", format!("{} × {}, {}", self.host_processors, self.processor, self.host)),
            ("QEMU", self.qemu.clone()),
            (
                "guest",
                format!(
                    "{time} processors, {} ({instructions} while instructions are counted), q35",
                    self.memory
                ),
            ),
            ("time", format!("{}, -cpu max, {} rounds in turn", self.accelerator, self.rounds)),
            ("instructions", self.counting_flags.to_owned()),
            ("Linux", self.linux.clone()),
            ("Skein", self.skein.clone()),
            ("command line", self.command_line.to_owned()),
        ]
    }
}

/// QEMU's major version; `None` if it does not say.
#[must_use]
pub fn qemu_major_version(qemu: &Path) -> Option<u32> {
    major_version(&output(&qemu.to_string_lossy(), &["--version"]))
}

/// The first number behind the word `version`.
fn major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

/// The model of the host's processor.
fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find(|line| line.starts_with("model name"));
    match model.and_then(|line| line.split_once(": ")) {
        Some((_, name)) => name.to_owned(),
        None => output("sysctl", &["-n", "machdep.cpu.brand_string"]),
    }
}

/// What a command prints; "unknown" where there is no such command.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(workspace::root()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_qemu_are_read() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright";
        assert_eq!(major_version(text), Some(7));
        assert_eq!(major_version("QEMU emulator version 10.0.2"), Some(10));
        assert_eq!(major_version("unknown"), None);
    }
}
