//! Mounted file systems: statfs, chroot, mount and umount.

use libc::O_RDONLY;

use super::paths::{as_user, mode};
use super::support::{in_child, needs_root, read_text, skip, write_text};
use crate::{fails, ok, sys};

super::area!("mounts":
    statfs_describes,
    chroot_confines,
    tmpfs_can_be_mounted,
    mount_refuses,
);

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
