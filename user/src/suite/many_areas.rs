//! As many areas as a process may have, and ranges that are larger than memory: what depends on their number or their size
//! still ends soon, and at the limit only what makes more of them is refused.

use std::time::{Duration, Instant};

use libc::{
    MADV_DONTFORK, MADV_NORMAL, MADV_RANDOM, MADV_WIPEONFORK, MAP_ANONYMOUS, MAP_NORESERVE,
    MAP_POPULATE, MAP_PRIVATE, MLOCK_ONFAULT, PROT_NONE, PROT_READ,
};

use super::memory::READ_WRITE;
use super::support::{Mapping, PAGE, child, fault_of, in_child, nap, peek, poke, read_text, skip};
use crate::{fails, ok};

super::area!("many_areas":
    at_the_limit_only_cuts_are_refused,
    advice_and_locks_reach_all_of_many_areas,
    a_child_inherits_many_areas_as_they_were_advised,
    a_vast_reservation_is_protected_at_once,
    population_ends_with_its_process,
);

const RESERVED: i32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/// How many areas a process may have.
fn limit() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.map_or(65_530, |text| text.trim().parse().unwrap())
}

/// Cuts `mapping` into areas of a page each, as far as that goes, and returns how many it made.
fn cut(mapping: &Mapping, protections: [i32; 2], most: usize) -> usize {
    let pages = mapping.len() / PAGE;
    for page in 1..most {
        let protection = protections[page % 2];
        let rest = (pages - page) * PAGE;
        if crate::sys!(SYS_mprotect, mapping.page(page), rest, protection).is_err() {
            return page;
        }
    }
    most
}

fn at_the_limit_only_cuts_are_refused() {
    if limit() > 100_000 {
        skip("so many areas take too long");
    }
    // Between pages that differ, so that it is an area of its own.
    let border = Mapping::new(0, 6 * PAGE, PROT_NONE, RESERVED, -1, 0).unwrap();
    let (start, inner, length) = (border.page(1), border.page(2), 4 * PAGE);
    ok!(SYS_mprotect, start, length, READ_WRITE);
    let filler = Mapping::new(0, (limit() + 10) * PAGE, PROT_NONE, RESERVED, -1, 0).unwrap();
    let made = cut(&filler, [PROT_NONE, PROT_READ], limit() + 9);
    assert!(made < limit() && made > limit() - 200, "{made} areas");
    fails!(ENOMEM: SYS_mprotect, inner, PAGE, PROT_READ);
    fails!(ENOMEM: SYS_mprotect, start, PAGE, PROT_READ);
    fails!(ENOMEM: SYS_munmap, inner, PAGE);
    fails!(ENOMEM: SYS_mlock, inner, PAGE);
    fails!(EAGAIN: SYS_madvise, inner, PAGE, MADV_RANDOM);
    ok!(SYS_mprotect, start, length, PROT_READ);
    ok!(SYS_mprotect, start, length, READ_WRITE);
    ok!(SYS_mlock, start, length);
    ok!(SYS_munlock, start, length);
    ok!(SYS_madvise, start, length, MADV_RANDOM);
    poke(inner, 7);
    ok!(SYS_munmap, filler.page(0), PAGE);
    ok!(SYS_munmap, filler.page(2), PAGE);
    ok!(SYS_mprotect, start, PAGE, PROT_READ);
    assert_eq!((peek(start), peek(inner)), (0, 7));
}

/// Some thousand areas of a page, every other one writable, with their numbers in them.
fn many(count: usize) -> Mapping {
    let mapping = Mapping::private(count);
    cut(&mapping, [READ_WRITE, PROT_READ], count);
    (0..count).step_by(2).for_each(|page| poke(mapping.page(page), page as u8 | 1));
    mapping
}

/// The figure in KiB of a line of `/proc/self/status`.
fn status_kib(name: &str) -> usize {
    let text = read_text("/proc/self/status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn advice_and_locks_reach_all_of_many_areas() {
    let mapping = many(4000);
    let (start, length) = (mapping.address(), mapping.len());
    ok!(SYS_madvise, start, length, MADV_RANDOM);
    ok!(SYS_madvise, start, length, MADV_NORMAL);
    let before = status_kib("VmLck");
    if crate::sys!(SYS_mlock2, start, length, MLOCK_ONFAULT).is_err() {
        skip("so much must not be locked here");
    }
    assert_eq!(status_kib("VmLck"), before + length / 1024);
    in_child(|| assert_eq!(status_kib("VmLck"), 0));
    ok!(SYS_munlock, start, length);
    assert_eq!(status_kib("VmLck"), before);
    assert!((0..4000).step_by(2).all(|page| mapping.get(page * PAGE) == page as u8 | 1));
    ok!(SYS_mprotect, start, length, PROT_READ);
    assert_eq!(fault_of(|| poke(mapping.page(3998), 1)).unwrap().code, 2);
}

fn a_child_inherits_many_areas_as_they_were_advised() {
    const COUNT: usize = 4000;
    let mapping = many(COUNT);
    let half = mapping.len() / 2;
    ok!(SYS_madvise, mapping.address(), half, MADV_WIPEONFORK);
    ok!(SYS_madvise, mapping.page(COUNT / 2), half, MADV_DONTFORK);
    in_child(|| {
        assert!((0..COUNT / 2).all(|page| mapping.get(page * PAGE) == 0));
        assert_eq!(fault_of(|| _ = mapping.get(half)).unwrap().code, 1);
        assert_eq!(fault_of(|| _ = mapping.get(2 * half - PAGE)).unwrap().code, 1);
        poke(mapping.address(), 9);
    });
    assert!((0..COUNT).step_by(2).all(|page| mapping.get(page * PAGE) == page as u8 | 1));
}

fn a_vast_reservation_is_protected_at_once() {
    const VAST: usize = 32 << 40;
    let begun = Instant::now();
    let mapping = Mapping::new(0, VAST, PROT_NONE, RESERVED, -1, 0).unwrap();
    let (first, last) = (mapping.address(), mapping.address() + VAST - PAGE);
    ok!(SYS_mprotect, first, VAST, PROT_READ);
    assert_eq!((peek(first), peek(first + VAST / 2), peek(last)), (0, 0, 0));
    ok!(SYS_mprotect, first, VAST, PROT_NONE);
    for address in [first, first + VAST / 2, last] {
        assert_eq!(fault_of(|| _ = peek(address)).unwrap().code, 2);
    }
    let maps = read_text("/proc/self/smaps");
    assert!(maps.lines().any(|line| line.starts_with(&format!("{first:x}-"))));
    drop(mapping);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

fn population_ends_with_its_process() {
    let populating = child(|| {
        let flags = RESERVED | MAP_POPULATE;
        let _mapping = Mapping::new(0, 2 << 40, PROT_READ, flags, -1, 0);
    });
    nap(200);
    let begun = Instant::now();
    populating.finish();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
