//! The command line of `bench`.

use std::str::FromStr;

use super::clock::Mode;

/// What `--help` prints.
pub const HELP: &str = "\
Usage: bench [OPTION]...
Measures what the kernel's services cost; prints one JSON line for each case and
parameter, and a closing line.

  --list               print the cases with their descriptions, run nothing
  --cases GLOB[,GLOB]  only cases whose names match (default all)
  --mode time          nanoseconds (default)
  --mode instructions  ticks of the time stamp counter, which are instructions
                       under QEMU's -icount shift=0
  --quick              fewer samples, fewer sizes
  --samples N          so many samples for each row
  --sizes MIB[,MIB]    resident sizes for the cases that depend on them
  --timeout SECONDS    the most that a case may take (default 300)
  --in-process         run the cases in this very process, for debugging and
                       profiling; no closing line
  --help               this text

Exit status: 0 all cases ran, 1 some ended badly, 2 the command line was wrong.
As first process of a machine it prints the time since boot first, and powers the
machine off at the end.
";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Print [`HELP`].
    Help,
    /// Print the registry.
    List,
    /// Run the selected cases, each in a process of its own.
    Run,
    /// Run the selected cases in this process.
    InProcess,
}

/// How many samples and sizes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As many as make a good figure.
    Full,
    /// As many as make a figure.
    Quick,
}

/// The command line, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub action: Action,
    /// Globs of the cases that are wanted; empty means all.
    pub patterns: Vec<String>,
    /// What is counted.
    pub mode: Mode,
    /// How thoroughly.
    pub effort: Effort,
    /// The number of samples for each row, where the person chose one.
    pub samples: Option<usize>,
    /// Resident sizes in MiB, where the person chose them.
    pub sizes: Option<Vec<usize>>,
    /// The most that a case may take, in seconds.
    pub timeout: u32,
}

impl Options {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    /// A sentence for the person who wrote the line.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            action: Action::Run,
            patterns: Vec::new(),
            mode: Mode::Time,
            effort: Effort::Full,
            samples: None,
            sizes: None,
            timeout: 300,
        };
        while let Some(argument) = arguments.next() {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                let next = attached.clone().or_else(|| arguments.next());
                next.ok_or_else(|| format!("{name} needs a value"))
            };
            match name {
                "--help" | "-h" => options.action = Action::Help,
                "--list" => options.action = Action::List,
                "--in-process" => options.action = Action::InProcess,
                "--quick" => options.effort = Effort::Quick,
                "--cases" => options.patterns = list(&value()?),
                "--mode" => options.mode = mode(&value()?)?,
                "--samples" => options.samples = Some(positive(name, &value()?)?),
                "--timeout" => options.timeout = positive(name, &value()?)?,
                "--sizes" => {
                    let sizes = list(&value()?);
                    let sizes =
                        sizes.iter().map(|size| number(name, size)).collect::<Result<_, _>>();
                    options.sizes = Some(sizes?);
                }
                _ => return Err(format!("{argument} is not an option; --help lists them")),
            }
        }
        Ok(options)
    }

    /// The arguments with which this program, executed anew, runs one case alike.
    #[must_use]
    pub fn for_case(&self, name: &str) -> Vec<String> {
        let mut arguments = vec!["--in-process".to_owned(), format!("--cases={name}")];
        arguments.push(format!("--mode={}", self.mode.name()));
        arguments.push(format!("--timeout={}", self.timeout));
        if self.effort == Effort::Quick {
            arguments.push("--quick".to_owned());
        }
        if let Some(samples) = self.samples {
            arguments.push(format!("--samples={samples}"));
        }
        if let Some(sizes) = &self.sizes {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            arguments.push(format!("--sizes={}", sizes.join(",")));
        }
        arguments
    }

    /// The resident sizes to measure at, in MiB.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        if let Some(sizes) = &self.sizes {
            return sizes.clone();
        }
        let sizes: &[usize] = match (self.mode, self.effort) {
            (Mode::Time, Effort::Full) => &[0, 1, 4, 16, 64, 256, 512, 1024],
            (Mode::Time, Effort::Quick) => &[0, 256],
            (Mode::Instructions, Effort::Full) => &[0, 1, 16, 256],
            (Mode::Instructions, Effort::Quick) => &[0, 256],
        };
        sizes.to_vec()
    }
}

/// The parts of a list with commas, without empty ones.
fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The mode of this name.
fn mode(name: &str) -> Result<Mode, String> {
    [Mode::Time, Mode::Instructions]
        .into_iter()
        .find(|mode| mode.name() == name)
        .ok_or_else(|| format!("{name} is not a mode: time or instructions"))
}

/// The value of a numeric option.
fn number<N: FromStr>(option: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{option} needs a number, not {text}"))
}

/// The value of a numeric option that must not be zero.
fn positive<N: FromStr + Default + PartialEq>(option: &str, text: &str) -> Result<N, String> {
    let value = number(option, text)?;
    if value == N::default() { Err(format!("{option} must be at least 1")) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_means_everything_in_nanoseconds() {
        let options = parse("").unwrap();
        assert_eq!((options.action, options.mode), (Action::Run, Mode::Time));
        assert!(options.patterns.is_empty());
        assert_eq!(options.sizes().first(), Some(&0));
        assert_eq!(options.sizes().last(), Some(&1024));
    }

    #[test]
    fn values_may_stand_apart_or_behind_an_equals_sign() {
        let apart = parse("--cases fork*,null_call --mode instructions --sizes 0,16 --samples 9");
        let behind = parse("--cases=fork*,null_call --mode=instructions --sizes=0,16 --samples=9");
        assert_eq!(apart, behind);
        let options = apart.unwrap();
        assert_eq!(options.patterns, ["fork*", "null_call"]);
        assert_eq!(options.mode, Mode::Instructions);
        assert_eq!(options.sizes(), [0, 16]);
        assert_eq!(options.samples, Some(9));
    }

    #[test]
    fn a_cases_own_process_gets_the_same_options() {
        let options =
            parse("--quick --mode instructions --sizes 4 --samples 3 --timeout 7").unwrap();
        let again = Options::parse(options.for_case("fork_call").into_iter()).unwrap();
        let expected = Options {
            action: Action::InProcess,
            patterns: vec!["fork_call".to_owned()],
            ..options
        };
        assert_eq!(again, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--mode",
            "--mode cycles",
            "--samples 0",
            "--samples many",
            "--sizes 1,x",
            "--timeout 0",
            "fork",
            "--frobnicate",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
