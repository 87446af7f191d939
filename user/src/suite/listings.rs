//! Listings of directories: getdents64 with buffers of any size, rewinding, removal meanwhile.

use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, SEEK_SET};

use super::files::{file_with, open};
use super::support::write_text;
use crate::{fails, ok};

super::area!("listings":
    directory_cannot_be_written,
    listing_directories,
    listing_into_small_buffer,
    listing_rewinds,
    listing_survives_removal,
    large_directory,
);

fn directory_cannot_be_written() {
    fails!(EISDIR: SYS_open, c".", O_WRONLY);
    fails!(EISDIR: SYS_open, c".", O_RDWR);
    fails!(EISDIR: SYS_open, c".", O_RDONLY | O_CREAT, 0o644);
    let fd = open(c".", O_RDONLY);
    fails!(EISDIR: SYS_read, fd, &mut [0_u8; 1], 1);
    fails!(EBADF: SYS_write, fd, b"x", 1);
    fails!(ENOTDIR: SYS_getdents64, file_with(""), &mut [0_u8; 100], 100);
}

/// The names and types of a directory's entries, read `size` bytes at a time.
#[track_caller]
fn entries(fd: usize, size: usize) -> Vec<(String, u8)> {
    let mut found = Vec::new();
    let mut buffer = vec![0_u8; size];
    loop {
        let length = ok!(SYS_getdents64, fd, &mut buffer[..], size);
        if length == 0 {
            found.sort();
            return found;
        }
        let mut at = 0;
        while at < length {
            let record = usize::from(buffer[at + 16]) | usize::from(buffer[at + 17]) << 8;
            assert!(record.is_multiple_of(8) && at + record <= length);
            let name: Vec<u8> = buffer[at + 19..at + record]
                .iter()
                .copied()
                .take_while(|byte| *byte != 0)
                .collect();
            found.push((String::from_utf8(name).unwrap(), buffer[at + 18]));
            at += record;
        }
    }
}

fn listing_directories() {
    write_text("a-file", "");
    ok!(SYS_mkdir, c"a-directory", 0o755);
    ok!(SYS_symlink, c"x", c"a-link");
    ok!(SYS_mknod, c"a-fifo", libc::S_IFIFO | 0o600, 0);
    let names = entries(open(c".", O_RDONLY), 1024);
    let expected =
        [(".", 4), ("..", 4), ("a-directory", 4), ("a-fifo", 1), ("a-file", 8), ("a-link", 10)];
    assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

fn listing_into_small_buffer() {
    for number in 0..20 {
        write_text(&format!("file-{number}"), "");
    }
    assert_eq!(entries(open(c".", O_RDONLY), 32).len(), 22);
    fails!(EINVAL: SYS_getdents64, open(c".", O_RDONLY), &mut [0_u8; 8], 8);
    fails!(EFAULT: SYS_getdents64, open(c".", O_RDONLY), 8, 1024);
}

fn listing_rewinds() {
    write_text("one", "");
    let fd = open(c".", O_RDONLY);
    assert_eq!(entries(fd, 1024).len(), 3);
    assert_eq!(entries(fd, 1024).len(), 0);
    write_text("two", "");
    ok!(SYS_lseek, fd, 0, SEEK_SET);
    assert_eq!(entries(fd, 1024).len(), 4);
}

fn listing_survives_removal() {
    for number in 0..40 {
        write_text(&format!("file-{number}"), "");
    }
    let fd = open(c".", O_RDONLY);
    // Remove while listing, as `rm -r` does: each name is seen once.
    let mut removed = 0;
    let mut buffer = [0_u8; 128];
    loop {
        let length = ok!(SYS_getdents64, fd, &mut buffer, 128);
        if length == 0 {
            break;
        }
        let mut at = 0;
        while at < length {
            let record = usize::from(buffer[at + 16]);
            if buffer[at + 19] != b'.' {
                ok!(SYS_unlink, buffer[at + 19..].as_ptr());
                removed += 1;
            }
            at += record;
        }
    }
    assert_eq!(removed, 40);
    assert_eq!(std::fs::read_dir(".").unwrap().count(), 0);
}

fn large_directory() {
    for number in 0..500 {
        write_text(&format!("file-{number:04}"), "");
    }
    let names = entries(open(c".", O_RDONLY), 4096);
    assert_eq!(names.len(), 502);
    assert_eq!(names[501].0, "file-0499");
    for number in 0..500 {
        std::fs::remove_file(format!("file-{number:04}")).unwrap();
    }
}
