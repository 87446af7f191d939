//! The newc format of cpio(5): a sequence of headers in hexadecimal, names and contents, each padded to four bytes.
//!
//! [`Archive`] is an iterator over entries that borrow from the image. It believes nothing: every length is checked
//! against what is there, and the first error ends it.

use core::fmt;

use super::super::name::PATH_MAX;

/// Bytes of a header.
const HEADER: usize = 110;
/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// An entry of an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// The path, without its NUL.
    pub name: &'a [u8],
    /// What makes two entries hard links of one file: inode number and device.
    pub identity: [u32; 3],
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Hard links to the file.
    pub links: u32,
    /// Time of the last change of content, in seconds since 1970.
    pub modified: u32,
    /// For device nodes, major and minor number.
    pub special: [u32; 2],
    /// The content: a file's bytes, a symbolic link's text.
    pub content: &'a [u8],
}

/// What is wrong with an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The bytes end within a header, a name or a content.
    Truncated,
    /// A header does not start with `070701` or `070702`.
    Magic,
    /// A header field is not hexadecimal.
    Number,
    /// A name is empty, too long, or not ended by its only NUL.
    Name,
    /// A content does not add up to its checksum.
    Checksum,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it ends too early",
            Self::Magic => "a header has the wrong magic number",
            Self::Number => "a header field is not a hexadecimal number",
            Self::Name => "a name is empty, too long or malformed",
            Self::Checksum => "a content does not match its checksum",
        })
    }
}

/// An archive being read.
pub struct Archive<'a> {
    image: &'a [u8],
    offset: usize,
    ended: bool,
}

impl<'a> Archive<'a> {
    /// The archive at the start of `image`.
    #[must_use]
    pub const fn new(image: &'a [u8]) -> Self {
        Self { image, offset: 0, ended: false }
    }

    /// Whether `image` starts like an archive.
    #[must_use]
    pub fn is_at(image: &[u8]) -> bool {
        image.starts_with(b"070701") || image.starts_with(b"070702")
    }

    /// How far the archive has been read, in bytes; at the end, what it takes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The next `length` bytes and the padding behind them.
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let end = self.offset.checked_add(length).ok_or(Fault::Truncated)?;
        let bytes = self.image.get(self.offset..end).ok_or(Fault::Truncated)?;
        // The padding of the last content may be missing.
        self.offset = end.next_multiple_of(4).min(self.image.len());
        Ok(bytes)
    }

    fn read(&mut self) -> Result<Option<Entry<'a>>, Fault> {
        // The header and the name behind it are padded together.
        let header = self.image.get(self.offset..).and_then(|rest| rest.get(..HEADER));
        let header = header.ok_or(Fault::Truncated)?;
        if !Self::is_at(header) {
            return Err(Fault::Magic);
        }
        let fields = fields(header)?;
        let [
            inode,
            mode,
            user,
            group,
            links,
            modified,
            size,
            major,
            minor,
            special_major,
            special_minor,
            name_size,
            checksum,
        ] = fields;
        let with_name = HEADER.checked_add(name_size as usize).ok_or(Fault::Truncated)?;
        let name = name_of(&self.take(with_name)?[HEADER..])?;
        let content = self.take(size as usize)?;
        if name == TRAILER {
            return Ok(None);
        }
        if header[5] == b'2' && checksum != sum(content) {
            return Err(Fault::Checksum);
        }
        Ok(Some(Entry {
            name,
            identity: [inode, major, minor],
            mode,
            user,
            group,
            links,
            modified,
            special: [special_major, special_minor],
            content,
        }))
    }
}

impl<'a> Iterator for Archive<'a> {
    type Item = Result<Entry<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.read().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

/// The thirteen numbers of a header.
fn fields(header: &[u8]) -> Result<[u32; 13], Fault> {
    let mut fields = [0; 13];
    for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
        for digit in digits {
            let value = char::from(*digit).to_digit(16).ok_or(Fault::Number)?;
            *field = *field << 4 | value;
        }
    }
    Ok(fields)
}

/// The name without its NUL.
fn name_of(bytes: &[u8]) -> Result<&[u8], Fault> {
    let (last, name) = bytes.split_last().ok_or(Fault::Name)?;
    let valid = *last == 0 && !name.is_empty() && name.len() < PATH_MAX && !name.contains(&0);
    if valid { Ok(name) } else { Err(Fault::Name) }
}

/// The checksum of format `070702`: the sum of all bytes.
fn sum(content: &[u8]) -> u32 {
    content.iter().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(*byte)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::format;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Appends an entry as cpio(1) writes it.
    pub fn push(
        image: &mut Vec<u8>,
        name: &str,
        mode: u32,
        identity: u32,
        links: u32,
        content: &[u8],
    ) {
        let fields = [
            identity,
            mode,
            0,
            0,
            links,
            1_000_000_000,
            content.len() as u32,
            0,
            0,
            5,
            1,
            name.len() as u32 + 1,
            0,
        ];
        image.extend_from_slice(b"070701");
        for field in fields {
            image.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        image.extend_from_slice(name.as_bytes());
        image.push(0);
        image.resize(image.len().next_multiple_of(4), 0);
        image.extend_from_slice(content);
        image.resize(image.len().next_multiple_of(4), 0);
    }

    pub fn finish(image: &mut Vec<u8>) {
        push(image, "TRAILER!!!", 0, 0, 1, b"");
    }

    #[test]
    fn entries_are_read_to_the_trailer() {
        let mut image = Vec::new();
        push(&mut image, "bin", 0o040755, 1, 2, b"");
        push(&mut image, "bin/sh", 0o100755, 2, 1, b"hello");
        finish(&mut image);
        let length = image.len();
        image.extend_from_slice(b"behind");
        let mut archive = Archive::new(&image);
        let entries: Vec<_> = archive.by_ref().map(|entry| entry.expect("valid")).collect();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].name, entries[1].content), (&b"bin/sh"[..], &b"hello"[..]));
        assert_eq!(entries[1].modified, 1_000_000_000);
        assert_eq!(archive.offset(), length);
    }

    #[test]
    fn faults_are_told_apart() {
        let mut image = Vec::new();
        push(&mut image, "file", 0o100644, 1, 1, b"content");
        let fault = |image: &[u8]| Archive::new(image).find_map(Result::err);
        assert_eq!(fault(&image[..50]), Some(Fault::Truncated));
        assert_eq!(fault(&image[..image.len() - 4]), Some(Fault::Truncated));
        assert_eq!(fault(b"nonsense"), Some(Fault::Truncated));
        assert_eq!(fault(&[b'x'; 200]), Some(Fault::Magic));
        let mut broken = image.clone();
        broken[20] = b'g';
        assert_eq!(fault(&broken), Some(Fault::Number));
        let mut broken = image.clone();
        broken[HEADER + 4] = b'x';
        assert_eq!(fault(&broken), Some(Fault::Name));
        let mut broken = image;
        broken[5] = b'2';
        assert_eq!(fault(&broken), Some(Fault::Checksum));
    }

    proptest! {
        #[test]
        fn no_image_breaks_the_parser(image in prop::collection::vec(any::<u8>(), 0..400)) {
            let entries = Archive::new(&image).count();
            prop_assert!(entries <= 4);
        }

        #[test]
        fn no_damage_breaks_the_parser(at in 0..600_usize, value in any::<u8>(), cut in 0..600_usize) {
            let mut image = Vec::new();
            push(&mut image, "a", 0o100644, 1, 1, b"some content");
            push(&mut image, "b", 0o120777, 2, 1, b"a");
            finish(&mut image);
            if let Some(byte) = image.get_mut(at) {
                *byte = value;
            }
            image.truncate(cut);
            prop_assert!(Archive::new(&image).count() <= 4);
        }
    }
}
