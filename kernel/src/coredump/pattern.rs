//! What a core file is called: `/proc/sys/kernel/core_pattern` and `core_uses_pid` (core(5)).
//!
//! A pattern that starts with `|` names a program and its arguments instead, for `pipe` to start. Pure: [`expand`] and
//! [`command`].

use alloc::vec::Vec;
use core::fmt::{self, Write};

use arch::sync::atomic::{AtomicBool, Ordering};
use arch::sync::{Rank, SpinLock};

use super::{Text, append};
use crate::errno::{Errno, Result};

/// The longest pattern, with its terminating zero (`CORENAME_MAX_SIZE`).
const PATTERN_SIZE: usize = 128;

/// A pattern.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    bytes: [u8; PATTERN_SIZE],
    length: usize,
}

impl Pattern {
    /// `text` up to a line end; what is too long is cut off, as on Linux.
    fn new(text: &[u8]) -> Self {
        let end = text.iter().position(|&byte| byte == b'\n' || byte == 0).unwrap_or(text.len());
        let length = end.min(PATTERN_SIZE - 1);
        let mut bytes = [0; PATTERN_SIZE];
        bytes[..length].copy_from_slice(&text[..length]);
        Self { bytes, length }
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// What comes after the bar, if core files go to a program.
    #[must_use]
    pub fn command(&self) -> Option<&[u8]> {
        self.as_bytes().strip_prefix(b"|")
    }
}

static PATTERN: SpinLock<Option<Pattern>> = SpinLock::new(Rank::LEAF, None);
static USES_PID: AtomicBool = AtomicBool::new(false);

/// The pattern that is in force.
#[must_use]
pub fn current() -> Pattern {
    PATTERN.lock().unwrap_or_else(|| Pattern::new(b"core"))
}

/// Replaces the pattern.
///
pub fn set(text: &[u8]) {
    *PATTERN.lock() = Some(Pattern::new(text));
}

/// Whether `.PID` is added to names whose pattern does not ask for it.
#[must_use]
pub fn uses_pid() -> bool {
    // A setting by itself: it orders nothing.
    USES_PID.load(Ordering::Relaxed)
}

/// Sets [`uses_pid`].
pub fn set_uses_pid(uses: bool) {
    USES_PID.store(uses, Ordering::Relaxed);
}

/// What the conversions stand for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `%p`
    pub pid: u32,
    /// `%i`
    pub tid: u32,
    /// `%u`, the real one.
    pub user: u32,
    /// `%g`, the real one.
    pub group: u32,
    /// `%d`
    pub dumpable: u8,
    /// `%s`
    pub signal: u8,
    /// `%t`: seconds since the epoch.
    pub time: i64,
    /// `%h`
    pub host: &'a [u8],
    /// `%e`: the thread's name.
    pub name: &'a [u8],
    /// `%E`, and its last component `%f`: the path of the program.
    pub program: &'a [u8],
    /// `%c`: the limit on core files.
    pub limit: u64,
    /// `%C`
    pub cpu: usize,
}

/// The name of the core file of `subject`.
///
/// # Errors
/// `ENOMEM`.
pub fn expand(pattern: &[u8], subject: &Subject<'_>, uses_pid: bool) -> Result<Vec<u8>> {
    let mut name = Text(Vec::new());
    let mut has_pid = false;
    let mut rest = pattern.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            name.bytes(&[byte])?;
            continue;
        }
        // A conversion that is unknown or missing stands for nothing.
        let Some(&conversion) = rest.next() else { break };
        has_pid |= conversion == b'p';
        name.convert(conversion, subject)?;
    }
    if uses_pid && !has_pid {
        name.number(format_args!(".{}", subject.pid))?;
    }
    Ok(name.0)
}

/// The words of a pattern for a program: its path and its arguments. They are parted before conversions are made, so that a
/// name with blanks in it stays one word.
///
/// # Errors
/// `ENOENT` for an empty pattern; `ENOMEM`.
pub fn command(pattern: &[u8], subject: &Subject<'_>) -> Result<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    // What isspace(3) knows.
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0d);
    for word in pattern.split(is_blank).filter(|word| !word.is_empty()) {
        words.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        words.push(expand(word, subject, false)?);
    }
    if words.is_empty() { Err(Errno::ENOENT) } else { Ok(words) }
}

impl Text {
    fn convert(&mut self, conversion: u8, subject: &Subject<'_>) -> Result<()> {
        match conversion {
            b'%' => self.bytes(b"%"),
            b'p' | b'P' => self.number(format_args!("{}", subject.pid)),
            b'i' | b'I' => self.number(format_args!("{}", subject.tid)),
            b'u' => self.number(format_args!("{}", subject.user)),
            b'g' => self.number(format_args!("{}", subject.group)),
            b'd' => self.number(format_args!("{}", subject.dumpable)),
            b's' => self.number(format_args!("{}", subject.signal)),
            b't' => self.number(format_args!("{}", subject.time)),
            b'h' => self.component(subject.host),
            b'e' => self.component(subject.name),
            b'f' => self.component(subject.program.rsplit(|&b| b == b'/').next().unwrap_or(b"")),
            b'E' => self.component(subject.program),
            b'c' => self.number(format_args!("{}", subject.limit)),
            b'C' => self.number(format_args!("{}", subject.cpu)),
            _ => Ok(()),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        append(&mut self.0, bytes)
    }

    fn number(&mut self, text: fmt::Arguments<'_>) -> Result<()> {
        self.write_fmt(text).map_err(|fmt::Error| Errno::ENOMEM)
    }

    /// A string that others chose: it must not lead to another directory, so slashes and whole names of dots become `!`.
    fn component(&mut self, text: &[u8]) -> Result<()> {
        let start = self.0.len();
        for &byte in text {
            self.bytes(&[if byte == b'/' { b'!' } else { byte }])?;
        }
        if matches!(&self.0[start..], b"." | b"..") {
            self.0[start] = b'!';
        }
        if self.0.len() == start { self.bytes(b"!") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'static> = Subject {
        pid: 42,
        tid: 43,
        user: 1000,
        group: 100,
        dumpable: 1,
        signal: 11,
        time: 7,
        host: b"skein",
        name: b"a/b",
        program: b"/bin/prog",
        limit: 4096,
        cpu: 3,
    };

    fn name(pattern: &str, uses_pid: bool) -> String {
        let name = expand(pattern.as_bytes(), &SUBJECT, uses_pid).expect("memory");
        String::from_utf8(name).expect("text")
    }

    #[test]
    fn conversions_are_those_of_core_5() {
        assert_eq!(name("core", false), "core");
        assert_eq!(
            name("/tmp/c.%p.%i.%u.%g.%d.%s.%t.%h", false),
            "/tmp/c.42.43.1000.100.1.11.7.skein"
        );
        assert_eq!(name("%f-%E-%c-%C-%%", false), "prog-!bin!prog-4096-3-%");
        assert_eq!(name("%q%", false), "", "what is unknown stands for nothing");
    }

    #[test]
    fn the_pid_is_added_where_it_is_wanted_and_missing() {
        assert_eq!(name("core", true), "core.42");
        assert_eq!(name("core.%p", true), "core.42");
        assert_eq!(name("core.%P", true), "core.42.42");
    }

    #[test]
    fn names_that_a_program_chose_do_not_lead_elsewhere() {
        assert_eq!(name("%e", false), "a!b");
        let dots = |name| Subject { name, ..SUBJECT };
        assert_eq!(expand(b"%e", &dots(b".."), false).expect("memory"), b"!.");
        assert_eq!(expand(b"%e", &dots(b"."), false).expect("memory"), b"!");
        assert_eq!(expand(b"%e", &dots(b""), false).expect("memory"), b"!");
    }

    #[test]
    fn a_pattern_ends_with_its_line_and_is_cut_to_size() {
        assert_eq!(Pattern::new(b"core.%p\nrest").as_bytes(), b"core.%p");
        assert_eq!(Pattern::new(&[b'x'; 300]).as_bytes().len(), 127);
        assert_eq!(Pattern::new(b"|/bin/cat %p\n").command(), Some(&b"/bin/cat %p"[..]));
        assert_eq!(Pattern::new(b"core").command(), None);
    }

    #[test]
    fn a_command_is_parted_before_it_is_converted() {
        let named = Subject { name: b"two words", ..SUBJECT };
        let words = command(b"/sbin/x  %p\t%e %%", &named).expect("memory");
        assert_eq!(words, [&b"/sbin/x"[..], b"42", b"two words", b"%"]);
        assert_eq!(command(b" ", &SUBJECT), Err(Errno::ENOENT));
    }
}
