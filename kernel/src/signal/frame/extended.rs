//! The extended state in a frame: what is written around the XSAVE image, and what of it sigreturn accepts.
//!
//! Intel SDM vol. 1, 13.4: bytes 0 to 511 are the legacy (FXSAVE) area, of which 464 to 511 belong to software; 512
//! to 575 are the header with the bitmap of the components present; then come the components.

use alloc::vec::Vec;

use super::{ExtendedLayout, FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, get, get_u32, put};

/// Bytes of the legacy area.
pub const LEGACY_SIZE: usize = 512;
/// Bytes of the header after it.
const HEADER_SIZE: usize = 64;
/// Where software's part of the legacy area starts (`struct _fpx_sw_bytes`).
const SOFTWARE: usize = 464;
/// x87 and SSE: what the legacy area holds.
const LEGACY_FEATURES: u64 = 3;
/// Bytes of the second magic number.
const SECOND_MAGIC_SIZE: usize = 4;

/// Bytes that a frame needs for the image and the magic number after it.
#[must_use]
pub fn written_size(layout: &ExtendedLayout) -> usize {
    if layout.is_legacy() { LEGACY_SIZE } else { layout.size + SECOND_MAGIC_SIZE }
}

/// An image and what is changed in it on the way to the user stack.
#[derive(Debug)]
pub struct Extended<'a> {
    address: u64,
    image: &'a [u8],
    tags: Option<Tags>,
}

/// What marks an image that is more than the legacy area.
#[derive(Debug)]
struct Tags {
    /// Replaces bytes from [`SOFTWARE`] up to the end of the header's bitmap.
    middle: [u8; LEGACY_SIZE - SOFTWARE + 8],
    second_magic: [u8; SECOND_MAGIC_SIZE],
}

impl<'a> Extended<'a> {
    /// The image, to be written at `address`.
    pub(super) fn new(address: u64, image: &'a [u8], layout: &ExtendedLayout) -> Self {
        let tags = (!layout.is_legacy()).then(|| Tags::new(image, layout));
        Self { address, image: &image[..layout.size], tags }
    }

    /// The pieces: addresses, and what to write there.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let at = |offset: usize| self.address + offset as u64;
        let pieces = match &self.tags {
            None => [Some((at(0), self.image)), None, None, None],
            Some(tags) => {
                let rest = SOFTWARE + tags.middle.len();
                [
                    Some((at(0), &self.image[..SOFTWARE])),
                    Some((at(SOFTWARE), &tags.middle[..])),
                    Some((at(rest), &self.image[rest..])),
                    Some((at(self.image.len()), &tags.second_magic[..])),
                ]
            }
        };
        pieces.into_iter().flatten()
    }
}

impl Tags {
    fn new(image: &[u8], layout: &ExtendedLayout) -> Self {
        let mut middle = [0; LEGACY_SIZE - SOFTWARE + 8];
        let sizes = written_size(layout) as u64;
        put(&mut middle, 0, u64::from(FP_XSTATE_MAGIC1) | sizes << 32);
        put(&mut middle, 8, layout.features);
        put(&mut middle, 16, layout.size as u64);
        // Debuggers take the legacy registers as present even in their initial state.
        put(&mut middle, LEGACY_SIZE - SOFTWARE, get(image, LEGACY_SIZE) | LEGACY_FEATURES);
        Self { middle, second_magic: FP_XSTATE_MAGIC2.to_ne_bytes() }
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

/// How much of an image counts whose legacy area is `legacy`: all of it if software's part is consistent.
#[must_use]
pub fn extent(legacy: &[u8; LEGACY_SIZE], layout: &ExtendedLayout) -> Extent {
    let magic = get_u32(legacy, SOFTWARE);
    let extended_size = get_u32(legacy, SOFTWARE + 4) as usize;
    let features = get(legacy, SOFTWARE + 8);
    let size = get_u32(legacy, SOFTWARE + 16) as usize;
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

/// Turns a user's image, of which `extent` counts, into one to load.
///
/// `image` has the machine's whole size, with the user's bytes in front. `None` for a header that the processor would
/// refuse. (Reserved bits of MXCSR are left to `arch::fpu`, which knows the processor's.)
#[must_use]
pub fn accept(mut image: Vec<u8>, extent: Extent, layout: &ExtendedLayout) -> Option<Vec<u8>> {
    image[SOFTWARE..LEGACY_SIZE].fill(0);
    if layout.is_legacy() {
        return Some(image);
    }
    let present = match extent {
        Extent::Legacy => {
            image[LEGACY_SIZE..].fill(0);
            LEGACY_FEATURES
        }
        Extent::Full { size, features } => {
            image[size..].fill(0);
            let header = &image[LEGACY_SIZE..LEGACY_SIZE + HEADER_SIZE];
            let present = get(header, 0);
            // The compaction bitmap and the reserved words must be zero (Intel SDM vol. 1, 13.8.1).
            if present & !layout.features != 0 || header[8..].iter().any(|&byte| byte != 0) {
                return None;
            }
            present & features
        }
    };
    put(&mut image, LEGACY_SIZE, present);
    Some(image)
}
