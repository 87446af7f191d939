//! The headers of a core file (System V ABI, chapters 4 and 5). Pure.
//!
//! ```text
//!   ELF header | program headers: PT_NOTE, one PT_LOAD for each area | notes | up to a page | memory, area after area
//! ```

use alloc::vec::Vec;

use arch::addr::PAGE_SIZE;
use linux_raw_sys::elf_uapi as abi;

use super::append;
use crate::errno::Result;

const HEADER_SIZE: u64 = 64;
const PROGRAM_HEADER_SIZE: u64 = 56;
const SECTION_HEADER_SIZE: u64 = 64;
/// `PN_XNUM`: the number of program headers stands in the first section header.
const MANY: u64 = abi::PN_XNUM as u64;

/// An area of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it starts.
    pub start: u64,
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes in the file: from its start on.
    pub stored: u64,
    /// `PF_R`, `PF_W`, `PF_X`.
    pub flags: u32,
}

/// Headers and notes, and where memory starts in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The bytes from the start of the file.
    pub bytes: Vec<u8>,
    /// The offset of the first segment's memory.
    pub memory_offset: u64,
}

/// The head of a core file with `notes` and `segments`.
///
/// # Errors
/// `ENOMEM`.
pub fn head(notes: &[u8], segments: &[Segment]) -> Result<Head> {
    let count = segments.len() as u64 + 1;
    let notes_at = HEADER_SIZE + count * PROGRAM_HEADER_SIZE;
    let memory_at = (notes_at + notes.len() as u64).next_multiple_of(PAGE_SIZE as u64);
    let stored: u64 = segments.iter().map(|segment| segment.stored).sum();
    let mut bytes = Vec::new();
    // With too many areas for the field, a section header behind everything else says how many.
    let sections_at = if count >= MANY { memory_at + stored } else { 0 };
    elf_header(&mut bytes, count, sections_at)?;
    let note = [notes_at, 0, 0, notes.len() as u64, 0, 4];
    program_header(&mut bytes, abi::PT_NOTE, 0, note)?;
    let mut offset = memory_at;
    for segment in segments {
        let Segment { start, memory, stored, flags } = *segment;
        let words = [offset, start, 0, stored, memory, PAGE_SIZE as u64];
        program_header(&mut bytes, abi::PT_LOAD, flags, words)?;
        offset += stored;
    }
    append(&mut bytes, notes)?;
    Ok(Head { bytes, memory_offset: memory_at })
}

/// The section header that follows the memory of a file with so many segments that it needs one.
///
/// # Errors
/// `ENOMEM`.
pub fn tail(segments: &[Segment]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let count = segments.len() as u64 + 1;
    if count >= MANY {
        // sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size: one header; sh_link, sh_info: how many program headers.
        for word in [0, 0, 0, 0, 1] {
            append(&mut bytes, &u64::to_ne_bytes(word))?;
        }
        for word in [0, count as u32] {
            append(&mut bytes, &word.to_ne_bytes())?;
        }
        append(&mut bytes, &[0; 16])?;
    }
    Ok(bytes)
}

fn elf_header(out: &mut Vec<u8>, count: u64, sections_at: u64) -> Result<()> {
    // 64-bit, little endian, version 1, System V.
    append(out, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0")?;
    append(out, &(abi::ET_CORE as u16).to_ne_bytes())?;
    append(out, &(abi::EM_X86_64 as u16).to_ne_bytes())?;
    append(out, &1_u32.to_ne_bytes())?;
    for word in [0, HEADER_SIZE, sections_at] {
        append(out, &word.to_ne_bytes())?;
    }
    append(out, &0_u32.to_ne_bytes())?;
    let has_section = sections_at != 0;
    let sections = if has_section { [SECTION_HEADER_SIZE as u16, 1, 0] } else { [0, 0, 0] };
    let sizes = [HEADER_SIZE as u16, PROGRAM_HEADER_SIZE as u16, count.min(MANY) as u16];
    for half in sizes.into_iter().chain(sections) {
        append(out, &half.to_ne_bytes())?;
    }
    Ok(())
}

/// `words`: offset, virtual and physical address, size in the file and in memory, alignment.
fn program_header(out: &mut Vec<u8>, kind: u32, flags: u32, words: [u64; 6]) -> Result<()> {
    append(out, &kind.to_ne_bytes())?;
    append(out, &flags.to_ne_bytes())?;
    for word in words {
        append(out, &word.to_ne_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u64_at(bytes: &[u8], at: u64) -> u64 {
        let at = at as usize;
        u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn u16_at(bytes: &[u8], at: usize) -> u16 {
        u16::from_ne_bytes([bytes[at], bytes[at + 1]])
    }

    #[test]
    fn segments_follow_each_other_from_a_page_on() {
        let segment = |start, stored| Segment { start, memory: 0x3000, stored, flags: 6 };
        let head = head(b"notes", &[segment(0x1000, 0x3000), segment(0x9000, 0x1000)]);
        let Head { bytes, memory_offset } = head.expect("memory");
        assert_eq!((memory_offset, u16_at(&bytes, 56)), (4096, 3));
        let header = |index: u64| 64 + index * 56;
        assert_eq!(u64_at(&bytes, header(0) + 8), header(3), "the notes follow the headers");
        assert_eq!(u64_at(&bytes, header(1) + 8), 4096);
        assert_eq!(u64_at(&bytes, header(2) + 8), 4096 + 0x3000);
        assert_eq!(u64_at(&bytes, header(2) + 32), 0x1000);
        assert_eq!(&bytes[header(3) as usize..], b"notes");
        assert_eq!(bytes.len() as u64, header(3) + 5);
    }

    #[test]
    fn too_many_areas_are_counted_in_a_section_header() {
        let segment = Segment { start: 0x1000, memory: 0x1000, stored: 0, flags: 4 };
        let segments = vec![segment; 70_000];
        let Head { bytes, memory_offset } = head(&[], &segments).expect("memory");
        assert_eq!((u16_at(&bytes, 56), u16_at(&bytes, 60)), (0xffff, 1));
        assert_eq!(u64_at(&bytes, 40), memory_offset);
        let tail = tail(&segments).expect("memory");
        assert_eq!(tail.len(), 64);
        assert_eq!(u64_at(&tail, 40) >> 32, 70_001, "sh_info");
        assert_eq!(super::tail(&segments[..3]), Ok(Vec::new()));
    }
}
