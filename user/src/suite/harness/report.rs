//! What the user reads: a line for each case, the output of those that failed, the counts.

use std::time::Duration;

/// How a case ended.
pub(super) enum Outcome {
    Passed,
    /// It could not run here; why.
    Skipped(String),
    /// How it ended, and everything that it printed.
    Failed {
        how: String,
        output: String,
    },
}

/// The results so far, in order.
#[derive(Default)]
pub(super) struct Report {
    passed: usize,
    skipped: usize,
    failures: Vec<(String, String, String)>,
}

impl Report {
    /// Counts one result and prints its line.
    pub(super) fn add(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => {
                println!("test {name} ... ok");
                self.passed += 1;
            }
            Outcome::Skipped(reason) => {
                println!("test {name} ... ignored, {reason}");
                self.skipped += 1;
            }
            Outcome::Failed { how, output } => {
                println!("test {name} ... FAILED");
                self.failures.push((name.to_owned(), how, output));
            }
        }
    }

    /// Prints the failures in full and the closing line of counts.
    pub(super) fn close(&self, elapsed: Duration) {
        for (name, how, output) in &self.failures {
            println!("\n---- {name}: {how} ----");
            print!("{output}");
            if !output.is_empty() && !output.ends_with('\n') {
                println!();
            }
        }
        if !self.failures.is_empty() {
            println!("\nfailures:");
            for (name, _, _) in &self.failures {
                println!("    {name}");
            }
        }
        let mut counts = format!("{} passed, {} failed", self.passed, self.failures.len());
        if self.skipped > 0 {
            counts.push_str(&format!(", {} skipped", self.skipped));
        }
        println!("\nfinished in {:.1} s", elapsed.as_secs_f64());
        println!("{counts}");
    }

    /// Whether no case failed.
    #[must_use]
    pub(super) fn is_success(&self) -> bool {
        self.failures.is_empty()
    }
}
