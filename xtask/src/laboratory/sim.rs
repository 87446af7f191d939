//! `make sim`: loads in virtual time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use lab::metrics::Metrics;
use lab::run::Run;
use lab::{chrome, gantt, report, simulator, table};

use super::options::{SimOptions, list, load};
use crate::workspace;

/// How much of a run its Gantt chart shows, in nanoseconds.
const GANTT: u64 = 200_000_000;

/// Runs every load under every policy, prints the table, and leaves charts, traces and a report.
///
/// # Errors
/// If there is no such load or policy, or a file cannot be written.
pub fn simulate(options: &SimOptions) -> anyhow::Result<ExitCode> {
    let directory = workspace::target().join("sim");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let (text, files) = run(options, &directory)?;
    println!("{text}");
    for file in files {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// As [`simulate`]; returns the table and the files in `directory`.
///
/// # Errors
/// As [`simulate`].
pub fn run(options: &SimOptions, directory: &Path) -> anyhow::Result<(String, Vec<PathBuf>)> {
    let mut runs = Vec::new();
    for name in list(&options.load) {
        let load = load(name)?;
        for policy in list(&options.policy) {
            runs.push(simulator::simulate(policy, &load, options.cpus, options.seed)?);
        }
    }
    let rows: Vec<(&Run, Metrics)> = runs.iter().map(|run| (run, Metrics::of(run))).collect();
    let mut files = Vec::new();
    for run in &runs {
        let label = format!("{}-{}", run.label(), options.seed);
        files.extend(save(run, directory, &label)?);
    }
    let title = format!("Simulated with seed {}", options.seed);
    files.push(write(directory, "report.html", report::page(&title, &rows)?)?);
    let text = table::comparison(&rows);
    files.push(write(directory, "table.txt", format!("{text}\n"))?);
    Ok((text, files))
}

/// Writes a run's chart and trace.
///
/// # Errors
/// If a file cannot be written.
pub fn save(run: &Run, directory: &Path, label: &str) -> anyhow::Result<[PathBuf; 2]> {
    let title = format!(
        "{} under {} on {} CPUs ({})",
        run.load.name,
        run.policy,
        run.cpus,
        run.place.name()
    );
    let chart = gantt::draw(&run.trace, &title, 0, GANTT);
    let trace = serde_json::to_string(&chrome::to_json(&run.trace))?;
    Ok([
        write(directory, &format!("{label}.svg"), chart)?,
        write(directory, &format!("{label}.trace.json"), trace)?,
    ])
}

/// Writes a file and returns where it is.
///
/// # Errors
/// If that fails.
pub fn write(directory: &Path, name: &str, content: String) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let simulate = |seed| {
            let directory = tempfile::tempdir().unwrap();
            let (policy, load) = ("eevdf,mlfq".to_owned(), "mixed".to_owned());
            let options = SimOptions { policy, load, cpus: 4, seed };
            let (table, files) = run(&options, directory.path()).unwrap();
            assert_eq!(files.len(), 2 * 2 + 2);
            let bytes = files.iter().map(|file| std::fs::read(file).unwrap());
            (table, bytes.collect::<Vec<_>>())
        };
        let first = simulate(1);
        assert!(first == simulate(1), "two runs with one seed differ");
        assert!(first.1 != simulate(2).1, "the seed makes no difference");
    }
}
