//! Resource limits: what a process that reaches one gets.

use super::support::{
    Child, Mapping, caught, child, default_action, exit_now, in_child, nap, needs_root, poke,
    record, write_text,
};
use crate::sys::Errno;
use crate::{fails, ok, sys};

super::area!("limits":
    descriptors_run_out,
    descriptor_limit_is_enforced,
    address_space_limit_is_enforced,
    mapping_until_the_limit_and_back,
    data_limit_binds_brk,
    file_size_limit_signals,
    process_limit_is_enforced,
    cpu_limit_signals,
);

fn descriptors_run_out() {
    let hard = {
        let mut limit = [0_u64; 2];
        ok!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut limit);
        limit[1]
    };
    ok!(SYS_setrlimit, libc::RLIMIT_NOFILE, &[32_u64, hard]);
    let mut opened = Vec::new();
    let error = loop {
        match sys!(SYS_open, c"/dev/null", libc::O_RDONLY) {
            Ok(fd) => opened.push(fd),
            Err(error) => break error,
        }
    };
    assert_eq!((error, *opened.last().unwrap()), (Errno::EMFILE, 31));
    fails!(EMFILE: SYS_pipe, &mut [0_i32; 2]);
    fails!(EMFILE: SYS_dup, 0);
    fails!(EMFILE: SYS_epoll_create1, 0);
    fails!(EMFILE: SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut [0_i32; 2]);
    ok!(SYS_close, opened[0]);
    fails!(EMFILE: SYS_pipe, &mut [0_i32; 2]);
    assert_eq!(ok!(SYS_dup, 0), opened[0]);
}

fn descriptor_limit_is_enforced() {
    ok!(SYS_setrlimit, libc::RLIMIT_NOFILE, &[20_u64, 20]);
    fails!(EBADF: SYS_dup2, 0, 20);
    fails!(EBADF: SYS_dup3, 0, 25, 0);
    fails!(EINVAL: SYS_fcntl, 0, libc::F_DUPFD, 20);
    ok!(SYS_dup2, 0, 19);
}

/// Lowers a limit in a child and runs `body` there.
#[track_caller]
fn under_limit(resource: i32, limit: u64, body: impl FnOnce()) {
    in_child(|| {
        ok!(SYS_prlimit64, 0, resource, &[limit, limit], 0);
        body();
    });
}

fn address_space_limit_is_enforced() {
    under_limit(libc::RLIMIT_AS as i32, 512 << 20, || {
        fails!(ENOMEM: SYS_mmap, 0, 1 << 30, 3, 0x22, -1, 0);
        let mapping = Mapping::private(1000);
        fails!(ENOMEM: SYS_mremap, mapping.address(), mapping.len(), 1 << 30, 1, 0);
        let start = ok!(SYS_brk, 0);
        assert_eq!(ok!(SYS_brk, start + (1 << 30)), start);
        mapping.stamp(1);
    });
}

fn mapping_until_the_limit_and_back() {
    under_limit(libc::RLIMIT_AS as i32, 256 << 20, || {
        for _ in 0..3 {
            let mut mapped = 0;
            let mut addresses = [0_usize; 600];
            while let Ok(address) = sys!(SYS_mmap, 0, 1 << 20, 3, 0x22, -1, 0) {
                addresses[mapped] = address;
                poke(address, 1);
                mapped += 1;
            }
            assert!(mapped > 100, "{mapped} MiB");
            for address in &addresses[..mapped] {
                ok!(SYS_munmap, *address, 1 << 20);
            }
        }
    });
}

fn data_limit_binds_brk() {
    under_limit(libc::RLIMIT_DATA as i32, 64 << 20, || {
        let start = ok!(SYS_brk, 0);
        assert_eq!(ok!(SYS_brk, start + (128 << 20)), start);
        fails!(ENOMEM: SYS_mmap, 0, 128 << 20, 3, 0x22, -1, 0);
        ok!(SYS_mmap, 0, 128 << 20, 1, 0x22, -1, 0);
    });
}

fn file_size_limit_signals() {
    write_text("file", "");
    let child = child(|| {
        ok!(SYS_prlimit64, 0, libc::RLIMIT_FSIZE, &[10_000_u64, 10_000], 0);
        ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
        let fd = ok!(SYS_open, c"file", libc::O_WRONLY);
        let data = [1_u8; 8000];
        assert_eq!(ok!(SYS_write, fd, &data, 8000), 8000);
        assert_eq!(ok!(SYS_write, fd, &data, 8000), 2000, "up to the limit");
        record(libc::SIGXFSZ, 0);
        fails!(EFBIG: SYS_write, fd, &data, 1);
        fails!(EFBIG: SYS_ftruncate, fd, 20_000);
        assert_eq!(caught(libc::SIGXFSZ), 2);
        default_action(libc::SIGXFSZ);
        let _ = sys!(SYS_write, fd, &data, 1);
    });
    assert_eq!(child.status().signal(), Some(libc::SIGXFSZ));
}

fn process_limit_is_enforced() {
    needs_root();
    in_child(|| {
        ok!(SYS_prlimit64, 0, libc::RLIMIT_NPROC, &[5_u64, 5], 0);
        // A user of whom there are no other processes.
        ok!(SYS_setresgid, 54321, 54321, 54321);
        ok!(SYS_setresuid, 54321, 54321, 54321);
        let mut children = Vec::new();
        let error = loop {
            match sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
                Ok(0) => {
                    nap(100_000);
                    exit_now(0);
                }
                Ok(pid) => children.push(pid),
                Err(error) => break error,
            }
        };
        assert_eq!((error, children.len()), (Errno::EAGAIN, 4));
        for pid in children {
            Child::from_pid(pid).finish();
        }
        in_child(|| {});
    });
}

fn cpu_limit_signals() {
    let child = child(|| {
        ok!(SYS_prlimit64, 0, libc::RLIMIT_CPU, &[1_u64, 5], 0);
        ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
        loop {
            std::hint::spin_loop();
        }
    });
    assert_eq!(child.status().signal(), Some(libc::SIGXCPU));
}
