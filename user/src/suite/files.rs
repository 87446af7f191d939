//! Regular files and descriptors: open, read, write, seek, truncate, dup, fcntl.

use libc::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFL, FD_CLOEXEC, O_APPEND, O_CLOEXEC, O_CREAT,
    O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC,
    O_WRONLY, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};

use super::support::{Child, Mapping, child, in_child, pipe, read_text, skip, write_text};
use crate::{fails, ok, sys};

super::area!("files":
    open_creates_with_umask,
    open_flags_and_errors,
    access_mode_is_enforced,
    lowest_descriptor_is_used,
    read_write_and_offset,
    positioned_io_keeps_offset,
    vectored_io,
    vectored_io_limits,
    append_goes_to_the_end,
    seek_and_its_errors,
    seek_data_and_hole,
    holes_read_as_zero,
    truncate_cuts_and_extends,
    truncate_errors,
    truncate_flag_empties,
    fallocate_extends,
    dup_shares_offset_and_flags,
    dup2_and_dup3,
    fcntl_duplicates,
    fcntl_status_flags,
    close_on_exec_flag,
    close_range_closes,
    unlinked_file_lives_on,
    temporary_file_has_no_name,
    opath_descriptor_does_little,
    memfd_seals,
    descriptor_links_in_proc,
    device_files,
    large_offsets,
    many_open_files,
    fsync_and_friends,
    concurrent_appends,
    stat_counts_blocks_and_size,
);

#[track_caller]
pub(super) fn open(path: &std::ffi::CStr, flags: i32) -> usize {
    ok!(SYS_openat, libc::AT_FDCWD, path, flags, 0o644)
}

/// A file with this content, open for reading and writing.
#[track_caller]
pub(super) fn file_with(text: &str) -> usize {
    write_text("file", text);
    open(c"file", O_RDWR)
}

#[track_caller]
pub(super) fn offset(fd: usize) -> usize {
    ok!(SYS_lseek, fd, 0, SEEK_CUR)
}

fn mode_of(path: &str) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).unwrap().mode()
}

fn open_creates_with_umask() {
    ok!(SYS_umask, 0o027);
    ok!(SYS_open, c"new", O_CREAT | O_WRONLY, 0o7777);
    assert_eq!(mode_of("new") & 0o777, 0o750);
    ok!(SYS_mkdir, c"directory", 0o777);
    assert_eq!(mode_of("directory") & 0o777, 0o750);
    let fd = ok!(SYS_creat, c"created", 0o600);
    fails!(EBADF: SYS_read, fd, &mut [0_u8; 1], 1);
}

fn open_flags_and_errors() {
    write_text("file", "");
    ok!(SYS_symlink, c"file", c"link");
    ok!(SYS_symlink, c"nowhere", c"dangling");
    fails!(ENOENT: SYS_open, c"missing", O_RDONLY);
    fails!(ENOENT: SYS_open, c"", O_RDONLY);
    fails!(EEXIST: SYS_open, c"file", O_CREAT | O_EXCL, 0o644);
    fails!(EEXIST: SYS_open, c"dangling", O_CREAT | O_EXCL, 0o644);
    fails!(ELOOP: SYS_open, c"link", O_RDONLY | O_NOFOLLOW);
    fails!(ENOTDIR: SYS_open, c"file", O_RDONLY | O_DIRECTORY);
    fails!(ENOTDIR: SYS_open, c"file/x", O_RDONLY);
    fails!(ENOENT: SYS_open, c"dangling", O_RDONLY);
    fails!(EFAULT: SYS_open, 8, O_RDONLY);
    fails!(EBADF: SYS_openat, 99, c"file", O_RDONLY);
    fails!(EISDIR: SYS_open, c"x/", O_CREAT | O_WRONLY, 0o644);
    // Creating through a dangling link makes its target.
    open(c"dangling", O_CREAT | O_WRONLY);
    assert!(std::fs::exists("nowhere").unwrap());
    ok!(SYS_open, c"link", O_RDONLY | O_NOFOLLOW | O_PATH);
}

fn access_mode_is_enforced() {
    write_text("file", "text");
    let (reader, writer) = (open(c"file", O_RDONLY), open(c"file", O_WRONLY));
    fails!(EBADF: SYS_write, reader, b"x", 1);
    fails!(EBADF: SYS_read, writer, &mut [0_u8; 1], 1);
    fails!(EBADF: SYS_read, 99, &mut [0_u8; 1], 1);
    fails!(EBADF: SYS_read, -1, &mut [0_u8; 1], 1);
    fails!(EINVAL: SYS_ftruncate, reader, 0);
    fails!(EFAULT: SYS_read, reader, 8, 1);
    assert_eq!(ok!(SYS_read, reader, 8, 0), 0);
}

fn lowest_descriptor_is_used() {
    let (first, second, third) = (open(c"/", O_RDONLY), open(c"/", O_RDONLY), open(c"/", O_RDONLY));
    assert!(first < second && second < third);
    ok!(SYS_close, second);
    assert_eq!(open(c"/", O_RDONLY), second);
    fails!(EBADF: SYS_close, 99);
}

fn read_write_and_offset() {
    let fd = file_with("");
    assert_eq!(ok!(SYS_write, fd, b"hello world", 11), 11);
    assert_eq!(offset(fd), 11);
    let mut buffer = [0_u8; 16];
    assert_eq!(ok!(SYS_read, fd, &mut buffer, 16), 0);
    ok!(SYS_lseek, fd, 6, SEEK_SET);
    assert_eq!(ok!(SYS_read, fd, &mut buffer, 16), 5);
    assert_eq!(&buffer[..5], b"world");
    // Data from an unreadable page on: what is before it counts.
    let mapping = Mapping::private(2);
    mapping.fill(b'm');
    mapping.unmap(1, 1);
    ok!(SYS_lseek, fd, 0, SEEK_SET);
    let written = sys!(SYS_write, fd, mapping.page(1) - 3, 10);
    assert!(matches!(written, Ok(3) | Err(crate::sys::Errno::EFAULT)), "{written:?}");
}

fn positioned_io_keeps_offset() {
    let fd = file_with("0123456789");
    let mut buffer = [0_u8; 4];
    assert_eq!(ok!(SYS_pread64, fd, &mut buffer, 4, 8), 2);
    assert_eq!(ok!(SYS_pwrite64, fd, b"ab", 2, 4), 2);
    assert_eq!(offset(fd), 0);
    assert_eq!(read_text("file"), "0123ab6789");
    fails!(EINVAL: SYS_pread64, fd, &mut buffer, 4, -1);
    let (read_end, _) = pipe(0);
    fails!(ESPIPE: SYS_pread64, read_end, &mut buffer, 1, 0);
    assert_eq!(ok!(SYS_pread64, fd, &mut buffer, 4, 1_usize << 40), 0);
}

fn vectored_io() {
    let fd = file_with("");
    let (one, two) = (b"first ", b"second");
    let vectors = [[one.as_ptr().addr(), 6], [0, 0], [two.as_ptr().addr(), 6]];
    std::hint::black_box((one, two));
    assert_eq!(ok!(SYS_writev, fd, &vectors, 3), 12);
    assert_eq!(ok!(SYS_pwritev, fd, &vectors, 1, 6, 0), 6);
    assert_eq!(read_text("file"), "first first ");
    let (mut head, mut tail) = ([0_u8; 5], [0_u8; 20]);
    let vectors =
        [[(&raw mut head).expose_provenance(), 5], [(&raw mut tail).expose_provenance(), 20]];
    assert_eq!(ok!(SYS_preadv, fd, &vectors, 2, 0, 0), 12);
    assert_eq!(std::hint::black_box(&head), b"first");
    assert_eq!(&std::hint::black_box(&tail)[..7], b" first ");
}

fn vectored_io_limits() {
    let fd = file_with("");
    fails!(EINVAL: SYS_writev, fd, &[[0_usize; 2]], 1025);
    fails!(EINVAL: SYS_writev, fd, &[[0_usize; 2]], -1);
    fails!(EFAULT: SYS_writev, fd, 8, 1);
    let byte = [1_u8];
    let too_long =
        [[byte.as_ptr().addr(), isize::MAX as usize], [byte.as_ptr().addr(), isize::MAX as usize]];
    let result = sys!(SYS_writev, fd, &[too_long[0], [0, usize::MAX]], 2);
    assert_eq!(result, Err(crate::sys::Errno::EINVAL));
    assert_eq!(ok!(SYS_writev, fd, &[[0_usize; 2]; 1024], 1024), 0);
}

fn append_goes_to_the_end() {
    let fd = file_with("start");
    let other = open(c"file", O_WRONLY | O_APPEND);
    ok!(SYS_write, other, b"+a", 2);
    ok!(SYS_lseek, other, 0, SEEK_SET);
    ok!(SYS_write, other, b"+b", 2);
    assert_eq!(offset(other), 9);
    assert_eq!(read_text("file"), "start+a+b");
    ok!(SYS_write, fd, b"S", 1);
    // pwrite on an append descriptor appends too.
    ok!(SYS_pwrite64, other, b"+c", 2, 0);
    assert_eq!(read_text("file"), "Start+a+b+c");
}

fn seek_and_its_errors() {
    let fd = file_with("0123456789");
    assert_eq!(ok!(SYS_lseek, fd, -3, SEEK_END), 7);
    assert_eq!(ok!(SYS_lseek, fd, 2, SEEK_CUR), 9);
    assert_eq!(ok!(SYS_lseek, fd, 100, SEEK_SET), 100);
    fails!(EINVAL: SYS_lseek, fd, -1, SEEK_SET);
    fails!(EINVAL: SYS_lseek, fd, -101, SEEK_CUR);
    fails!(EINVAL: SYS_lseek, fd, 0, 99);
    fails!(ESPIPE: SYS_lseek, pipe(0).0, 0, SEEK_CUR);
    assert_eq!(offset(fd), 100);
}

fn seek_data_and_hole() {
    let fd = file_with("0123456789");
    assert_eq!(ok!(SYS_lseek, fd, 3, SEEK_DATA), 3);
    assert_eq!(ok!(SYS_lseek, fd, 3, SEEK_HOLE), 10, "the end is a hole");
    fails!(ENXIO: SYS_lseek, fd, 10, SEEK_DATA);
    fails!(ENXIO: SYS_lseek, fd, 11, SEEK_HOLE);
}

fn holes_read_as_zero() {
    let fd = file_with("abc");
    ok!(SYS_pwrite64, fd, b"z", 1, 100_000);
    let content = std::fs::read("file").unwrap();
    assert_eq!((content.len(), content[100_000]), (100_001, b'z'));
    assert!(content[3..100_000].iter().all(|byte| *byte == 0));
}

fn truncate_cuts_and_extends() {
    let fd = file_with("0123456789");
    ok!(SYS_ftruncate, fd, 4);
    assert_eq!(read_text("file"), "0123");
    ok!(SYS_truncate, c"file", 6);
    assert_eq!(std::fs::read("file").unwrap(), b"0123\0\0");
    ok!(SYS_ftruncate, fd, 100_000);
    ok!(SYS_ftruncate, fd, 5000);
    assert!(std::fs::read("file").unwrap()[4..].iter().all(|byte| *byte == 0));
    assert_eq!(offset(fd), 0);
}

fn truncate_errors() {
    write_text("file", "");
    fails!(EINVAL: SYS_truncate, c"file", -1);
    fails!(EISDIR: SYS_truncate, c".", 0);
    fails!(ENOENT: SYS_truncate, c"missing", 0);
    fails!(EBADF: SYS_ftruncate, 99, 0);
    fails!(EINVAL: SYS_ftruncate, pipe(0).1, 0);
}

fn truncate_flag_empties() {
    write_text("file", "content");
    open(c"file", O_WRONLY | O_TRUNC);
    assert_eq!(read_text("file"), "");
    fails!(EISDIR: SYS_open, c".", O_WRONLY | O_TRUNC);
}

fn fallocate_extends() {
    let fd = file_with("abc");
    ok!(SYS_fallocate, fd, 0, 0, 10_000);
    assert_eq!(std::fs::metadata("file").unwrap().len(), 10_000);
    ok!(SYS_fallocate, fd, libc::FALLOC_FL_KEEP_SIZE, 0, 20_000);
    assert_eq!(std::fs::metadata("file").unwrap().len(), 10_000);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    ok!(SYS_fallocate, fd, punch, 1, 1);
    assert_eq!(&std::fs::read("file").unwrap()[..3], b"a\0c");
    fails!(EINVAL: SYS_fallocate, fd, 0, 0, 0);
    fails!(EINVAL: SYS_fallocate, fd, 0, -1, 5);
    fails!(EBADF: SYS_fallocate, open(c"file", O_RDONLY), 0, 0, 1);
    fails!(ESPIPE: SYS_fallocate, pipe(0).1, 0, 0, 1);
}

fn dup_shares_offset_and_flags() {
    let fd = file_with("0123456789");
    let copy = ok!(SYS_dup, fd);
    ok!(SYS_lseek, copy, 5, SEEK_SET);
    assert_eq!(offset(fd), 5);
    ok!(SYS_fcntl, copy, F_SETFL, O_APPEND);
    assert!(ok!(SYS_fcntl, fd, F_GETFL) as i32 & O_APPEND != 0);
    ok!(SYS_close, fd);
    assert_eq!(offset(copy), 5);
    // Another open has its own.
    assert_eq!(offset(open(c"file", O_RDONLY)), 0);
}

fn dup2_and_dup3() {
    let fd = file_with("");
    assert_eq!(ok!(SYS_dup2, fd, 50), 50);
    assert_eq!(ok!(SYS_dup2, fd, fd), fd);
    fails!(EBADF: SYS_dup2, 99, 99);
    fails!(EBADF: SYS_dup2, 99, 50);
    ok!(SYS_fcntl, 50, F_GETFD);
    fails!(EBADF: SYS_dup2, fd, -1);
    fails!(EBADF: SYS_dup2, fd, 1 << 30);
    fails!(EINVAL: SYS_dup3, fd, fd, 0);
    fails!(EINVAL: SYS_dup3, fd, 51, O_APPEND);
    ok!(SYS_dup3, fd, 51, O_CLOEXEC);
    assert_eq!(ok!(SYS_fcntl, 51, F_GETFD), FD_CLOEXEC as usize);
}

fn fcntl_duplicates() {
    let fd = file_with("");
    let copy = ok!(SYS_fcntl, fd, F_DUPFD, 60);
    assert_eq!((copy, ok!(SYS_fcntl, copy, F_GETFD)), (60, 0));
    let copy = ok!(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 60);
    assert_eq!((copy, ok!(SYS_fcntl, copy, F_GETFD)), (61, 1));
    fails!(EINVAL: SYS_fcntl, fd, F_DUPFD, -1);
    fails!(EINVAL: SYS_fcntl, fd, F_DUPFD, 1 << 30);
    fails!(EINVAL: SYS_fcntl, fd, 9999, 0);
    fails!(EBADF: SYS_fcntl, 99, F_GETFD);
}

fn fcntl_status_flags() {
    let fd = file_with("");
    assert_eq!(ok!(SYS_fcntl, fd, F_GETFL) as i32 & 3, O_RDWR);
    // Access mode and creation flags are ignored by F_SETFL.
    ok!(SYS_fcntl, fd, F_SETFL, O_WRONLY | O_CREAT | O_NONBLOCK | O_APPEND);
    let flags = ok!(SYS_fcntl, fd, F_GETFL) as i32;
    assert_eq!(flags & (3 | O_CREAT | O_NONBLOCK | O_APPEND), O_RDWR | O_NONBLOCK | O_APPEND);
    ok!(SYS_fcntl, fd, F_SETFL, 0);
    assert_eq!(ok!(SYS_fcntl, fd, F_GETFL) as i32 & (O_NONBLOCK | O_APPEND), 0);
}

fn close_on_exec_flag() {
    write_text("file", "");
    let fd = open(c"file", O_RDONLY | O_CLOEXEC);
    assert_eq!(ok!(SYS_fcntl, fd, F_GETFD), 1);
    ok!(SYS_fcntl, fd, libc::F_SETFD, 0);
    assert_eq!(ok!(SYS_fcntl, fd, F_GETFD), 0);
    ok!(SYS_ioctl, fd, libc::FIOCLEX);
    assert_eq!(ok!(SYS_fcntl, fd, F_GETFD), 1);
}

fn close_range_closes() {
    let fd = file_with("");
    for target in [70, 71, 72, 73] {
        ok!(SYS_dup2, fd, target);
    }
    ok!(SYS_close_range, 71, 72, 0);
    let is_open = |fd| sys!(SYS_fcntl, fd, F_GETFD).is_ok();
    assert_eq!([70, 71, 72, 73].map(is_open), [true, false, false, true]);
    ok!(SYS_close_range, 70, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    assert_eq!(ok!(SYS_fcntl, 73, F_GETFD), 1);
    fails!(EINVAL: SYS_close_range, 5, 4, 0);
    fails!(EINVAL: SYS_close_range, 70, 71, 0x100);
}

fn unlinked_file_lives_on() {
    let fd = file_with("still here");
    ok!(SYS_unlink, c"file");
    let mut buffer = [0_u8; 10];
    assert_eq!(ok!(SYS_read, fd, &mut buffer, 10), 10);
    assert_eq!(&buffer, b"still here");
    ok!(SYS_write, fd, b"!", 1);
    let mut status = [0_u64; 18];
    ok!(SYS_fstat, fd, &mut status);
    assert_eq!((status[2], status[6]), (0, 11), "links and size");
    fails!(ENOENT: SYS_open, c"file", O_RDONLY);
}

fn temporary_file_has_no_name() {
    let Ok(fd) = sys!(SYS_open, c".", O_TMPFILE | O_RDWR, 0o600) else {
        skip("this file system has no O_TMPFILE");
    };
    ok!(SYS_write, fd, b"data", 4);
    assert_eq!(std::fs::read_dir(".").unwrap().count(), 0);
    fails!(EINVAL: SYS_open, c".", O_TMPFILE | O_RDONLY, 0o600);
}

fn opath_descriptor_does_little() {
    write_text("file", "text");
    let fd = open(c"file", O_PATH);
    fails!(EBADF: SYS_read, fd, &mut [0_u8; 1], 1);
    fails!(EBADF: SYS_ftruncate, fd, 0);
    fails!(EBADF: SYS_fchmod, fd, 0o600);
    ok!(SYS_fstat, fd, &mut [0_u64; 18]);
    ok!(SYS_dup, fd);
    ok!(SYS_fcntl, fd, F_GETFD);
    let directory = open(c".", O_PATH | O_DIRECTORY);
    ok!(SYS_openat, directory, c"file", O_RDONLY);
    fails!(EBADF: SYS_getdents64, directory, &mut [0_u8; 100], 100);
}

fn memfd_seals() {
    let fd = ok!(SYS_memfd_create, c"sealed", libc::MFD_ALLOW_SEALING);
    ok!(SYS_write, fd, b"data", 4);
    ok!(SYS_fcntl, fd, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE);
    fails!(EPERM: SYS_ftruncate, fd, 1);
    fails!(EPERM: SYS_write, fd, b"x", 1);
    let seals = ok!(SYS_fcntl, fd, libc::F_GET_SEALS) as i32;
    assert_eq!(seals, libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE);
    let plain = ok!(SYS_memfd_create, c"plain", 0);
    fails!(EPERM: SYS_fcntl, plain, libc::F_ADD_SEALS, libc::F_SEAL_WRITE);
}

fn descriptor_links_in_proc() {
    let fd = file_with("through proc");
    let path = std::env::current_dir().unwrap().join("file");
    let link = format!("/proc/self/fd/{fd}");
    assert_eq!(std::fs::read_link(&link).unwrap(), path);
    assert_eq!(read_text(&link), "through proc");
    ok!(SYS_unlink, c"file");
    let name = std::fs::read_link(&link).unwrap();
    assert!(name.to_str().unwrap().ends_with("/file (deleted)"));
    assert_eq!(read_text(&link), "through proc", "the link leads to the file itself");
    let (read_end, _) = pipe(0);
    let name = std::fs::read_link(format!("/proc/self/fd/{read_end}")).unwrap();
    assert!(name.to_str().unwrap().starts_with("pipe:["));
}

fn device_files() {
    let mut buffer = [9_u8; 64];
    let null = open(c"/dev/null", O_RDWR);
    assert_eq!(ok!(SYS_read, null, &mut buffer, 64), 0);
    assert_eq!(ok!(SYS_write, null, &buffer, 64), 64);
    let zero = open(c"/dev/zero", O_RDWR);
    assert_eq!(ok!(SYS_read, zero, &mut buffer, 64), 64);
    assert_eq!(buffer, [0; 64]);
    let full = open(c"/dev/full", O_RDWR);
    fails!(ENOSPC: SYS_write, full, &buffer, 1);
    let random = open(c"/dev/urandom", O_RDONLY);
    assert_eq!(ok!(SYS_read, random, &mut buffer, 64), 64);
    assert_ne!(buffer, [0; 64]);
    let mut other = buffer;
    assert_eq!(ok!(SYS_getrandom, &mut other, 64, 0), 64);
    assert_ne!(buffer, other);
    fails!(EINVAL: SYS_getrandom, &mut other, 64, 0x100);
    assert_eq!(mode_of("/dev/null") & libc::S_IFMT, libc::S_IFCHR);
}

fn large_offsets() {
    let fd = file_with("");
    let far = 5_usize << 30;
    ok!(SYS_pwrite64, fd, b"x", 1, far);
    assert_eq!(ok!(SYS_lseek, fd, 0, SEEK_END), far + 1);
    let mut byte = [0_u8];
    ok!(SYS_pread64, fd, &mut byte, 1, far);
    assert_eq!(&byte, b"x");
    ok!(SYS_ftruncate, fd, 0);
    fails!(EINVAL: SYS_pwrite64, fd, b"x", 1, 1_usize << 63);
}

fn many_open_files() {
    let mut fds: Vec<usize> = (0..200).map(|_| open(c"/dev/null", O_RDONLY)).collect();
    fds.dedup();
    assert_eq!(fds.len(), 200);
    in_child(|| {
        for fd in &fds {
            ok!(SYS_close, *fd);
        }
    });
    for fd in &fds {
        ok!(SYS_close, *fd);
    }
}

fn fsync_and_friends() {
    let fd = file_with("x");
    ok!(SYS_fsync, fd);
    ok!(SYS_fdatasync, fd);
    ok!(SYS_sync);
    ok!(SYS_syncfs, fd);
    fails!(EINVAL: SYS_fsync, pipe(0).0);
    fails!(EBADF: SYS_fsync, 99);
    ok!(SYS_fadvise64, fd, 0, 0, libc::POSIX_FADV_SEQUENTIAL);
    fails!(ESPIPE: SYS_fadvise64, pipe(0).0, 0, 0, 0);
}

fn concurrent_appends() {
    file_with("");
    let children: Vec<Child> = (0..4)
        .map(|number| {
            child(move || {
                let fd = open(c"file", O_WRONLY | O_APPEND);
                let line = [b'a' + number; 16];
                for _ in 0..50 {
                    assert_eq!(ok!(SYS_write, fd, &line, 16), 16);
                }
            })
        })
        .collect();
    for child in children {
        child.success();
    }
    let content = std::fs::read("file").unwrap();
    assert_eq!(content.len(), 4 * 50 * 16);
    assert!(content.chunks(16).all(|line| line.iter().all(|byte| *byte == line[0])));
}

fn stat_counts_blocks_and_size() {
    use std::os::unix::fs::MetadataExt;
    let fd = file_with("x");
    ok!(SYS_ftruncate, fd, 1 << 20);
    let data = vec![1_u8; 64 << 10];
    ok!(SYS_pwrite64, fd, &data[..], data.len(), 0);
    ok!(SYS_fsync, fd);
    let status = std::fs::metadata("file").unwrap();
    assert_eq!(status.len(), 1 << 20);
    assert!(status.blksize() >= 512);
    assert!(status.blocks() >= 128, "{} blocks of 512 bytes", status.blocks());
}
