//! The benchmark program `bench`: how long the kernel's services take, by one program on any kernel.
//!
//! The same static binary runs on Linux and on Skein, in the same virtual machine, and prints one JSON line for
//! each case and parameter. It knows nothing of the kernel beneath it.
//!
//! - [`options`]: the command line.
//! - [`clock`]: the time stamp counter as a clock, in nanoseconds or in instructions.
//! - [`statistics`]: what a set of samples comes to.
//! - [`report`]: the lines that are printed.
//! - [`meter`]: takes the samples of a row: warm-up, number, time limit.
//! - [`cases`]: the registry; each case is a documented entry there.
//! - [`memory`], [`process`], [`cpus`], [`tiny`]: what the cases are made of.
//! - [`first_process`]: what is to be done where `bench` is the machine's first program.
//!
//! Each case runs in a process of its own (this program, executed anew), so that it starts from a small, fresh
//! address space, and so that a case that dies costs its own rows only.

pub mod cases;
pub mod clock;
pub mod cpus;
pub mod first_process;
pub mod memory;
pub mod meter;
pub mod options;
pub mod process;
pub mod report;
pub mod statistics;
pub mod tiny;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use cases::Case;
use clock::Clock;
use meter::Meter;
use options::{Action, Options};
use report::Line;

/// Exit status after a command line that made no sense.
const USAGE: u8 = 2;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let first = first_process::prepare();
    let outcome = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => perform(&options),
        Err(reason) => {
            eprintln!("bench: {reason}");
            ExitCode::from(USAGE)
        }
    };
    if let Some(first) = first {
        first.power_off();
    }
    outcome
}

/// Does what the command line asks for.
fn perform(options: &Options) -> ExitCode {
    let selected = cases::selected(&options.patterns);
    match options.action {
        Action::Help => {
            print!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Action::List => {
            for case in selected {
                report::print(&Line::listed(case, options.mode));
            }
            ExitCode::SUCCESS
        }
        Action::InProcess => {
            for case in selected {
                run_here(case, options);
            }
            ExitCode::SUCCESS
        }
        Action::Run => run_all(&selected, options),
    }
}

/// Runs one case in this process.
fn run_here(case: &'static Case, options: &Options) {
    // Whatever happens to a case, it ends: the signal's default action kills the process.
    nix::unistd::alarm::set(options.timeout);
    report::rehearse(case);
    let meter = Meter::new(case, options, Clock::new(options.mode));
    if let Err(failure) = (case.run)(&meter) {
        report::print(&Line::unsupported(case, "", &failure));
    }
}

/// Runs every case in a process of its own, and prints the closing line.
fn run_all(selected: &[&'static Case], options: &Options) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for case in selected {
        report::print(&Line::Begins { begins: case.name });
        match run_apart(case, options) {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let reason = how_it_ended(status);
                report::print(&Line::unsupported(case, "", &reason.into()));
                outcome = ExitCode::FAILURE;
            }
            Err(error) => {
                let reason = format!("cannot run it: {error}");
                report::print(&Line::unsupported(case, "", &reason.into()));
                outcome = ExitCode::FAILURE;
            }
        }
    }
    report::print(&Line::end(selected.len()));
    outcome
}

/// Executes this program anew for one case.
fn run_apart(case: &Case, options: &Options) -> io::Result<ExitStatus> {
    let program = std::env::current_exe()?;
    Command::new(program).args(options.for_case(case.name)).status()
}

/// A sentence about a case's process that did not end well.
fn how_it_ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(libc::SIGALRM), _) => "took too long".to_owned(),
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, code) => format!("ended with status {}", code.unwrap_or(-1)),
    }
}
