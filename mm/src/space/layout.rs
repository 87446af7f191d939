//! Where things go in a fresh address space, with randomisation, as Linux does on x86-64.

use arch::addr::{PAGE_SIZE, USER_END, UserAddr};

use super::STACK_GUARD_GAP;

const PAGE: u64 = PAGE_SIZE as u64;

/// The stack's top moves down by up to 2^22 pages (`STACK_RND_MASK`).
const STACK_PAGES_BITS: u32 = 22;
/// The base of mappings moves down by up to 2^28 pages (`vm.mmap_rnd_bits`).
const MMAP_PAGES_BITS: u32 = 28;
/// The heap starts up to 32 MiB behind the image (`arch_randomize_brk`).
const HEAP_BYTES: u64 = 0x0200_0000;

/// Random numbers for one space; all zero for a reproducible layout.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Entropy {
    /// For the stack.
    pub stack: u64,
    /// For mappings.
    pub mmap: u64,
    /// For a position-independent image.
    pub image: u64,
    /// For the heap.
    pub heap: u64,
}

/// The anchors of an address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// End of the stack's area.
    pub stack_top: UserAddr,
    /// Mappings are placed downwards from here.
    pub mmap_base: UserAddr,
    /// Where to load a position-independent image.
    pub image_base: UserAddr,
    /// Start of the heap; `exec` moves it behind the image.
    pub heap_start: UserAddr,
}

impl Layout {
    /// A layout from random numbers. `stack_limit` is `RLIMIT_STACK`: mappings stay that far below the stack, within reason
    /// (`mmap_base` in Linux: at least 128 MiB, at most five sixths of the space).
    #[must_use]
    pub fn choose(entropy: Entropy, stack_limit: u64) -> Self {
        let bits = |value: u64, bits: u32| (value & ((1 << bits) - 1)) * PAGE;
        let stack_room = bits(u64::MAX, STACK_PAGES_BITS);
        let stack_top = USER_END - bits(entropy.stack, STACK_PAGES_BITS);
        let reserve = stack_limit.saturating_add(stack_room + STACK_GUARD_GAP);
        let gap = reserve.clamp(128 << 20, USER_END / 6 * 5) & !(PAGE - 1);
        let mmap_base = USER_END - gap - bits(entropy.mmap, MMAP_PAGES_BITS).min(USER_END - gap);
        let image_base = (USER_END / 3 * 2) & !(PAGE - 1);
        // Without the modulus the image could be pushed into the mappings under a huge stack limit.
        let image_base =
            image_base.min((mmap_base / 2) & !(PAGE - 1)) + bits(entropy.image, MMAP_PAGES_BITS);
        Self {
            stack_top: address(stack_top),
            mmap_base: address(mmap_base),
            image_base: address(image_base),
            heap_start: address(image_base),
        }
    }

    /// The layout with the heap behind an image that ends at `image_end`.
    #[must_use]
    pub fn with_heap_after(self, image_end: UserAddr, entropy: Entropy) -> Self {
        let offset = (entropy.heap % HEAP_BYTES) & !(PAGE - 1);
        let heap_start = image_end.page_align_up().checked_add(offset).unwrap_or(image_end);
        Self { heap_start, ..self }
    }
}

fn address(value: u64) -> UserAddr {
    UserAddr::try_new(value).unwrap_or(UserAddr::END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anchor_is_aligned_and_in_order() {
        for limit in [0, 8 << 20, 1 << 40, u64::MAX] {
            for seed in [0, u64::MAX, 0x1234_5678_9abc_def1] {
                let entropy = Entropy { stack: seed, mmap: seed, image: seed, heap: seed };
                let layout = Layout::choose(entropy, limit);
                assert!(layout.mmap_base < layout.stack_top, "{layout:?}");
                for anchor in [layout.stack_top, layout.mmap_base, layout.image_base] {
                    assert!(anchor.is_page_aligned(), "{layout:?}");
                }
            }
        }
    }
}
