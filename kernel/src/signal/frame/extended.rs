//! The extended state in a frame: what software adds to the XSAVE image, and how much of it sigreturn believes.
//!
//! Intel SDM vol. 1, 13.4: bytes 0 to 511 are the legacy (FXSAVE) area, of which 464 to 511 belong to software; 512
//! to 575 are the header with the bitmap of the components present; then come the components. The registers themselves
//! go between the processor and user memory without a copy (`arch::fpu`), so all that is made here is software's.

use super::{ExtendedLayout, FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, get, get_u32, put};

/// Bytes of the legacy area.
pub const LEGACY_SIZE: usize = 512;
/// Bytes of the header after it.
const HEADER_SIZE: usize = 64;
/// Where software's part of the legacy area starts (`struct _fpx_sw_bytes`).
pub const SOFTWARE: usize = 464;
/// How long it is.
pub const SOFTWARE_SIZE: usize = LEGACY_SIZE - SOFTWARE;
/// The bitmap of the components present: the first word of the header.
pub const PRESENT: usize = LEGACY_SIZE;
/// x87 and SSE: what the legacy area holds.
const LEGACY_FEATURES: u64 = 3;
/// Bytes of the second magic number.
const SECOND_MAGIC_SIZE: usize = 4;

/// Bytes that a frame needs for the image and the magic number after it.
#[must_use]
pub fn written_size(layout: &ExtendedLayout) -> usize {
    if layout.is_legacy() { LEGACY_SIZE } else { layout.size + SECOND_MAGIC_SIZE }
}

/// What marks an image as more than the legacy area.
#[derive(Debug)]
pub struct Tags {
    address: u64,
    image_size: usize,
    /// Software's part, and the header, empty: the processor writes its bitmap of components only.
    middle: [u8; SOFTWARE_SIZE + HEADER_SIZE],
    second_magic: [u8; SECOND_MAGIC_SIZE],
}

impl Tags {
    /// The tags of an image at `address`; `None` where images are nothing but the legacy area.
    pub(super) fn new(address: u64, layout: &ExtendedLayout) -> Option<Self> {
        if layout.is_legacy() {
            return None;
        }
        let mut middle = [0; SOFTWARE_SIZE + HEADER_SIZE];
        let sizes = written_size(layout) as u64;
        put(&mut middle, 0, u64::from(FP_XSTATE_MAGIC1) | sizes << 32);
        put(&mut middle, 8, layout.features);
        put(&mut middle, 16, layout.size as u64);
        let second_magic = FP_XSTATE_MAGIC2.to_ne_bytes();
        Some(Self { address, image_size: layout.size, middle, second_magic })
    }

    /// The pieces: addresses, and what to write there before the registers are saved.
    pub(super) fn pieces(&self) -> [(u64, &[u8]); 2] {
        let at = |offset: usize| self.address + offset as u64;
        [(at(SOFTWARE), &self.middle[..]), (at(self.image_size), &self.second_magic[..])]
    }
}

/// The bitmap of components as a frame shows it: debuggers take the legacy registers as present even in their initial
/// state.
#[must_use]
pub const fn shown(present: u64) -> u64 {
    present | LEGACY_FEATURES
}

/// How much of a user's image counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// The legacy area alone: x87 and SSE; the rest goes to its initial state.
    Legacy,
    /// `size` bytes with at most these features, if the second magic number follows them.
    Full {
        /// Bytes of the image; the second magic number follows.
        size: usize,
        /// The components that may be taken from it.
        features: u64,
    },
}

/// How much of an image counts whose software part is `software`: all of it if that is consistent.
#[must_use]
pub fn extent(software: &[u8; SOFTWARE_SIZE], layout: &ExtendedLayout) -> Extent {
    let magic = get_u32(software, 0);
    let extended_size = get_u32(software, 4) as usize;
    let features = get(software, 8);
    let size = get_u32(software, 16) as usize;
    let plausible = !layout.is_legacy()
        && magic == FP_XSTATE_MAGIC1
        && (LEGACY_SIZE + HEADER_SIZE..=layout.size).contains(&size)
        && size <= extended_size;
    if plausible { Extent::Full { size, features } } else { Extent::Legacy }
}

/// Whether `bytes` are the second magic number.
#[must_use]
pub fn is_second_magic(bytes: [u8; SECOND_MAGIC_SIZE]) -> bool {
    u32::from_ne_bytes(bytes) == FP_XSTATE_MAGIC2
}
