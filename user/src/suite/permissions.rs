//! Who may do what with a file: mode bits, owners, access, the sticky and set-group-id bits.

use libc::{AT_EACCESS, AT_FDCWD, O_CREAT, O_RDONLY, O_WRONLY};

use super::paths::{as_user, mode};
use super::support::{in_child, needs_root, write_text};
use crate::{fails, ok, sys};

super::area!("permissions":
    chmod_changes_bits,
    chmod_needs_ownership,
    chown_clears_setuid,
    chown_refuses_users,
    access_checks_real_user,
    permission_bits_for_users,
    search_permission_on_directories,
    sticky_directory_protects,
    setgid_directory_is_inherited,
);

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
