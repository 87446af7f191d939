//! Runs a command with its output in a log file, and looks at each line on the way.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};

use anyhow::Context;

use crate::workspace;

/// How many lines of a log are shown when something has failed.
const SHOWN_LINES: usize = 60;

/// The file that keeps the output of the tests called `name`.
///
/// # Errors
/// If its directory cannot be made.
pub fn log_path(name: &str) -> anyhow::Result<PathBuf> {
    Ok(workspace::output("logs")?.join(format!("{name}.log")))
}

/// Runs `command` to its end, without input. Both its output streams go to the file `log`, and each
/// line to `look`.
///
/// # Errors
/// If it cannot be started or the log cannot be written.
pub fn run(
    command: &mut Command,
    log: &Path,
    mut look: impl FnMut(&str),
) -> anyhow::Result<ExitStatus> {
    let mut file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let (sender, lines) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || send_lines(stream, &sender));
    }
    drop(sender);
    for line in lines {
        writeln!(file, "{line}")?;
        look(&line);
    }
    Ok(child.wait()?)
}

/// Sends the lines of a stream, whatever bytes they hold, until it ends.
fn send_lines(stream: impl Read, lines: &Sender<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut line) {
        if lines.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Prints the end of a log, and where the whole of it is.
pub fn show_end(log: &Path) {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
        println!("    | {line}");
    }
    println!("    The whole log is in {}", log.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_are_logged_and_looked_at() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut seen = Vec::new();
        let status = run(
            Command::new("sh").args(["-c", "echo out; echo error >&2; exit 3"]),
            log.path(),
            |line| seen.push(line.to_owned()),
        );
        assert_eq!(status.unwrap().code(), Some(3));
        seen.sort();
        assert_eq!(seen, ["error", "out"]);
        assert_eq!(std::fs::read_to_string(log.path()).unwrap().lines().count(), 2);
    }
}
