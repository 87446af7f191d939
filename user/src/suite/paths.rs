//! Names: path walk, links, directories, renaming, attributes, permissions, mounts.

use std::ffi::{CStr, CString};

use libc::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW,
    O_CREAT, O_DIRECTORY, O_PATH, O_RDONLY, O_WRONLY, RENAME_EXCHANGE, RENAME_NOREPLACE,
};

use super::support::{in_child, nap, needs_root, read_all, read_text, skip, write_text};
use crate::{fails, ok, sys};

super::area!("paths":
    dots_and_slashes,
    trailing_slash_means_directory,
    names_have_limits,
    symlinks_are_followed,
    symlink_loops_end,
    dangling_symlinks,
    readlink_cuts_and_refuses,
    mkdir_and_rmdir,
    rmdir_refuses,
    unlink_refuses,
    hard_links_count,
    link_refuses,
    linkat_follows_on_request,
    rename_replaces,
    rename_refuses,
    rename_moves_directories,
    rename_exchange_and_noreplace,
    directory_link_counts,
    working_directory,
    removed_working_directory,
    fchdir_by_descriptor,
    at_calls_are_relative,
    stat_fields,
    statx_fields,
    statx_flags,
    times_can_be_set,
    times_move_on,
    chmod_changes_bits,
    chmod_needs_ownership,
    chown_clears_setuid,
    chown_refuses_users,
    access_checks_real_user,
    permission_bits_for_users,
    search_permission_on_directories,
    sticky_directory_protects,
    setgid_directory_is_inherited,
    statfs_describes,
    mknod_kinds,
    chroot_confines,
    tmpfs_can_be_mounted,
    mount_refuses,
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

fn symlinks_are_followed() {
    ok!(SYS_mkdir, c"d", 0o755);
    write_text("d/f", "content");
    ok!(SYS_symlink, c"d", c"to-d");
    ok!(SYS_symlink, c"to-d/f", c"to-f");
    ok!(SYS_symlink, c"../to-f", c"d/back");
    let absolute = std::env::current_dir().unwrap().join("to-f");
    std::os::unix::fs::symlink(&absolute, "absolute").unwrap();
    for path in ["to-d/f", "to-f", "d/back", "to-d/back", "absolute", "to-d/../d/f"] {
        assert_eq!(read_text(path), "content", "{path}");
    }
}

fn symlink_loops_end() {
    ok!(SYS_symlink, c"self", c"self");
    fails!(ELOOP: SYS_access, c"self", 0);
    fails!(ELOOP: SYS_open, c"self", O_CREAT | O_WRONLY, 0o600);
    write_text("l0", "end");
    for number in 1..=41 {
        std::os::unix::fs::symlink(format!("l{}", number - 1), format!("l{number}")).unwrap();
    }
    ok!(SYS_access, c"l40", 0);
    fails!(ELOOP: SYS_access, c"l41", 0);
}

fn dangling_symlinks() {
    ok!(SYS_symlink, c"nowhere", c"l");
    fails!(ENOENT: SYS_access, c"l", 0);
    fails!(EEXIST: SYS_mkdir, c"l", 0o755);
    fails!(EEXIST: SYS_symlink, c"x", c"l");
    ok!(SYS_newfstatat, AT_FDCWD, c"l", &mut [0_u64; 18], AT_SYMLINK_NOFOLLOW);
    ok!(SYS_unlink, c"l");
    fails!(ENOENT: SYS_symlink, c"", c"l");
}

fn readlink_cuts_and_refuses() {
    ok!(SYS_symlink, c"0123456789", c"l");
    let mut buffer = [b'-'; 12];
    assert_eq!(ok!(SYS_readlink, c"l", &mut buffer, 4), 4);
    assert_eq!(&buffer[..6], b"0123--");
    assert_eq!(ok!(SYS_readlink, c"l", &mut buffer, 12), 10);
    assert_eq!(&buffer, b"0123456789--", "no zero at the end");
    fails!(EINVAL: SYS_readlink, c"l", &mut buffer, 0);
    fails!(EINVAL: SYS_readlink, c".", &mut buffer, 12);
    fails!(ENOENT: SYS_readlink, c"missing", &mut buffer, 12);
    let fd = ok!(SYS_open, c"l", O_PATH | libc::O_NOFOLLOW);
    assert_eq!(ok!(SYS_readlinkat, fd, c"", &mut buffer, 12), 10);
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

fn links(path: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).unwrap().nlink()
}

fn hard_links_count() {
    write_text("f", "one");
    ok!(SYS_link, c"f", c"g");
    ok!(SYS_link, c"g", c"h");
    assert_eq!((links("f"), links("h")), (3, 3));
    write_text("h", "two");
    assert_eq!(read_text("f"), "two");
    ok!(SYS_unlink, c"f");
    assert_eq!(links("g"), 2);
    // Renaming one name onto another of the same file does nothing.
    ok!(SYS_rename, c"g", c"h");
    assert_eq!(links("g"), 2);
}

fn link_refuses() {
    write_text("f", "");
    ok!(SYS_mkdir, c"d", 0o755);
    fails!(EEXIST: SYS_link, c"f", c"d");
    fails!(EPERM: SYS_link, c"d", c"e");
    fails!(ENOENT: SYS_link, c"missing", c"e");

    fails!(EINVAL: SYS_linkat, AT_FDCWD, c"f", AT_FDCWD, c"e", 0x80);
}

fn linkat_follows_on_request() {
    write_text("f", "");
    ok!(SYS_symlink, c"f", c"l");
    ok!(SYS_linkat, AT_FDCWD, c"l", AT_FDCWD, c"hard-symlink", 0);
    ok!(SYS_linkat, AT_FDCWD, c"l", AT_FDCWD, c"hard-file", AT_SYMLINK_FOLLOW);
    assert!(std::fs::symlink_metadata("hard-symlink").unwrap().is_symlink());
    assert!(std::fs::symlink_metadata("hard-file").unwrap().is_file());
}

fn rename_replaces() {
    write_text("a", "A");
    write_text("b", "B");
    let old = ok!(SYS_open, c"b", O_RDONLY);
    ok!(SYS_rename, c"a", c"b");
    assert_eq!(read_text("b"), "A");
    fails!(ENOENT: SYS_access, c"a", 0);
    assert_eq!(read_all(old as i32), b"B");
    ok!(SYS_rename, c"b", c"b");
    ok!(SYS_symlink, c"b", c"l");
    write_text("c", "C");
    ok!(SYS_rename, c"c", c"l");
    assert_eq!(read_text("b"), "A", "the link was replaced, not its target");
}

fn rename_refuses() {
    write_text("f", "");
    ok!(SYS_mkdir, c"d", 0o755);
    ok!(SYS_mkdir, c"d/inner", 0o755);
    ok!(SYS_mkdir, c"e", 0o755);
    fails!(ENOENT: SYS_rename, c"missing", c"x");
    fails!(EISDIR: SYS_rename, c"f", c"e");
    fails!(ENOTDIR: SYS_rename, c"e", c"f");
    fails!(ENOTEMPTY: SYS_rename, c"e", c"d");
    fails!(EINVAL: SYS_rename, c"d", c"d/inner/x");
    fails!(ENOTEMPTY: SYS_rename, c"d/inner", c"d");
    fails!(EBUSY: SYS_rename, c".", c"x");
    fails!(EBUSY: SYS_rename, c"d", c"..");
}

fn rename_moves_directories() {
    ok!(SYS_mkdir, c"a", 0o755);
    ok!(SYS_mkdir, c"a/b", 0o755);
    ok!(SYS_mkdir, c"c", 0o755);
    write_text("a/b/f", "x");
    ok!(SYS_chdir, c"a/b");
    ok!(SYS_rename, c"../../a", c"../../c/moved");
    assert!(std::env::current_dir().unwrap().ends_with("c/moved/b"));
    assert_eq!(read_text("../../moved/b/f"), "x");
    ok!(SYS_chdir, c"../../..");
    ok!(SYS_mkdir, c"empty", 0o755);
    ok!(SYS_rename, c"c/moved", c"empty");
    assert_eq!(read_text("empty/b/f"), "x");
}

fn rename_exchange_and_noreplace() {
    write_text("a", "A");
    ok!(SYS_mkdir, c"d", 0o755);
    fails!(EEXIST: SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"d", RENAME_NOREPLACE);
    ok!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"d", RENAME_EXCHANGE);
    assert!(std::fs::metadata("a").unwrap().is_dir());
    assert_eq!(read_text("d"), "A");
    ok!(SYS_renameat2, AT_FDCWD, c"d", AT_FDCWD, c"e", RENAME_NOREPLACE);
    fails!(ENOENT: SYS_renameat2, AT_FDCWD, c"e", AT_FDCWD, c"x", RENAME_EXCHANGE);
    fails!(EINVAL: SYS_renameat2, AT_FDCWD, c"e", AT_FDCWD, c"x", 0x80);
    fails!(EINVAL: SYS_renameat2, AT_FDCWD, c"e", AT_FDCWD, c"a", RENAME_EXCHANGE | RENAME_NOREPLACE);
}

fn directory_link_counts() {
    ok!(SYS_mkdir, c"d", 0o755);
    let before = links("d");
    if before == 1 {
        skip("this file system does not count directories' links");
    }
    assert_eq!(before, 2);
    ok!(SYS_mkdir, c"d/a", 0o755);
    ok!(SYS_mkdir, c"d/b", 0o755);
    write_text("d/f", "");
    assert_eq!(links("d"), 4);
    ok!(SYS_rename, c"d/a", c"a");
    assert_eq!(links("d"), 3);
    ok!(SYS_rmdir, c"d/b");
    assert_eq!(links("d"), 2);
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
        (status.mtime(), status.mtime_nsec())
    };
    write_text("f", "");
    let (file, directory) = (stamp("f"), stamp("."));
    nap(20);
    write_text("f", "x");
    assert!(stamp("f") > file);
    assert_eq!(stamp("."), directory, "the directory itself did not change");
    write_text("g", "");
    assert!(stamp(".") > directory);
}

fn mode(path: &str) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

fn chmod_changes_bits() {
    write_text("f", "");
    for bits in [0, 0o777, 0o7777, 0o4755, 0o640] {
        ok!(SYS_chmod, c"f", bits);
        assert_eq!(mode("f"), bits);
    }
    let fd = ok!(SYS_open, c"f", O_RDONLY);
    ok!(SYS_fchmod, fd, 0o10_600);
    assert_eq!(mode("f"), 0o600);
    fails!(ENOENT: SYS_chmod, c"missing", 0);
}

/// Runs `body` in a child as user and group 1000.
#[track_caller]
fn as_user(body: impl FnOnce()) {
    in_child(|| {
        ok!(SYS_setgroups, 0, 0);
        ok!(SYS_setresgid, 1000, 1000, 1000);
        ok!(SYS_setresuid, 1000, 1000, 1000);
        body();
    });
}

fn chmod_needs_ownership() {
    needs_root();
    write_text("f", "");
    ok!(SYS_chmod, c"f", 0o666);
    as_user(|| fails!(EPERM: SYS_chmod, c"f", 0o600));
    ok!(SYS_chown, c"f", 1000, 0);
    as_user(|| {
        // Somebody who is not in the file's group loses the set-group-id bit.
        ok!(SYS_chmod, c"f", 0o6750);
        assert_eq!(mode("f"), 0o4750);
    });
}

fn chown_clears_setuid() {
    needs_root();
    write_text("f", "");
    ok!(SYS_chmod, c"f", 0o6755);
    ok!(SYS_chown, c"f", 5, 6);
    assert_eq!(mode("f"), 0o755);
    use std::os::unix::fs::MetadataExt;
    let status = std::fs::metadata("f").unwrap();
    assert_eq!((status.uid(), status.gid()), (5, 6));
    ok!(SYS_chown, c"f", -1, 7);
    let status = std::fs::metadata("f").unwrap();
    assert_eq!((status.uid(), status.gid()), (5, 7));
    ok!(SYS_symlink, c"f", c"l");
    ok!(SYS_lchown, c"l", 9, 9);
    assert_eq!(std::fs::metadata("l").unwrap().uid(), 5);
    assert_eq!(std::fs::symlink_metadata("l").unwrap().uid(), 9);
}

fn chown_refuses_users() {
    needs_root();
    write_text("f", "");
    ok!(SYS_chown, c"f", 1000, 1000);
    as_user(|| {
        fails!(EPERM: SYS_chown, c"f", 0, -1);
        fails!(EPERM: SYS_chown, c"f", -1, 5);
        ok!(SYS_chown, c"f", -1, 1000);
    });
}

fn access_checks_real_user() {
    needs_root();
    write_text("f", "");
    ok!(SYS_chmod, c"f", 0o600);
    in_child(|| {
        ok!(SYS_setresuid, 1000, 0, 0);
        fails!(EACCES: SYS_access, c"f", 4);
        ok!(SYS_faccessat2, AT_FDCWD, c"f", 4, AT_EACCESS);
    });
    ok!(SYS_access, c"f", 6);
    fails!(EACCES: SYS_access, c"f", 1);
    fails!(EINVAL: SYS_access, c"f", 8);
    fails!(ENOENT: SYS_access, c"missing", 0);
    fails!(EINVAL: SYS_faccessat2, AT_FDCWD, c"f", 4, 0x8000);
}

fn permission_bits_for_users() {
    needs_root();
    ok!(SYS_chmod, c".", 0o777);
    for (owner, group, bits, readable) in [
        (1000, 0, 0o400, true),
        (1000, 0, 0o077, false),
        (0, 1000, 0o040, true),
        (0, 1000, 0o404, false),
        (0, 0, 0o004, true),
        (0, 0, 0o770, false),
    ] {
        write_text("f", "secret");
        ok!(SYS_chown, c"f", owner, group);
        ok!(SYS_chmod, c"f", bits);
        as_user(|| {
            let opened = sys!(SYS_open, c"f", O_RDONLY);
            assert_eq!(opened.is_ok(), readable, "{owner}:{group} {bits:o}");
            fails!(EACCES: SYS_open, c"f", O_WRONLY);
        });
        ok!(SYS_unlink, c"f");
    }
}

fn search_permission_on_directories() {
    needs_root();
    ok!(SYS_mkdir, c"d", 0o711);
    write_text("d/f", "x");
    as_user(|| {
        ok!(SYS_open, c"d/f", O_RDONLY);
        fails!(EACCES: SYS_open, c"d", O_RDONLY);
        fails!(EACCES: SYS_open, c"d/new", O_CREAT | O_WRONLY, 0o600);
        fails!(EACCES: SYS_unlink, c"d/f");
    });
    ok!(SYS_chmod, c"d", 0o744);
    as_user(|| {
        ok!(SYS_open, c"d", O_RDONLY);
        fails!(EACCES: SYS_open, c"d/f", O_RDONLY);
        fails!(EACCES: SYS_chdir, c"d");
        fails!(EACCES: SYS_access, c"d/missing", 0);
    });
}

fn sticky_directory_protects() {
    needs_root();
    ok!(SYS_mkdir, c"d", 0o755);
    ok!(SYS_chmod, c"d", 0o1777);
    write_text("d/root", "");
    as_user(|| {
        fails!(EPERM: SYS_unlink, c"d/root");
        fails!(EPERM: SYS_rename, c"d/root", c"d/x");
        write_text("d/own", "");
        ok!(SYS_unlink, c"d/own");
    });
    ok!(SYS_chmod, c"d", 0o777);
    as_user(|| _ = ok!(SYS_unlink, c"d/root"));
}

fn setgid_directory_is_inherited() {
    needs_root();
    use std::os::unix::fs::MetadataExt;
    ok!(SYS_mkdir, c"d", 0o755);
    ok!(SYS_chown, c"d", 0, 77);
    ok!(SYS_chmod, c"d", 0o2777);
    write_text("d/f", "");
    ok!(SYS_mkdir, c"d/inner", 0o755);
    assert_eq!(std::fs::metadata("d/f").unwrap().gid(), 77);
    assert_eq!(std::fs::metadata("d/inner").unwrap().gid(), 77);
    assert_eq!(mode("d/inner"), 0o2755);
    assert_eq!(mode("d/f") & 0o2000, 0);
}

fn statfs_describes() {
    let mut information = [0_u64; 15];
    ok!(SYS_statfs, c"/proc", &mut information);
    assert_eq!(information[0], libc::PROC_SUPER_MAGIC as u64);
    let fd = ok!(SYS_open, c".", O_RDONLY);
    ok!(SYS_fstatfs, fd, &mut information);
    assert!(information[1] >= 512 && information[8] >= 255, "block size and name length");
    fails!(ENOENT: SYS_statfs, c"missing", &mut information);
    fails!(EFAULT: SYS_statfs, c".", 8);
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

fn chroot_confines() {
    needs_root();
    ok!(SYS_mkdir, c"jail", 0o755);
    write_text("jail/f", "inside");
    write_text("outside", "");
    let work = ok!(SYS_open, c".", O_RDONLY);
    in_child(|| {
        ok!(SYS_chroot, c"jail");
        ok!(SYS_chdir, c"/");
        assert_eq!(read_text("/f"), "inside");
        fails!(ENOENT: SYS_access, c"/../outside", 0);
        assert_eq!(ok!(SYS_getcwd, &mut [0_u8; 16], 16), 2);
        // Who still has a descriptor outside can leave.
        ok!(SYS_fchdir, work);
        ok!(SYS_access, c"outside", 0);
    });
    as_user(|| fails!(EPERM: SYS_chroot, c"jail"));
    fails!(ENOTDIR: SYS_chroot, c"outside");
}

/// A mount namespace of this process's own, so that nothing is left behind.
fn own_mounts() {
    needs_root();
    // Without namespaces the case cleans up after itself.
    let _ = sys!(SYS_unshare, libc::CLONE_NEWNS);
    let _ = sys!(SYS_mount, c"none", c"/", 0, libc::MS_REC | libc::MS_PRIVATE, 0);
    ok!(SYS_mkdir, c"m", 0o755);
    if sys!(SYS_mount, c"t", c"m", c"tmpfs", 0, 0) == Err(crate::sys::Errno::EPERM) {
        skip("needs the right to mount");
    }
    ok!(SYS_umount2, c"m", 0);
}

fn tmpfs_can_be_mounted() {
    own_mounts();
    write_text("m/below", "");
    ok!(SYS_mount, c"name", c"m", c"tmpfs", libc::MS_NOSUID, c"mode=700");
    assert_eq!(mode("m"), 0o700);
    fails!(ENOENT: SYS_access, c"m/below", 0);
    write_text("m/above", "text");
    let path = std::env::current_dir().unwrap().join("m");
    let line = format!("name {} tmpfs rw,nosuid", path.display());
    assert!(read_text("/proc/mounts").lines().any(|entry| entry.starts_with(&line)));
    fails!(EXDEV: SYS_rename, c"m/above", c"x");
    fails!(EXDEV: SYS_link, c"m/above", c"x");
    fails!(EBUSY: SYS_rmdir, c"m");
    let open = ok!(SYS_open, c"m/above", O_RDONLY);
    fails!(EBUSY: SYS_umount2, c"m", 0);
    ok!(SYS_close, open);
    ok!(SYS_chdir, c"m/..");
    ok!(SYS_umount2, c"m", 0);
    ok!(SYS_access, c"m/below", 0);
}

fn mount_refuses() {
    own_mounts();
    fails!(ENODEV: SYS_mount, c"x", c"m", c"no-such-file-system", 0, 0);
    fails!(ENOENT: SYS_mount, c"x", c"missing", c"tmpfs", 0, 0);
    write_text("f", "");
    fails!(ENOTDIR: SYS_mount, c"x", c"f", c"tmpfs", 0, 0);
    fails!(EINVAL: SYS_umount2, c"m", 0);
    fails!(ENOENT: SYS_umount2, c"missing", 0);
    as_user(|| {
        fails!(EPERM: SYS_mount, c"x", c"m", c"tmpfs", 0, 0);
        fails!(EPERM: SYS_umount2, c"/", 0);
    });
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
