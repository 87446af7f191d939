//! The lines that the guest program `bench` prints, read back.
//!
//! Each is one JSON object; everything else on the console is not for this tool.

use serde::{Deserialize, Serialize};

/// A line of the guest.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Record {
    /// The first program was reached.
    Boot {
        /// Nanoseconds that the guest's clock has run since boot.
        boot_to_init: u64,
        /// The time stamp counter, which starts with the machine.
        ticks: u64,
    },
    /// A case begins.
    Begins {
        /// Its name.
        begins: String,
    },
    /// Figures of one parameter of a case.
    Figures {
        /// The case.
        case: String,
        /// The parameter; empty where the case has none.
        parameter: String,
        /// The figures.
        #[serde(flatten)]
        figures: Figures,
    },
    /// There are no figures for this parameter, or for the whole case.
    Unsupported {
        /// The case.
        case: String,
        /// The parameter; empty if no parameter can be measured.
        parameter: String,
        /// Why not.
        unsupported: String,
    },
    /// A case that the program knows.
    Listed {
        /// Its name.
        case: String,
        /// What it measures, in a sentence.
        description: String,
    },
    /// The last line.
    End {
        /// How many cases there were.
        cases: usize,
    },
}

/// What was measured, for one operation, in `unit`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figures {
    /// `ns`, `instructions` or `ops/s`.
    pub unit: String,
    /// How many operations were measured together in each sample.
    #[serde(default = "one")]
    pub operations: u64,
    /// Number of samples.
    pub samples: u64,
    /// The least sample.
    pub minimum: f64,
    /// The middle sample.
    pub median: f64,
    /// The sample that 99 of 100 do not exceed.
    pub p99: f64,
    /// The greatest sample.
    pub maximum: f64,
    /// Median absolute deviation from the median.
    pub deviation: f64,
    /// Upper bounds and numbers of samples below them, where the case is about the distribution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<(f64, u64)>,
}

/// What `operations` is when the line does not say.
fn one() -> u64 {
    1
}

impl Figures {
    /// One sample, such as the time of a boot.
    #[must_use]
    pub fn single(unit: &str, value: f64) -> Self {
        Self {
            unit: unit.to_owned(),
            operations: 1,
            samples: 1,
            minimum: value,
            median: value,
            p99: value,
            maximum: value,
            deviation: 0.0,
            histogram: Vec::new(),
        }
    }

    /// Whether more is better, as with a rate.
    #[must_use]
    pub fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

/// Reads a line of the console; `None` if it is not one of the program's.
#[must_use]
pub fn parse(line: &str) -> Option<Record> {
    // A message of the kernel may stand in front on the same line.
    let start = line.find('{')?;
    serde_json::from_str(&line[start..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let line = r#"{"case":"fork_call","parameter":"256 MiB","unit":"ns","operations":1,
            "samples":200,"minimum":5,"median":6.5,"p99":7,"maximum":9,"deviation":1.0,
            "histogram":[[8,150],[16,50]]}"#;
        let Some(Record::Figures { case, parameter, figures }) = parse(line) else {
            panic!("not figures");
        };
        assert_eq!((case.as_str(), parameter.as_str()), ("fork_call", "256 MiB"));
        assert_eq!(figures.histogram, [(8.0, 150), (16.0, 50)]);
        assert!(!figures.is_rate());
    }

    #[test]
    fn the_other_lines_are_told_apart() {
        assert_eq!(parse(r#"{"end":true,"cases":3}"#), Some(Record::End { cases: 3 }));
        let boot = Record::Boot { boot_to_init: 7, ticks: 9 };
        assert_eq!(parse(r#"[ 0.1] {"boot_to_init":7,"ticks":9}"#), Some(boot));
        let begins = Record::Begins { begins: "a".to_owned() };
        assert_eq!(parse(r#"{"begins":"a"}"#), Some(begins));
        let unsupported = r#"{"case":"a","parameter":"","unsupported":"ENOSYS"}"#;
        assert!(matches!(parse(unsupported), Some(Record::Unsupported { .. })));
        let listed = r#"{"case":"a","unit":"ns","description":"What it is."}"#;
        assert!(matches!(parse(listed), Some(Record::Listed { .. })));
        assert_eq!(parse("[    0.1] Run /init as init process"), None);
        assert_eq!(parse("{ not ours }"), None);
    }
}
