//! The registry of cases.
//!
//! A case is an entry with a name, a sentence, and a function that prints its rows through a
//! [`Meter`]. The files group them by subject.

mod calls;
mod faults;
mod forks;
mod mappings;
mod messages;
mod parallel;
mod policies;
mod rewrites;
mod signals;
mod switches;
mod wakeups;

use std::ffi::CString;

use super::cpus;
use super::meter::{Meter, Row};
use super::report::Failure;

/// One thing that is measured.
#[derive(Debug)]
pub struct Case {
    /// Its name: lower case with underscores.
    pub name: &'static str,
    /// What one operation of it is, in a sentence.
    pub description: &'static str,
    /// Measures and prints its rows. An error is one that concerns all of them.
    pub run: fn(&Meter) -> Result<(), Failure>,
}

/// All cases, by subject.
const GROUPS: [&[Case]; 11] = [
    calls::CASES,
    forks::CASES,
    faults::CASES,
    rewrites::CASES,
    parallel::CASES,
    mappings::CASES,
    signals::CASES,
    switches::CASES,
    policies::CASES,
    messages::CASES,
    wakeups::CASES,
];

/// The cases whose names match one of the globs; all of them where there are no globs.
#[must_use]
pub fn selected(globs: &[String]) -> Vec<&'static Case> {
    let all = GROUPS.into_iter().flatten();
    all.filter(|case| globs.is_empty() || globs.iter().any(|glob| matches(glob, case.name)))
        .collect()
}

/// A row with both partners of `measure` on one processor, and one with each on its own.
fn by_place(
    meter: &Meter,
    measure: fn(&Row, [usize; 2]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    meter.row("one processor", |row| measure(row, [cpus::first(1)?[0]; 2]));
    meter.row("two processors", |row| {
        let cpus = cpus::first(2)?;
        measure(row, [cpus[0], cpus[1]])
    });
    Ok(())
}

/// Whether a shell pattern matches a name (POSIX `fnmatch`).
fn matches(glob: &str, name: &str) -> bool {
    let (Ok(glob), Ok(name)) = (CString::new(glob), CString::new(name)) else { return false };
    // SAFETY: both are strings that end with a null.
    unsafe { libc::fnmatch(glob.as_ptr(), name.as_ptr(), 0) == 0 }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        let all = selected(&[]);
        let names: HashSet<&str> = all.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), all.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn every_case_is_described_in_one_sentence() {
        for case in selected(&[]) {
            let text = case.description;
            assert!(text.ends_with('.') && text.len() > 20 && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn globs_select() {
        let names = |globs: &[&str]| -> Vec<&str> {
            let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
            selected(&globs).iter().map(|case| case.name).collect()
        };
        assert_eq!(names(&["null_call", "no_such_case"]), ["null_call"]);
        assert!(names(&["fork*"]).contains(&"fork_exit_wait"));
        assert!(!names(&["fork*"]).contains(&"null_call"));
    }
}
