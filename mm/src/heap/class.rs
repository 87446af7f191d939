//! Size classes.

use core::alloc::Layout;

/// Object sizes in bytes: powers of two with midpoints between them, so that rounding up wastes a third at most; from
/// 672 on the sizes that divide a frame with the least left over.
pub(super) const CLASSES: [usize; 14] =
    [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 672, 1008, 1344, 2048];

/// The largest request that a class serves, in bytes.
pub const LARGEST_CLASS: usize = 2048;

/// Granularity of [`SMALLEST`]: the smallest class.
const STEP: usize = CLASSES[0];

/// The smallest class for each size, by size in steps of 16 bytes, rounded up.
const SMALLEST: [u8; LARGEST_CLASS / STEP + 1] = {
    let mut table = [0; LARGEST_CLASS / STEP + 1];
    let mut steps = 0;
    let mut class = 0;
    while steps < table.len() {
        while CLASSES[class] < steps * STEP {
            class += 1;
        }
        table[steps] = class as u8;
        steps += 1;
    }
    table
};

/// The class for `layout`; `None` when it takes whole frames.
#[inline]
pub(super) fn class_of(layout: Layout) -> Option<usize> {
    let first = usize::from(*SMALLEST.get(layout.size().div_ceil(STEP))?);
    if layout.align() <= STEP { Some(first) } else { aligned_class(first, layout.align()) }
}

/// The first class from `first` on whose objects are aligned to `align`: more than all are.
fn aligned_class(first: usize, align: usize) -> Option<usize> {
    (first..CLASSES.len()).find(|class| alignment(CLASSES[*class]) >= align)
}

/// The alignment that every object of a class has: slabs are page-aligned.
const fn alignment(size: usize) -> usize {
    1 << size.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_fit_size_and_alignment() {
        for (size, align, expected) in
            [(1, 1, 16), (16, 16, 16), (17, 8, 32), (40, 32, 64), (65, 8, 96), (100, 64, 128)]
        {
            let layout = Layout::from_size_align(size, align).expect("valid");
            assert_eq!(class_of(layout).map(|class| CLASSES[class]), Some(expected));
        }
        let large = Layout::from_size_align(2049, 8).expect("valid");
        assert_eq!(class_of(large), None);
        let aligned = Layout::from_size_align(64, 4096).expect("valid");
        assert_eq!(class_of(aligned), None);
    }
}
