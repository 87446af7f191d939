//! Links and new names: symbolic and hard links, rename and its flags.

use libc::{
    AT_FDCWD, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, O_CREAT, O_PATH, O_RDONLY, O_WRONLY,
    RENAME_EXCHANGE, RENAME_NOREPLACE,
};

use super::support::{read_all, read_text, skip, write_text};
use crate::{fails, ok};

super::area!("links":
    symlinks_are_followed,
    symlink_loops_end,
    dangling_symlinks,
    readlink_cuts_and_refuses,
    hard_links_count,
    link_refuses,
    linkat_follows_on_request,
    rename_replaces,
    rename_refuses,
    rename_moves_directories,
    rename_exchange_and_noreplace,
    directory_link_counts,
);

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
