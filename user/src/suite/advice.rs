//! What a program tells of its memory and asks about it: madvise, mincore, msync, mlock.

use libc::{MADV_DONTNEED, MAP_PRIVATE, MAP_SHARED, PROT_NONE};

use super::memory::{paged_file, resident_pages};
use super::support::{Mapping, PAGE};
use crate::{fails, ok};

super::area!("advice":
    dontneed_drops_anonymous,
    dontneed_shows_file_again,
    dontneed_keeps_shared,
    free_may_drop_but_writes_stick,
    populate_write_makes_resident,
    advice_is_checked,
    mincore_tells_residency,
    msync_arguments,
    mlock_and_munlock,
);

fn dontneed_drops_anonymous() {
    let mapping = Mapping::private(4);
    mapping.fill(8);
    ok!(SYS_madvise, mapping.page(1), 2 * PAGE, MADV_DONTNEED);
    assert_eq!((mapping.get(0), mapping.get(3 * PAGE)), (8, 8));
    assert!((PAGE..3 * PAGE).all(|offset| mapping.get(offset) == 0));
}

fn dontneed_shows_file_again() {
    let mapping = Mapping::file(paged_file(2), 2 * PAGE, MAP_PRIVATE);
    mapping.fill(200);
    mapping.advise(MADV_DONTNEED).unwrap();
    assert_eq!((mapping.get(0), mapping.get(PAGE)), (1, 2));
}

fn dontneed_keeps_shared() {
    let mapping = Mapping::shared(2);
    mapping.fill(4);
    mapping.advise(MADV_DONTNEED).unwrap();
    assert!(mapping.is_all(4));
}

fn free_may_drop_but_writes_stick() {
    let mapping = Mapping::private(2);
    mapping.fill(4);
    mapping.advise(libc::MADV_FREE).unwrap();
    let before = mapping.get(0);
    assert!(before == 4 || before == 0);
    mapping.set(0, 9);
    assert_eq!(mapping.get(0), 9);
}

fn populate_write_makes_resident() {
    let mapping = Mapping::private(16);
    ok!(SYS_madvise, mapping.address(), mapping.len(), libc::MADV_NOHUGEPAGE);
    ok!(SYS_madvise, mapping.address(), 8 * PAGE, libc::MADV_POPULATE_WRITE);
    assert_eq!(resident_pages(&mapping), 8);
    mapping.protect(0, 16, PROT_NONE);
    fails!(EINVAL: SYS_madvise, mapping.address(), PAGE, libc::MADV_POPULATE_READ);
}

fn advice_is_checked() {
    let mapping = Mapping::private(4);
    fails!(EINVAL: SYS_madvise, mapping.address(), PAGE, 9999);
    fails!(EINVAL: SYS_madvise, mapping.address() + 1, PAGE, MADV_DONTNEED);
    ok!(SYS_madvise, mapping.address(), 0, MADV_DONTNEED);
    for advice in [libc::MADV_NORMAL, libc::MADV_RANDOM, libc::MADV_SEQUENTIAL, libc::MADV_WILLNEED]
    {
        mapping.advise(advice).unwrap();
    }
    mapping.unmap(1, 1);
    fails!(ENOMEM: SYS_madvise, mapping.address(), 4 * PAGE, MADV_DONTNEED);
}

fn mincore_tells_residency() {
    let mapping = Mapping::private(8);
    ok!(SYS_madvise, mapping.address(), mapping.len(), libc::MADV_NOHUGEPAGE);
    assert_eq!(resident_pages(&mapping), 0);
    mapping.set(0, 1);
    mapping.set(5 * PAGE, 1);
    assert_eq!(resident_pages(&mapping), 2);
    mapping.unmap(7, 1);
    let mut states = [0_u8; 8];
    fails!(ENOMEM: SYS_mincore, mapping.address(), 8 * PAGE, &mut states);
    fails!(EINVAL: SYS_mincore, mapping.address() + 1, PAGE, &mut states);
    fails!(EFAULT: SYS_mincore, mapping.address(), PAGE, 8);
}

fn msync_arguments() {
    let mapping = Mapping::file(paged_file(2), 2 * PAGE, MAP_SHARED);
    ok!(SYS_msync, mapping.address(), 2 * PAGE, libc::MS_SYNC);
    ok!(SYS_msync, mapping.address(), 2 * PAGE, libc::MS_ASYNC);
    let both = libc::MS_SYNC | libc::MS_ASYNC;
    fails!(EINVAL: SYS_msync, mapping.address(), PAGE, both);
    fails!(EINVAL: SYS_msync, mapping.address() + 1, PAGE, libc::MS_SYNC);
    mapping.unmap(1, 1);
    fails!(ENOMEM: SYS_msync, mapping.address(), 2 * PAGE, libc::MS_SYNC);
}

fn mlock_and_munlock() {
    let mapping = Mapping::private(4);
    ok!(SYS_mlock, mapping.address(), 4 * PAGE);
    assert_eq!(resident_pages(&mapping), 4);
    ok!(SYS_munlock, mapping.address(), 4 * PAGE);
    mapping.unmap(2, 1);
    fails!(ENOMEM: SYS_mlock, mapping.address(), 4 * PAGE);
}
