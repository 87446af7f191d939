//! The extended state in a frame: what software adds to the XSAVE image, and how much of it sigreturn believes.
//!
//! Intel SDM vol. 1, 13.4: bytes 0 to 511 are the legacy (FXSAVE) area, of which 464 to 511 belong to software; 512
//! to 575 are the header with the bitmap of the components present; then come the components. The registers themselves
//! go between the processor and user memory without a copy (`arch::fpu`), so all that is made here is software's.

use super::build::Destination;
use super::{ExtendedLayout, FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2};
use crate::plain_data;

/// Bytes of the legacy area.
pub const LEGACY_SIZE: usize = 512;
/// Bytes of the header after it, whose first word is the bitmap of the components present.
const HEADER_SIZE: usize = 64;
/// Bytes of the second magic number.
const SECOND_MAGIC_SIZE: usize = size_of_val(&FP_XSTATE_MAGIC2);
/// Software's part of the legacy area: `struct _fpx_sw_bytes`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct Software {
    magic: u32,
    /// Bytes of the image and the second magic number.
    extended_size: u32,
    /// The components that the image can hold.
    features: u64,
    /// Bytes of the image.
    size: u32,
    padding: [u32; 7],
}

/// Where software's part of the legacy area starts.
pub const SOFTWARE: usize = LEGACY_SIZE - size_of::<Software>();

/// What marks an image as more than the legacy area: software's part, and the header, empty: the processor writes its
/// bitmap of components only.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Tags {
    software: Software,
    header: [u64; HEADER_SIZE / 8],
}

plain_data!(Software, Tags);

/// Bytes that a frame needs for the image and the magic number after it.
#[must_use]
pub fn written_size(layout: &ExtendedLayout) -> usize {
    if layout.is_legacy() { LEGACY_SIZE } else { layout.size + SECOND_MAGIC_SIZE }
}

impl Tags {
    /// The tags of an image in the format `layout`, which is more than the legacy area.
    #[must_use]
    pub fn new(layout: &ExtendedLayout) -> Self {
        let software = Software {
            magic: FP_XSTATE_MAGIC1,
            extended_size: written_size(layout) as u32,
            features: layout.features,
            size: layout.size as u32,
            padding: [0; 7],
        };
        Self { software, header: [0; HEADER_SIZE / 8] }
    }

    /// Puts the tags into `memory`, for an image at `image`: before the registers are saved.
    #[inline]
    pub(super) fn write<M: Destination>(&self, image: u64, memory: &mut M) -> Result<(), M::Error> {
        memory.put(image + SOFTWARE as u64, self)?;
        memory.put(image + u64::from(self.software.size), &FP_XSTATE_MAGIC2)
    }
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
#[inline]
pub fn extent(software: &Software, layout: &ExtendedLayout) -> Extent {
    let size = software.size as usize;
    let plausible = !layout.is_legacy()
        && software.magic == FP_XSTATE_MAGIC1
        && (LEGACY_SIZE + HEADER_SIZE..=layout.size).contains(&size)
        && software.size <= software.extended_size;
    if plausible { Extent::Full { size, features: software.features } } else { Extent::Legacy }
}

/// Whether `word`, which follows an image, is the second magic number.
#[must_use]
pub const fn is_second_magic(word: u32) -> bool {
    word == FP_XSTATE_MAGIC2
}
