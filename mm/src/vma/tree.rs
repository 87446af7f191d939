//! A persistent map of areas: cloning takes constant time, and a change copies the path to it and shares the rest.
//!
//! An AVL tree of `Arc`-shared nodes in which everything is built from one operation, `join` (Blelloch, Ferizovic and Sun,
//! "Just Join for Parallel Ordered Sets", 2016). `rpds` has such a map, but looking up the area *below* an address
//! allocates there, which a page fault cannot afford, and it cannot keep the largest gap of each subtree, which
//! makes placing a mapping logarithmic.
//!
//! Allocation: O(log n) nodes of about 100 bytes per change, covered by the caller's heap credit. Looking up
//! and iterating allocate nothing. The number of areas is bounded by [`MAX_AREAS`].

use alloc::sync::Arc;
use core::cmp::Ordering;

use arch::addr::UserAddr;

use super::{Range, Vma, VmaFlags};

/// Areas that one address space may have: Linux's default `vm.max_map_count`.
pub const MAX_AREAS: usize = 65_530;

/// Kernel memory that an area takes, in bytes: its node and itself, each with two counts.
pub const AREA_BYTES: usize = size_of::<Node>() + size_of::<Vma>() + 4 * size_of::<usize>();

mod change;

pub use change::Change;

type Link = Option<Arc<Node>>;

#[derive(Clone, Debug)]
struct Node {
    vma: Arc<Vma>,
    left: Link,
    right: Link,
    height: u8,
    count: u32,
    /// Start of the lowest area below, end of the highest.
    low: UserAddr,
    high: UserAddr,
    /// The largest hole between two areas of this subtree, in bytes.
    gap: u64,
    /// All flags that some area of this subtree has.
    flags: VmaFlags,
}

/// The areas of an address space, ordered by address; no two overlap.
#[derive(Clone, Default, Debug)]
pub struct Tree(Link);

fn height(link: &Link) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

fn count(link: &Link) -> u32 {
    link.as_ref().map_or(0, |node| node.count)
}

fn distance(from: UserAddr, to: UserAddr) -> u64 {
    to.as_u64() - from.as_u64()
}

/// A node over two subtrees whose heights differ by one at most.
fn node(left: Link, vma: Arc<Vma>, right: Link) -> Link {
    let mut gap = 0;
    let (mut low, mut high, mut flags) = (vma.start(), vma.end(), vma.flags);
    if let Some(left) = &left {
        gap = left.gap.max(distance(left.high, low));
        low = left.low;
        flags |= left.flags;
    }
    if let Some(right) = &right {
        gap = gap.max(right.gap).max(distance(high, right.low));
        high = right.high;
        flags |= right.flags;
    }
    let height = height(&left).max(height(&right)) + 1;
    let count = count(&left) + count(&right) + 1;
    Some(Arc::new(Node { vma, left, right, height, count, low, high, gap, flags }))
}

/// What a node is made of: taken out of it, unless another tree has it too.
fn parts(node: Arc<Node>) -> (Link, Arc<Vma>, Link) {
    match Arc::try_unwrap(node) {
        Ok(node) => (node.left, node.vma, node.right),
        Err(shared) => (shared.left.clone(), shared.vma.clone(), shared.right.clone()),
    }
}

/// A balanced tree of two subtrees that may differ in height by two, as after one `join` step.
fn balance(left: Link, vma: Arc<Vma>, right: Link) -> Link {
    match (left, right) {
        (Some(left), right) if left.height > height(&right) + 1 => {
            let (ll, lv, lr) = parts(left);
            match lr {
                Some(inner) if inner.height > height(&ll) => {
                    let (a, middle, b) = parts(inner);
                    node(node(ll, lv, a), middle, node(b, vma, right))
                }
                lr => node(ll, lv, node(lr, vma, right)),
            }
        }
        (left, Some(right)) if right.height > height(&left) + 1 => {
            let (rl, rv, rr) = parts(right);
            match rl {
                Some(inner) if inner.height > height(&rr) => {
                    let (a, middle, b) = parts(inner);
                    node(node(left, vma, a), middle, node(b, rv, rr))
                }
                rl => node(node(left, vma, rl), rv, rr),
            }
        }
        (left, right) => node(left, vma, right),
    }
}

/// All of `left`, then `vma`, then all of `right`.
fn join(left: Link, vma: Arc<Vma>, right: Link) -> Link {
    match (left, right) {
        (Some(left), right) if left.height > height(&right) + 1 => {
            let (ll, lv, lr) = parts(left);
            balance(ll, lv, join(lr, vma, right))
        }
        (left, Some(right)) if right.height > height(&left) + 1 => {
            let (rl, rv, rr) = parts(right);
            balance(join(left, vma, rl), rv, rr)
        }
        (left, right) => node(left, vma, right),
    }
}

/// The last area and what precedes it.
fn split_last(tree: Arc<Node>) -> (Link, Arc<Vma>) {
    match parts(tree) {
        (left, vma, None) => (left, vma),
        (left, vma, Some(right)) => {
            let (rest, last) = split_last(right);
            (join(left, vma, rest), last)
        }
    }
}

/// All of `left`, then all of `right`.
fn concat(left: Link, right: Link) -> Link {
    match left {
        None => right,
        Some(left) => {
            let (rest, last) = split_last(left);
            join(rest, last, right)
        }
    }
}

/// The areas that end at or below `address`, the one that straddles it, and those that start at or above it.
fn split(link: Link, address: UserAddr) -> (Link, Option<Arc<Vma>>, Link) {
    let Some(tree) = link else { return (None, None, None) };
    let (left, vma, right) = parts(tree);
    if vma.end() <= address {
        let (low, middle, high) = split(right, address);
        (join(left, vma, low), middle, high)
    } else if vma.start() >= address {
        let (low, middle, high) = split(left, address);
        (low, middle, join(high, vma, right))
    } else {
        (left, Some(vma), right)
    }
}

/// The last area of `link`.
fn last(link: &Link) -> Option<&Arc<Vma>> {
    let mut node = link.as_ref()?;
    while let Some(right) = &node.right {
        node = right;
    }
    Some(&node.vma)
}

/// The first area of `link`.
fn first(link: &Link) -> Option<&Arc<Vma>> {
    let mut node = link.as_ref()?;
    while let Some(left) = &node.left {
        node = left;
    }
    Some(&node.vma)
}

impl Tree {
    /// Number of areas.
    #[must_use]
    pub fn len(&self) -> usize {
        count(&self.0) as usize
    }

    /// Whether there is no area.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The area that contains `address`.
    #[must_use]
    pub fn find(&self, address: UserAddr) -> Option<&Arc<Vma>> {
        let mut link = &self.0;
        while let Some(node) = link {
            link = match compare(&node.vma.range, address) {
                Ordering::Equal => return Some(&node.vma),
                Ordering::Less => &node.right,
                Ordering::Greater => &node.left,
            };
        }
        None
    }

    /// The lowest area that ends above `address`: the one that contains it, or the next one up.
    #[must_use]
    pub fn at_or_above(&self, address: UserAddr) -> Option<&Arc<Vma>> {
        let (mut link, mut best) = (&self.0, None);
        while let Some(node) = link {
            if node.vma.end() > address {
                best = Some(&node.vma);
                link = &node.left;
            } else {
                link = &node.right;
            }
        }
        best
    }

    /// The highest area that ends at or below `address`.
    #[must_use]
    pub fn below(&self, address: UserAddr) -> Option<&Arc<Vma>> {
        let (mut link, mut best) = (&self.0, None);
        while let Some(node) = link {
            if node.vma.end() <= address {
                best = Some(&node.vma);
                link = &node.right;
            } else {
                link = &node.left;
            }
        }
        best
    }

    /// The areas that meet `range`, in order, uncut.
    pub fn overlapping(&self, range: Range) -> impl Iterator<Item = &Arc<Vma>> {
        let mut next = self.at_or_above(range.start);
        core::iter::from_fn(move || {
            let vma = next.filter(|vma| vma.start() < range.end)?;
            next = self.at_or_above(vma.end());
            Some(vma)
        })
    }

    /// All areas in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Vma>> {
        self.iter_from(UserAddr::NULL)
    }

    /// The areas that end above `address`, in order.
    pub fn iter_from(&self, address: UserAddr) -> impl Iterator<Item = &Arc<Vma>> {
        let mut next = self.at_or_above(address);
        core::iter::from_fn(move || {
            let vma = next?;
            next = self.at_or_above(vma.end());
            Some(vma)
        })
    }

    /// Calls `visit` with each area in order, in time that does not depend on where it stands.
    pub fn visit(&self, mut visit: impl FnMut(&Vma)) {
        visit_below(&self.0, &mut visit);
    }

    /// Whether some area has some of `flags`; in constant time.
    #[must_use]
    pub fn has_flags(&self, flags: VmaFlags) -> bool {
        self.0.as_ref().is_some_and(|node| node.flags.intersects(flags))
    }

    /// The areas that end above `address` and have some of `flags`, in order. Finding one takes logarithmic time, however many
    /// others there are.
    pub fn with_flags(
        &self,
        flags: VmaFlags,
        address: UserAddr,
    ) -> impl Iterator<Item = &Arc<Vma>> {
        let mut next = flagged(&self.0, flags, address);
        core::iter::from_fn(move || {
            let vma = next?;
            next = flagged(&self.0, flags, vma.end());
            Some(vma)
        })
    }

    /// Whether areas cover all of `range` without a hole.
    #[must_use]
    pub fn covers(&self, range: Range) -> bool {
        let mut reached = range.start;
        for vma in self.overlapping(range) {
            if vma.start() > reached {
                return false;
            }
            reached = vma.end();
        }
        reached >= range.end
    }

    /// Removes everything inside `range`; areas that reach over its edges are cut. Returns what was removed, cut to
    /// the range.
    pub fn remove(&mut self, range: Range) -> Self {
        let (mut low, straddling, mut rest) = split(self.0.take(), range.start);
        if let Some(vma) = straddling {
            // An area over the lower edge: its parts go back on both sides.
            let before = Range { start: vma.start(), end: range.start };
            let after = Range { start: range.start, end: vma.end() };
            low = push_last(low, vma.cut(&before));
            rest = push_first(vma.cut(&after), rest);
        }
        let (mut middle, straddling, mut high) = split(rest, range.end);
        if let Some(vma) = straddling {
            let before = Range { start: vma.start(), end: range.end };
            let after = Range { start: range.end, end: vma.end() };
            middle = push_last(middle, vma.cut(&before));
            high = push_first(vma.cut(&after), high);
        }
        self.0 = concat(low, high);
        Self(middle)
    }

    /// Adds `vma` where nothing is, joining it with neighbours that differ in nothing.
    pub fn insert(&mut self, vma: Vma) {
        debug_assert!(self.overlapping(vma.range).next().is_none(), "areas overlap");
        let (mut low, straddling, mut high) = split(self.0.take(), vma.start());
        debug_assert!(straddling.is_none(), "areas overlap");
        let mut vma = vma;
        if let Some(merged) = last(&low).and_then(|last| last.merged(&vma)) {
            low = low.and_then(|tree| split_last(tree).0);
            vma = merged;
        }
        if let Some((merged, end)) =
            first(&high).and_then(|next| Some((vma.merged(next)?, next.end())))
        {
            (_, _, high) = split(high, end);
            vma = merged;
        }
        self.0 = join(low, Arc::new(vma), high);
    }

    /// The highest hole of at least `size` bytes between `floor` and `ceiling`, by its end.
    #[must_use]
    pub(super) fn highest_gap(
        &self,
        size: u64,
        floor: UserAddr,
        ceiling: UserAddr,
    ) -> Option<UserAddr> {
        highest_gap(&self.0, size, floor, ceiling)
    }
}

fn visit_below(link: &Link, visit: &mut impl FnMut(&Vma)) {
    let Some(node) = link else { return };
    visit_below(&node.left, visit);
    visit(&node.vma);
    visit_below(&node.right, visit);
}

/// The lowest area of `link` that ends above `address` and has some of `flags`.
fn flagged(link: &Link, flags: VmaFlags, address: UserAddr) -> Option<&Arc<Vma>> {
    let node = link.as_ref()?;
    if !node.flags.intersects(flags) || node.high <= address {
        return None;
    }
    let own =
        || (node.vma.end() > address && node.vma.flags.intersects(flags)).then_some(&node.vma);
    flagged(&node.left, flags, address)
        .or_else(own)
        .or_else(|| flagged(&node.right, flags, address))
}

/// The end of the highest hole of `size` bytes in `floor .. ceiling`, between the areas of `link`.
fn highest_gap(link: &Link, size: u64, floor: UserAddr, ceiling: UserAddr) -> Option<UserAddr> {
    if ceiling < floor || distance(floor, ceiling) < size {
        return None;
    }
    let Some(node) = link else { return Some(ceiling) };
    // Above the subtree, inside it, or below it: a subtree whose gaps are all too small is not searched.
    let top = node.high.max(floor);
    if node.high <= ceiling && distance(top, ceiling) >= size {
        return Some(ceiling);
    }
    if node.gap >= size {
        let inner_floor = node.vma.end().max(floor);
        let found = highest_gap(&node.right, size, inner_floor, ceiling)
            .or_else(|| highest_gap(&node.left, size, floor, node.vma.start().min(ceiling)));
        if found.is_some() {
            return found;
        }
    }
    let bottom = node.low.min(ceiling);
    (bottom >= floor && distance(floor, bottom) >= size).then_some(bottom)
}

fn push_last(tree: Link, vma: Option<Vma>) -> Link {
    match vma {
        None => tree,
        Some(vma) => join(tree, Arc::new(vma), None),
    }
}

fn push_first(vma: Option<Vma>, tree: Link) -> Link {
    match vma {
        None => tree,
        Some(vma) => join(None, Arc::new(vma), tree),
    }
}

fn compare(range: &Range, address: UserAddr) -> Ordering {
    if range.end <= address {
        Ordering::Less
    } else if range.start > address {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
