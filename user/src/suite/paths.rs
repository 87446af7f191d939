//! Names: path walk, limits, directories, what stat tells, times, device nodes.

use std::ffi::{CStr, CString};

use libc::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, CLOCK_REALTIME_COARSE, O_CREAT,
    O_DIRECTORY, O_PATH, O_RDONLY, O_WRONLY,
};

use super::support::{in_child, needs_root, until, write_text};
use super::time::now;
use crate::{fails, ok, sys};

super::area!("paths":
    dots_and_slashes,
    trailing_slash_means_directory,
    names_have_limits,
    mkdir_and_rmdir,
    rmdir_refuses,
    unlink_refuses,
    working_directory,
    removed_working_directory,
    fchdir_by_descriptor,
    at_calls_are_relative,
    stat_fields,
    statx_fields,
    statx_flags,
    times_can_be_set,
    times_move_on,
    mknod_kinds,
    removed_directory_by_descriptor,
    deep_directories,
    proc_self_is_a_link,
);

fn dots_and_slashes() {
    ok!(SYS_mkdir, c"d", 0o755);
    write_text("d/f", "x");
    for path in [c"d/f", c"./d/f", c"d//f", c"d/./f", c"d/../d/f", c".//d///./f"] {
        ok!(SYS_access, path, 0);
    }
    assert!(std::fs::metadata("/../..").unwrap().is_dir());
    fails!(ENOENT: SYS_access, c"missing/../d/f", 0);
    fails!(ENOTDIR: SYS_access, c"d/f/..", 0);
    fails!(ENOTDIR: SYS_access, c"d/f/.", 0);
}

fn trailing_slash_means_directory() {
    ok!(SYS_mkdir, c"d/", 0o755);
    write_text("f", "");
    ok!(SYS_symlink, c"d", c"l");
    ok!(SYS_access, c"d/", 0);
    ok!(SYS_access, c"l/", 0);
    fails!(ENOTDIR: SYS_access, c"f/", 0);
    fails!(ENOTDIR: SYS_unlink, c"f/");
    fails!(ENOTDIR: SYS_rmdir, c"l");
    fails!(ENOTDIR: SYS_rmdir, c"l/");
    let mut buffer = [0_u8; 8];
    fails!(EINVAL: SYS_readlink, c"l/", &mut buffer, 8);
    ok!(SYS_rename, c"d/", c"e/");
    fails!(ENOTDIR: SYS_rename, c"f", c"g/");
}

fn names_have_limits() {
    let name = |length| CString::new("n".repeat(length)).unwrap();
    ok!(SYS_mkdir, name(255).as_c_str(), 0o755);
    fails!(ENAMETOOLONG: SYS_mkdir, name(256).as_c_str(), 0o755);
    let path = CString::new("./".repeat(2047)).unwrap();
    ok!(SYS_access, path.as_c_str(), 0);
    let path = CString::new("./".repeat(2048)).unwrap();
    fails!(ENAMETOOLONG: SYS_access, path.as_c_str(), 0);
    fails!(ENOENT: SYS_mkdir, c"", 0o755);
    ok!(SYS_mkdir, c"\xff\x01odd", 0o755);
}

fn mkdir_and_rmdir() {
    ok!(SYS_mkdir, c"a", 0o755);
    fails!(EEXIST: SYS_mkdir, c"a", 0o755);
    fails!(ENOENT: SYS_mkdir, c"x/y", 0o755);
    ok!(SYS_mkdirat, AT_FDCWD, c"a/b", 0o1777);
    fails!(ENOTEMPTY: SYS_rmdir, c"a");
    ok!(SYS_rmdir, c"a/b");
    ok!(SYS_unlinkat, AT_FDCWD, c"a", AT_REMOVEDIR);
    fails!(EEXIST: SYS_mkdir, c"/", 0o755);
    fails!(EEXIST: SYS_mkdir, c".", 0o755);
}

fn rmdir_refuses() {
    ok!(SYS_mkdir, c"a", 0o755);
    write_text("f", "");
    fails!(ENOTDIR: SYS_rmdir, c"f");
    fails!(EINVAL: SYS_rmdir, c"a/.");
    fails!(ENOTEMPTY: SYS_rmdir, c"a/..");
    fails!(ENOENT: SYS_rmdir, c"missing");
    fails!(EBUSY: SYS_rmdir, c"/");
    fails!(EINVAL: SYS_unlinkat, AT_FDCWD, c"a", 0x80);
}

fn unlink_refuses() {
    ok!(SYS_mkdir, c"a", 0o755);
    fails!(EISDIR: SYS_unlink, c"a");
    fails!(ENOENT: SYS_unlink, c"missing");
    fails!(ENOENT: SYS_unlink, c"");
    fails!(EISDIR: SYS_unlink, c".");
}

fn working_directory() {
    let here = std::env::current_dir().unwrap();
    ok!(SYS_mkdir, c"d", 0o755);
    ok!(SYS_chdir, c"d");
    let mut buffer = [0_u8; 512];
    let length = ok!(SYS_getcwd, &mut buffer, 512);
    assert_eq!(buffer[length - 1], 0);
    assert_eq!(
        std::str::from_utf8(&buffer[..length - 1]).unwrap(),
        here.join("d").to_str().unwrap()
    );
    fails!(ERANGE: SYS_getcwd, &mut buffer, 3);
    fails!(ENOENT: SYS_chdir, c"missing");
    write_text("f", "");
    fails!(ENOTDIR: SYS_chdir, c"f");
    in_child(|| {
        ok!(SYS_chdir, c"/");
        assert_eq!(ok!(SYS_getcwd, &mut [0_u8; 8], 8), 2);
    });
    assert!(std::env::current_dir().unwrap().ends_with("d"));
}

fn removed_working_directory() {
    ok!(SYS_mkdir, c"d", 0o755);
    ok!(SYS_chdir, c"d");
    ok!(SYS_rmdir, c"../d");
    fails!(ENOENT: SYS_getcwd, &mut [0_u8; 512], 512);
    fails!(ENOENT: SYS_mkdir, c"x", 0o755);
    fails!(ENOENT: SYS_open, c"x", O_CREAT | O_WRONLY, 0o600);
    ok!(SYS_access, c".", 0);
    ok!(SYS_chdir, c"..");
}

fn fchdir_by_descriptor() {
    ok!(SYS_mkdir, c"d", 0o755);
    write_text("f", "");
    let directory = ok!(SYS_open, c"d", O_RDONLY | O_DIRECTORY);
    ok!(SYS_fchdir, directory);
    assert!(std::env::current_dir().unwrap().ends_with("d"));
    let path = ok!(SYS_open, c"..", O_PATH);
    ok!(SYS_fchdir, path);
    fails!(ENOTDIR: SYS_fchdir, ok!(SYS_open, c"f", O_RDONLY));
    fails!(EBADF: SYS_fchdir, 99);
}

fn at_calls_are_relative() {
    ok!(SYS_mkdir, c"d", 0o755);
    let fd = ok!(SYS_open, c"d", O_RDONLY);
    ok!(SYS_close, ok!(SYS_openat, fd, c"f", O_CREAT | O_WRONLY, 0o600));
    ok!(SYS_mkdirat, fd, c"inner", 0o755);
    ok!(SYS_symlinkat, c"f", fd, c"l");
    ok!(SYS_linkat, fd, c"f", fd, c"g", 0);
    ok!(SYS_renameat, fd, c"g", AT_FDCWD, c"out");
    ok!(SYS_fchmodat, fd, c"f", 0o640);
    ok!(SYS_faccessat, fd, c"l", 4);
    ok!(SYS_mknodat, fd, c"p", libc::S_IFIFO | 0o600, 0);
    ok!(SYS_unlinkat, fd, c"f", 0);
    ok!(SYS_access, c"d/inner", 0);
    ok!(SYS_access, c"out", 0);
    let file = ok!(SYS_open, c"out", O_RDONLY);
    fails!(ENOTDIR: SYS_openat, file, c"x", O_RDONLY);
    // An absolute path makes the descriptor irrelevant.
    ok!(SYS_faccessat, 99, c"/", 0);
}

fn stat_fields() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    write_text("f", "12345");
    ok!(SYS_chmod, c"f", 0o6741);
    ok!(SYS_symlink, c"abcdefg", c"l");
    let status = std::fs::metadata("f").unwrap();
    assert_eq!((status.len(), status.mode()), (5, libc::S_IFREG | 0o6741));
    assert_eq!((status.uid() as usize, status.nlink()), (ok!(SYS_geteuid), 1));
    assert_eq!(std::fs::symlink_metadata("l").unwrap().len(), 7);
    assert_eq!(std::fs::symlink_metadata("l").unwrap().mode(), libc::S_IFLNK | 0o777);
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), 0x103);
    let own = std::fs::metadata(".").unwrap();
    assert_eq!((own.dev(), own.ino() != status.ino()), (status.dev(), true));
    fails!(EFAULT: SYS_stat, c"f", 8);
    fails!(ENOENT: SYS_newfstatat, AT_FDCWD, c"", &mut [0_u64; 18], 0);
    ok!(SYS_newfstatat, AT_FDCWD, c"", &mut [0_u64; 18], AT_EMPTY_PATH);
    fails!(EINVAL: SYS_newfstatat, AT_FDCWD, c"f", &mut [0_u64; 18], 0x10);
}

#[track_caller]
fn statx(path: &CStr, flags: i32) -> libc::statx {
    // SAFETY: a plain C struct of integers; zero is a valid value.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    ok!(SYS_statx, AT_FDCWD, path, flags, libc::STATX_BASIC_STATS, &mut status);
    status
}

fn statx_fields() {
    use std::os::unix::fs::MetadataExt;
    write_text("f", "1234567");
    let (extended, plain) = (statx(c"f", 0), std::fs::metadata("f").unwrap());
    assert_eq!(extended.stx_mask & libc::STATX_BASIC_STATS, libc::STATX_BASIC_STATS);
    assert_eq!((extended.stx_size, extended.stx_ino), (7, plain.ino()));
    assert_eq!(u32::from(extended.stx_mode), plain.mode());
    assert_eq!(extended.stx_mtime.tv_sec, plain.mtime());
    assert_eq!((extended.stx_nlink, extended.stx_uid), (1, plain.uid()));
}

fn statx_flags() {
    ok!(SYS_symlink, c"abc", c"l");
    assert_eq!(statx(c"l", AT_SYMLINK_NOFOLLOW).stx_size, 3);
    let mut buffer = [0_u64; 32];
    fails!(ENOENT: SYS_statx, AT_FDCWD, c"l", 0, 0xfff, &mut buffer);
    fails!(EINVAL: SYS_statx, AT_FDCWD, c"l", 0x8000_0000_u32, 0xfff, &mut buffer);
    fails!(EINVAL: SYS_statx, AT_FDCWD, c"l", AT_SYMLINK_NOFOLLOW, 0x8000_0000_u32, &mut buffer);
    fails!(EFAULT: SYS_statx, AT_FDCWD, c".", 0, 0xfff, 8);
    ok!(SYS_statx, 0, c"", AT_EMPTY_PATH, 0xfff, &mut buffer);
}

fn times_can_be_set() {
    use std::os::unix::fs::MetadataExt;
    write_text("f", "");
    let times = [[1000_i64, 5], [2000, 6]];
    ok!(SYS_utimensat, AT_FDCWD, c"f", &times, 0);
    let status = std::fs::metadata("f").unwrap();
    assert_eq!((status.atime(), status.mtime(), status.mtime_nsec()), (1000, 2000, 6));
    // One is left alone, the other becomes now.
    let times = [[0_i64, libc::UTIME_OMIT], [0, libc::UTIME_NOW]];
    ok!(SYS_utimensat, AT_FDCWD, c"f", &times, 0);
    let status = std::fs::metadata("f").unwrap();
    assert_eq!(status.atime(), 1000);
    assert!(status.mtime() > 2000 && status.ctime() > 2000);
    let fd = ok!(SYS_open, c"f", O_RDONLY);
    ok!(SYS_utimensat, fd, 0, &[[7_i64, 0], [8, 0]], 0);
    assert_eq!(std::fs::metadata("f").unwrap().mtime(), 8);
    fails!(EINVAL: SYS_utimensat, AT_FDCWD, c"f", &[[0_i64, 1_000_000_000], [0, 0]], 0);
    fails!(ENOENT: SYS_utimensat, AT_FDCWD, c"missing", 0, 0);
}

fn times_move_on() {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &str| {
        let status = std::fs::metadata(path).unwrap();
        status.mtime() * 1_000_000_000 + status.mtime_nsec()
    };
    write_text("f", "");
    let (file, directory) = (stamp("f"), stamp("."));
    // Linux stamps files by this clock, which may stand still for a while on a virtual machine.
    until("the clock moves on", || now(CLOCK_REALTIME_COARSE) > file.max(directory));
    write_text("f", "x");
    assert!(stamp("f") > file);
    assert_eq!(stamp("."), directory, "the directory itself did not change");
    write_text("g", "");
    assert!(stamp(".") > directory);
}

pub(super) fn mode(path: &str) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// Runs `body` in a child as user and group 1000.
#[track_caller]
pub(super) fn as_user(body: impl FnOnce()) {
    in_child(|| {
        ok!(SYS_setgroups, 0, 0);
        ok!(SYS_setresgid, 1000, 1000, 1000);
        ok!(SYS_setresuid, 1000, 1000, 1000);
        body();
    });
}

fn mknod_kinds() {
    ok!(SYS_mknod, c"f", libc::S_IFREG | 0o600, 0);
    ok!(SYS_mknod, c"g", 0o600, 0);
    assert!(std::fs::metadata("g").unwrap().is_file());
    fails!(EEXIST: SYS_mknod, c"f", libc::S_IFREG | 0o600, 0);
    fails!(EPERM: SYS_mknod, c"d", libc::S_IFDIR | 0o600, 0);
    fails!(EINVAL: SYS_mknod, c"x", 0o160_000 | 0o600, 0);
    needs_root();
    if sys!(SYS_mknod, c"null", libc::S_IFCHR | 0o600, 0x103).is_ok()
        && let Ok(fd) = sys!(SYS_open, c"null", libc::O_RDWR)
    {
        assert_eq!(ok!(SYS_write, fd, b"gone", 4), 4);
    }
    ok!(SYS_chmod, c".", 0o777);
    as_user(|| fails!(EPERM: SYS_mknod, c"x", libc::S_IFCHR | 0o600, 0x103));
}

fn removed_directory_by_descriptor() {
    // Open a directory, remove it, and try to use it.
    ok!(SYS_mkdir, c"d", 0o755);
    let fd = ok!(SYS_open, c"d", O_RDONLY);
    ok!(SYS_rmdir, c"d");
    fails!(ENOENT: SYS_openat, fd, c"x", O_CREAT | O_WRONLY, 0o600);
    fails!(ENOENT: SYS_mkdirat, fd, c"x", 0o755);
    fails!(ENOENT: SYS_getdents64, fd, &mut [0_u8; 128], 128);
    ok!(SYS_newfstatat, fd, c"", &mut [0_u64; 18], AT_EMPTY_PATH);
}

fn deep_directories() {
    for _ in 0..60 {
        ok!(SYS_mkdir, c"deeper", 0o755);
        ok!(SYS_chdir, c"deeper");
    }
    let path = std::env::current_dir().unwrap();
    assert!(path.to_str().unwrap().ends_with("/deeper/deeper"));
    write_text("f", "bottom");
    assert_eq!(std::fs::read_to_string(path.join("f")).unwrap(), "bottom");
}

fn proc_self_is_a_link() {
    let pid = ok!(SYS_getpid).to_string();
    assert_eq!(std::fs::read_link("/proc/self").unwrap().to_str().unwrap(), pid);
    let cwd = std::fs::read_link("/proc/self/cwd").unwrap();
    assert_eq!(cwd, std::env::current_dir().unwrap());
    let program = std::fs::read_link("/proc/self/exe").unwrap();
    assert!(program.is_absolute() && program.is_file());
}
