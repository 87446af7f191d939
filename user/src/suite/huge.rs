//! Transparent huge pages, as far as a program can tell: what it asked for, and that nothing else changes.

use super::support::{
    Mapping, PAGE, in_child, needs_root, peek, poke, read_text, skip, write_text,
};
use crate::{fails, ok};

super::area!("huge":
    the_switch_names_one_policy,
    touching_once_makes_two_megabytes_resident,
    nohugepage_keeps_pages_small,
    contents_survive_splitting,
    fork_shares_and_copies_pages,
    protecting_a_part_leaves_the_rest,
    unmapping_a_part_keeps_the_rest,
    moving_keeps_contents,
    discarding_gives_zeros_again,
    locking_and_populating,
);

const HUGE: usize = 2 << 20;
const SWITCH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// `count` aligned ranges of 2 MiB for which huge pages are asked, in a mapping with room to align them.
fn wishful(count: usize) -> (Mapping, usize) {
    let Ok(text) = std::fs::read_to_string(SWITCH) else { skip("no transparent huge pages") };
    if text.contains("[never]") {
        skip("huge pages are switched off");
    }
    let mapping = Mapping::private((count + 1) * HUGE / PAGE);
    let start = mapping.address().next_multiple_of(HUGE);
    ok!(SYS_madvise, start, count * HUGE, libc::MADV_HUGEPAGE);
    (mapping, start)
}

/// The number after `label` in the part of smaps about the area at `address`, in KiB.
fn smaps(address: usize, label: &str) -> usize {
    let text = read_text("/proc/self/smaps");
    let mut inside = false;
    for line in text.lines() {
        if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-')) {
            let bound = |text| usize::from_str_radix(text, 16);
            if let (Ok(start), Ok(end)) = (bound(start), bound(end)) {
                inside = (start..end).contains(&address);
            }
        }
        if let Some(rest) = line.strip_prefix(label).filter(|_| inside) {
            return rest.trim().trim_end_matches(" kB").parse().unwrap();
        }
    }
    panic!("no {label} for {address:#x}");
}

/// Writes a different byte to each page.
fn stamp(start: usize, pages: usize) {
    (0..pages).for_each(|page| poke(start + page * PAGE, page as u8 ^ 0x5a));
}

fn check(start: usize, pages: impl Iterator<Item = usize>) {
    pages.for_each(|page| assert_eq!(peek(start + page * PAGE), page as u8 ^ 0x5a, "page {page}"));
}

fn the_switch_names_one_policy() {
    let Ok(text) = std::fs::read_to_string(SWITCH) else { skip("no transparent huge pages") };
    assert_eq!(text.matches('[').count(), 1);
    assert_eq!(text.replace(['[', ']'], ""), "always madvise never\n");
    needs_root();
    let current = text.split(['[', ']']).nth(1).unwrap();
    // The policy that is there already: nobody else notices.
    write_text(SWITCH, current);
    assert_eq!(read_text(SWITCH), text);
    assert!(std::fs::write(SWITCH, "sometimes").is_err());
    assert_eq!(read_text(SWITCH), text);
}

fn touching_once_makes_two_megabytes_resident() {
    const RANGES: usize = 8;
    let (_mapping, start) = wishful(RANGES);
    (0..RANGES).for_each(|range| poke(start + range * HUGE + 5 * PAGE, 1));
    // Where memory is fragmented small pages do, but not everywhere.
    let (huge, resident) = (smaps(start, "AnonHugePages:"), smaps(start, "Rss:"));
    assert!(huge > 0 && huge.is_multiple_of(2048), "{huge} kB in huge pages");
    assert_eq!(resident, huge + (RANGES - huge / 2048) * 4);
    assert_eq!(peek(start), 0);
    assert_eq!(smaps(start, "THPeligible:"), 1);
}

fn nohugepage_keeps_pages_small() {
    let (_mapping, start) = wishful(1);
    ok!(SYS_madvise, start, HUGE, libc::MADV_NOHUGEPAGE);
    poke(start, 1);
    assert_eq!(smaps(start, "AnonHugePages:"), 0);
    assert_eq!(smaps(start, "Rss:"), 4);
    fails!(EINVAL: SYS_madvise, start + 1, HUGE, libc::MADV_HUGEPAGE);
}

fn contents_survive_splitting() {
    let (_mapping, start) = wishful(2);
    stamp(start, 1024);
    ok!(SYS_mprotect, start + 100 * PAGE, PAGE, libc::PROT_READ);
    check(start, 0..1024);
    poke(start + 101 * PAGE, 1);
    assert_eq!(peek(start + 100 * PAGE), 100 ^ 0x5a);
}

fn fork_shares_and_copies_pages() {
    let (_mapping, start) = wishful(1);
    stamp(start, 512);
    in_child(|| {
        check(start, 0..512);
        poke(start + 17 * PAGE, 1);
        in_child(|| {
            poke(start + 18 * PAGE, 2);
            assert_eq!(peek(start + 17 * PAGE), 1);
            check(start, 19..512);
        });
        check(start, 18..512);
    });
    check(start, 0..512);
    (0..512).for_each(|page| poke(start + page * PAGE, 3));
    in_child(|| (0..512).for_each(|page| assert_eq!(peek(start + page * PAGE), 3)));
}

fn protecting_a_part_leaves_the_rest() {
    let (_mapping, start) = wishful(1);
    stamp(start, 512);
    ok!(SYS_mprotect, start, HUGE, libc::PROT_READ);
    check(start, 0..512);
    ok!(SYS_mprotect, start, HUGE / 2, libc::PROT_NONE);
    check(start, 256..512);
    ok!(SYS_mprotect, start, HUGE, libc::PROT_READ | libc::PROT_WRITE);
    check(start, 0..512);
    poke(start, 1);
}

fn unmapping_a_part_keeps_the_rest() {
    let (_mapping, start) = wishful(2);
    stamp(start, 1024);
    ok!(SYS_munmap, start + 500 * PAGE, 20 * PAGE);
    check(start, (0..500).chain(520..1024));
    assert_eq!(smaps(start, "Rss:"), 2000);
}

fn moving_keeps_contents() {
    let (_mapping, start) = wishful(2);
    stamp(start, 1024);
    let target = Mapping::private(4 * HUGE / PAGE);
    let aligned = target.address().next_multiple_of(HUGE);
    let moves = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    ok!(SYS_mremap, start, HUGE, HUGE, moves, aligned);
    check(aligned, 0..512);
    ok!(SYS_mremap, start + HUGE, HUGE, HUGE, moves, aligned + HUGE + PAGE);
    (512..1024_usize).for_each(|page| {
        assert_eq!(peek(aligned + (page + 1) * PAGE), page as u8 ^ 0x5a, "page {page}");
    });
}

fn discarding_gives_zeros_again() {
    let (_mapping, start) = wishful(2);
    stamp(start, 1024);
    ok!(SYS_madvise, start + PAGE, HUGE, libc::MADV_DONTNEED);
    check(start, std::iter::once(0).chain(513..1024));
    (1..513).for_each(|page| assert_eq!(peek(start + page * PAGE), 0));
}

fn locking_and_populating() {
    let (_mapping, start) = wishful(1);
    ok!(SYS_madvise, start, HUGE, libc::MADV_POPULATE_WRITE);
    assert_eq!(smaps(start, "Rss:"), 2048);
    let mut present = [0_u8; 512];
    ok!(SYS_mincore, start, HUGE, &mut present);
    assert!(present.iter().all(|byte| byte & 1 == 1));
    ok!(SYS_mlock, start + PAGE, PAGE);
    fails!(EINVAL: SYS_madvise, start, HUGE, libc::MADV_DONTNEED);
    ok!(SYS_munlock, start, HUGE);
}
