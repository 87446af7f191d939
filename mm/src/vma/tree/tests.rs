//! The map of areas against a model, and its balance.

use proptest::prelude::*;
use std::vec::Vec;

use super::*;
use crate::vma::{Backing, Constraint, Protection, VmaFlags, find_gap};

const PAGE: u64 = 4096;

fn range(first: u64, pages: u64) -> Range {
    let at = |page: u64| UserAddr::try_new(page * PAGE).expect("in range");
    Range::new(at(first), at(first + pages)).expect("not empty")
}

fn area(range: Range, writable: bool) -> Vma {
    let protection = if writable { Protection::READ | Protection::WRITE } else { Protection::READ };
    Vma {
        range,
        protection,
        allowed: Protection::all(),
        flags: VmaFlags::empty(),
        backing: Backing::Anonymous,
    }
}

fn check(link: &Link) {
    let Some(node) = link else { return };
    assert!(height(&node.left).abs_diff(height(&node.right)) <= 1, "out of balance");
    check(&node.left);
    check(&node.right);
}

proptest! {
    /// The tree against an array of pages.
    #[test]
    fn behaves_like_an_array_of_pages(
        steps in prop::collection::vec((0u64..120, 1u64..20, 0u8..4), 1..80),
    ) {
        let mut tree = Tree::default();
        let mut pages = [0u8; 160];
        for (first, length, kind) in steps {
            let range = range(first, length);
            let before = tree.clone();
            let list: Vec<Range> = before.iter().map(|vma| vma.range).collect();
            match kind {
                0 => drop(tree.remove(range)),
                1 | 2 => {
                    drop(tree.remove(range));
                    tree.insert(area(range, kind == 1));
                }
                _ => {
                    let met: Vec<Vma> =
                        tree.overlapping(range).filter_map(|vma| vma.cut(&range)).collect();
                    let change = Change::Protect(Protection::READ);
                    for part in met.into_iter().filter(|part| !change.is_done(part)) {
                        let changed = change.applied(part);
                        let expected = tree.len_after(&changed);
                        tree.replace(changed);
                        prop_assert_eq!(tree.len(), expected);
                    }
                }
            }
            for page in &mut pages[first as usize..(first + length) as usize] {
                *page = match kind {
                    3 if *page == 0 => 0,
                    3 => 2,
                    kind => kind,
                };
            }
            check(&tree.0);
            prop_assert_eq!(before.iter().map(|vma| vma.range).collect::<Vec<_>>(), list);
            let mut areas = 0;
            for (page, kind) in pages.iter().enumerate() {
                let address = UserAddr::try_new(page as u64 * PAGE).expect("in range");
                let found = tree.find(address).map(|vma| vma.is_data());
                prop_assert_eq!(found, match kind { 0 => None, 1 => Some(true), _ => Some(false) });
                areas += usize::from(*kind != 0 && (page == 0 || pages[page - 1] != *kind));
            }
            prop_assert_eq!(tree.len(), areas, "neighbours are merged");
            let size = length * PAGE;
            let constraint = Constraint {
                floor: UserAddr::NULL,
                ceiling: UserAddr::try_new(160 * PAGE).expect("in range"),
                alignment: PAGE,
                phase: 0,
            };
            let found = find_gap(&tree, size, 0, constraint).map(|gap| gap.start().as_u64() / PAGE);
            let expected = (0..=160 - length).rev().find(|start| {
                pages[*start as usize..(*start + length) as usize].iter().all(|kind| *kind == 0)
            });
            prop_assert_eq!(found, expected);
        }
    }
}

proptest! {
    /// Areas with certain flags are found among the others, after any changes.
    #[test]
    fn areas_are_found_by_their_flags(
        steps in prop::collection::vec((0u64..200, 1u64..8, 0u8..4), 1..100),
    ) {
        let mut tree = Tree::default();
        for (first, length, kind) in steps {
            let range = range(first, length);
            drop(tree.remove(range));
            let flags = match kind {
                0 => continue,
                1 => VmaFlags::empty(),
                2 => VmaFlags::LOCKED,
                _ => VmaFlags::LOCKED | VmaFlags::NO_FORK,
            };
            tree.insert(Vma { flags, ..area(range, true) });
        }
        for wanted in [VmaFlags::LOCKED, VmaFlags::NO_FORK, VmaFlags::NO_FORK | VmaFlags::HEAP] {
            let found: Vec<Range> = tree.with_flags(wanted, UserAddr::NULL).map(|vma| vma.range).collect();
            let expected: Vec<Range> =
                tree.iter().filter(|vma| vma.flags.intersects(wanted)).map(|vma| vma.range).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
