//! Pages that are advised on, locked, asked about and written back: madvise, mlock, mincore and msync at their edges.

use super::support::{
    Child, Mapping, PAGE, Status, child, in_child, needs_root, peek, poke, read_text, wait_for,
};
use crate::{fails, ok, sys};

super::area!("locking":
    advice_spares_and_counts_locked_pages,
    dontneed_works_around_holes,
    free_is_for_private_anonymous_memory,
    populate_says_what_stands_in_its_way,
    populate_past_the_end_of_a_file,
    advice_about_wrapping_ranges,
    remove_punches_shared_memory,
    fork_advice_is_followed,
    wipe_on_fork_is_for_private_anonymous_memory,
    mincore_checks_before_it_writes,
    mincore_sees_the_page_cache,
    msync_refuses_locked_pages_to_invalidate,
    msync_ranges,
    mlock_rounds_to_pages,
    mlock_on_fault_waits_for_touches,
    mlock_counts_a_page_once,
    mlock_of_inaccessible_memory,
    munlock_of_unlocked_memory,
    mlockall_of_what_is_and_will_be,
    mlockall_refuses_bad_flags,
    locks_are_not_inherited,
    memlock_limit_binds_mlock,
    memlock_limit_of_zero,
    memlock_limit_binds_mappings,
    memlock_limit_binds_mremap,
);

const DONTNEED_LOCKED: i32 = 24;
/// `MCL_ONFAULT`, which libc has under another type on some targets.
const MCL_ONFAULT: i32 = 4;

/// The number after `label` in /proc/self/status.
fn status_kib(label: &str) -> usize {
    let text = read_text("/proc/self/status");
    let line = text.lines().find_map(|line| line.strip_prefix(label)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn resident(start: usize, pages: usize) -> usize {
    let mut states = vec![0_u8; pages];
    ok!(SYS_mincore, start, pages * PAGE, &mut states[..]);
    states.iter().filter(|state| **state & 1 == 1).count()
}

/// Private memory that stays in small pages.
fn small(pages: usize) -> Mapping {
    let mapping = Mapping::private(pages);
    ok!(SYS_madvise, mapping.address(), mapping.len(), libc::MADV_NOHUGEPAGE);
    mapping
}

fn advice_spares_and_counts_locked_pages() {
    let mapping = small(4);
    mapping.fill(7);
    ok!(SYS_mlock, mapping.page(2), PAGE);
    for advice in [libc::MADV_DONTNEED, libc::MADV_FREE] {
        fails!(EINVAL: SYS_madvise, mapping.page(2), PAGE, advice);
    }
    assert_eq!(mapping.get(2 * PAGE), 7);
    // What lies before the locked page has been dropped when the call fails.
    fails!(EINVAL: SYS_madvise, mapping.address(), 4 * PAGE, libc::MADV_DONTNEED);
    assert_eq!((mapping.get(0), mapping.get(3 * PAGE)), (0, 7));
    ok!(SYS_madvise, mapping.address(), 4 * PAGE, DONTNEED_LOCKED);
    assert!(mapping.is_all(0));
}

fn dontneed_works_around_holes() {
    let mapping = small(4);
    mapping.fill(7);
    mapping.unmap(1, 1);
    fails!(ENOMEM: SYS_madvise, mapping.address(), 4 * PAGE, libc::MADV_DONTNEED);
    assert_eq!((peek(mapping.page(0)), peek(mapping.page(3))), (0, 0));
    fails!(ENOMEM: SYS_madvise, mapping.page(1), PAGE, libc::MADV_DONTNEED);
    fails!(ENOMEM: SYS_madvise, mapping.page(1), PAGE, libc::MADV_WILLNEED);
    fails!(ENOMEM: SYS_madvise, mapping.address(), 4 * PAGE, libc::MADV_RANDOM);
}

fn free_is_for_private_anonymous_memory() {
    let shared = Mapping::shared(1);
    fails!(EINVAL: SYS_madvise, shared.address(), PAGE, libc::MADV_FREE);
    let file = Mapping::file(memfd(1), PAGE, libc::MAP_PRIVATE);
    fails!(EINVAL: SYS_madvise, file.address(), PAGE, libc::MADV_FREE);
}

/// A memfd of `pages` pages; page n begins with the byte n + 1.
fn memfd(pages: usize) -> i32 {
    let fd = ok!(SYS_memfd_create, c"pages".as_ptr().addr(), 0) as i32;
    ok!(SYS_ftruncate, fd, pages * PAGE);
    for page in 0..pages {
        ok!(SYS_pwrite64, fd, &[page as u8 + 1], 1, page * PAGE);
    }
    fd
}

fn populate_says_what_stands_in_its_way() {
    let mapping = small(4);
    mapping.protect(1, 1, libc::PROT_READ);
    let (read, write) = (libc::MADV_POPULATE_READ, libc::MADV_POPULATE_WRITE);
    fails!(EINVAL: SYS_madvise, mapping.address(), 2 * PAGE, write);
    ok!(SYS_madvise, mapping.address(), 2 * PAGE, read);
    assert_eq!(resident(mapping.address(), 4), 2);
    mapping.unmap(3, 1);
    fails!(ENOMEM: SYS_madvise, mapping.page(2), 2 * PAGE, write);
    assert_eq!(resident(mapping.page(2), 1), 1, "what lies before the hole is there");
    fails!(EINVAL: SYS_madvise, mapping.address() + 1, PAGE, write);
    ok!(SYS_madvise, mapping.address(), 0, write);
}

fn populate_past_the_end_of_a_file() {
    let mapping = Mapping::file(memfd(1), 2 * PAGE, libc::MAP_SHARED);
    ok!(SYS_madvise, mapping.address(), PAGE, libc::MADV_POPULATE_WRITE);
    fails!(EFAULT: SYS_madvise, mapping.address(), 2 * PAGE, libc::MADV_POPULATE_READ);
}

fn advice_about_wrapping_ranges() {
    let mapping = small(1);
    let wraps = usize::MAX - mapping.address() + 2;
    for length in [usize::MAX, wraps, usize::MAX - PAGE + 2] {
        fails!(EINVAL: SYS_madvise, mapping.address(), length, libc::MADV_DONTNEED);
    }
    // Rounded up to a page.
    mapping.fill(3);
    ok!(SYS_madvise, mapping.address(), 1, libc::MADV_DONTNEED);
    assert_eq!(mapping.get(PAGE - 1), 0);
}

fn remove_punches_shared_memory() {
    let fd = memfd(3);
    let mapping = Mapping::file(fd, 3 * PAGE, libc::MAP_SHARED);
    ok!(SYS_madvise, mapping.page(1), PAGE, libc::MADV_REMOVE);
    assert_eq!((mapping.get(0), mapping.get(PAGE), mapping.get(2 * PAGE)), (1, 0, 3));
    let private = Mapping::file(fd, PAGE, libc::MAP_PRIVATE);
    fails!(EACCES: SYS_madvise, private.address(), PAGE, libc::MADV_REMOVE);
    let anonymous = small(1);
    fails!(EINVAL: SYS_madvise, anonymous.address(), PAGE, libc::MADV_REMOVE);
    ok!(SYS_mlock, mapping.address(), PAGE);
    fails!(EINVAL: SYS_madvise, mapping.address(), PAGE, libc::MADV_REMOVE);
}

fn fork_advice_is_followed() {
    let mapping = small(3);
    mapping.fill(5);
    ok!(SYS_madvise, mapping.page(0), PAGE, libc::MADV_DONTFORK);
    ok!(SYS_madvise, mapping.page(1), PAGE, libc::MADV_WIPEONFORK);
    in_child(|| {
        fails!(ENOMEM: SYS_mincore, mapping.page(0), PAGE, &mut [0_u8; 1]);
        assert_eq!((peek(mapping.page(1)), peek(mapping.page(2))), (0, 5));
        // It stays wiped for grandchildren.
        poke(mapping.page(1), 6);
        in_child(|| assert_eq!(peek(mapping.page(1)), 0));
    });
    assert_eq!((peek(mapping.page(0)), peek(mapping.page(1))), (5, 5));
    ok!(SYS_madvise, mapping.page(0), PAGE, libc::MADV_DOFORK);
    ok!(SYS_madvise, mapping.page(1), PAGE, libc::MADV_KEEPONFORK);
    in_child(|| assert!((0..3).all(|page| peek(mapping.page(page)) == 5)));
}

fn wipe_on_fork_is_for_private_anonymous_memory() {
    let shared = Mapping::shared(1);
    fails!(EINVAL: SYS_madvise, shared.address(), PAGE, libc::MADV_WIPEONFORK);
    let file = Mapping::file(memfd(1), PAGE, libc::MAP_PRIVATE);
    fails!(EINVAL: SYS_madvise, file.address(), PAGE, libc::MADV_WIPEONFORK);
}

fn mincore_checks_before_it_writes() {
    let mapping = small(3);
    mapping.unmap(1, 1);
    let mut states = [9_u8; 3];
    ok!(SYS_mincore, mapping.address(), 0, &mut states);
    assert_eq!(states, [9; 3]);
    ok!(SYS_mincore, mapping.address(), 1, &mut states);
    assert_eq!(states[1..], [9; 2]);
    fails!(ENOMEM: SYS_mincore, mapping.page(1), PAGE, &mut states);
    fails!(EINVAL: SYS_mincore, mapping.address() + 8, PAGE, &mut states);
    fails!(ENOMEM: SYS_mincore, usize::MAX - PAGE + 1, PAGE, &mut states);
}

fn mincore_sees_the_page_cache() {
    let mapping = Mapping::file(memfd(2), 2 * PAGE, libc::MAP_SHARED);
    assert_eq!(resident(mapping.address(), 2), 2, "not touched, but there");
}

fn msync_refuses_locked_pages_to_invalidate() {
    let mapping = Mapping::file(memfd(2), 2 * PAGE, libc::MAP_SHARED);
    ok!(SYS_mlock, mapping.page(1), PAGE);
    ok!(SYS_msync, mapping.address(), PAGE, libc::MS_INVALIDATE);
    fails!(EBUSY: SYS_msync, mapping.address(), 2 * PAGE, libc::MS_SYNC | libc::MS_INVALIDATE);
    ok!(SYS_msync, mapping.address(), 2 * PAGE, libc::MS_SYNC);
}

fn msync_ranges() {
    let mapping = Mapping::file(memfd(2), 2 * PAGE, libc::MAP_SHARED);
    ok!(SYS_msync, mapping.address(), 0, libc::MS_SYNC);
    ok!(SYS_msync, mapping.address(), 1, 0);
    fails!(EINVAL: SYS_msync, mapping.address(), PAGE, 64);
    fails!(ENOMEM: SYS_msync, mapping.address(), usize::MAX - PAGE, libc::MS_SYNC);
    fails!(ENOMEM: SYS_msync, PAGE, PAGE, libc::MS_ASYNC);
}

fn mlock_rounds_to_pages() {
    let mapping = small(3);
    let before = status_kib("VmLck:");
    ok!(SYS_mlock, mapping.page(1) + 100, PAGE);
    assert_eq!(status_kib("VmLck:"), before + 8);
    assert_eq!(resident(mapping.address(), 3), 2);
    ok!(SYS_munlock, mapping.page(2) - 1, 1);
    assert_eq!(status_kib("VmLck:"), before + 4);
    ok!(SYS_mlock, mapping.address(), 0);
    assert_eq!(status_kib("VmLck:"), before + 4);
    fails!(EINVAL: SYS_mlock, mapping.address(), usize::MAX - PAGE);
}

fn mlock_on_fault_waits_for_touches() {
    let mapping = small(4);
    let before = status_kib("VmLck:");
    ok!(SYS_mlock2, mapping.address(), 4 * PAGE, libc::MLOCK_ONFAULT);
    assert_eq!((status_kib("VmLck:"), resident(mapping.address(), 4)), (before + 16, 0));
    poke(mapping.page(1), 1);
    assert_eq!(resident(mapping.address(), 4), 1);
    ok!(SYS_mlock2, mapping.address(), 2 * PAGE, 0);
    assert_eq!(resident(mapping.address(), 4), 2);
    fails!(EINVAL: SYS_mlock2, mapping.address(), PAGE, 2);
}

fn mlock_counts_a_page_once() {
    let mapping = small(4);
    let before = status_kib("VmLck:");
    ok!(SYS_mlock, mapping.address(), 3 * PAGE);
    ok!(SYS_mlock, mapping.page(1), 3 * PAGE);
    assert_eq!(status_kib("VmLck:"), before + 16);
    mapping.unmap(0, 2);
    assert_eq!(status_kib("VmLck:"), before + 8);
}

fn mlock_of_inaccessible_memory() {
    let mapping = small(2);
    let before = status_kib("VmLck:");
    mapping.protect(0, 2, libc::PROT_NONE);
    fails!(ENOMEM: SYS_mlock, mapping.address(), 2 * PAGE);
    assert_eq!(status_kib("VmLck:"), before + 8, "marked all the same");
}

fn munlock_of_unlocked_memory() {
    let mapping = small(3);
    ok!(SYS_munlock, mapping.address(), 3 * PAGE);
    mapping.unmap(1, 1);
    fails!(ENOMEM: SYS_munlock, mapping.address(), 3 * PAGE);
}

fn mlockall_of_what_is_and_will_be() {
    needs_root();
    in_child(|| {
        let old = small(2);
        ok!(SYS_mlockall, libc::MCL_CURRENT);
        assert_eq!(resident(old.address(), 2), 2);
        let free = small(2);
        assert_eq!(resident(free.address(), 2), 0);
        ok!(SYS_mlockall, libc::MCL_FUTURE);
        let locked = Mapping::private(2);
        assert_eq!(resident(locked.address(), 2), 2);
        ok!(SYS_mlockall, libc::MCL_FUTURE | MCL_ONFAULT);
        let lazy = Mapping::private(2);
        assert_eq!(resident(lazy.address(), 2), 0);
        ok!(SYS_munlockall);
        assert_eq!(status_kib("VmLck:"), 0);
        let plain = small(2);
        assert_eq!(resident(plain.address(), 2), 0);
    });
}

fn mlockall_refuses_bad_flags() {
    fails!(EINVAL: SYS_mlockall, 0);
    fails!(EINVAL: SYS_mlockall, 8 | libc::MCL_CURRENT);
    fails!(EINVAL: SYS_mlockall, MCL_ONFAULT);
}

fn locks_are_not_inherited() {
    let mapping = small(1);
    ok!(SYS_mlock, mapping.address(), PAGE);
    in_child(|| {
        assert_eq!(status_kib("VmLck:"), 0);
        ok!(SYS_madvise, mapping.address(), PAGE, libc::MADV_DONTNEED);
    });
}

/// Runs `body` as an ordinary user who may lock `pages` pages.
fn with_limit(pages: usize, body: impl FnOnce()) {
    needs_root();
    let child: Child = child(|| {
        let limit = (pages * PAGE) as u64;
        ok!(SYS_prlimit64, 0, libc::RLIMIT_MEMLOCK, &[limit, limit], 0);
        ok!(SYS_setresuid, 54321, 54321, 54321);
        body();
    });
    assert_eq!(wait_for(child.pid(), 0).unwrap().1, Status::Exited(0));
    child.abandon();
}

fn memlock_limit_binds_mlock() {
    with_limit(3, || {
        let mapping = small(8);
        fails!(ENOMEM: SYS_mlock, mapping.address(), 4 * PAGE);
        ok!(SYS_mlock, mapping.address(), 2 * PAGE);
        // What is locked already does not count again.
        ok!(SYS_mlock, mapping.address(), 3 * PAGE);
        fails!(ENOMEM: SYS_mlock, mapping.page(3), PAGE);
        fails!(ENOMEM: SYS_mlock2, mapping.page(3), PAGE, libc::MLOCK_ONFAULT);
        ok!(SYS_munlock, mapping.address(), PAGE);
        ok!(SYS_mlock, mapping.page(3), PAGE);
        fails!(ENOMEM: SYS_mlockall, libc::MCL_CURRENT);
    });
}

fn memlock_limit_of_zero() {
    with_limit(0, || {
        let mapping = small(1);
        fails!(EPERM: SYS_mlock, mapping.address(), PAGE);
        fails!(EPERM: SYS_mlockall, libc::MCL_CURRENT);
        ok!(SYS_munlock, mapping.address(), PAGE);
        ok!(SYS_munlockall);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_LOCKED;
        fails!(EPERM: SYS_mmap, 0, PAGE, libc::PROT_READ, flags, -1, 0);
    });
}

fn memlock_limit_binds_mappings() {
    with_limit(2, || {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_LOCKED;
        fails!(EAGAIN: SYS_mmap, 0, 3 * PAGE, libc::PROT_READ, flags, -1, 0);
        ok!(SYS_mlockall, libc::MCL_FUTURE);
        fails!(EAGAIN: SYS_mmap, 0, 3 * PAGE, libc::PROT_READ, flags & !libc::MAP_LOCKED, -1, 0);
        let end = ok!(SYS_brk, 0);
        assert_eq!(sys!(SYS_brk, end + 16 * PAGE), Ok(end), "the heap is locked as well");
        ok!(SYS_munlockall);
    });
}

fn memlock_limit_binds_mremap() {
    with_limit(2, || {
        let mapping = small(2);
        ok!(SYS_mlock, mapping.address(), 2 * PAGE);
        let (old, new) = (2 * PAGE, 3 * PAGE);
        fails!(EAGAIN: SYS_mremap, mapping.address(), old, new, libc::MREMAP_MAYMOVE);
    });
}
