//! The file systems that programs expect to find.

use std::fs;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

/// A file system, where it belongs, and its options.
struct Wanted {
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    data: &'static str,
    necessity: Necessity,
}

/// What it means when a file system is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Necessity {
    /// Programs do without; a kernel that lacks it gets no complaint.
    Optional,
    /// Programs will miss it.
    Expected,
}

const HARDENED: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
/// Terminals are devices, which `MS_NODEV` would forbid to open.
const TERMINALS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);
const SHARED: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

const TABLE: [Wanted; 7] = [
    wanted("proc", "/proc", HARDENED, "", Necessity::Expected),
    wanted("sysfs", "/sys", HARDENED, "", Necessity::Optional),
    wanted("devtmpfs", "/dev", MsFlags::MS_NOSUID, "", Necessity::Expected),
    wanted("devpts", "/dev/pts", TERMINALS, "mode=620,ptmxmode=666", Necessity::Optional),
    wanted("tmpfs", "/dev/shm", SHARED, "mode=1777", Necessity::Optional),
    wanted("tmpfs", "/tmp", SHARED, "mode=1777", Necessity::Expected),
    wanted("tmpfs", "/run", SHARED, "mode=0755", Necessity::Expected),
];

const fn wanted(
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    data: &'static str,
    necessity: Necessity,
) -> Wanted {
    Wanted { kind, target, flags, data, necessity }
}

/// Mounts everything in the table that is not mounted yet; says what could not be, and goes on.
pub fn mount_all() {
    for wanted in &TABLE {
        if let Err(error) = mount_one(wanted) {
            eprintln!("init: cannot mount {} on {}: {error}", wanted.kind, wanted.target);
        }
    }
}

fn mount_one(wanted: &Wanted) -> Result<(), Errno> {
    if is_mounted(wanted) {
        return Ok(());
    }
    let made = fs::create_dir_all(wanted.target);
    let data = (!wanted.data.is_empty()).then_some(wanted.data);
    match mount(Some(wanted.kind), wanted.target, Some(wanted.kind), wanted.flags, data) {
        // The kernel had done it before.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(Errno::ENODEV | Errno::ENOSYS | Errno::ENOENT)
            if wanted.necessity == Necessity::Optional =>
        {
            Ok(())
        }
        Err(error) => {
            if let Err(cause) = made {
                eprintln!("init: cannot make {}: {cause}", wanted.target);
            }
            Err(error)
        }
    }
}

/// Whether this kind of file system is already on its target, as `/proc/mounts` tells it. Without `/proc`
/// nothing can be said, and the attempt to mount will show.
fn is_mounted(wanted: &Wanted) -> bool {
    let Ok(table) = fs::read_to_string("/proc/mounts") else {
        return false;
    };
    // A kernel that brings its own device file system may call it by another name than devtmpfs.
    let any_kind = wanted.target == "/dev";
    table.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(wanted.target)
            && fields.next().is_some_and(|kind| any_kind || kind == wanted.kind)
    })
}
