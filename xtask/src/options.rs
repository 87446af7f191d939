//! What a person may choose about the machine, as the variables of the `Makefile` say it.
//!
//! The `Makefile` hands its variables over as environment variables of the same names. An empty
//! value means the same as none, because `make run CMDLINE=` should not differ from `make run`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::qemu::Timing;

/// Processors, memory, command line and programs of the machine to boot.
#[derive(Args, Clone, Debug)]
pub struct MachineOptions {
    /// Number of processors
    #[arg(long, env = "SMP", default_value = "4")]
    pub smp: Processors,
    /// Size of memory, as QEMU writes it (512M, 8G)
    #[arg(long, env = "MEM", default_value = "512M")]
    pub mem: String,
    /// Further words for the kernel's command line
    #[arg(long, env = "CMDLINE", default_value = "", allow_hyphen_values = true)]
    pub cmdline: String,
    /// How QEMU executes the guest
    #[arg(long, env = "ACCEL", default_value = "tcg")]
    pub accel: Accelerator,
    /// The QEMU program to start
    #[arg(long, env = "QEMU", default_value = "qemu-system-x86_64")]
    pub qemu: PathBuf,
    /// What the kernel logs on the console: a name from `emergency` to `debug`, or a number as
    /// Linux's `loglevel=` takes it
    #[arg(long, env = "LOG", default_value = "")]
    pub log: LogLevel,
    /// A directory or a newc cpio archive, optionally gzipped, to use as root file system
    #[arg(long, env = "ROOTFS", default_value = "")]
    pub rootfs: String,
    /// Path and arguments of the first program
    #[arg(long, env = "INIT", default_value = "", allow_hyphen_values = true)]
    pub init: String,
    /// What its clocks count; not a person's choice, but the verb's
    #[arg(skip)]
    pub timing: Timing,
}

/// A number of processors that QEMU's q35 machine can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors(pub u32);

impl FromStr for Processors {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let count: u32 = text.parse().with_context(|| format!("SMP={text} is not a number"))?;
        if !(1..=288).contains(&count) {
            bail!("SMP={count} is out of range; QEMU's q35 machine takes 1 to 288 processors");
        }
        Ok(Self(count))
    }
}

/// Up to which level the kernel's log appears on the console; `None` leaves it to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(Option<usize>);

/// The levels of a kernel log, as syslog(2) numbers them.
const LEVELS: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

impl FromStr for LogLevel {
    type Err = anyhow::Error;

    /// A name includes that level; a number is one more than the last level that is shown, as in
    /// Linux's `loglevel=`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let named = LEVELS.iter().position(|&level| level == text).map(|level| level + 1);
        let number = named.or_else(|| text.parse().ok().filter(|&level| level <= LEVELS.len()));
        let levels = LEVELS.join(", ");
        let number = number.with_context(|| format!("LOG={text} is not 0 to 8 or one of {levels}"));
        Ok(Self(Some(number?)))
    }
}

/// How QEMU executes the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// By translation: slower, needs nothing of the host, and is what the tests run under
    Tcg,
    /// By the host's virtualisation: fast, needs a usable /dev/kvm
    Kvm,
}

impl Accelerator {
    /// The word that QEMU's `-accel` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }
}

impl MachineOptions {
    /// The same machine with another number of processors.
    #[must_use]
    pub fn with_processors(&self, count: u32) -> Self {
        Self { smp: Processors(count), ..self.clone() }
    }

    /// The same machine with another first program.
    #[must_use]
    pub fn with_init(&self, init: &str) -> Self {
        Self { init: init.to_owned(), ..self.clone() }
    }

    /// The same machine with another word on the kernel's command line.
    #[must_use]
    pub fn with_parameter(&self, parameter: &str) -> Self {
        let cmdline = format!("{} {parameter}", self.cmdline).trim().to_owned();
        Self { cmdline, ..self.clone() }
    }

    /// The kernel's command line: what `CMDLINE`, `LOG` and `INIT` ask for.
    ///
    /// `INIT="/bin/prog a b"` becomes `init=/bin/prog -- a b`, which is how Linux spells it: the
    /// words behind `--` are the first program's arguments.
    #[must_use]
    pub fn kernel_command_line(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        if !self.cmdline.trim().is_empty() {
            words.push(self.cmdline.trim().to_owned());
        }
        if let LogLevel(Some(level)) = self.log {
            words.push(format!("loglevel={level}"));
        }
        let init = self.init.trim();
        if let Some((path, arguments)) = init.split_once(char::is_whitespace) {
            words.push(format!("init={path} -- {}", arguments.trim()));
        } else if !init.is_empty() {
            words.push(format!("init={init}"));
        }
        words.join(" ")
    }
}

/// What `ROUNDS=` asks for; `None` if nothing.
///
/// # Errors
/// If it is not a number from 1 on.
pub fn rounds(text: &str) -> anyhow::Result<Option<u32>> {
    if text.is_empty() {
        return Ok(None);
    }
    let rounds = text.parse().ok().filter(|&rounds| rounds > 0);
    let rounds = rounds.with_context(|| format!("ROUNDS={text} is not a number from 1 on"))?;
    Ok(Some(rounds))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        machine: MachineOptions,
    }

    fn parse(arguments: &[&str]) -> MachineOptions {
        Line::parse_from([&["xtask"], arguments].concat()).machine
    }

    #[test]
    fn nothing_asked_for_is_an_empty_command_line() {
        assert_eq!(parse(&["--cmdline=", "--init=", "--log="]).kernel_command_line(), "");
    }

    #[test]
    fn arguments_of_the_first_program_stand_behind_two_dashes() {
        let machine = parse(&["--init=/bin/prog  -x 'a b'", "--cmdline=strace=1", "--log=debug"]);
        assert_eq!(machine.kernel_command_line(), "strace=1 loglevel=8 init=/bin/prog -- -x 'a b'");
        assert_eq!(parse(&["--init=/bin/prog"]).kernel_command_line(), "init=/bin/prog");
    }

    #[test]
    fn a_parameter_is_added_to_what_is_there() {
        let machine = parse(&["--cmdline=quiet"]).with_parameter("panic_test");
        assert_eq!(machine.kernel_command_line(), "quiet panic_test");
    }

    #[test]
    fn log_levels_are_names_or_numbers() {
        assert_eq!("".parse::<LogLevel>().unwrap(), LogLevel(None));
        assert_eq!("info".parse::<LogLevel>().unwrap(), LogLevel(Some(7)));
        assert_eq!("4".parse::<LogLevel>().unwrap(), LogLevel(Some(4)));
        assert!("9".parse::<LogLevel>().is_err());
        assert!("loud".parse::<LogLevel>().is_err());
    }

    #[test]
    fn processors_are_counted_from_one_to_what_the_machine_can_have() {
        assert_eq!("32".parse::<Processors>().unwrap(), Processors(32));
        assert!("0".parse::<Processors>().is_err());
        assert!("four".parse::<Processors>().is_err());
    }
}
