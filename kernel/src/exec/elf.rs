//! The ELF planner: from untrusted headers to a list of mappings, without touching memory or files itself.
//!
//! It reads the header types of `goblin` at offsets of its own choosing and never allocates by a number from the
//! file beyond one page of program headers. What Linux refuses before it commits to the new image is an errno here;
//! what Linux only finds out after it has thrown the old image away is [`Flaw::Fatal`] (the caller dies by SIGSEGV,
//! as there). See elf(5) and the System V ABI, AMD64 supplement, chapters 4 and 5.

use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, USER_END};
use goblin::elf::header::{EM_X86_64, ET_DYN, ET_EXEC};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR};
use goblin::elf64::header::{ELFMAG, Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{ProgramHeader, SIZEOF_PHDR};
use linux_raw_sys::general::PATH_MAX;

use crate::errno::Errno;

const PAGE: u64 = PAGE_SIZE as u64;

/// Why a file cannot be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Refused; the caller goes on with its old image.
    Refused(Errno),
    /// The headers are acceptable and the segments are not: Linux notices too late to go back, and the process dies.
    Fatal,
}

impl From<Errno> for Flaw {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Permissions of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

/// A `PT_LOAD` segment, before relocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Address of its first byte, as linked.
    pub address: u64,
    /// Offset of its first byte in the file; congruent to `address` modulo the page size if `file_bytes` is not 0.
    pub offset: u64,
    /// Bytes that come from the file.
    pub file_bytes: u64,
    /// Bytes in memory: at least `file_bytes`; the rest is zero.
    pub memory_bytes: u64,
    /// What its pages permit.
    pub permissions: Permissions,
}

impl Segment {
    /// First byte past the segment.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.address + self.memory_bytes
    }
}

/// Everything that loading a file needs to know from its headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The segments, in file order.
    pub segments: Vec<Segment>,
    /// The entry point, as linked.
    pub entry: u64,
    /// Whether the image may be placed anywhere (`ET_DYN`).
    pub relocatable: bool,
    /// The largest alignment that a segment asks for, at least a page; matters for relocatable images.
    pub alignment: u64,
    /// Where the program headers are in memory, as linked (`AT_PHDR`); 0 if no segment holds them.
    pub headers: u64,
    /// How many program headers there are (`AT_PHNUM`).
    pub header_count: usize,
    /// Offset and length of the path of the program interpreter in the file, with its final NUL.
    pub interpreter: Option<(u64, usize)>,
    /// Whether the stack must be executable (`PT_GNU_STACK` with `PF_X`).
    pub executable_stack: bool,
}

impl Plan {
    /// The lowest page boundary and the highest byte (exclusive) of the image, as linked; `None` without segments.
    #[must_use]
    pub fn span(&self) -> Option<(u64, u64)> {
        let low = self.segments.iter().map(|segment| segment.address & !(PAGE - 1)).min()?;
        let high = self.segments.iter().map(Segment::end).max()?;
        Some((low, high))
    }
}

/// The file's program headers as raw bytes: where they are, before they are read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HeaderTable {
    header: Header,
    /// Offset in the file.
    pub offset: u64,
    /// Length in bytes; at most a page.
    pub bytes: usize,
}

/// Checks the ELF header at the start of `head` (the file's first bytes, zero-padded) and finds the program headers.
///
/// # Errors
/// `ENOEXEC` for what is not an x86-64 ELF executable. As on Linux the class, encoding and version bytes are not
/// looked at: the machine number decides.
pub fn header_table(head: &[u8]) -> Result<HeaderTable, Errno> {
    let bytes: &[u8; SIZEOF_EHDR] =
        head.get(..SIZEOF_EHDR).and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::ENOEXEC)?;
    let header = *Header::from_bytes(bytes);
    let runnable = matches!(header.e_type, ET_EXEC | ET_DYN) && header.e_machine == EM_X86_64;
    let bytes = usize::from(header.e_phnum) * SIZEOF_PHDR;
    let table_fits =
        usize::from(header.e_phentsize) == SIZEOF_PHDR && (1..=PAGE_SIZE).contains(&bytes);
    if header.e_ident[..4] != *ELFMAG
        || !runnable
        || !table_fits
        || header.e_phoff > i64::MAX as u64
    {
        return Err(Errno::ENOEXEC);
    }
    Ok(HeaderTable { header, offset: header.e_phoff, bytes })
}

/// Plans the image that `table` and its program headers (`headers`, as long as `table.bytes`) describe.
///
/// # Errors
/// See [`Flaw`].
pub fn plan(table: &HeaderTable, headers: &[u8]) -> Result<Plan, Flaw> {
    let headers = parse_headers(headers)?;
    let interpreter = interpreter(&headers)?;
    let mut segments = Vec::new();
    segments.try_reserve_exact(headers.len()).map_err(|_| Errno::ENOMEM)?;
    for header in headers.iter().filter(|header| header.p_type == PT_LOAD) {
        segments.push(segment(header)?);
    }
    let relocatable = table.header.e_type == ET_DYN;
    if (relocatable && segments.is_empty()) || table.header.e_entry >= USER_END {
        return Err(Flaw::Fatal);
    }
    Ok(Plan {
        entry: table.header.e_entry,
        relocatable,
        alignment: alignment(&headers),
        headers: headers_address(table, &headers, &segments),
        header_count: headers.len(),
        interpreter,
        executable_stack: headers
            .iter()
            .rfind(|header| header.p_type == PT_GNU_STACK)
            .is_some_and(|header| header.p_flags & PF_X != 0),
        segments,
    })
}

fn parse_headers(bytes: &[u8]) -> Result<Vec<ProgramHeader>, Flaw> {
    let mut headers = Vec::new();
    headers.try_reserve_exact(bytes.len() / SIZEOF_PHDR).map_err(|_| Errno::ENOMEM)?;
    for chunk in bytes.chunks_exact(SIZEOF_PHDR) {
        let mut header = ProgramHeader::default();
        plain::copy_from_bytes(&mut header, chunk).map_err(|_| Errno::ENOEXEC)?;
        headers.push(header);
    }
    Ok(headers)
}

fn interpreter(headers: &[ProgramHeader]) -> Result<Option<(u64, usize)>, Flaw> {
    let Some(header) = headers.iter().find(|header| header.p_type == PT_INTERP) else {
        return Ok(None);
    };
    if header.p_filesz < 2 || header.p_filesz > u64::from(PATH_MAX) {
        return Err(Flaw::Refused(Errno::ENOEXEC));
    }
    Ok(Some((header.p_offset, header.p_filesz as usize)))
}

fn segment(header: &ProgramHeader) -> Result<Segment, Flaw> {
    let address = header.p_vaddr;
    let fits = header.p_filesz <= header.p_memsz
        && address < USER_END
        && header.p_memsz <= USER_END
        && address <= USER_END - header.p_memsz;
    if !fits {
        return Err(Flaw::Fatal);
    }
    // `file_bytes` is at most the size of user space now, so this sum cannot overflow.
    let file_end = header.p_offset.checked_add(header.p_filesz + PAGE);
    let mappable = header.p_filesz == 0
        || (header.p_offset % PAGE == address % PAGE
            && file_end.is_some_and(|end| end <= i64::MAX as u64));
    if !mappable {
        return Err(Flaw::Fatal);
    }
    Ok(Segment {
        address,
        offset: header.p_offset,
        file_bytes: header.p_filesz,
        memory_bytes: header.p_memsz,
        permissions: Permissions {
            read: header.p_flags & PF_R != 0,
            write: header.p_flags & PF_W != 0,
            execute: header.p_flags & PF_X != 0,
        },
    })
}

/// The largest power-of-two alignment of a segment; others are ignored, as by Linux's `maximum_alignment`.
fn alignment(headers: &[ProgramHeader]) -> u64 {
    headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD && header.p_align.is_power_of_two())
        .map(|header| header.p_align)
        .fold(PAGE, u64::max)
}

/// Where the program headers end up: where `PT_PHDR` says, else in the segment that holds their part of the file.
fn headers_address(table: &HeaderTable, headers: &[ProgramHeader], segments: &[Segment]) -> u64 {
    if let Some(header) = headers.iter().find(|header| header.p_type == PT_PHDR) {
        return header.p_vaddr;
    }
    segments
        .iter()
        .find(|s| s.offset <= table.offset && table.offset - s.offset < s.file_bytes)
        .map_or(0, |segment| table.offset - segment.offset + segment.address)
}

#[cfg(test)]
mod tests;
