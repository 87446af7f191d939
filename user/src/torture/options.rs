//! The command line.

/// What `--help` prints.
pub(super) const HELP: &str = "\
Usage: torture [OPTION]...
Forks, writes, maps, protects, moves and ends, in processes and threads, and
checks every byte. Exits with 0 if all was as expected.
  --seconds N    go on for so long (20)
  --seed N       where the random numbers start (1)
  --processes N  families of processes at a time (6)
  --pressure     use memory up as well; not where others need the machine
  --help         print this
";

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) seconds: u64,
    pub(super) seed: u64,
    /// Families of processes at a time.
    pub(super) processes: usize,
    /// Use memory up as well.
    pub(super) pressure: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 20, seed: 1, processes: 6, pressure: false }
    }
}

impl Options {
    /// Understands the words of the command line; `None` for `--help`.
    pub(super) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
                value.parse::<u64>().map_err(|_| format!("{value:?} is no number"))
            };
            match word.as_str() {
                "--help" => return Ok(None),
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--processes" => options.processes = number()?.max(1) as usize,
                "--pressure" => options.pressure = true,
                _ => return Err(format!("unknown option {word}; see --help")),
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn options_have_defaults_and_numbers() {
        assert_eq!(parse(&[]), Ok(Some(Options::default())));
        let some = parse(&["--seed", "7", "--pressure"]).unwrap().unwrap();
        assert_eq!((some.seed, some.seconds, some.pressure), (7, 20, true));
        assert_eq!(parse(&["--seed", "x", "--help"]), Err("\"x\" is no number".to_owned()));
        assert_eq!(parse(&["--help"]), Ok(None));
        assert!(parse(&["--fast"]).is_err());
    }
}
