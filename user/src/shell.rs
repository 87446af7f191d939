//! A small shell for root file systems without busybox.
//!
//! It has what a person needs to look around: pipelines, lists, redirections, background jobs with job control,
//! variables and quoting, and the commonest tools built in. It is not a POSIX shell: no functions, loops, globs
//! or here-documents.
//!
//! A line goes through [`lexer`] (words and operators, quotes resolved into parts), [`parser`] (lists of
//! pipelines of commands), expansion and execution in [`run`]. [`jobs`] keeps process groups and the terminal,
//! [`builtins`] are the commands that need no program.

pub mod builtins;
pub mod jobs;
pub mod lexer;
pub mod parser;
pub mod run;

use std::io::{self, Write};
use std::process::ExitCode;

use nix::errno::Errno;
use run::Shell;

/// What `skein-sh --help` prints.
const HELP: &str = "\
Usage: skein-sh [-c COMMAND | FILE]
A small shell: pipelines, && || ; &, < > >> 2>, quotes, $VAR $? $$, jobs.
`help` at its prompt lists the commands that are built in.
";

/// Entry point of the `skein-sh` program.
///
/// # Returns
///
/// The last command's exit status, or 2 if the command line makes no sense.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments {
        [option] if option == "--help" => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        [option, command] if option == "-c" => ExitCode::from(run_command(command)),
        [option] if option == "-l" || option == "-i" => ExitCode::from(interactive()),
        [] => ExitCode::from(interactive()),
        [file] if !file.starts_with('-') => match std::fs::read_to_string(file) {
            Ok(text) => ExitCode::from(Shell::new(run::Kind::Script).run_text(&text)),
            Err(error) => {
                eprintln!("skein-sh: {file}: {error}");
                ExitCode::from(127)
            }
        },
        _ => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Runs one text of commands; gives the exit status.
#[must_use]
pub fn run_command(text: &str) -> u8 {
    Shell::new(run::Kind::Script).run_text(text)
}

/// Reads commands from standard input until it ends or `exit` is typed; gives the exit status.
#[must_use]
pub fn interactive() -> u8 {
    let kind = if jobs::is_terminal() { run::Kind::Interactive } else { run::Kind::Script };
    let mut shell = Shell::new(kind);
    loop {
        shell.jobs.report_changes();
        if kind == run::Kind::Interactive {
            print!("{}", prompt());
            if io::stdout().flush().is_err() {
                return 1;
            }
        }
        let line = read_line();
        match line {
            Ok(line) if line.is_empty() => return shell.status(),
            Ok(line) => {
                shell.run_text(&String::from_utf8_lossy(&line));
            }
            Err(Errno::EINTR) => println!(),
            Err(error) => {
                eprintln!("skein-sh: {error}");
                return 1;
            }
        }
        if let Some(status) = shell.exit_requested() {
            return status;
        }
    }
}

/// Reads a line, with its end; nothing at the end of the input.
///
/// Byte by byte, so that what follows the line is left to the commands that read the same input.
fn read_line() -> Result<Vec<u8>, Errno> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') && nix::unistd::read(io::stdin(), &mut byte)? > 0 {
        line.push(byte[0]);
    }
    Ok(line)
}

/// The prompt: the working directory, `#` for root.
fn prompt() -> String {
    let directory =
        std::env::current_dir().map_or_else(|_| "?".to_owned(), |path| path.display().to_string());
    let sign = if nix::unistd::geteuid().is_root() { '#' } else { '$' };
    format!("{directory} {sign} ")
}
