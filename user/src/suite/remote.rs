//! Another process's memory: `process_vm_readv(2)` and `process_vm_writev(2)`. And who loses what when a file's pages are taken
//! away by whoever else maps it.

use super::support::{Child, Mapping, PAGE, child, needs_root, pipe, skip};
use crate::{fails, ok, sys};

super::area!("remote":
    remote_segments_are_cut_differently,
    remote_transfer_ends_at_a_hole,
    remote_access_needs_protection,
    remote_arguments_are_checked,
    remote_access_to_oneself,
    remote_access_needs_permission,
    remote_write_reaches_shared_memory,
    remote_write_into_private_file_page,
    a_hole_leaves_private_copies,
);

/// Starts and lengths, as the calls take them.
type Segments = Vec<[usize; 2]>;

fn read_from(pid: i32, local: &Segments, remote: &Segments) -> crate::sys::SysResult {
    let (to, from) = (local.as_ptr(), remote.as_ptr());
    sys!(SYS_process_vm_readv, pid, to, local.len(), from, remote.len(), 0)
}

fn write_to(pid: i32, local: &Segments, remote: &Segments) -> crate::sys::SysResult {
    let (from, to) = (local.as_ptr(), remote.as_ptr());
    sys!(SYS_process_vm_writev, pid, from, local.len(), to, remote.len(), 0)
}

/// A child with a copy of this process's memory, which waits until it is told to go, and runs `check` then.
struct Waiting {
    child: Child,
    go: i32,
}

impl Waiting {
    fn new(check: impl FnOnce()) -> Self {
        if read_from(ok!(SYS_getpid) as i32, &Vec::new(), &Vec::new())
            == Err(nix::errno::Errno::ENOSYS)
        {
            skip("there is no process_vm_readv");
        }
        let (go, there) = (pipe(0), pipe(0));
        let child = child(|| {
            ok!(SYS_write, there.1, b"t", 1);
            ok!(SYS_read, go.0, &mut [0_u8; 1], 1);
            check();
        });
        ok!(SYS_read, there.0, &mut [0_u8; 1], 1);
        Self { child, go: go.1 }
    }

    fn pid(&self) -> i32 {
        self.child.pid()
    }

    fn finish(self) {
        ok!(SYS_write, self.go, b"g", 1);
        self.child.success();
    }
}

fn remote_segments_are_cut_differently() {
    let mapping = Mapping::private(3);
    let bytes: Vec<u8> = (0..2 * PAGE).map(|index| (index % 251) as u8).collect();
    (0..bytes.len()).for_each(|index| mapping.set(index + 100, bytes[index]));
    let at = mapping.address() + 100;
    let check = || assert!((0..5000).all(|index| mapping.get(index) == 7), "what was written");
    let child = Waiting::new(check);
    mapping.fill(0);
    let mut found = vec![0_u8; bytes.len()];
    let start = found.as_mut_ptr().expose_provenance();
    let local = vec![[start, 1], [start + 1, 0], [start + 1, 5000], [start + 5001, 3191]];
    let remote = vec![[at, 4000], [at + 4000, 1], [at + 4001, 4191]];
    assert_eq!(read_from(child.pid(), &local, &remote), Ok(2 * PAGE));
    assert!(found == bytes);
    // The shorter side counts.
    let short = vec![[start, 10]];
    assert_eq!(read_from(child.pid(), &short, &vec![[at + 1, 3], [at + 9, 100]]), Ok(10));
    assert_eq!(found[..10], [1, 2, 3, 9, 10, 11, 12, 13, 14, 15]);
    found.fill(7);
    let remote = vec![[mapping.address(), 1], [mapping.address() + 1, 4999]];
    assert_eq!(write_to(child.pid(), &vec![[start, 5000]], &remote), Ok(5000));
    assert!(mapping.is_all(0), "the writer's own page");
    child.finish();
}

fn remote_transfer_ends_at_a_hole() {
    let mapping = Mapping::private(3);
    mapping.fill(5);
    mapping.unmap(1, 1);
    let child = Waiting::new(|| assert_eq!(mapping.get(PAGE - 1), 6));
    let mut found = vec![6_u8; 3 * PAGE];
    let local = vec![[found.as_mut_ptr().expose_provenance(), 3 * PAGE]];
    let across = vec![[mapping.address() + PAGE - 8, PAGE]];
    assert_eq!(write_to(child.pid(), &local, &across), Ok(8));
    assert_eq!(read_from(child.pid(), &local, &across), Ok(8));
    let hole = vec![[mapping.page(1), 8], [mapping.page(2), 8]];
    assert_eq!(read_from(child.pid(), &local, &hole), Err(nix::errno::Errno::EFAULT));
    for nowhere in [usize::MAX - 4, 1 << 47, 0] {
        let remote = vec![[nowhere, 100]];
        assert_eq!(read_from(child.pid(), &local, &remote), Err(nix::errno::Errno::EFAULT));
    }
    // Both ends count: the reader's own hole stops it as well.
    let local = vec![[mapping.page(1), 8]];
    let remote = vec![[mapping.page(2), 8]];
    assert_eq!(read_from(child.pid(), &local, &remote), Err(nix::errno::Errno::EFAULT));
    child.finish();
}

fn remote_access_needs_protection() {
    let mapping = Mapping::private(2);
    mapping.fill(5);
    mapping.protect(0, 1, libc::PROT_READ);
    mapping.protect(1, 1, libc::PROT_NONE);
    let child = Waiting::new(|| assert_eq!(mapping.get(0), 5));
    let mut byte = [1_u8];
    let local = vec![[byte.as_mut_ptr().expose_provenance(), 1]];
    let (read_only, closed) = (vec![[mapping.page(0), 1]], vec![[mapping.page(1), 1]]);
    assert_eq!(write_to(child.pid(), &local, &read_only), Err(nix::errno::Errno::EFAULT));
    assert_eq!(read_from(child.pid(), &local, &closed), Err(nix::errno::Errno::EFAULT));
    assert_eq!(read_from(child.pid(), &local, &read_only), Ok(1));
    assert_eq!(byte, [5]);
    child.finish();
}

fn remote_arguments_are_checked() {
    let mapping = Mapping::private(1);
    let child = Waiting::new(|| ());
    let one = [[mapping.address(), 1]];
    let pid = child.pid();
    fails!(EINVAL: SYS_process_vm_readv, pid, &one, 1, &one, 1, 1);
    fails!(EINVAL: SYS_process_vm_readv, pid, &one, 1025, &one, 1, 0);
    fails!(EINVAL: SYS_process_vm_readv, pid, &one, 1, &one, 1025, 0);
    fails!(EFAULT: SYS_process_vm_readv, pid, 8, 1, &one, 1, 0);
    fails!(EFAULT: SYS_process_vm_readv, pid, &one, 1, 8, 1, 0);
    fails!(EINVAL: SYS_process_vm_readv, pid, &[[mapping.address(), usize::MAX]], 1, &one, 1, 0);
    for nobody in [0, -1, 1 << 30] {
        fails!(ESRCH: SYS_process_vm_writev, nobody, &one, 1, &one, 1, 0);
    }
    // With nothing to copy nobody is asked.
    let nothing = [[mapping.address(), 0]];
    assert_eq!(ok!(SYS_process_vm_readv, 1 << 30, &nothing, 1, &one, 1, 0), 0);
    assert_eq!(ok!(SYS_process_vm_readv, 1 << 30, &one, 1, &nothing, 1, 0), 0);
    assert_eq!(ok!(SYS_process_vm_readv, 1 << 30, &one, 0, &one, 0, 0), 0);
    child.finish();
}

fn remote_access_to_oneself() {
    Waiting::new(|| ()).finish();
    let mapping = Mapping::private(2);
    mapping.fill(3);
    mapping.set(0, 4);
    let pid = ok!(SYS_getpid) as i32;
    let (first, second) = (vec![[mapping.page(0), PAGE]], vec![[mapping.page(1), PAGE]]);
    assert_eq!(write_to(pid, &first, &second), Ok(PAGE));
    assert_eq!((mapping.get(PAGE), mapping.get(PAGE + 1)), (4, 3));
    mapping.set(PAGE, 9);
    assert_eq!(read_from(pid, &first, &second), Ok(PAGE));
    assert_eq!(mapping.get(0), 9);
}

fn remote_access_needs_permission() {
    needs_root();
    let mapping = Mapping::private(1);
    let own = ok!(SYS_getpid) as i32;
    let one = vec![[mapping.address(), 1]];
    let checks = || {
        assert_eq!(read_from(own, &one, &one), Err(nix::errno::Errno::EPERM));
        // Without privileges a process is open to others of its user, unless it says no.
        let sibling = Waiting::new(|| ());
        assert_eq!(read_from(sibling.pid(), &one, &one), Ok(1));
        sibling.finish();
        ok!(SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        let closed = Waiting::new(|| ());
        assert_eq!(read_from(closed.pid(), &one, &one), Err(nix::errno::Errno::EPERM));
        closed.finish();
    };
    super::support::in_child(|| {
        ok!(SYS_setresgid, 1234, 1234, 1234);
        ok!(SYS_setresuid, 1234, 1234, 1234);
        ok!(SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
        checks();
    });
}

fn remote_write_reaches_shared_memory() {
    let mapping = Mapping::shared(1);
    mapping.fill(1);
    let child = Waiting::new(|| assert_eq!(mapping.get(3), 2));
    let two = [2_u8];
    let local = vec![[two.as_ptr().expose_provenance(), 1]];
    assert_eq!(write_to(child.pid(), &local, &vec![[mapping.address() + 3, 1]]), Ok(1));
    assert_eq!(mapping.get(3), 2);
    child.finish();
}

fn memfd(pages: usize) -> i32 {
    let fd = ok!(SYS_memfd_create, c"remote".as_ptr(), 0) as i32;
    ok!(SYS_ftruncate, fd, pages * PAGE);
    fd
}

fn remote_write_into_private_file_page() {
    let fd = memfd(1);
    let mapping = Mapping::file(fd, PAGE, libc::MAP_PRIVATE);
    assert_eq!(mapping.get(0), 0);
    let child = Waiting::new(|| assert_eq!((mapping.get(0), mapping.get(1)), (2, 0)));
    let two = [2_u8];
    let local = vec![[two.as_ptr().expose_provenance(), 1]];
    assert_eq!(write_to(child.pid(), &local, &vec![[mapping.address(), 1]]), Ok(1));
    let mut byte = [9_u8];
    assert_eq!(ok!(SYS_pread64, fd, &mut byte, 1, 0), 1);
    assert_eq!((byte, mapping.get(0)), ([0], 0));
    child.finish();
}

/// A hole takes the file's pages out of private mappings and leaves the copies; truncation takes those as well.
fn a_hole_leaves_private_copies() {
    let fd = memfd(4);
    let shared = Mapping::file(fd, 4 * PAGE, libc::MAP_SHARED);
    shared.stamp(1);
    let private = Mapping::file(fd, 4 * PAGE, libc::MAP_PRIVATE);
    let seen = || [0, 1, 2, 3].map(|page| private.get(page * PAGE));
    assert_eq!(seen(), [1, 2, 3, 4]);
    private.set(0, 9);
    super::support::in_child(|| {
        private.set(PAGE, 8);
        ok!(SYS_madvise, shared.address(), 3 * PAGE, libc::MADV_REMOVE);
        assert_eq!(seen(), [9, 8, 0, 4]);
    });
    assert_eq!(seen(), [9, 0, 0, 4]);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    ok!(SYS_fallocate, fd, punch, 0, 4 * PAGE);
    assert_eq!(seen(), [9, 0, 0, 0]);
    ok!(SYS_ftruncate, fd, 0);
    ok!(SYS_ftruncate, fd, 4 * PAGE);
    assert_eq!(seen(), [0, 0, 0, 0]);
}
