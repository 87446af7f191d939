//! mmap, munmap, mprotect, brk, and what `/proc` says of them.

use libc::{
    MADV_DONTNEED, MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_POPULATE,
    MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, PROT_WRITE,
};

use super::support::{
    Fault, Mapping, PAGE, fault_of, in_child, peek, pipe, poke, read_text, write_text,
};
use crate::{fails, ok};

super::area!("memory":
    anonymous_memory_is_zero,
    mmap_refuses_bad_arguments,
    mmap_refuses_bad_descriptors,
    hint_is_taken_when_free,
    fixed_replaces,
    noreplace_refuses,
    fixed_needs_alignment,
    file_mapping_shows_file,
    shared_file_mapping_writes_file,
    private_file_mapping_keeps_file,
    file_mapping_outlives_descriptor,
    file_mapping_with_offset,
    write_shows_in_mapping,
    munmap_makes_a_hole,
    munmap_of_nothing_is_fine,
    munmap_refuses_bad_arguments,
    munmap_splits_many_times,
    mprotect_splits_and_merges,
    mprotect_refuses_bad_arguments,
    mprotect_over_hole_is_enomem,
    brk_grows_and_shrinks,
    brk_memory_is_zero_again,
    populate_flag_makes_resident,
    huge_reservation_costs_nothing,
    dev_zero_is_anonymous,
    sparse_touch_in_a_terabyte,
    maps_lists_mappings,
    statm_follows_touching,
    touching_two_megabyte_borders,
    memfd_is_shared_memory,
    large_fill_and_check,
);

pub(super) const READ_WRITE: i32 = PROT_READ | PROT_WRITE;
pub(super) const PRIVATE: i32 = MAP_PRIVATE | MAP_ANONYMOUS;

fn anonymous_memory_is_zero() {
    let mapping = Mapping::private(10);
    assert!(mapping.is_all(0));
    mapping.fill(0xff);
    drop(mapping);
    assert!(Mapping::private(10).is_all(0));
}

fn mmap_refuses_bad_arguments() {
    fails!(EINVAL: SYS_mmap, 0, 0, READ_WRITE, PRIVATE, -1, 0);
    fails!(EINVAL: SYS_mmap, 0, PAGE, READ_WRITE, MAP_ANONYMOUS, -1, 0);
    fails!(EINVAL: SYS_mmap, 0, PAGE, READ_WRITE, PRIVATE, -1, 100);
    fails!(ENOMEM: SYS_mmap, 0, usize::MAX, READ_WRITE, PRIVATE, -1, 0);
    fails!(ENOMEM: SYS_mmap, 0, 1_usize << 56, PROT_NONE, PRIVATE, -1, 0);
    fails!(ENOMEM: SYS_mmap, 0xff_ffff_ffff_f000_usize, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
    fails!(ENOMEM: SYS_mmap, usize::MAX - 4095, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
}

fn mmap_refuses_bad_descriptors() {
    write_text("file", "text");
    fails!(EBADF: SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 99, 0);
    let reader = ok!(SYS_open, c"file", libc::O_RDONLY);
    let writer = ok!(SYS_open, c"file", libc::O_WRONLY);
    fails!(EACCES: SYS_mmap, 0, PAGE, READ_WRITE, MAP_SHARED, reader, 0);
    fails!(EACCES: SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, writer, 0);
    let directory = ok!(SYS_open, c".", libc::O_RDONLY);
    fails!(ENODEV: SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, directory, 0);
    let (read_end, _) = pipe(0);
    fails!(ENODEV: SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, read_end, 0);
    // A shared mapping of a file open for reading may not become writable.
    let mapping = Mapping::new(0, PAGE, PROT_READ, MAP_SHARED, reader as i32, 0).unwrap();
    fails!(EACCES: SYS_mprotect, mapping.address(), PAGE, READ_WRITE);
}

/// An address with so many free pages.
pub(super) fn free_address(pages: usize) -> usize {
    Mapping::private(pages).address()
}

fn hint_is_taken_when_free() {
    let address = free_address(4);
    let mapping = Mapping::new(address, 4 * PAGE, READ_WRITE, PRIVATE, -1, 0).unwrap();
    assert_eq!(mapping.address(), address);
    let other = Mapping::new(address, PAGE, READ_WRITE, PRIVATE, -1, 0).unwrap();
    assert!(other.address() < address || other.address() >= address + mapping.len());
}

fn fixed_replaces() {
    let mapping = Mapping::private(4);
    mapping.fill(9);
    ok!(SYS_mmap, mapping.page(1), 2 * PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
    assert_eq!(mapping.get(0), 9);
    assert_eq!(mapping.get(PAGE), 0);
    assert_eq!(mapping.get(3 * PAGE - 1), 0);
    assert_eq!(mapping.get(3 * PAGE), 9);
}

fn noreplace_refuses() {
    let mapping = Mapping::private(2);
    mapping.fill(5);
    let flags = PRIVATE | MAP_FIXED_NOREPLACE;
    fails!(EEXIST: SYS_mmap, mapping.page(1), PAGE, READ_WRITE, flags, -1, 0);
    assert!(mapping.is_all(5));
    mapping.unmap(1, 1);
    assert_eq!(ok!(SYS_mmap, mapping.page(1), PAGE, READ_WRITE, flags, -1, 0), mapping.page(1));
}

fn fixed_needs_alignment() {
    fails!(EINVAL: SYS_mmap, 0x1234_5678, PAGE, READ_WRITE, PRIVATE | MAP_FIXED, -1, 0);
}

/// A file of `pages` pages, page `n` full of the byte `n + 1`; its descriptor.
pub(super) fn paged_file(pages: usize) -> i32 {
    let content: Vec<u8> = (0..pages * PAGE).map(|offset| (offset / PAGE) as u8 + 1).collect();
    std::fs::write("paged", content).unwrap();
    ok!(SYS_open, c"paged", libc::O_RDWR) as i32
}

fn file_mapping_shows_file() {
    std::fs::write("file", b"hello").unwrap();
    let fd = ok!(SYS_open, c"file", libc::O_RDONLY) as i32;
    let mapping = Mapping::new(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0).unwrap();
    assert_eq!((mapping.get(0), mapping.get(4)), (b'h', b'o'));
    assert!((5..PAGE).all(|offset| mapping.get(offset) == 0), "zero after the file's end");
}

fn shared_file_mapping_writes_file() {
    let fd = paged_file(3);
    let mapping = Mapping::file(fd, 3 * PAGE, MAP_SHARED);
    mapping.set(PAGE + 7, 77);
    let mut byte = [0_u8];
    ok!(SYS_pread64, fd, &mut byte, 1, PAGE + 7);
    assert_eq!(byte, [77]);
    drop(mapping);
    assert_eq!(std::fs::read("paged").unwrap()[PAGE + 7], 77);
}

fn private_file_mapping_keeps_file() {
    let fd = paged_file(2);
    let mapping = Mapping::file(fd, 2 * PAGE, MAP_PRIVATE);
    let second = Mapping::file(fd, 2 * PAGE, MAP_PRIVATE);
    mapping.set(0, 99);
    assert_eq!((mapping.get(0), mapping.get(1)), (99, 1));
    assert_eq!(second.get(0), 1);
    assert_eq!(std::fs::read("paged").unwrap()[0], 1);
}

fn file_mapping_outlives_descriptor() {
    let fd = paged_file(2);
    let mapping = Mapping::file(fd, 2 * PAGE, MAP_SHARED);
    ok!(SYS_close, fd);
    ok!(SYS_unlink, c"paged");
    assert_eq!(mapping.get(PAGE), 2);
    mapping.set(PAGE, 3);
    assert_eq!(mapping.get(PAGE), 3);
}

fn file_mapping_with_offset() {
    let fd = paged_file(4);
    let mapping = Mapping::new(0, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE).unwrap();
    assert_eq!((mapping.get(0), mapping.get(PAGE)), (3, 4));
}

fn write_shows_in_mapping() {
    let fd = paged_file(2);
    let shared = Mapping::file(fd, 2 * PAGE, MAP_SHARED);
    let private = Mapping::file(fd, 2 * PAGE, MAP_PRIVATE);
    private.set(0, 50);
    ok!(SYS_pwrite64, fd, b"zz", 2, 0);
    assert_eq!(shared.get(0), b'z');
    assert_eq!(private.get(0), 50, "a copied page no longer follows the file");
}

fn munmap_makes_a_hole() {
    let mapping = Mapping::private(5);
    mapping.stamp(10);
    mapping.unmap(2, 1);
    assert_eq!(mapping.get(PAGE), 11);
    assert_eq!(mapping.get(3 * PAGE), 13);
    let fault = fault_of(|| mapping.set(2 * PAGE, 1)).unwrap();
    assert_eq!(fault, Fault { signal: libc::SIGSEGV, code: 1, address: mapping.page(2) });
}

fn munmap_of_nothing_is_fine() {
    let address = free_address(3);
    ok!(SYS_munmap, address, 3 * PAGE);
    ok!(SYS_munmap, address, 1);
}

fn munmap_refuses_bad_arguments() {
    let mapping = Mapping::private(1);
    fails!(EINVAL: SYS_munmap, mapping.address() + 1, PAGE);
    fails!(EINVAL: SYS_munmap, mapping.address(), 0);
    fails!(EINVAL: SYS_munmap, mapping.address(), usize::MAX);
    fails!(EINVAL: SYS_munmap, 0xffff_8000_0000_0000_usize, PAGE);
    mapping.set(0, 1);
}

fn munmap_splits_many_times() {
    let mapping = Mapping::private(101);
    mapping.stamp(0);
    for index in (1..101).step_by(2) {
        mapping.unmap(index, 1);
    }
    assert!((0..101).step_by(2).all(|index| mapping.get(index * PAGE) == index as u8));
    ok!(SYS_munmap, mapping.address(), mapping.len());
    fails!(ENOMEM: SYS_madvise, mapping.address(), mapping.len(), MADV_DONTNEED);
}

fn mprotect_splits_and_merges() {
    let mapping = Mapping::private(6);
    mapping.stamp(1);
    mapping.protect(1, 2, PROT_READ);
    mapping.protect(2, 2, PROT_NONE);
    assert_eq!(mapping.get(PAGE), 2);
    assert_eq!(fault_of(|| mapping.set(PAGE, 0)).unwrap().code, 2);
    assert_eq!(fault_of(|| _ = mapping.get(2 * PAGE)).unwrap().code, 2);
    mapping.protect(0, 6, READ_WRITE);
    assert!(mapping.has_stamp(1), "content survives any change of rights");
    mapping.stamp(2);
}

fn mprotect_refuses_bad_arguments() {
    let mapping = Mapping::private(1);
    fails!(EINVAL: SYS_mprotect, mapping.address() + 8, PAGE, PROT_READ);
    fails!(EINVAL: SYS_mprotect, mapping.address(), PAGE, 0x1000);
    fails!(ENOMEM: SYS_mprotect, mapping.address(), usize::MAX - PAGE, PROT_READ);
    ok!(SYS_mprotect, mapping.address(), 0, PROT_READ);
    mapping.set(0, 1);
}

fn mprotect_over_hole_is_enomem() {
    let mapping = Mapping::private(4);
    mapping.unmap(2, 1);
    fails!(ENOMEM: SYS_mprotect, mapping.address(), 4 * PAGE, PROT_READ);
    // What comes before the hole has changed all the same.
    assert_eq!(fault_of(|| mapping.set(0, 1)).unwrap().code, 2);
    mapping.set(3 * PAGE, 1);
}

fn brk_grows_and_shrinks() {
    in_child(|| {
        let start = ok!(SYS_brk, 0);
        let grown = start + 10 * PAGE;
        assert_eq!(ok!(SYS_brk, grown), grown);
        for index in 0..10 {
            assert_eq!(peek(grown - 1 - index * PAGE), 0);
            poke(grown - 1 - index * PAGE, 1);
        }
        assert_eq!(ok!(SYS_brk, start + 100), start + 100);
        // What cannot be done leaves the break alone.
        assert_eq!(ok!(SYS_brk, 16), start + 100);
        assert_eq!(ok!(SYS_brk, 1_usize << 47), start + 100);
        assert_eq!(ok!(SYS_brk, start), start);
    });
}

fn brk_memory_is_zero_again() {
    in_child(|| {
        let start = ok!(SYS_brk, 0).next_multiple_of(PAGE);
        ok!(SYS_brk, start + 4 * PAGE);
        for offset in 0..4 * PAGE {
            poke(start + offset, 0xdd);
        }
        ok!(SYS_brk, start);
        ok!(SYS_brk, start + 4 * PAGE);
        assert!((0..4 * PAGE).all(|offset| peek(start + offset) == 0));
    });
}

/// How many pages of a mapping mincore calls resident.
#[track_caller]
pub(super) fn resident_pages(mapping: &Mapping) -> usize {
    let mut states = vec![0xff_u8; mapping.len() / PAGE];
    ok!(SYS_mincore, mapping.address(), mapping.len(), &mut states[..]);
    states.iter().filter(|state| **state & 1 == 1).count()
}

fn populate_flag_makes_resident() {
    let mapping = Mapping::new(0, 8 * PAGE, READ_WRITE, PRIVATE | MAP_POPULATE, -1, 0).unwrap();
    assert_eq!(resident_pages(&mapping), 8);
    assert!(mapping.is_all(0));
}

fn huge_reservation_costs_nothing() {
    let terabyte = 1 << 40;
    let flags = PRIVATE | MAP_NORESERVE;
    let mapping = Mapping::new(0, terabyte, PROT_NONE, flags, -1, 0).unwrap();
    let middle = terabyte / 2 / PAGE;
    mapping.protect(middle, 1, READ_WRITE);
    mapping.set(middle * PAGE, 1);
    assert_eq!(mapping.get(middle * PAGE), 1);
    mapping.protect(middle, 1, PROT_NONE);
}

fn dev_zero_is_anonymous() {
    let fd = ok!(SYS_open, c"/dev/zero", libc::O_RDWR) as i32;
    let private = Mapping::file(fd, 2 * PAGE, MAP_PRIVATE);
    let shared = Mapping::file(fd, 2 * PAGE, MAP_SHARED);
    assert!(private.is_all(0) && shared.is_all(0));
    in_child(|| {
        private.fill(1);
        shared.fill(2);
    });
    assert!(private.is_all(0) && shared.is_all(2));
}

fn sparse_touch_in_a_terabyte() {
    let flags = PRIVATE | MAP_NORESERVE;
    let mapping = Mapping::new(0, 1 << 40, READ_WRITE, flags, -1, 0).unwrap();
    let step = 1 << 34;
    for index in 0..64 {
        mapping.set(index * step + index * PAGE, index as u8 + 1);
    }
    for index in 0..64 {
        assert_eq!(mapping.get(index * step + index * PAGE), index as u8 + 1);
    }
    assert_eq!(mapping.get(step + 5), 0);
}

fn maps_lists_mappings() {
    let mapping = Mapping::private(3);
    mapping.protect(1, 1, PROT_READ);
    let file = Mapping::new(0, PAGE, PROT_READ, MAP_SHARED, paged_file(3), 2 * PAGE).unwrap();
    let maps = read_text("/proc/self/maps");
    let range = |start: usize, pages: usize| format!("{start:08x}-{:08x}", start + pages * PAGE);
    let line =
        |range: String| maps.lines().find(|line| line.starts_with(&range)).map(str::to_owned);
    assert!(line(range(mapping.page(1), 1)).unwrap().contains(" r--p 00000000 "));
    let file_line = line(range(file.address(), 1)).unwrap();
    assert!(file_line.contains(" r--s 00002000 ") && file_line.ends_with("/paged"), "{file_line}");
    assert!(maps.contains("[stack]"));
    let starts: Vec<usize> = maps
        .lines()
        .map(|line| usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap())
        .collect();
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1] || pair[1] > 1 << 47), "{maps}");
}

/// The numbers of `/proc/self/statm`: size and resident set in pages, first.
fn statm() -> Vec<usize> {
    let numbers = read_text("/proc/self/statm");
    numbers.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn statm_follows_touching() {
    let before = statm();
    assert_eq!(before.len(), 7);
    let mapping = Mapping::private(600);
    ok!(SYS_madvise, mapping.address(), mapping.len(), libc::MADV_NOHUGEPAGE);
    let mapped = statm();
    assert!(mapped[0] >= before[0] + 600);
    mapping.stamp(1);
    let touched = statm();
    // Linux counts in per-CPU batches: some slack.
    assert!(touched[1] + 200 >= mapped[1] + 600, "{mapped:?} {touched:?}");
    drop(mapping);
    let after = statm();
    assert!(after[1] + 400 <= touched[1], "{touched:?} {after:?}");
}

fn touching_two_megabyte_borders() {
    let huge = 2 << 20;
    let mapping = Mapping::private(3 * 512);
    let border = (mapping.address() + PAGE).next_multiple_of(huge);
    for offset in [0, huge] {
        poke(border + offset - 1, 1);
        poke(border + offset, 2);
        assert_eq!((peek(border + offset - 1), peek(border + offset)), (1, 2));
    }
    ok!(SYS_munmap, border - PAGE, 2 * PAGE);
    assert_eq!(peek(border + huge), 2);
}

fn memfd_is_shared_memory() {
    let fd = ok!(SYS_memfd_create, c"name", libc::MFD_CLOEXEC) as i32;
    ok!(SYS_ftruncate, fd, 2 * PAGE);
    let (first, second) =
        (Mapping::file(fd, 2 * PAGE, MAP_SHARED), Mapping::file(fd, 2 * PAGE, MAP_SHARED));
    first.set(PAGE, 5);
    assert_eq!(second.get(PAGE), 5);
    fails!(EINVAL: SYS_memfd_create, c"name", 0x100);
    fails!(EFAULT: SYS_memfd_create, 8, 0);
}

fn large_fill_and_check() {
    let mapping = Mapping::private(4096);
    mapping.stamp(3);
    assert!(mapping.has_stamp(3));
    assert!((0..4096).all(|index| mapping.get(index * PAGE + 1) == 0));
}
