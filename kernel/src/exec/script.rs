//! `#!` lines: which interpreter a script asks for (execve(2), "Interpreter scripts").

use crate::errno::{Errno, Result};

/// How much of a file's start is looked at. Linux's `BINPRM_BUF_SIZE`.
pub const HEAD_BYTES: usize = 256;

/// A script's first line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Shebang<'a> {
    /// Path of the interpreter.
    pub interpreter: &'a [u8],
    /// The rest of the line, as one argument, if there is any.
    pub argument: Option<&'a [u8]>,
}

/// Takes the `#!` line at the start of `head` apart; `None` if the file does not start with `#!`.
///
/// `head` is the first [`HEAD_BYTES`] of the file, or all of a shorter file.
///
/// # Errors
/// `ENOEXEC` if the line names no interpreter, or the name does not end within `head`.
pub fn parse(head: &[u8]) -> Option<Result<Shebang<'_>>> {
    let rest = head.strip_prefix(b"#!")?;
    Some(parse_line(rest, head.len() == HEAD_BYTES))
}

fn parse_line(rest: &[u8], cut: bool) -> Result<Shebang<'_>> {
    let end = rest.iter().position(|&byte| byte == b'\n');
    let line = &rest[..end.unwrap_or(rest.len())];
    // A file is text up to its first NUL; bytes past a short file's end read as NUL.
    let line = line.split(|&byte| byte == 0).next().unwrap_or(line);
    let line = trim(line);
    let name_end = line.iter().position(|&byte| is_blank(byte));
    let interpreter = &line[..name_end.unwrap_or(line.len())];
    // A name that reaches the end of a full buffer may go on beyond it: running a prefix would be wrong.
    let name_may_go_on = cut && end.is_none() && name_end.is_none();
    if interpreter.is_empty() || name_may_go_on {
        return Err(Errno::ENOEXEC);
    }
    let argument = trim(&line[interpreter.len()..]);
    Ok(Shebang { interpreter, argument: (!argument.is_empty()).then_some(argument) })
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed<'a> = Option<Result<(&'a [u8], Option<&'a [u8]>)>>;

    fn parsed(head: &[u8]) -> Parsed<'_> {
        parse(head).map(|line| line.map(|line| (line.interpreter, line.argument)))
    }

    fn line<'a>(interpreter: &'a [u8], argument: Option<&'a [u8]>) -> Parsed<'a> {
        Some(Ok((interpreter, argument)))
    }

    #[test]
    fn interpreter_and_one_argument() {
        assert_eq!(parsed(b"#!/bin/sh\necho"), line(b"/bin/sh", None));
        assert_eq!(parsed(b"#! \t/bin/awk  -f x \t\n"), line(b"/bin/awk", Some(b"-f x")));
        assert_eq!(parsed(b"#!/bin/sh"), line(b"/bin/sh", None));
        assert_eq!(parsed(b"\x7fELF"), None);
    }

    #[test]
    fn a_line_without_a_name_is_not_executable() {
        assert_eq!(parsed(b"#!\n/bin/sh"), Some(Err(Errno::ENOEXEC)));
        assert_eq!(parsed(b"#!   "), Some(Err(Errno::ENOEXEC)));
    }

    #[test]
    fn a_cut_name_is_refused_but_a_cut_argument_is_not() {
        let mut head = [b'x'; HEAD_BYTES];
        head[..2].copy_from_slice(b"#!");
        assert_eq!(parsed(&head), Some(Err(Errno::ENOEXEC)));
        head[10] = b' ';
        let (name, argument) = parsed(&head).expect("a script").expect("valid");
        assert_eq!((name.len(), argument.expect("an argument").len()), (8, HEAD_BYTES - 11));
    }
}
