//! The command line of the suite.

use std::str::FromStr;
use std::time::Duration;

/// What `--help` prints.
pub(super) const HELP: &str = "\
Usage: suite [OPTION]... [PATTERN]...
Runs the kernel's test suite: every case whose name contains a PATTERN, or all.

  --list              print the names and run nothing
  --exact NAME        run one case in this very process
  --jobs N            run N cases at once (default 1)
  --timeout SECONDS   a case that takes longer has failed (default 120)
  --torture SECONDS   let the torture cases run that long instead of briefly
  --seed N            start the torture cases' random numbers from N
  --power-off         as first process, power the machine off at the end
                      instead of exiting
  --help              this text

Exit status: 0 all passed, 1 some failed, 2 the command line was wrong.
Cases that need root, a terminal or several CPUs say so and are skipped elsewhere.
";

/// What to do.
pub(super) enum Action {
    Help,
    List,
    Exact(String),
    /// Be the program that a case executes; the rest of the line is for it.
    Helper(String),
    RunAll,
}

/// How the first process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Exit,
    PowerOff,
}

/// The command line, parsed.
pub(super) struct Options {
    pub(super) action: Action,
    pub(super) patterns: Vec<String>,
    pub(super) jobs: usize,
    pub(super) timeout: Duration,
    pub(super) torture: Option<u64>,
    pub(super) seed: Option<u64>,
    pub(super) ending: Ending,
}

impl Options {
    /// Parses the arguments after the program's name; the error is a sentence for the user.
    pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            action: Action::RunAll,
            patterns: Vec::new(),
            jobs: 1,
            timeout: Duration::from_secs(120),
            torture: None,
            seed: None,
            ending: Ending::Exit,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => options.action = Action::Help,
                "--list" => options.action = Action::List,
                "--exact" => {
                    let name = arguments.next().ok_or("--exact needs a name")?;
                    options.action = Action::Exact(name);
                }
                "--helper" => {
                    let name = arguments.next().ok_or("--helper needs a name")?;
                    options.action = Action::Helper(name);
                    options.patterns.extend(arguments);
                    break;
                }
                helper if helper.starts_with("--helper=") => {
                    options.action = Action::Helper(helper["--helper=".len()..].to_owned());
                    options.patterns.extend(arguments);
                    break;
                }
                "--jobs" => options.jobs = number::<usize>("--jobs", arguments.next())?.max(1),
                "--timeout" => {
                    options.timeout = Duration::from_secs(number("--timeout", arguments.next())?);
                }
                "--torture" => options.torture = Some(number("--torture", arguments.next())?),
                "--seed" => options.seed = Some(number("--seed", arguments.next())?),
                "--power-off" => options.ending = Ending::PowerOff,
                unknown if unknown.starts_with('-') => {
                    return Err(format!("unknown option {unknown}; --help lists them"));
                }
                pattern => options.patterns.push(pattern.to_owned()),
            }
        }
        Ok(options)
    }
}

/// The value of a numeric option.
fn number<N: FromStr>(option: &str, value: Option<String>) -> Result<N, String> {
    value.and_then(|text| text.parse().ok()).ok_or_else(|| format!("{option} needs a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn patterns_and_numbers_are_understood() {
        let options = parse("--jobs 3 fork --seed 9 exec").unwrap();
        assert_eq!(options.jobs, 3);
        assert_eq!(options.seed, Some(9));
        assert_eq!(options.patterns, ["fork", "exec"]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("--jobs many").is_err());
        assert!(parse("--exact").is_err());
        assert!(parse("--frobnicate").is_err());
    }
}
