//! `make bench PROGRAM=path`: a person's own static program on both kernels, from exec to exit.
//!
//! The first program is `stopwatch`, which executes the given one and prints what it took; the
//! rest is as for the cases.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::environment::Environment;
use super::options::{BenchOptions, Pass};
use super::passes;
use super::results::Row;
use super::subject::{self, Subjects};
use crate::build;

/// The guest program that measures another.
const STOPWATCH: &str = "stopwatch";
/// The directory of the guest that holds the person's program, under its own name.
const PLACE: &str = "bin";

/// Measures the program and shows the comparison.
///
/// # Errors
/// If it cannot be read, something does not build, or QEMU does not start.
pub fn compare(
    options: &BenchOptions,
    subjects: &Subjects,
    path: &Path,
    arguments: &[String],
) -> anyhow::Result<ExitCode> {
    let programs = build::user_programs()?;
    let Some((_, stopwatch)) = programs.iter().find(|(name, _)| name == STOPWATCH) else {
        bail!("there is no user program `{STOPWATCH}`");
    };
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut archive = subject::bare_archive();
    archive.add_file("init", 0o755, read(stopwatch)?);
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        bail!("{} has no name that a kernel's command line can carry", path.display());
    };
    let place = format!("{PLACE}/{name}");
    archive.add_file(&place, 0o755, read(path)?);
    let subjects = subjects.with_archive("program.cpio", archive)?;
    let place = format!("/{place}");
    let words = std::iter::once(&place).chain(arguments).map(String::as_str);
    let quoted = words.map(quote).collect::<anyhow::Result<Vec<String>>>()?;
    let program = passes::Program { arguments: quoted.join(" ") };
    println!("==> measure {}", path.display());
    let results = passes::run_program(options, &subjects, &program)?;
    let environment = Environment::of(options, &subjects)?;
    let rows: Vec<Row> =
        [Pass::Time, Pass::Instructions].iter().flat_map(|&pass| results.rows(pass)).collect();
    super::show(&environment, &rows);
    let sentence = format!("{name}, executed, until it has ended and was waited for.");
    super::write(&environment, &[("program".to_owned(), sentence)], &rows)?;
    let missing = rows.iter().any(|row| {
        row.subject.case == "program"
            && [&row.linux, &row.skein].iter().any(|side| side.figures().is_none())
    });
    if missing {
        bail!(
            "{name} did not end well on both kernels; the consoles are in {}",
            super::session::log_directory()?.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A word as both kernels take it from their command line, where only double quotes are known and nothing escapes one.
fn quote(word: &str) -> anyhow::Result<String> {
    if word.is_empty() || word.contains(['"', '\n']) {
        bail!(
            "PROGRAM= has an argument that a kernel's command line cannot carry: {word:?} (empty, or with a \
             double quote or a line's end)"
        );
    }
    let is_plain = !word.contains(char::is_whitespace);
    Ok(if is_plain { word.to_owned() } else { format!("\"{word}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_or_refused() {
        assert_eq!(quote("plain").unwrap(), "plain");
        assert_eq!(quote("it's").unwrap(), "it's");
        assert_eq!(quote("two  words").unwrap(), "\"two  words\"");
        assert!(quote("").is_err() && quote("a\"b").is_err());
    }
}
