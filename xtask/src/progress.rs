//! Shows what a long verb is doing: a line for each stage, and on a terminal a spinner with the
//! latest line of output beside it.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the spinner turns.
const SPINNER_INTERVAL: Duration = Duration::from_millis(120);
/// How much of a line of output the spinner shows.
const NOTE_WIDTH: usize = 90;

/// One stage, from its announcement to its result.
pub struct Stage {
    bar: ProgressBar,
    name: String,
}

impl Stage {
    /// Announces a stage.
    #[must_use]
    pub fn begin(name: impl Into<String>) -> Self {
        let name = name.into();
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.clone());
        println!("==> {name}");
        bar.enable_steady_tick(SPINNER_INTERVAL);
        Self { bar, name }
    }

    /// Shows the latest line of output beside the spinner.
    pub fn note(&self, line: &str) {
        self.bar.set_message(line.trim().chars().take(NOTE_WIDTH).collect::<String>());
    }

    /// Prints a line that stays.
    pub fn print(&self, line: &str) {
        self.bar.suspend(|| println!("    {line}"));
    }

    /// Closes the stage with its result.
    pub fn finish(self, result: impl fmt::Display) {
        let seconds = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        println!("    {}: {result} ({seconds:.1} s)", self.name);
    }
}
