//! From the path that a caller names to the ELF file that runs: `#!` scripts are followed to their interpreters.

use alloc::vec::Vec;

use super::script::{self, HEAD_BYTES};
use super::stack::Strings;
use crate::errno::{Errno, Result};
use crate::fs::{self, Executable, Fd, Path, Viewer, WalkFlags};

/// How many interpreters may stand between a script and an ELF file, as on Linux.
const INTERPRETERS_MAX: usize = 5;

/// What the program is given. Scripts change it on the way to their interpreter.
#[derive(Debug)]
pub struct Invocation {
    /// The path as the caller named it: `AT_EXECFN`, and what a script's interpreter is told to open.
    pub name: Vec<u8>,
    /// `argv`.
    pub arguments: Strings,
    /// `envp`.
    pub environment: Strings,
}

/// A program whose format is not yet known to be good.
pub struct Program {
    /// The file that will run: the last interpreter.
    pub executable: Executable,
    /// Its first bytes, padded with zeros.
    pub head: [u8; HEAD_BYTES],
}

/// The name under which a program that was found from `directory` appears to itself.
///
/// # Errors
/// `ENOMEM`.
pub fn shown_name(directory: Fd, path: &[u8]) -> Result<Vec<u8>> {
    if directory == Fd::CWD || path.starts_with(b"/") {
        return fs::try_copy(path);
    }
    let mut name = Vec::new();
    name.try_reserve(path.len() + 24).map_err(|_| Errno::ENOMEM)?;
    name.extend_from_slice(alloc::format!("/dev/fd/{}", directory.0).as_bytes());
    if !path.is_empty() {
        name.push(b'/');
        name.extend_from_slice(path);
    }
    Ok(name)
}

/// Finds what runs for `path`, seen from `start`. The paths of interpreters are seen from `working_directory`.
///
/// # Errors
/// Those of opening each file on the way; `ELOOP` for too many interpreters; `ENOEXEC` for a script that names none.
pub fn find(
    viewer: &Viewer,
    start: Path,
    working_directory: &Path,
    path: &[u8],
    flags: WalkFlags,
    invocation: &mut Invocation,
) -> Result<Program> {
    let mut executable = fs::open_executable(viewer, start, path, flags)?;
    let mut name = fs::try_copy(&invocation.name)?;
    for _ in 0..=INTERPRETERS_MAX {
        let mut head = [0; HEAD_BYTES];
        let length = fs::read_exact_at(&executable.file, 0, &mut head)?;
        let Some(line) = script::parse(&head[..length]) else {
            return Ok(Program { executable, head });
        };
        let line = line?;
        invocation.arguments = interpreter_arguments(&line, &name, &invocation.arguments)?;
        name = fs::try_copy(line.interpreter)?;
        let directory = working_directory.clone();
        executable = fs::open_executable(viewer, directory, line.interpreter, WalkFlags::FOLLOW)?;
    }
    Err(Errno::ELOOP)
}

/// `argv` for an interpreter: its own path, the argument of the `#!` line, the script, the script's arguments.
fn interpreter_arguments(
    line: &script::Shebang<'_>,
    script: &[u8],
    old: &Strings,
) -> Result<Strings> {
    let mut arguments = Strings::default();
    arguments.push(line.interpreter)?;
    if let Some(argument) = line.argument {
        arguments.push(argument)?;
    }
    arguments.push(script)?;
    arguments.append_after_first(old)?;
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&[u8]]) -> Strings {
        let mut strings = Strings::default();
        list.iter().for_each(|text| strings.push(text).expect("memory"));
        strings
    }

    #[test]
    fn an_interpreter_is_told_the_script_and_its_arguments() {
        let line = script::Shebang { interpreter: b"/bin/awk", argument: Some(b"-f") };
        let old = strings(&[b"anything", b"one", b""]);
        let new = interpreter_arguments(&line, b"./script", &old).expect("memory");
        assert_eq!(new, strings(&[b"/bin/awk", b"-f", b"./script", b"one", b""]));
    }

    #[test]
    fn a_program_found_by_descriptor_has_a_name_below_dev_fd() {
        assert_eq!(shown_name(Fd(5), b"").expect("memory"), b"/dev/fd/5");
        assert_eq!(shown_name(Fd(5), b"a/b").expect("memory"), b"/dev/fd/5/a/b");
        assert_eq!(shown_name(Fd(5), b"/a").expect("memory"), b"/a");
        assert_eq!(shown_name(Fd::CWD, b"a").expect("memory"), b"a");
    }
}
