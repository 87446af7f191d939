//! Writes tiny ELF files, whole or broken in one chosen place.
//!
//! [`Image::new`] is a valid static program; cases change a field and see what execve says. The layout is one
//! file: header, program headers, then code at [`CODE_OFFSET`]. Field names are those of the ELF specification.

use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;

/// File offset of the code, also its offset from the load address.
pub(super) const CODE_OFFSET: u64 = 0x400;
/// Where the first segment is loaded.
pub(super) const BASE: u64 = 0x40_0000;

/// `mov edi, STATUS; mov eax, SYS_exit_group; syscall`.
pub(super) fn exit_code(status: u8) -> Vec<u8> {
    vec![0xbf, status, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]
}

/// The header, `Elf64_Ehdr`.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) ident: [u8; 16],
    pub(super) kind: u16,
    pub(super) machine: u16,
    pub(super) version: u32,
    pub(super) entry: u64,
    pub(super) phoff: u64,
    pub(super) ehsize: u16,
    pub(super) phentsize: u16,
    pub(super) phnum: Option<u16>,
}

/// A program header, `Elf64_Phdr`.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) offset: u64,
    pub(super) vaddr: u64,
    pub(super) filesz: u64,
    pub(super) memsz: u64,
    pub(super) align: u64,
}

/// A program file in the making.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) header: Header,
    pub(super) segments: Vec<Segment>,
    pub(super) code: Vec<u8>,
}

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const EXECUTE: u32 = 1;

impl Image {
    /// A valid static program that exits with status 7.
    pub(super) fn new() -> Self {
        Self::with_code(exit_code(7))
    }

    /// A valid static program of this code in one segment that can be read and executed.
    pub(super) fn with_code(code: Vec<u8>) -> Self {
        let length = CODE_OFFSET + code.len() as u64;
        let ident = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self {
            header: Header {
                ident,
                kind: 2,
                machine: 62,
                version: 1,
                entry: BASE + CODE_OFFSET,
                phoff: 64,
                ehsize: 64,
                phentsize: 56,
                phnum: None,
            },
            segments: vec![Segment::load(READ | EXECUTE, 0, BASE, length, length)],
            code,
        }
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let header = &self.header;
        let mut file = header.ident.to_vec();
        file.extend(header.kind.to_le_bytes());
        file.extend(header.machine.to_le_bytes());
        file.extend(header.version.to_le_bytes());
        file.extend(header.entry.to_le_bytes());
        file.extend(header.phoff.to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.extend(0_u32.to_le_bytes());
        file.extend(header.ehsize.to_le_bytes());
        file.extend(header.phentsize.to_le_bytes());
        file.extend(header.phnum.unwrap_or(self.segments.len() as u16).to_le_bytes());
        file.extend([0; 6]);
        for segment in &self.segments {
            segment.write(&mut file);
        }
        file.resize(file.len().max(CODE_OFFSET as usize), 0);
        file.extend(&self.code);
        file
    }

    /// Writes the file into the scratch directory, executable.
    pub(super) fn save(&self, name: &str) -> CString {
        save(name, &self.bytes())
    }
}

impl Segment {
    /// A `PT_LOAD` segment.
    pub(super) fn load(flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Self {
        Self { kind: 1, flags, offset, vaddr, filesz, memsz, align: 0x1000 }
    }

    fn write(&self, file: &mut Vec<u8>) {
        file.extend(self.kind.to_le_bytes());
        file.extend(self.flags.to_le_bytes());
        for field in [self.offset, self.vaddr, self.vaddr, self.filesz, self.memsz, self.align] {
            file.extend(field.to_le_bytes());
        }
    }
}

/// Writes an executable file of any content.
pub(super) fn save(name: &str, bytes: &[u8]) -> CString {
    std::fs::write(name, bytes).unwrap();
    std::fs::set_permissions(name, std::fs::Permissions::from_mode(0o755)).unwrap();
    CString::new(name).unwrap()
}
