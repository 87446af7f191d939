//! Counts of tests, and how they are read from what test programs print.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Counts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that could not run here; the reason is printed where that is found out.
    pub skipped: u64,
}

impl Counts {
    /// One test.
    pub fn one<T, E>(result: &Result<T, E>) -> Self {
        let failed = u64::from(result.is_err());
        Self { passed: 1 - failed, failed, skipped: 0 }
    }

    /// One test that could not run.
    pub fn one_skipped() -> Self {
        Self { skipped: 1, ..Self::default() }
    }

    /// Reads libtest's line `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
    #[must_use]
    pub fn from_libtest(line: &str) -> Option<Self> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let mut read = Self::default();
        for part in counts.split("; ") {
            match part.split_once(' ')? {
                (number, "passed") => read.passed = number.parse().ok()?,
                (number, "failed") => read.failed = number.parse().ok()?,
                (number, "ignored") => read.skipped = number.parse().ok()?,
                _ => {}
            }
        }
        Some(read)
    }

    /// Reads a closing line such as `5 passed, 0 failed` or `5 passed, 0 failed, 1 skipped`.
    #[must_use]
    pub fn from_closing_line(line: &str) -> Option<Self> {
        let mut read = Self::default();
        let mut kinds = ["passed", "failed", "skipped"].iter();
        for part in line.trim().split(", ") {
            let (number, kind) = part.split_once(' ')?;
            if kinds.next() != Some(&kind) {
                return None;
            }
            let number = number.parse().ok()?;
            match kind {
                "passed" => read.passed = number,
                "failed" => read.failed = number,
                _ => read.skipped = number,
            }
        }
        line.contains("failed").then_some(read)
    }

    /// Prints the closing line and turns the counts into an exit status.
    pub fn conclude(self) -> ExitCode {
        println!("\n{self}");
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(formatter, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts { passed, failed, skipped }
    }

    #[test]
    fn libtests_summary_is_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
                    7 filtered out; finished in 0.01s";
        assert_eq!(Counts::from_libtest(line), Some(counts(12, 3, 1)));
        assert_eq!(Counts::from_libtest("test a::b ... ok"), None);
    }

    #[test]
    fn the_closing_line_is_written_as_it_is_read() {
        for expected in [counts(5, 0, 0), counts(0, 9, 2)] {
            assert_eq!(Counts::from_closing_line(&expected.to_string()), Some(expected));
        }
        for other in ["5 passed", "passed, failed", "[    1.5] 3 tests", ""] {
            assert_eq!(Counts::from_closing_line(other), None, "{other}");
        }
    }

    #[test]
    fn counts_add_up() {
        let mut total = counts(1, 0, 0);
        total += counts(2, 1, 3);
        total += Counts::one(&Ok::<_, ()>(()));
        total += Counts::one(&Err::<(), _>(()));
        total += Counts::one_skipped();
        assert_eq!(total, counts(4, 2, 4));
    }
}
