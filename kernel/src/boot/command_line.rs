//! The kernel command line: what it may say, and what is passed on to the first program.
//!
//! As on Linux (bootparam(7)): words are separated by blanks, double quotes keep blanks together, words after `--` are
//! arguments of the first program, and so are words that the kernel does not know, except that unknown `NAME=VALUE`
//! words without a dot in `NAME` become its environment.

use alloc::string::String;
use alloc::vec::Vec;

/// A way to die on purpose, to show that the kernel's last words are legible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanicTest {
    /// A failed assertion.
    Assertion,
    /// A kernel stack that runs into its guard page, which ends as a double fault.
    StackOverflow,
}

/// What a boot was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// `init=PATH`: the first program. Without it the usual places are tried.
    pub init: Option<String>,
    /// Arguments of the first program, without its name.
    pub arguments: Vec<String>,
    /// Environment of the first program, `NAME=VALUE` each.
    pub environment: Vec<String>,
    /// `loglevel=N`, `quiet` (4) or `debug` (8): lines with a lower level number reach the console.
    pub log_level: Option<u8>,
    /// `strace=1`: log each system call.
    pub trace_system_calls: bool,
    /// `sched=NAME`: the fair policy to start with.
    pub policy: Option<String>,
    /// `trace=N`: how many records the trace keeps per CPU; 0 for no trace.
    pub trace_records: Option<usize>,
    /// `sched_seed=N`: where policies that leave something to chance start from.
    pub policy_seed: u64,
    /// `sched_test`: offer the policies that are there for tests.
    pub test_policies: bool,
    /// `record=decisions`: the trace shows what scheduling policies are told and answer.
    pub record_decisions: bool,
    /// `maxcpus=N`: start no more than this many CPUs.
    pub maximum_cpus: Option<usize>,
    /// `panic_test` or `panic_test=overflow`: how to die once everything runs.
    pub panic_test: Option<PanicTest>,
    /// What could not be understood, for the log.
    pub complaints: Vec<String>,
}

impl CommandLine {
    /// Reads `text`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut line = Self {
            init: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            log_level: None,
            trace_system_calls: false,
            policy: None,
            trace_records: None,
            record_decisions: false,
            policy_seed: 0,
            test_policies: false,
            maximum_cpus: None,
            panic_test: None,
            complaints: Vec::new(),
        };
        let mut words = words(text).into_iter();
        for word in words.by_ref() {
            if word == "--" {
                break;
            }
            line.take(word);
        }
        line.arguments.extend(words);
        line
    }

    fn take(&mut self, word: String) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        match (name, value) {
            ("init" | "rdinit", Some(path)) => self.init = Some(path.into()),
            ("loglevel", Some(level)) => match level.parse() {
                Ok(level) => self.log_level = Some(level),
                Err(_) => self.complaints.push(word),
            },
            ("quiet", None) => self.log_level = Some(4),
            ("debug", None) => self.log_level = Some(8),
            ("strace", Some("1")) => self.trace_system_calls = true,
            ("strace", Some("0")) => self.trace_system_calls = false,
            ("sched", Some(policy)) => self.policy = Some(policy.into()),
            ("record", Some("decisions")) => self.record_decisions = true,
            ("trace", Some(count)) => match count.parse() {
                Ok(count) => self.trace_records = Some(count),
                Err(_) => self.complaints.push(word),
            },
            ("sched_seed", Some(seed)) => match seed.parse() {
                Ok(seed) => self.policy_seed = seed,
                Err(_) => self.complaints.push(word),
            },
            ("sched_test", None) => self.test_policies = true,
            ("maxcpus", Some(count)) => match count.parse() {
                Ok(count) if count > 0 => self.maximum_cpus = Some(count),
                _ => self.complaints.push(word),
            },
            ("panic_test", None) => self.panic_test = Some(PanicTest::Assertion),
            ("panic_test", Some("overflow")) => self.panic_test = Some(PanicTest::StackOverflow),
            ("console" | "root" | "ro" | "rw" | "BOOT_IMAGE", _) => {}
            ("strace" | "panic_test" | "sched_test", _) => self.complaints.push(word),
            (name, _) if name.contains('.') => self.complaints.push(word),
            (_, Some(_)) => self.environment.push(word),
            (_, None) => self.arguments.push(word),
        }
    }
}

/// Splits `text` at blanks outside double quotes, and removes the quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            _ if character.is_ascii_whitespace() && !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_gets_what_follows_the_dashes() {
        let line = CommandLine::parse("quiet init=/bin/sh -- -c \"echo two words\"");
        assert_eq!(line.init.as_deref(), Some("/bin/sh"));
        assert_eq!(line.arguments, ["-c", "echo two words"]);
        assert_eq!(line.log_level, Some(4));
    }

    #[test]
    fn unknown_words_go_to_the_first_program() {
        let line = CommandLine::parse("single TERM=vt100 a.b=1 loglevel=x");
        assert_eq!(line.arguments, ["single"]);
        assert_eq!(line.environment, ["TERM=vt100"]);
        assert_eq!(line.complaints, ["a.b=1", "loglevel=x"]);
    }

    #[test]
    fn switches_are_recognised() {
        let line = CommandLine::parse(
            "  strace=1 sched=rr sched_seed=7 panic_test trace=64 record=decisions maxcpus=2 console=ttyS0 ",
        );
        assert!(line.trace_system_calls);
        assert_eq!(line.panic_test, Some(PanicTest::Assertion));
        assert_eq!((line.policy.as_deref(), line.maximum_cpus), (Some("rr"), Some(2)));
        assert_eq!((line.trace_records, line.record_decisions), (Some(64), true));
        assert_eq!((line.policy_seed, line.test_policies), (7, false));
        assert!(line.arguments.is_empty() && line.complaints.is_empty());
    }
}
