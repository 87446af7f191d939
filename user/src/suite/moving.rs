//! Mappings that grow, shrink and move: mremap.

use libc::{MAP_SHARED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_READ};

use super::memory::{PRIVATE, READ_WRITE, free_address, paged_file};
use super::support::{Mapping, PAGE, fault_of, peek, poke};
use crate::{fails, ok};

super::area!("moving":
    mremap_grows_in_place,
    mremap_shrinks,
    mremap_moves_content,
    mremap_fixed_replaces,
    mremap_dontunmap_leaves_zeroes,
    mremap_refuses_bad_arguments,
    mremap_keeps_file_offset,
    mremap_moves_a_whole_table,
);

fn mremap_grows_in_place() {
    let mapping = Mapping::private(8);
    mapping.stamp(3);
    mapping.unmap(4, 4);
    let address = ok!(SYS_mremap, mapping.address(), 4 * PAGE, 8 * PAGE, 0, 0);
    assert_eq!(address, mapping.address());
    assert_eq!(mapping.get(3 * PAGE), 6);
    assert!((4 * PAGE..8 * PAGE).all(|offset| mapping.get(offset) == 0));
    fails!(ENOMEM: SYS_mremap, mapping.address(), 4 * PAGE, 6 * PAGE, 0, 0);
}

fn mremap_shrinks() {
    let mapping = Mapping::private(4);
    mapping.stamp(1);
    assert_eq!(ok!(SYS_mremap, mapping.address(), 4 * PAGE, PAGE, 0, 0), mapping.address());
    assert_eq!(mapping.get(0), 1);
    assert_eq!(fault_of(|| _ = mapping.get(PAGE)).unwrap().code, 1);
}

fn mremap_moves_content() {
    let mapping = Mapping::private(4);
    mapping.stamp(40);
    // The page after it is taken, so it cannot grow in place.
    let _wall = Mapping::new(mapping.page(4), PAGE, READ_WRITE, PRIVATE, -1, 0);
    let address = ok!(SYS_mremap, mapping.address(), 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE, 0);
    assert!((0..4).all(|index| peek(address + index * PAGE) == 40 + index as u8));
    assert_eq!(peek(address + 63 * PAGE), 0);
    poke(address + 63 * PAGE, 1);
    if address != mapping.address() {
        assert_eq!(fault_of(|| _ = mapping.get(0)).unwrap().code, 1);
    }
    ok!(SYS_munmap, address, 64 * PAGE);
}

fn mremap_fixed_replaces() {
    let source = Mapping::private(2);
    let target = Mapping::private(4);
    source.stamp(7);
    target.stamp(100);
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    let address = ok!(SYS_mremap, source.address(), 2 * PAGE, 2 * PAGE, flags, target.page(1));
    assert_eq!(address, target.page(1));
    let first_bytes: Vec<u8> = (0..4).map(|index| target.get(index * PAGE)).collect();
    assert_eq!(first_bytes, [100, 7, 8, 103]);
    assert_eq!(fault_of(|| _ = source.get(0)).unwrap().code, 1);
}

fn mremap_dontunmap_leaves_zeroes() {
    let source = Mapping::private(2);
    source.stamp(7);
    let flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    let address = ok!(SYS_mremap, source.address(), 2 * PAGE, 2 * PAGE, flags, 0);
    assert_eq!((peek(address), peek(address + PAGE)), (7, 8));
    assert!(source.is_all(0));
    ok!(SYS_munmap, address, 2 * PAGE);
}

fn mremap_refuses_bad_arguments() {
    let mapping = Mapping::private(4);
    let address = mapping.address();
    fails!(EINVAL: SYS_mremap, address + 1, PAGE, PAGE, 0, 0);
    fails!(EINVAL: SYS_mremap, address, PAGE, 0, 0, 0);
    fails!(EINVAL: SYS_mremap, address, PAGE, PAGE, 0x80, 0);
    fails!(EINVAL: SYS_mremap, address, PAGE, PAGE, MREMAP_FIXED, 0x1000_0000);
    let flags = MREMAP_FIXED | MREMAP_MAYMOVE;
    fails!(EINVAL: SYS_mremap, address, 2 * PAGE, 2 * PAGE, flags, address + PAGE);
    fails!(EINVAL: SYS_mremap, address, PAGE, PAGE, flags, 0x1000_0001);
    fails!(EFAULT: SYS_mremap, free_address(1) + (1 << 30), PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0);
    mapping.unmap(2, 1);
    fails!(EFAULT: SYS_mremap, address, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE, 0);
}

fn mremap_keeps_file_offset() {
    let fd = paged_file(6);
    let mapping = Mapping::new(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE).unwrap();
    let address = ok!(SYS_mremap, mapping.page(1), PAGE, 3 * PAGE, MREMAP_MAYMOVE, 0);
    let bytes: Vec<u8> = (0..3).map(|index| peek(address + index * PAGE)).collect();
    assert_eq!(bytes, [3, 4, 5]);
    ok!(SYS_munmap, address, 3 * PAGE);
}

fn mremap_moves_a_whole_table() {
    // 5 MiB that begin and end in the middle of a last-level table.
    let pages = 1280;
    let mapping = Mapping::private(pages);
    mapping.stamp(1);
    let _wall = Mapping::new(mapping.page(pages), PAGE, READ_WRITE, PRIVATE, -1, 0);
    let length = mapping.len();
    let target = free_address(2 * pages) + 3 * PAGE;
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    let address = ok!(SYS_mremap, mapping.address(), length, length, flags, target);
    assert!((0..pages).all(|index| peek(address + index * PAGE) == 1_u8.wrapping_add(index as u8)));
    ok!(SYS_munmap, address, length);
}
