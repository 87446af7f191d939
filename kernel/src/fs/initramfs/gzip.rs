//! One member of a gzip(1) file, inflated by `miniz_oxide` (RFC 1952).

use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// The two magic bytes and the only method there is.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes of the fixed part of the header.
const HEADER: usize = 10;
/// How much room is made at a time for the output.
const STEP: usize = 1 << 20;

const FLAG_HEADER_CHECKSUM: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;

/// What is wrong with a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is malformed or ends too early.
    Malformed,
    /// Its content does not match its length or checksum.
    Checksum,
    /// There is no memory for its content.
    OutOfMemory,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "its compressed data is malformed or ends too early",
            Self::Checksum => "its decompressed data does not match the checksum",
            Self::OutOfMemory => "there is not enough memory to decompress it",
        })
    }
}

/// Whether `image` starts like a gzip member.
#[must_use]
pub fn is_at(image: &[u8]) -> bool {
    image.starts_with(&MAGIC)
}

/// The content of the member at the start of `image`, and how many bytes of the image it takes.
///
/// # Errors
/// [`Fault`].
pub fn inflate(image: &[u8]) -> Result<(Vec<u8>, usize), Fault> {
    let start = skip_header(image).ok_or(Fault::Malformed)?;
    let (content, used) = inflate_body(&image[start..])?;
    let end = start + used;
    let trailer = image.get(end..end + 8).ok_or(Fault::Malformed)?;
    let word = |at: usize| trailer[at..at + 4].iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
    if word(0) != crc32(&content) || word(4) != content.len() as u32 {
        return Err(Fault::Checksum);
    }
    Ok((content, end + 8))
}

/// Where the compressed data starts.
fn skip_header(image: &[u8]) -> Option<usize> {
    let flags = *image.get(3)?;
    let mut at = HEADER;
    if flags & FLAG_EXTRA != 0 {
        let length = usize::from(*image.get(at)?) | usize::from(*image.get(at + 1)?) << 8;
        at += 2 + length;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            at += image.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & FLAG_HEADER_CHECKSUM != 0 {
        at += 2;
    }
    (at <= image.len()).then_some(at)
}

fn inflate_body(body: &[u8]) -> Result<(Vec<u8>, usize), Fault> {
    let mut state = DecompressorOxide::new();
    let mut output = Vec::new();
    let (mut read, mut written) = (0, 0);
    loop {
        output.try_reserve(STEP).map_err(|_| Fault::OutOfMemory)?;
        output.resize(output.capacity(), 0);
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, consumed, produced) =
            decompress(&mut state, &body[read..], &mut output, written, flags);
        read += consumed;
        written += produced;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => {}
            _ => return Err(Fault::Malformed),
        }
    }
    output.truncate(written);
    Ok((output, read))
}

/// CRC-32 as gzip uses it, four bits at a time.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 != 0 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let low = crc ^ u32::from(*byte);
        let crc = TABLE[(low & 15) as usize] ^ crc >> 4;
        TABLE[((crc ^ u32::from(*byte) >> 4) & 15) as usize] ^ crc >> 4
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// "hello, hello, hello\n" by gzip -9n.
    const SAMPLE: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
        0xd7, 0x51, 0xc8, 0x40, 0xa2, 0xb8, 0x00, 0xe7, 0x42, 0x6e, 0x52, 0x14, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_member_is_inflated_and_checked() {
        let mut image = Vec::from(SAMPLE);
        image.extend_from_slice(b"rest");
        let (content, used) = inflate(&image).expect("valid");
        assert_eq!(content, b"hello, hello, hello\n");
        assert_eq!(used, SAMPLE.len());
        let at = SAMPLE.len() - 8;
        image[at] ^= 1;
        assert_eq!(inflate(&image), Err(Fault::Checksum));
        assert_eq!(inflate(&SAMPLE[..20]), Err(Fault::Malformed));
    }

    proptest! {
        #[test]
        fn no_damage_breaks_the_decoder(at in 0..30_usize, value in any::<u8>(), cut in 0..31_usize) {
            let mut image = Vec::from(SAMPLE);
            image[at] = value;
            image.truncate(cut);
            let _ = inflate(&image);
        }
    }
}
