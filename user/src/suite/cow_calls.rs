//! Calls that change mappings between copies: neither sees what the other does.

use libc::{
    MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE,
};

use super::cow::while_child_waits;
use super::support::{Mapping, PAGE, fault_of, in_child, peek, poke};
use crate::ok;

super::area!("cow_calls":
    mprotect_after_fork,
    read_only_page_becomes_writable_after_fork,
    munmap_in_child,
    mremap_in_child,
    dontneed_in_child,
    mmap_over_shared_in_child,
    brk_in_child,
    protection_none_survives_fork,
    whole_table_unmapped_after_fork,
);

fn mprotect_after_fork() {
    let mapping = Mapping::private(4);
    mapping.fill(1);
    while_child_waits(
        || {
            mapping.protect(0, 4, PROT_READ);
            mapping.protect(0, 4, PROT_READ | PROT_WRITE);
            mapping.fill(2);
        },
        || {
            assert!(mapping.is_all(1));
            mapping.fill(3);
        },
    );
    assert!(mapping.is_all(2));
}

fn read_only_page_becomes_writable_after_fork() {
    let mapping = Mapping::private(4);
    mapping.fill(1);
    mapping.protect(0, 4, PROT_READ);
    in_child(|| {
        mapping.protect(0, 4, PROT_READ | PROT_WRITE);
        mapping.fill(2);
    });
    assert!(mapping.is_all(1));
    assert_eq!(fault_of(|| mapping.set(0, 1)).unwrap().code, 2);
}

fn munmap_in_child() {
    let mapping = Mapping::private(6);
    mapping.stamp(1);
    in_child(|| {
        mapping.unmap(2, 2);
        assert_eq!(mapping.get(4 * PAGE), 5);
    });
    assert!(mapping.has_stamp(1));
    while_child_waits(|| mapping.unmap(0, 6), || assert!(mapping.has_stamp(1)));
}

fn mremap_in_child() {
    let mapping = Mapping::private(6);
    mapping.stamp(1);
    in_child(|| {
        let address = ok!(SYS_mremap, mapping.address(), 6 * PAGE, 600 * PAGE, MREMAP_MAYMOVE, 0);
        assert!((0..6).all(|index| peek(address + index * PAGE) == 1 + index as u8));
        poke(address, 99);
    });
    assert!(mapping.has_stamp(1));
}

fn dontneed_in_child() {
    let mapping = Mapping::private(6);
    mapping.stamp(1);
    in_child(|| {
        mapping.advise(MADV_DONTNEED).unwrap();
        assert!(mapping.is_all(0));
    });
    assert!(mapping.has_stamp(1));
}

fn mmap_over_shared_in_child() {
    let mapping = Mapping::private(6);
    mapping.stamp(1);
    in_child(|| {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | libc::MAP_FIXED;
        ok!(SYS_mmap, mapping.page(1), 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        assert_eq!((mapping.get(0), mapping.get(PAGE), mapping.get(3 * PAGE)), (1, 0, 4));
        mapping.fill(9);
    });
    assert!(mapping.has_stamp(1));
}

fn brk_in_child() {
    let start = ok!(SYS_brk, 0).next_multiple_of(PAGE);
    ok!(SYS_brk, start + 4 * PAGE);
    poke(start, 1);
    in_child(|| {
        poke(start, 2);
        ok!(SYS_brk, start);
        ok!(SYS_brk, start + 8 * PAGE);
        assert_eq!(peek(start), 0);
    });
    assert_eq!(peek(start), 1);
    assert_eq!(ok!(SYS_brk, 0), start + 4 * PAGE);
}

fn protection_none_survives_fork() {
    let mapping = Mapping::private(2);
    mapping.fill(6);
    mapping.protect(0, 1, PROT_NONE);
    let fault = fault_of(|| _ = mapping.get(0)).unwrap();
    assert_eq!(fault.code, 2);
    in_child(|| {
        mapping.protect(0, 1, PROT_READ | PROT_WRITE);
        assert!(mapping.is_all(6));
        mapping.fill(7);
    });
    mapping.protect(0, 1, PROT_READ);
    assert!(mapping.is_all(6));
}

fn whole_table_unmapped_after_fork() {
    // 4 MiB: at least one whole last-level table, which parent and child share.
    let mapping = Mapping::private(1024);
    mapping.stamp(1);
    in_child(|| {
        mapping.unmap(100, 900);
        assert_eq!((mapping.get(0), mapping.get(99 * PAGE)), (1, 100));
        mapping.set(0, 0);
        assert_eq!(fault_of(|| _ = mapping.get(512 * PAGE)).unwrap().code, 1);
    });
    assert!(mapping.has_stamp(1));
    while_child_waits(
        || mapping.protect(0, 1024, PROT_READ),
        || {
            assert!(mapping.has_stamp(1));
            mapping.stamp(2);
        },
    );
    assert!(mapping.has_stamp(1));
}
