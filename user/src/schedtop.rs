//! A live view of the scheduler: CPUs, queues, latencies, tasks, and the policy of the fair class.
//!
//! It reads `/proc` and nothing else, so it works on Linux, too; what a kernel does not tell (the policy, on Linux)
//! is left out.
//!
//! - [`sample`]: what `/proc` says at one moment, and the parsers;
//! - [`view`]: the difference of two samples as lines of text;
//! - [`screen`]: the terminal: its size, its keys, putting it back.

pub mod sample;
pub mod screen;
pub mod view;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sample::Sample;
use screen::Screen;

use crate::usage;

const HELP: &str = "\
Usage: schedtop [-d SECONDS] [-n TIMES] [-b]
Shows what the scheduler does: CPUs, queues, latencies, tasks and the active policy.
  -d SECONDS  between two looks (1)
  -n TIMES    ends after so many
  -b          prints as text instead of drawing on the terminal
Keys: q quits, any other looks again at once.
";

/// Lines and columns where there is no terminal.
const PAGE: (usize, usize) = (50, 100);

/// Where the view goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Display {
    /// Drawn on the terminal, where there is one.
    Terminal,
    /// Printed, one look after another.
    Text,
}

/// What the command line asks for.
struct Request {
    delay: Duration,
    times: Option<u32>,
    display: Display,
}

impl Request {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut request =
            Self { delay: Duration::from_secs(1), times: None, display: Display::Terminal };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            match option.as_str() {
                "-b" => request.display = Display::Text,
                "-d" => {
                    let seconds: f64 = arguments.next()?.parse().ok()?;
                    request.delay = Duration::try_from_secs_f64(seconds.max(0.1)).ok()?;
                }
                "-n" => request.times = Some(arguments.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(request)
    }
}

/// The program.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let request = match usage::request(arguments, HELP, Request::parse) {
        Ok(request) => request,
        Err(status) => return status,
    };
    let screen = match request.display {
        Display::Terminal => Screen::take(),
        Display::Text => None,
    };
    match watch(&request, screen.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(screen);
            eprintln!("schedtop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Looks again and again, until `q` or the number of times.
fn watch(request: &Request, screen: Option<&Screen>) -> std::io::Result<()> {
    let mut before = Sample::take()?;
    let mut left = request.times.unwrap_or(u32::MAX);
    while left > 0 {
        let deadline = Instant::now() + request.delay;
        match screen {
            None => std::thread::sleep(request.delay),
            Some(screen) if screen.wait_for_quit(deadline) => return Ok(()),
            Some(_) => {}
        }
        let now = Sample::take()?;
        let (rows, columns) = screen.map_or(PAGE, Screen::size);
        let lines = view::lines(&before, &now, rows, columns);
        match screen {
            Some(screen) => screen.draw(&lines)?,
            None => writeln!(std::io::stdout(), "{}", lines.join("\n"))?,
        }
        before = now;
        left = left.saturating_sub(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let request = |words: &[&str]| {
            Request::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        let asked = request(&["-d", "0.5", "-n", "3", "-b"]).unwrap();
        assert_eq!((asked.delay, asked.times), (Duration::from_millis(500), Some(3)));
        assert_eq!(asked.display, Display::Text);
        assert!(request(&["-n"]).is_none() && request(&["-d", "-1e99x"]).is_none());
    }
}
