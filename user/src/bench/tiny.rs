//! The smallest program: a static ELF file that exits at once, built here byte by byte.
//!
//! What an execve of it costs is the kernel's work alone: no dynamic loader, no C library, one page of text. Being
//! bytes in this program, it is the same whichever compiler built the rest.

use std::ffi::{CStr, CString};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::report::Failure;

/// Where the program is loaded.
const BASE: u64 = 0x40_0000;
/// Length of an ELF-64 file header.
const HEADER: u16 = 64;
/// Length of an ELF-64 program header.
const PROGRAM_HEADER: u16 = 56;

/// `xor edi, edi; mov eax, SYS_exit_group; syscall`.
const CODE: [u8; 9] = [0x31, 0xff, 0xb8, libc::SYS_exit_group as u8, 0, 0, 0, 0x0f, 0x05];

/// The file's bytes (System V ABI, chapters 4 and 5; its ELF-64 supplement).
fn image() -> Vec<u8> {
    let start = u64::from(HEADER + PROGRAM_HEADER);
    let length = start + CODE.len() as u64;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.resize(16, 0);
    // e_type ET_EXEC, e_machine EM_X86_64, e_version.
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // e_entry, e_phoff, e_shoff.
    for word in [BASE + start, u64::from(HEADER), 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    // e_ehsize, e_phentsize, e_phnum, and no sections.
    for half in [HEADER, PROGRAM_HEADER, 1, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    // p_type PT_LOAD, p_flags PF_R and PF_X.
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align.
    for word in [0, BASE, BASE, length, length, 4096] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(CODE);
    bytes
}

/// The program in a file, which is removed when dropped.
#[derive(Debug)]
pub struct TinyProgram {
    path: PathBuf,
    name: CString,
}

impl TinyProgram {
    /// Writes the file.
    ///
    /// # Errors
    /// If there is nowhere to write it.
    pub fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("bench-tiny-{}", std::process::id()));
        let name =
            CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| "TMPDIR is odd")?;
        fs::create_dir_all(std::env::temp_dir())?;
        let program = Self { path, name };
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o755).open(&program.path)?;
        file.write_all(&image())?;
        Ok(program)
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &CStr {
        &self.name
    }
}

impl Drop for TinyProgram {
    fn drop(&mut self) {
        // A file that somebody else has removed is as gone as it should be.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_and_exits_with_zero() {
        let program = TinyProgram::new().unwrap();
        let status = std::process::Command::new(&program.path).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }

    #[test]
    fn its_headers_are_as_long_as_they_say() {
        assert_eq!(image().len(), usize::from(HEADER + PROGRAM_HEADER) + CODE.len());
    }
}
