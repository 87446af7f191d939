//! Mappings whose pages move while the area stays: `MREMAP_DONTUNMAP`, also with a fixed target and of shared memory.

use libc::{MAP_PRIVATE, MAP_SHARED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_READ};

use super::memory::{free_address, paged_file};
use super::support::{Mapping, PAGE, fault_of, peek, poke};
use crate::{fails, ok};

super::area!("leaving":
    a_fixed_target_is_replaced_and_the_old_area_stays,
    shared_memory_is_seen_at_both_places,
    a_private_file_mapping_shows_the_file_again,
    a_shared_file_mapping_moves,
    a_wish_for_a_free_place_is_granted,
    a_part_of_an_area_is_moved,
    bad_arguments_are_refused,
);

const LEAVE: i32 = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
const LEAVE_FOR: i32 = LEAVE | MREMAP_FIXED;

fn a_fixed_target_is_replaced_and_the_old_area_stays() {
    let source = Mapping::private(2);
    let target = Mapping::private(4);
    source.stamp(7);
    target.stamp(100);
    let place = target.page(1);
    let address = ok!(SYS_mremap, source.address(), 2 * PAGE, 2 * PAGE, LEAVE_FOR, place);
    assert_eq!(address, place);
    let first_bytes: Vec<u8> = (0..4).map(|index| target.get(index * PAGE)).collect();
    assert_eq!(first_bytes, [100, 7, 8, 103]);
    assert!(source.is_all(0), "the old area is mapped and empty");
    poke(source.address(), 1);
    assert_eq!((peek(source.address()), peek(place)), (1, 7));
}

fn shared_memory_is_seen_at_both_places() {
    let source = Mapping::shared(3);
    source.stamp(20);
    let length = source.len();
    for flags in [LEAVE, LEAVE_FOR] {
        let place = free_address(3);
        let address = ok!(SYS_mremap, source.address(), length, length, flags, place);
        poke(address + PAGE, 77);
        assert_eq!((source.get(0), source.get(PAGE), source.get(2 * PAGE)), (20, 77, 22));
        poke(source.page(1), 21);
        assert_eq!(peek(address + PAGE), 21);
        ok!(SYS_munmap, address, length);
    }
}

fn a_private_file_mapping_shows_the_file_again() {
    let fd = paged_file(4);
    let mapping = Mapping::file(fd, 2 * PAGE, MAP_PRIVATE);
    poke(mapping.address(), 99);
    let address = ok!(SYS_mremap, mapping.address(), 2 * PAGE, 2 * PAGE, LEAVE, 0);
    assert_eq!((peek(address), peek(address + PAGE)), (99, 2));
    assert_eq!((mapping.get(0), mapping.get(PAGE)), (1, 2), "what was written moved away");
    ok!(SYS_munmap, address, 2 * PAGE);
}

fn a_shared_file_mapping_moves() {
    let fd = paged_file(6);
    let mapping = Mapping::new(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE).unwrap();
    let target = free_address(2);
    let address = ok!(SYS_mremap, mapping.address(), 2 * PAGE, 2 * PAGE, LEAVE_FOR, target);
    let bytes = |from: usize| (peek(from), peek(from + PAGE));
    assert_eq!((bytes(address), bytes(mapping.address())), ((2, 3), (2, 3)));
    ok!(SYS_munmap, address, 2 * PAGE);
}

fn a_wish_for_a_free_place_is_granted() {
    let source = Mapping::private(2);
    source.stamp(5);
    let wish = free_address(8) + 4 * PAGE;
    let address = ok!(SYS_mremap, source.address(), 2 * PAGE, 2 * PAGE, LEAVE, wish);
    assert_eq!(address, wish);
    assert_eq!((peek(address), source.get(0)), (5, 0));
    // Taken now, so the next one goes elsewhere.
    source.stamp(9);
    let other = ok!(SYS_mremap, source.address(), 2 * PAGE, 2 * PAGE, LEAVE, wish);
    assert_ne!(other, wish);
    assert_eq!((peek(wish), peek(other)), (5, 9));
    ok!(SYS_munmap, wish, 2 * PAGE);
    ok!(SYS_munmap, other, 2 * PAGE);
}

fn a_part_of_an_area_is_moved() {
    let source = Mapping::private(4);
    source.stamp(50);
    let target = free_address(2);
    let address = ok!(SYS_mremap, source.page(1), 2 * PAGE, 2 * PAGE, LEAVE_FOR, target);
    assert_eq!((peek(address), peek(address + PAGE)), (51, 52));
    let left: Vec<u8> = (0..4).map(|index| source.get(index * PAGE)).collect();
    assert_eq!(left, [50, 0, 0, 53]);
    ok!(SYS_munmap, address, 2 * PAGE);
    assert_eq!(fault_of(|| _ = peek(address)).unwrap().code, 1);
}

fn bad_arguments_are_refused() {
    let mapping = Mapping::private(4);
    let (address, target) = (mapping.address(), free_address(4));
    fails!(EINVAL: SYS_mremap, address, PAGE, PAGE, MREMAP_DONTUNMAP, 0);
    for flags in [LEAVE, LEAVE_FOR] {
        fails!(EINVAL: SYS_mremap, address, PAGE, 2 * PAGE, flags, target);
        fails!(EINVAL: SYS_mremap, address, 2 * PAGE, PAGE, flags, target);
        fails!(EINVAL: SYS_mremap, address, 2 * PAGE, 2 * PAGE, flags, address + PAGE);
        fails!(EINVAL: SYS_mremap, address, PAGE, PAGE, flags, target + 1);
        fails!(EINVAL: SYS_mremap, address, 0, 0, flags, target);
    }
    mapping.stamp(1);
    assert_eq!(mapping.get(3 * PAGE), 4, "nothing has moved");
}
