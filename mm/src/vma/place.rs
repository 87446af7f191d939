//! Where a mapping without a fixed address goes: as high as possible below the base of the mmap area, like Linux's
//! `arch_get_unmapped_area_topdown`.

use arch::addr::UserAddr;

use super::tree::Tree;
use super::{Range, VmaFlags};

/// Bounds on a placement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constraint {
    /// Lowest start.
    pub floor: UserAddr,
    /// Highest end.
    pub ceiling: UserAddr,
    /// The start's offset within a span of this many bytes, a power of two, is [`phase`](Self::phase).
    pub alignment: u64,
    /// See [`alignment`](Self::alignment).
    pub phase: u64,
}

/// A free range of `length` bytes (whole pages), the highest that meets `constraint`. Keeps `guard` bytes clear below
/// every stack.
pub(crate) fn find_gap(
    areas: &Tree,
    length: u64,
    guard: u64,
    constraint: Constraint,
) -> Option<Range> {
    // Room for alignment is asked for up front, so that one search suffices; without it a second try is exact.
    let slack = constraint.alignment.saturating_sub(arch::addr::PAGE_SIZE as u64);
    let mut ceiling = constraint.ceiling;
    loop {
        let end = areas.highest_gap(length.checked_add(slack)?, constraint.floor, ceiling)?;
        let end = match areas.at_or_above(end) {
            Some(next) if next.start() < add(end, guard) && stack(next.flags) => {
                UserAddr::try_new(next.start().as_u64().checked_sub(guard)?)?
            }
            _ => end,
        };
        let start = end.as_u64().checked_sub(length)?;
        let excess = start.wrapping_sub(constraint.phase) % constraint.alignment.max(1);
        let start = UserAddr::try_new(start.checked_sub(excess)?)?;
        let range = Range::of_length(start, length)?;
        if start >= constraint.floor && areas.overlapping(range).next().is_none() {
            return Some(range);
        }
        ceiling = range.start().min(areas.below(end).map_or(UserAddr::NULL, |vma| vma.start()));
    }
}

fn stack(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::GROWS_DOWN)
}

fn add(address: UserAddr, bytes: u64) -> UserAddr {
    address.checked_add(bytes).unwrap_or(UserAddr::END)
}
