//! Copies between descriptors within the kernel: sendfile, copy_file_range, splice, tee.

use libc::{O_CREAT, O_RDWR, SEEK_SET};

use super::files::{file_with, offset, open};
use super::support::{pipe, read_all, read_text};
use crate::{fails, ok};

super::area!("splices":
    sendfile_copies,
    copy_file_range_copies,
    splice_moves_to_pipe,
    splice_and_tee_between_pipes,
    splice_refuses,
);

fn sendfile_copies() {
    let source = file_with("0123456789");
    let target = open(c"copy", O_CREAT | O_RDWR);
    assert_eq!(ok!(SYS_sendfile, target, source, 0, 4), 4);
    let mut from = 6_u64;
    assert_eq!(ok!(SYS_sendfile, target, source, &mut from, 100), 4);
    assert_eq!((from, offset(source)), (10, 4));
    assert_eq!(read_text("copy"), "01236789");
    let (read_end, write_end) = pipe(0);
    ok!(SYS_lseek, source, 0, SEEK_SET);
    assert_eq!(ok!(SYS_sendfile, write_end, source, 0, 100), 10);
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"0123456789");
    fails!(EBADF: SYS_sendfile, source, 99, 0, 1);
}

fn copy_file_range_copies() {
    let source = file_with("0123456789");
    let target = open(c"copy", O_CREAT | O_RDWR);
    let (mut from, mut to) = (2_u64, 1_u64);
    let copied = ok!(SYS_copy_file_range, source, &mut from, target, &mut to, 5, 0);
    assert_eq!((copied, from, to), (5, 7, 6));
    assert_eq!(std::fs::read("copy").unwrap(), b"\x0023456");
    fails!(EINVAL: SYS_copy_file_range, source, 0, target, 0, 5, 1);
}

fn splice_moves_to_pipe() {
    let source = file_with("0123456789");
    let (read_end, write_end) = pipe(0);
    assert_eq!(ok!(SYS_splice, source, 0, write_end, 0, 6, 0), 6);
    let target = open(c"copy", O_CREAT | O_RDWR);
    assert_eq!(ok!(SYS_splice, read_end, 0, target, 0, 4, 0), 4);
    assert_eq!(read_text("copy"), "0123");
    fails!(EINVAL: SYS_splice, source, 0, target, 0, 4, 0);
}

fn splice_and_tee_between_pipes() {
    const NONBLOCK: u32 = 2;
    let (first_read, first_write) = pipe(0);
    let (second_read, second_write) = pipe(0);
    fails!(EAGAIN: SYS_splice, first_read, 0, second_write, 0, 9, NONBLOCK);
    ok!(SYS_write, first_write, b"0123456789", 10);
    assert_eq!(ok!(SYS_tee, first_read, second_write, 3, 0), 3);
    assert_eq!(ok!(SYS_splice, first_read, 0, second_write, 0, 100, 0), 10);
    fails!(EAGAIN: SYS_tee, first_read, second_write, 9, NONBLOCK);
    ok!(SYS_close, second_write);
    assert_eq!(read_all(second_read), b"0120123456789");
    ok!(SYS_close, first_write);
    let target = open(c"copy", O_CREAT | O_RDWR);
    assert_eq!(ok!(SYS_splice, first_read, 0, target, 0, 9, 0), 0, "end of file");
}

fn splice_refuses() {
    let source = file_with("0123456789");
    let (read_end, write_end) = pipe(0);
    let mut offset = 4_i64;
    assert_eq!(ok!(SYS_splice, source, &mut offset, write_end, 0, 100, 0), 6);
    assert_eq!(offset, 10);
    assert_eq!(ok!(SYS_lseek, source, 0, libc::SEEK_CUR), 0);
    fails!(ESPIPE: SYS_splice, source, 0, write_end, &mut offset, 1, 0);
    fails!(EINVAL: SYS_splice, read_end, 0, write_end, 0, 1, 0);
    fails!(EINVAL: SYS_tee, read_end, write_end, 1, 0);
    fails!(EINVAL: SYS_tee, source, write_end, 1, 0);
    fails!(EINVAL: SYS_splice, source, 0, write_end, 0, 1, 16);
    fails!(EBADF: SYS_splice, 99, 0, write_end, 0, 1, 0);
    assert_eq!(ok!(SYS_splice, 99, 0, 99, 0, 0, 0), 0);
}
