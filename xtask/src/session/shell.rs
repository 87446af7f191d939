//! The conversation with a shell's prompt.

use anyhow::{Context, ensure};

use super::PROMPT;
use crate::console::Console;

/// The prompt while the session lasts: nothing else that is printed looks like it.
const OWN_PROMPT: &str = "skein$ ";
/// Typed such that the echo of what is typed does not look like the prompt itself.
const SET_PROMPT: &str = "PS1='ske''in$ '";
/// A size of the terminal at which no line that is typed wraps.
const SET_SIZE: &str = "stty rows 24 cols 200";
/// The key Ctrl-C.
const CONTROL_C: &str = "\x03";

/// A shell that waits at its prompt between two calls.
pub struct Shell {
    console: Console,
    processors: u32,
}

impl Shell {
    /// Waits for the first prompt and makes it ours.
    ///
    /// # Errors
    /// If there is no prompt.
    pub fn open(mut console: Console, processors: u32) -> anyhow::Result<Self> {
        console.wait_for(PROMPT)?;
        let mut shell = Self { console, processors };
        shell.type_line(SET_PROMPT)?;
        shell.until_prompt()?;
        shell.succeed(SET_SIZE)?;
        Ok(shell)
    }

    /// The number of processors that the machine has.
    #[must_use]
    pub fn processors(&self) -> u32 {
        self.processors
    }

    /// Types a line without waiting for anything.
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn type_line(&mut self, line: &str) -> anyhow::Result<()> {
        self.console.send(format!("{line}\n"))
    }

    /// Types keys as they are.
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn press(&mut self, keys: &str) -> anyhow::Result<()> {
        self.console.send(keys)
    }

    /// Waits for words on the console.
    ///
    /// # Errors
    /// If they do not come.
    pub fn wait_for(&mut self, words: &str) -> anyhow::Result<String> {
        self.console.wait_for(words)
    }

    /// Waits for the prompt and returns what came before it.
    ///
    /// # Errors
    /// If it does not come.
    pub fn until_prompt(&mut self) -> anyhow::Result<String> {
        self.console.wait_for(OWN_PROMPT)
    }

    /// Waits until the run has ended.
    ///
    /// # Errors
    /// If the guest hangs.
    pub fn until_end(&mut self) -> anyhow::Result<()> {
        while self.console.next_line()?.is_some() {}
        Ok(())
    }

    /// Runs a command and returns what it printed, without the echo of what was typed.
    ///
    /// # Errors
    /// If the prompt does not come back.
    pub fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        self.type_line(command)?;
        let text = self.until_prompt().with_context(|| format!("`{command}`"))?;
        let printed = text.split_once('\n').map_or("", |(_echo, printed)| printed);
        Ok(printed.replace('\r', ""))
    }

    /// Runs a command that must succeed; returns what it printed.
    ///
    /// # Errors
    /// If it ends with another status than 0.
    pub fn succeed(&mut self, command: &str) -> anyhow::Result<String> {
        let printed = self.ask(command)?;
        let status = self.status()?;
        ensure!(status == 0, "`{command}` ended with status {status} and printed {printed:?}");
        Ok(printed)
    }

    /// The status of the last command, as the shell knows it.
    ///
    /// # Errors
    /// If the shell prints no number.
    pub fn status(&mut self) -> anyhow::Result<u8> {
        let printed = self.ask("echo status=$?")?;
        let number = printed.lines().find_map(|line| line.strip_prefix("status="));
        number.and_then(|text| text.trim().parse().ok()).context("the shell told no status")
    }

    /// Finds the way back to the prompt after a step that failed somewhere.
    ///
    /// # Errors
    /// If there is no way back.
    pub fn recover(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.press(CONTROL_C)?;
            self.type_line("")?;
        }
        self.type_line("echo re''covered")?;
        self.wait_for("recovered")?;
        self.until_prompt().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_conversation_with_the_hosts_shell() {
        // It has no terminal, so it echoes nothing: the first line it prints passes for the echo.
        let mut process =
            Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let console = Console::new(input, output, Path::new("/dev/null")).unwrap();
        let mut shell = Shell { console, processors: 1 };
        let printed = shell.ask("echo echo; echo one; echo 'skein''$ '").unwrap();
        assert_eq!(printed, "one\n");
        shell.type_line("exit").unwrap();
        shell.until_end().unwrap();
        assert!(process.wait().unwrap().success());
    }

    #[test]
    fn what_sets_the_prompt_does_not_look_like_it() {
        assert!(!SET_PROMPT.contains(OWN_PROMPT.trim_end()));
    }
}
