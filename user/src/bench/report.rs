//! The lines that `bench` prints: one JSON object each, and nothing else on standard output.

use std::fmt;
use std::io::{self, Write};

use nix::errno::Errno;
use serde::Serialize;

use super::cases::Case;
use super::clock::Mode;
use super::statistics::{Bucket, Summary};

/// Why a case, or one parameter of it, has no figures on this kernel or machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self(format!("{errno:?}: {}", errno.desc()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A line of output.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line<'a> {
    /// The time that the machine took to reach the first program.
    Boot {
        /// Nanoseconds of `CLOCK_BOOTTIME` on entry.
        boot_to_init: u64,
        /// The time stamp counter on entry: what passed since the processor was reset.
        ticks: u64,
    },
    /// A case of the registry.
    Case {
        /// Its name.
        case: &'static str,
        /// The unit of its figures.
        unit: &'static str,
        /// What it measures.
        description: &'static str,
    },
    /// A case begins: what happens from here to the next such line is its doing.
    Begins {
        /// Its name.
        begins: &'static str,
    },
    /// The figures of one parameter of a case.
    Figures {
        /// The case's name.
        case: &'static str,
        /// The parameter; empty where the case has none.
        parameter: &'a str,
        /// The unit of the figures, each of them for one operation.
        unit: &'static str,
        /// How many operations were timed together.
        operations: u64,
        /// The figures.
        #[serde(flatten)]
        summary: Summary,
        /// The distribution, where the case is about that.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        histogram: Vec<Bucket>,
    },
    /// There are no figures.
    Unsupported {
        /// The case's name.
        case: &'static str,
        /// The parameter; empty if the whole case cannot be run.
        parameter: &'a str,
        /// Why.
        unsupported: String,
    },
    /// The last line.
    End {
        /// Always true.
        end: bool,
        /// How many cases there were.
        cases: usize,
    },
}

impl<'a> Line<'a> {
    /// The line about a case itself.
    #[must_use]
    pub fn listed(case: &Case, mode: Mode) -> Self {
        Self::Case { case: case.name, unit: mode.unit(), description: case.description }
    }

    /// The line that says why there are no figures.
    #[must_use]
    pub fn unsupported(case: &Case, parameter: &'a str, failure: &Failure) -> Self {
        Self::Unsupported { case: case.name, parameter, unsupported: failure.to_string() }
    }

    /// The last line.
    #[must_use]
    pub fn end(cases: usize) -> Self {
        Self::End { end: true, cases }
    }
}

/// Prints a line, in one piece and at once.
pub fn print(line: &Line) {
    let written = text(line).and_then(|text| {
        io::stdout().write_all(text.as_bytes())?;
        io::stdout().flush()
    });
    if let Err(error) = written {
        eprintln!("bench: cannot write to standard output: {error}");
        std::process::exit(1);
    }
}

/// Does what printing does, except for the output.
///
/// It touches memory for the first time, which changes what there is to fork: rows after the first printed one would
/// be of another process than the first.
pub fn rehearse(case: &Case) {
    let rehearsed = text(&Line::unsupported(case, "", &"a rehearsal".into())).and_then(|text| {
        io::sink().write_all(text.as_bytes())?;
        io::stdout().flush()
    });
    if let Err(error) = rehearsed {
        eprintln!("bench: cannot write to standard output: {error}");
    }
}

/// The line, with its end.
fn text(line: &Line) -> io::Result<String> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_as_one_flat_object() {
        let line = Line::Figures {
            case: "fork_call",
            parameter: "256 MiB",
            unit: "ns",
            operations: 1,
            summary: Summary::of(&[5, 7], 1).unwrap(),
            histogram: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"case":"fork_call","parameter":"256 MiB","unit":"ns","operations":1,"samples":2,"minimum":5.0,"median":6.0,"p99":7.0,"maximum":7.0,"deviation":1.0}"#
        );
    }

    #[test]
    fn a_missing_service_is_named() {
        assert_eq!(Failure::from(Errno::ENOSYS).to_string(), "ENOSYS: Function not implemented");
        assert_eq!(serde_json::to_string(&Line::end(3)).unwrap(), r#"{"end":true,"cases":3}"#);
    }
}
