//! Runs the cases: options, one process for each case, a limit on its time, the report.
//!
//! The parent starts itself again as `suite --exact AREA::NAME` for each case, as the leader of a new process
//! group, with its output in a file and an empty scratch directory as working directory. A case that does not
//! end in time is killed with its group and counts as failed. Results are printed in the order of the
//! tables, however many cases run at once.

mod options;
mod report;
mod run;

use std::process::ExitCode;

use super::{AREAS, Case};
use options::{Action, Options};
pub(super) use run::{TORTURE_SECONDS, TORTURE_SEED, exit_now};

/// Exit status of a case that could not run here; its last line of output is the reason.
pub(super) const SKIPPED: i32 = 77;

/// Exit status of a case that panicked.
pub(super) const PANICKED: i32 = 101;

/// A case with its full name, as the user sees it.
#[derive(Clone)]
struct Test {
    name: String,
    case: Case,
}

/// Entry point of the `suite` program.
///
/// # Returns
///
/// Success when no case failed; 1 when one did; 2 when the command line makes no sense.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            eprintln!("suite: {complaint}");
            return ExitCode::from(2);
        }
    };
    match &options.action {
        Action::Help => {
            print!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Action::List => {
            for test in select(&options.patterns) {
                println!("{}", test.name);
            }
            ExitCode::SUCCESS
        }
        Action::Exact(name) => run::exact(name),
        Action::Helper(name) => super::helpers::run(name, &options.patterns),
        Action::RunAll => run::as_first_process(&options, || run::all(&options)),
    }
}

/// The tests whose names contain one of `patterns`; all of them when there are none.
fn select(patterns: &[String]) -> Vec<Test> {
    let mut tests = Vec::new();
    for area in AREAS {
        for case in area.cases {
            let name = format!("{}::{}", area.name, case.name);
            if patterns.is_empty() || patterns.iter().any(|pattern| name.contains(pattern)) {
                tests.push(Test { name, case: *case });
            }
        }
    }
    tests
}
