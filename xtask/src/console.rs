//! The guest's console as a conversation: send keys, wait for words, keep a transcript.
//!
//! No step assumes how long something takes. Limits exist only to notice a guest that hangs: one on
//! silence, and one on talking without ever saying what is waited for.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A guest silent for so long hangs; `SKEIN_PATIENCE` gives another number of seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// A wait may last so many times the limit on silence when the guest keeps talking.
const TALKING_FACTOR: u32 = 5;

/// Both directions of a console.
pub struct Console {
    input: Box<dyn Write + Send>,
    chunks: Receiver<Vec<u8>>,
    transcript: File,
    /// What has arrived and was not waited for yet.
    pending: Vec<u8>,
    silence_limit: Duration,
}

impl Console {
    /// Takes over both directions; everything that the guest says is kept in the file `transcript`.
    ///
    /// # Errors
    /// If the transcript cannot be created.
    pub fn new(
        input: impl Write + Send + 'static,
        output: impl Read + Send + 'static,
        transcript: &Path,
    ) -> anyhow::Result<Self> {
        let (sender, chunks) = channel();
        std::thread::spawn(move || forward(output, &sender));
        let transcript = File::create(transcript)
            .with_context(|| format!("cannot create {}", transcript.display()))?;
        let seconds = std::env::var("SKEIN_PATIENCE").ok().and_then(|text| text.parse().ok());
        Ok(Self {
            input: Box::new(input),
            chunks,
            transcript,
            pending: Vec::new(),
            silence_limit: seconds.map_or(SILENCE_LIMIT, Duration::from_secs),
        })
    }

    /// The same console for a guest that may be silent for so long.
    #[must_use]
    pub fn with_patience(self, silence_limit: Duration) -> Self {
        Self { silence_limit, ..self }
    }

    /// The same console for a guest that may be silent for so much longer.
    #[must_use]
    pub fn more_patient(self, longer: Duration) -> Self {
        let silence_limit = self.silence_limit + longer;
        self.with_patience(silence_limit)
    }

    /// Types on the console.
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn send(&mut self, keys: impl AsRef<[u8]>) -> anyhow::Result<()> {
        self.input.write_all(keys.as_ref()).context("the guest is gone")?;
        self.input.flush().context("the guest is gone")
    }

    /// Waits for `pattern` and returns what the guest said before it.
    ///
    /// # Errors
    /// If the run ends or the guest hangs before it says `pattern`.
    pub fn wait_for(&mut self, pattern: &str) -> anyhow::Result<String> {
        self.wait_for_either(&[pattern]).map(|(_, before)| before)
    }

    /// Waits for the first of several patterns; returns which it was, and what came before it.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_either(&mut self, patterns: &[&str]) -> anyhow::Result<(usize, String)> {
        let mut examined = 0;
        self.wait_until(&patterns.join("` or `"), |pending| {
            let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
            let start = examined.max(longest) - longest;
            examined = pending.len();
            let found = patterns.iter().enumerate().filter_map(|(index, pattern)| {
                let offset = find(&pending[start..], pattern.as_bytes())?;
                Some((start + offset, index, pattern.len()))
            });
            let (offset, index, length) = found.min()?;
            let before = String::from_utf8_lossy(&pending[..offset]).into_owned();
            pending.drain(..offset + length);
            Some((index, before))
        })
    }

    /// Waits for a whole line and returns it without its end; `None` when the run has ended.
    ///
    /// # Errors
    /// If the guest hangs.
    pub fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(offset) = find(&self.pending, b"\n") {
                let line: Vec<u8> = self.pending.drain(..=offset).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match self.receive(self.silence_limit) {
                Received::Some => {}
                Received::Silence => bail!(self.hang("the end of a line")),
                Received::End if self.pending.is_empty() => return Ok(None),
                Received::End => self.pending.push(b'\n'),
            }
        }
    }

    /// Waits until `condition` finds something in what has arrived; it removes what it has used.
    fn wait_until<T>(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Vec<u8>) -> Option<T>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = condition(&mut self.pending) {
                return Ok(found);
            }
            if start.elapsed() > self.silence_limit * TALKING_FACTOR {
                bail!(self.hang(what));
            }
            match self.receive(self.silence_limit) {
                Received::Some => {}
                Received::Silence => bail!(self.hang(what)),
                Received::End => {
                    bail!("the run ended while `{what}` was waited for; {}", self.last_words())
                }
            }
        }
    }

    /// Receives what the guest says next.
    fn receive(&mut self, limit: Duration) -> Received {
        match self.chunks.recv_timeout(limit) {
            Ok(chunk) => {
                // A full disk costs the transcript, not the test.
                let _ = self.transcript.write_all(&chunk);
                self.pending.extend(chunk);
                Received::Some
            }
            Err(RecvTimeoutError::Timeout) => Received::Silence,
            Err(RecvTimeoutError::Disconnected) => Received::End,
        }
    }

    fn hang(&self, what: &str) -> String {
        format!("the guest hangs: `{what}` did not come; {}", self.last_words())
    }

    /// The end of what the guest said and nobody waited for.
    fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.pending);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(8)..].join("\n        | ");
        format!("its last words:\n        | {last}")
    }
}

/// What came of listening.
enum Received {
    Some,
    Silence,
    End,
}

/// Hands on what arrives until it ends or nobody wants it any more.
fn forward(mut output: impl Read, chunks: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        if chunks.send(buffer[..count].to_vec()).is_err() {
            return;
        }
    }
}

/// Where `needle` starts in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A console whose other end is in the test's hand.
    fn console() -> (Console, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let output = ours.try_clone().unwrap();
        let mut console = Console::new(ours, output, Path::new("/dev/null")).unwrap();
        console.silence_limit = Duration::from_secs(5);
        (console, theirs)
    }

    #[test]
    fn a_pattern_is_found_across_chunks() {
        let (mut console, mut guest) = console();
        guest.write_all(b"booting\nsk").unwrap();
        let talker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            guest.write_all(b"ein> rest").unwrap();
            guest
        });
        assert_eq!(console.wait_for("skein> ").unwrap(), "booting\n");
        assert_eq!(console.wait_for("rest").unwrap(), "");
        drop(talker.join().unwrap());
    }

    #[test]
    fn the_earliest_of_several_patterns_wins() {
        let (mut console, mut guest) = console();
        guest.write_all(b"one two three").unwrap();
        assert_eq!(console.wait_for_either(&["three", "two"]).unwrap(), (1, "one ".to_owned()));
        assert_eq!(console.wait_for_either(&["three", "two"]).unwrap(), (0, " ".to_owned()));
    }

    #[test]
    fn what_is_sent_arrives() {
        let (mut console, mut guest) = console();
        console.send("ls\n").unwrap();
        let mut typed = [0; 3];
        guest.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"ls\n");
    }

    #[test]
    fn the_end_of_a_run_and_a_silent_guest_are_errors_with_last_words() {
        let (mut console, mut guest) = console();
        guest.write_all(b"up, stuck here").unwrap();
        // The limit is that of a guest that has begun to talk.
        console.wait_for("up, ").unwrap();
        let usual = std::mem::replace(&mut console.silence_limit, Duration::from_millis(20));
        let error = console.wait_for("prompt").unwrap_err().to_string();
        assert!(error.contains("hangs") && error.contains("stuck here"), "{error}");
        console.silence_limit = usual;
        drop(guest);
        let error = console.wait_for("prompt").unwrap_err().to_string();
        assert!(error.contains("ended"), "{error}");
    }

    #[test]
    fn lines_come_one_by_one_until_the_end() {
        let (mut console, mut guest) = console();
        guest.write_all(b"one\r\ntwo\nlast").unwrap();
        drop(guest);
        let mut lines = Vec::new();
        while let Some(line) = console.next_line().unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["one", "two", "last"]);
    }
}
