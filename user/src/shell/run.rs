//! Expands and runs what the parser has found.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::builtins;
use super::jobs::{Control, Jobs};
use super::lexer::{Part, Word};
use super::parser::{Command, Condition, Pipeline, Place, Redirection, Target, parse};

/// Whether a person types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A terminal: prompts, job control.
    Interactive,
    /// Commands from a file, a pipe or an option.
    Script,
}

/// Exit status for a command that is not there, as POSIX wants it.
const NOT_FOUND: u8 = 127;
/// Exit status for a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit status for a line that makes no sense.
const USAGE: u8 = 2;

/// The state of a shell.
#[derive(Debug)]
pub struct Shell {
    /// The environment of commands; all variables are exported.
    pub variables: BTreeMap<String, String>,
    /// Background and stopped jobs.
    pub jobs: Jobs,
    status: u8,
    exit: Option<u8>,
}

impl Shell {
    /// A shell with this process's environment.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let control = if kind == Kind::Interactive { Control::On } else { Control::Off };
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables, jobs: Jobs::new(control), status: 0, exit: None }
    }

    /// The last command's exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The status with which `exit` wants the shell to end, once it has been called.
    #[must_use]
    pub fn exit_requested(&self) -> Option<u8> {
        self.exit
    }

    /// Makes the shell end after this command.
    pub fn request_exit(&mut self, status: Option<u8>) {
        self.exit = Some(status.unwrap_or(self.status));
    }

    /// Runs a text of one or more lines; gives the last status.
    pub fn run_text(&mut self, text: &str) -> u8 {
        match parse(text) {
            Ok(pipelines) => self.run_list(&pipelines),
            Err(error) => {
                eprintln!("skein-sh: {error}");
                self.status = USAGE;
            }
        }
        self.exit.unwrap_or(self.status)
    }

    fn run_list(&mut self, pipelines: &[Pipeline]) {
        for pipeline in pipelines {
            let wanted = match pipeline.condition {
                Condition::Always => true,
                Condition::AfterSuccess => self.status == 0,
                Condition::AfterFailure => self.status != 0,
            };
            if wanted {
                self.status = self.run_pipeline(pipeline);
            }
            if self.exit.is_some() {
                return;
            }
        }
    }

    fn run_pipeline(&mut self, pipeline: &Pipeline) -> u8 {
        if let ([command], Place::Foreground) = (pipeline.commands.as_slice(), pipeline.place) {
            let words = self.expand_all(&command.words);
            if words.is_empty() && command.redirections.is_empty() {
                return self.assign(command);
            }
            // What changes the shell itself must run in it.
            if let Some(builtin) = words.first().and_then(|name| builtins::in_shell(name))
                && command.redirections.is_empty()
            {
                return builtin(self, &words);
            }
        }
        match self.start(pipeline) {
            Ok((group, members)) => {
                let text = describe(pipeline);
                match pipeline.place {
                    Place::Foreground => self.jobs.run_in_foreground(group, members, &text),
                    Place::Background => {
                        self.jobs.add_background(group, members, &text);
                        0
                    }
                }
            }
            Err(error) => {
                eprintln!("skein-sh: cannot start it: {error}");
                NOT_EXECUTABLE
            }
        }
    }

    /// Sets variables of the shell itself.
    fn assign(&mut self, command: &Command) -> u8 {
        for (name, value) in &command.assignments {
            let value = self.expand(value).concat();
            self.variables.insert(name.clone(), value);
        }
        0
    }

    /// Forks a child for each command; gives the group and the members.
    fn start(&mut self, pipeline: &Pipeline) -> Result<(Pid, Vec<Pid>), Errno> {
        // What is still buffered would be written by every child again.
        let _ = std::io::stdout().flush();
        let mut group = None;
        let mut members = Vec::new();
        let mut input: Option<OwnedFd> = None;
        for (index, command) in pipeline.commands.iter().enumerate() {
            let is_last = index + 1 == pipeline.commands.len();
            let (next_input, output) = if is_last {
                (None, None)
            } else {
                let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
                (Some(read_end), Some(write_end))
            };
            // SAFETY: the shell has one thread, so its child may do anything.
            match unsafe { fork() }? {
                ForkResult::Parent { child } => {
                    group = Some(self.jobs.adopt(child, group));
                    members.push(child);
                }
                ForkResult::Child => {
                    self.jobs.enter_child(group, pipeline.place);
                    let status = self.run_in_child(command, pipeline.place, input, output);
                    let _ = std::io::stdout().flush();
                    std::process::exit(i32::from(status));
                }
            }
            input = next_input;
        }
        group.map(|group| (group, members)).ok_or(Errno::EINVAL)
    }

    /// A child's part: connect the pipes, redirect, become the program. Gives a status if that fails.
    fn run_in_child(
        &mut self,
        command: &Command,
        place: Place,
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
    ) -> u8 {
        let words = self.expand_all(&command.words);
        self.assign(command);
        if let Err((what, error)) = self.connect(command, place, input, output) {
            eprintln!("skein-sh: {what}: {error}");
            return 1;
        }
        let Some(name) = words.first() else {
            return 0;
        };
        if let Some(builtin) = builtins::in_shell(name) {
            return builtin(self, &words);
        }
        let Err(error) = self.execute(&words);
        if error == Errno::ENOENT
            && let Some(builtin) = builtins::fallback(name)
        {
            return builtin(self, &words);
        }
        let reason = if error == Errno::ENOENT { "not found" } else { error.desc() };
        eprintln!("skein-sh: {name}: {reason}");
        if error == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE }
    }

    fn connect(
        &self,
        command: &Command,
        place: Place,
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
    ) -> Result<(), (String, std::io::Error)> {
        let pipe_error = |error: Errno| ("pipe".to_owned(), error.into());
        match input {
            Some(pipe) => redirect(pipe.as_raw_fd(), 0).map_err(pipe_error)?,
            None if place == Place::Background && !super::jobs::is_terminal() => {
                // What runs behind must not take the script's lines for its input.
                let null =
                    File::open("/dev/null").map_err(|error| ("/dev/null".to_owned(), error))?;
                redirect(null.as_raw_fd(), 0).map_err(pipe_error)?;
            }
            None => {}
        }
        if let Some(pipe) = output {
            redirect(pipe.as_raw_fd(), 1).map_err(pipe_error)?;
        }
        for redirection in &command.redirections {
            self.redirect_to_file(redirection)?;
        }
        Ok(())
    }

    fn redirect_to_file(&self, redirection: &Redirection) -> Result<(), (String, std::io::Error)> {
        let (word, options) = match &redirection.target {
            Target::Duplicate(fd) => {
                return redirect(*fd, redirection.fd)
                    .map_err(|error| (fd.to_string(), error.into()));
            }
            Target::Read(word) => (word, File::options().read(true).clone()),
            Target::Write(word) => {
                (word, File::options().write(true).create(true).truncate(true).clone())
            }
            Target::Append(word) => (word, File::options().append(true).create(true).clone()),
        };
        let path = self.expand(word).concat();
        let file = options.open(&path).map_err(|error| (path.clone(), error))?;
        redirect(file.as_raw_fd(), redirection.fd).map_err(|error| (path, error.into()))
    }

    /// Becomes the program, looked for along PATH.
    fn execute(&self, words: &[String]) -> Result<Infallible, Errno> {
        let string = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
        let arguments: Vec<CString> =
            words.iter().map(|word| string(word)).collect::<Result<_, _>>()?;
        let environment: Vec<CString> = self
            .variables
            .iter()
            .map(|(name, value)| string(&format!("{name}={value}")))
            .collect::<Result<_, _>>()?;
        let name = &words[0];
        if name.contains('/') {
            return nix::unistd::execve(&string(name)?, &arguments, &environment);
        }
        let path = self.variables.get("PATH").map_or("/bin:/sbin:/usr/bin", String::as_str);
        let mut result = Errno::ENOENT;
        for directory in path.split(':') {
            let Err(error) = nix::unistd::execve(
                &string(&format!("{directory}/{name}"))?,
                &arguments,
                &environment,
            );
            if error != Errno::ENOENT && error != Errno::ENOTDIR {
                result = error;
            }
        }
        Err(result)
    }

    /// Expands words into arguments.
    fn expand_all(&self, words: &[Word]) -> Vec<String> {
        words.iter().flat_map(|word| self.expand(word)).collect()
    }

    /// Expands one word: several arguments if a variable outside quotes has blanks, none if it is empty.
    fn expand(&self, word: &Word) -> Vec<String> {
        expand_with(word, |name| self.value(name))
    }

    fn value(&self, name: &str) -> String {
        match name {
            "?" => self.status.to_string(),
            "$" => std::process::id().to_string(),
            _ => self.variables.get(name).cloned().unwrap_or_default(),
        }
    }
}

/// Expands a word with `value` giving the variables' values.
fn expand_with(word: &Word, value: impl Fn(&str) -> String) -> Vec<String> {
    let mut finished = Vec::new();
    // `None` as long as there is nothing that makes an argument.
    let mut current: Option<String> = word.is_empty().then(String::new);
    for part in word {
        match part {
            Part::Text(text) => current.get_or_insert_default().push_str(text),
            Part::QuotedVariable(name) => current.get_or_insert_default().push_str(&value(name)),
            Part::Variable(name) => {
                let value = value(name);
                if value.starts_with([' ', '\t', '\n']) {
                    finished.extend(current.take());
                }
                let mut pieces = value.split_whitespace().peekable();
                while let Some(piece) = pieces.next() {
                    current.get_or_insert_default().push_str(piece);
                    if pieces.peek().is_some() || value.ends_with([' ', '\t', '\n']) {
                        finished.extend(current.take());
                    }
                }
            }
        }
    }
    finished.extend(current);
    finished
}

/// Makes descriptor `to` lead where `from` does.
fn redirect(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: replaces a descriptor of this child, which is about to become another program and holds no owned
    // descriptor below three.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

/// A job's text, as the list of jobs shows it.
fn describe(pipeline: &Pipeline) -> String {
    let command = |command: &Command| {
        let words = command.words.iter().map(|word| {
            let parts = word.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Variable(name) | Part::QuotedVariable(name) => format!("${name}"),
            });
            parts.collect::<String>()
        });
        words.collect::<Vec<_>>().join(" ")
    };
    pipeline.commands.iter().map(command).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::lexer::{Token, tokens};

    fn expand(text: &str) -> Vec<String> {
        let value = |name: &str| match name {
            "two" => "a b".to_owned(),
            "blank" => "  x ".to_owned(),
            "?" => "7".to_owned(),
            _ => String::new(),
        };
        let tokens = tokens(text).expect("a good line");
        tokens
            .iter()
            .flat_map(|token| match token {
                Token::Word(word) => expand_with(word, value),
                _ => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn unquoted_variables_are_split() {
        assert_eq!(expand("$two"), ["a", "b"]);
        assert_eq!(expand("x${two}y"), ["xa", "by"]);
        assert_eq!(expand("1$blank'2'"), ["1", "x", "2"]);
    }

    #[test]
    fn quoted_variables_stay_whole() {
        assert_eq!(expand("\"$two\""), ["a b"]);
        assert_eq!(expand("\"[$blank]\""), ["[  x ]"]);
    }

    #[test]
    fn empty_variables_vanish_unless_quoted() {
        assert_eq!(expand("$none"), [""; 0]);
        assert_eq!(expand("\"$none\""), [""]);
        assert_eq!(expand("'' a$none"), ["", "a"]);
        assert_eq!(expand("$?"), ["7"]);
    }
}
