//! `make bench` and its kin: Skein measured beside Linux.
//!
//! Both kernels boot the same root file system, whose first program is the guest program `bench`, on
//! the same QEMU with the same flags (`subject`). `passes` boots them in turn, `session` is one boot, `record` what the
//! program says there; `results` compares. `table`, `files` and `report` show the comparison to
//! people and programs. `acceptance` judges a selection, `ceilings` guards against regressions,
//! `program` measures a person's own program, `profile` shows where a case spends its instructions.

mod acceptance;
mod ceilings;
mod environment;
mod files;
mod options;
mod passes;
mod profile;
mod program;
mod record;
mod report;
mod results;
mod session;
mod subject;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::workspace;
use acceptance::Verdict;
use environment::Environment;
use options::Pass;
use passes::Case;
use results::Row;
use subject::{Kernel, Subjects};

pub use ceilings::{check, check_only};
pub use options::BenchOptions;
pub use profile::{ProfileOptions, profile};

/// Which comparison is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Every case, or those that the person names.
    All,
    /// Fork and its faults, with what they must show.
    Fork,
    /// Signals.
    Signal,
    /// The scheduler.
    Sched,
}

impl Comparison {
    /// The selection and its criteria; `None` for everything.
    fn subject(self) -> Option<&'static acceptance::Subject> {
        match self {
            Self::All => None,
            Self::Fork => Some(&acceptance::FORK),
            Self::Signal => Some(&acceptance::SIGNAL),
            Self::Sched => Some(&acceptance::SCHED),
        }
    }
}

/// Measures both kernels and writes the report.
///
/// # Errors
/// If something does not build, there is no Linux, or QEMU does not start.
pub fn bench(options: &BenchOptions, comparison: Comparison) -> anyhow::Result<ExitCode> {
    println!("==> compile Skein and the guest programs, find Linux");
    let subjects = Subjects::both()?;
    if let Some((path, arguments)) = options.program()? {
        return program::compare(options, &subjects, &path, &arguments);
    }
    let mut options = options.clone();
    let selection = comparison.subject();
    if let Some(selection) = selection {
        options.prefer(selection.patterns, selection.sizes);
    }
    let cases = passes::survey(&options, &subjects, &options.cases)?;
    println!("==> measure {} cases", cases.len());
    let results = passes::run(&options, &subjects, &cases, &Kernel::ALL)?;
    let environment = Environment::of(&options, &subjects)?;
    let rows: Vec<Row> =
        [Pass::Time, Pass::Instructions].iter().flat_map(|&pass| results.rows(pass)).collect();
    show(&environment, &rows);
    write(&environment, &[&passes::boot_cases()[..], &cases].concat(), &rows)?;
    Ok(match selection {
        Some(selection) => conclude(selection, &options.passes()?, &rows),
        None => ExitCode::SUCCESS,
    })
}

/// Prints tables, reasons, and where the figures come from.
fn show(environment: &Environment, rows: &[Row]) {
    for pass in [Pass::Time, Pass::Instructions] {
        let of_pass: Vec<Row> =
            rows.iter().filter(|row| row.subject.pass == pass).cloned().collect();
        if !of_pass.is_empty() {
            println!("\n{} (ratio: Skein / Linux; below 1 Skein is faster)\n", pass.name());
            println!("{}", table::table(&of_pass));
        }
    }
    let reasons = table::reasons(rows);
    if !reasons.is_empty() {
        println!("\nnot supported:\n    {}", reasons.join("\n    "));
    }
    let slower: Vec<&Row> = rows.iter().filter(|row| table::mark(row) == table::SLOWER).collect();
    if !slower.is_empty() {
        println!("\nSkein is slower in these rows; `make profile CASE=...` shows why:");
    }
    for pass in [Pass::Time, Pass::Instructions] {
        let of_pass = slower.iter().filter(|row| row.subject.pass == pass);
        let names: Vec<String> = of_pass
            .map(|row| format!("{} {}", row.subject.case, row.subject.parameter).trim().to_owned())
            .collect();
        if !names.is_empty() {
            println!("    {}: {}", pass.name(), names.join(", "));
        }
    }
    println!();
    for (name, value) in environment.lines() {
        println!("{name:>12}  {value}");
    }
}

/// Writes the report in all its forms.
fn write(environment: &Environment, cases: &[Case], rows: &[Row]) -> anyhow::Result<()> {
    let directory = output_directory()?;
    let plots = report::plots::all(rows)?;
    for plot in &plots {
        let name = format!("{}-{}.svg", plot.case, plot.pass.name()).replace(' ', "-");
        let path = directory.join(name);
        std::fs::write(&path, &plot.svg)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let html = directory.join("report.html");
    std::fs::write(&html, report::page(environment, cases, rows, &plots))
        .with_context(|| format!("cannot write {}", html.display()))?;
    let json = files::write_json(&directory, environment, rows)?;
    let csv = files::write_csv(&directory, rows)?;
    println!("\nreport: {}\n        {}\n        {}", html.display(), json.display(), csv.display());
    Ok(())
}

/// Prints what the selection must show of the passes that were made, and whether it does. What should have been measured
/// and was not is no success.
fn conclude(selection: &acceptance::Subject, passes: &[Pass], rows: &[Row]) -> ExitCode {
    let judged = acceptance::judge(selection.criteria, passes, rows);
    println!();
    for (verdict, sentence) in &judged {
        println!("{} {sentence}", verdict.word());
    }
    let missed = judged.iter().any(|&(verdict, _)| verdict != Verdict::Met);
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Where reports and profiles go.
///
/// # Errors
/// If the directory cannot be made.
pub fn output_directory() -> anyhow::Result<PathBuf> {
    let directory = workspace::target().join("bench");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    Ok(directory)
}
