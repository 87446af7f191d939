//! What the kernel writes to user memory after fork: it must break copy-on-write as a program's own write does, and reach nobody
//! else (I11 of `docs/cow-tree.md`).

use std::sync::atomic::Ordering::SeqCst;

use super::cow::{file, while_child_waits};
use super::support::{
    Child, Mapping, PAGE, caught, child, exit_now, in_child, pipe, read_all, record,
};
use crate::{fails, ok, sys};

super::area!("cow_kernel":
    read_into_shared_page,
    pipe_read_into_shared_page,
    getdents_into_shared_page,
    wait_status_into_shared_page,
    futex_word_in_shared_page,
    child_tid_into_shared_page,
    signal_frame_on_shared_stack,
    write_from_shared_page,
    readv_across_pages,
    small_results_into_shared_page,
    results_with_addresses_into_shared_page,
    parent_tid_into_shared_page,
    robust_list_of_the_dead_in_shared_page,
    alternate_stack_in_shared_page,
    remote_write_into_shared_page,
);

/// `write` makes the kernel write into the mapping's page, which must stay with whoever did it.
#[track_caller]
fn kernel_write_is_private(write: impl Fn(usize)) {
    let mapping = Mapping::private(2);
    mapping.fill(0xaa);
    in_child(|| {
        write(mapping.address());
        assert!((0..64).any(|offset| mapping.get(offset) != 0xaa), "nothing was written");
    });
    assert!(mapping.is_all(0xaa), "the child's kernel wrote into the parent");
    while_child_waits(
        || write(mapping.address()),
        || assert!(mapping.is_all(0xaa), "the parent's kernel wrote into the child"),
    );
    assert!(!mapping.is_all(0xaa));
}

fn read_into_shared_page() {
    let fd = file(&[0x11; 100]);
    kernel_write_is_private(|address| {
        assert_eq!(ok!(SYS_pread64, fd, address, 50, 0), 50);
    });
}

fn pipe_read_into_shared_page() {
    kernel_write_is_private(|address| {
        let (read_end, write_end) = pipe(0);
        ok!(SYS_write, write_end, b"some text", 9);
        assert_eq!(ok!(SYS_read, read_end, address, 9), 9);
    });
}

fn getdents_into_shared_page() {
    kernel_write_is_private(|address| {
        let directory = ok!(SYS_open, c"/", libc::O_RDONLY | libc::O_DIRECTORY);
        assert!(ok!(SYS_getdents64, directory, address, PAGE) > 0);
    });
}

fn wait_status_into_shared_page() {
    kernel_write_is_private(|address| {
        let child = child(|| exit_now(3));
        ok!(SYS_wait4, child.pid(), address, 0, 0);
    });
}

fn futex_word_in_shared_page() {
    let mapping = Mapping::private(1);
    mapping.word(0).store(5, SeqCst);
    in_child(|| {
        // FUTEX_WAKE_OP: add 3 to the word. Private to this process, although the frame is shared.
        let operation = 1 << 28 | 3 << 12;
        ok!(SYS_futex, mapping.word(64), libc::FUTEX_WAKE_OP, 0, 0, mapping.address(), operation);
        assert_eq!(mapping.word(0).load(SeqCst), 8);
    });
    assert_eq!(mapping.word(0).load(SeqCst), 5);
    in_child(|| {
        fails!(EAGAIN: SYS_futex, mapping.word(0), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 8, 0);
        let soon = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        fails!(ETIMEDOUT: SYS_futex, mapping.word(0), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 5, &soon);
    });
}

fn child_tid_into_shared_page() {
    let mapping = Mapping::private(1);
    mapping.word(0).store(1, SeqCst);
    let flags = libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
    let pid = ok!(SYS_clone, flags, 0, 0, mapping.address(), 0);
    if pid == 0 {
        assert_eq!(mapping.word(0).load(SeqCst) as usize, ok!(SYS_getpid));
        exit_now(0);
    }
    Child::from_pid(pid).success();
    assert_eq!(mapping.word(0).load(SeqCst), 1);
}

fn signal_frame_on_shared_stack() {
    record(libc::SIGUSR1, 0);
    let below = std::hint::black_box([0x5a_u8; 4 * PAGE]);
    in_child(|| {
        for _ in 0..3 {
            ok!(SYS_kill, ok!(SYS_getpid), libc::SIGUSR1);
        }
        assert_eq!(caught(libc::SIGUSR1), 3);
    });
    assert_eq!(caught(libc::SIGUSR1), 0);
    assert!(below.iter().all(|byte| *byte == 0x5a));
}

fn write_from_shared_page() {
    let mapping = Mapping::private(2);
    mapping.fill(b'p');
    let (read_end, write_end) = pipe(0);
    in_child(|| {
        mapping.fill(b'c');
        ok!(SYS_write, write_end, mapping.address(), 3);
    });
    ok!(SYS_write, write_end, mapping.address(), 3);
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"cccppp");
}

fn readv_across_pages() {
    let fd = file(&[7; 3 * PAGE]);
    let mapping = Mapping::private(4);
    mapping.fill(1);
    in_child(|| {
        let vectors = [[mapping.address() + 100, PAGE], [mapping.page(2) + 4000, 200]];
        assert_eq!(ok!(SYS_preadv, fd, &vectors, 2, 0, 0), PAGE + 200);
        assert_eq!((mapping.get(99), mapping.get(100), mapping.get(PAGE + 99)), (1, 7, 7));
    });
    assert!(mapping.is_all(1));
}

/// A call's name, and the call with the address that it is to write to.
type Call = (&'static str, fn(usize));

/// Calls that store a result where their argument says.
fn small_results_into_shared_page() {
    let calls: [Call; 12] = [
        ("getrandom", |to| assert_eq!(ok!(SYS_getrandom, to, 64, 0), 64)),
        ("uname", |to| {
            ok!(SYS_uname, to);
        }),
        ("clock_gettime", |to| {
            ok!(SYS_clock_gettime, libc::CLOCK_MONOTONIC, to);
        }),
        ("gettimeofday", |to| {
            ok!(SYS_gettimeofday, to, 0);
        }),
        ("getcwd", |to| {
            ok!(SYS_getcwd, to, 64);
        }),
        ("sysinfo", |to| {
            ok!(SYS_sysinfo, to);
        }),
        ("times", |to| {
            ok!(SYS_times, to);
        }),
        ("getrusage", |to| {
            ok!(SYS_getrusage, libc::RUSAGE_SELF, to);
        }),
        ("prlimit64", |to| {
            ok!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, to);
        }),
        ("rt_sigprocmask", |to| {
            ok!(SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, to, 8);
        }),
        ("rt_sigaction", |to| {
            ok!(SYS_rt_sigaction, libc::SIGUSR2, 0, to, 8);
        }),
        ("sched_getaffinity", |to| assert!(ok!(SYS_sched_getaffinity, 0, 128, to) > 0)),
    ];
    for (name, call) in calls {
        println!("{name}");
        kernel_write_is_private(call);
    }
}

/// Calls that store more than one thing, or by way of a structure.
fn results_with_addresses_into_shared_page() {
    let calls: [Call; 7] = [
        ("pipe2", |to| {
            ok!(SYS_pipe2, to, 0);
        }),
        ("socketpair", |to| {
            ok!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, to);
        }),
        ("newfstatat", |to| {
            ok!(SYS_newfstatat, libc::AT_FDCWD, c"/", to, 0);
        }),
        ("readlinkat", |to| {
            assert!(ok!(SYS_readlinkat, libc::AT_FDCWD, c"/proc/self", to, 64) > 0);
        }),
        ("waitid", |to| {
            let child = child(|| exit_now(3));
            ok!(SYS_waitid, libc::P_PID, child.pid(), to, libc::WEXITED, 0);
        }),
        ("rt_sigtimedwait", |to| {
            super::support::block(&[libc::SIGUSR1]);
            ok!(SYS_kill, ok!(SYS_getpid), libc::SIGUSR1);
            let set = super::support::set_of(&[libc::SIGUSR1]);
            assert_eq!(ok!(SYS_rt_sigtimedwait, &set, to, 0, 8), libc::SIGUSR1 as usize);
        }),
        ("epoll_wait", |to| {
            let (_, write_end) = pipe(0);
            let epoll = ok!(SYS_epoll_create1, 0);
            let event = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: 5 };
            ok!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, write_end, &event);
            assert_eq!(ok!(SYS_epoll_wait, epoll, to, 1, -1), 1);
        }),
    ];
    for (name, call) in calls {
        println!("{name}");
        kernel_write_is_private(call);
    }
}

/// `CLONE_PARENT_SETTID` writes into the parent's memory before the child has its copy of that, or after; only the parent's
/// word is specified. A sharer of the page must not see it.
fn parent_tid_into_shared_page() {
    let mapping = Mapping::private(1);
    mapping.word(0).store(1, SeqCst);
    while_child_waits(
        || {
            let flags = libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
            let pid = ok!(SYS_clone, flags, 0, mapping.address(), 0, 0);
            if pid == 0 {
                exit_now(0);
            }
            assert_eq!(mapping.word(0).load(SeqCst) as usize, pid);
            Child::from_pid(pid).success();
        },
        || assert_eq!(mapping.word(0).load(SeqCst), 1),
    );
}

/// A thread dies with a lock that lies in a page its process shares copy on write.
fn robust_list_of_the_dead_in_shared_page() {
    const LOCK: usize = 96;
    let page = Mapping::private(1);
    // A list of one entry at 64, whose lock is 32 bytes behind it; the head is at 0.
    page.long(0).store(page.address() as u64 + 64, SeqCst);
    page.long(8).store(LOCK as u64 - 64, SeqCst);
    page.long(64).store(page.address() as u64, SeqCst);
    page.word(LOCK).store(7, SeqCst);
    in_child(|| {
        let sharer = child(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    page.word(LOCK).store(ok!(SYS_gettid) as u32, SeqCst);
                    ok!(SYS_set_robust_list, page.address(), 24);
                    // Another process shares the page again at the moment of death.
                    in_child(|| assert_ne!(page.word(LOCK).load(SeqCst), 7));
                });
            });
            // The thread is joined by way of memory; its death comes a little later.
            super::support::until("the lock was marked", || {
                page.word(LOCK).load(SeqCst) & libc::FUTEX_OWNER_DIED != 0
            });
        });
        sharer.success();
        assert_eq!(page.word(LOCK).load(SeqCst), 7);
    });
    assert_eq!(page.word(LOCK).load(SeqCst), 7);
}

fn alternate_stack_in_shared_page() {
    let stack = Mapping::private(8);
    stack.fill(0xaa);
    record(libc::SIGUSR1, libc::SA_ONSTACK);
    let deliver = || {
        let words = [stack.address(), 0, stack.len()];
        ok!(SYS_sigaltstack, &words, 0);
        ok!(SYS_kill, ok!(SYS_getpid), libc::SIGUSR1);
        assert_eq!(caught(libc::SIGUSR1), 1);
        assert!(!stack.is_all(0xaa), "no frame was written");
    };
    in_child(deliver);
    assert!(stack.is_all(0xaa));
    while_child_waits(deliver, || assert!(stack.is_all(0xaa)));
    ok!(SYS_sigaltstack, &[0_usize, libc::SS_DISABLE as usize, 0], 0);
}

/// `process_vm_writev` into a child that shares its pages with this process.
fn remote_write_into_shared_page() {
    let mapping = Mapping::private(2);
    mapping.fill(1);
    let (go, gone) = (pipe(0), pipe(0));
    let child = child(|| {
        ok!(SYS_write, gone.1, b"r", 1);
        ok!(SYS_read, go.0, &mut [0_u8; 1], 1);
        assert_eq!((mapping.get(PAGE - 2), mapping.get(PAGE - 1)), (1, 9));
        assert_eq!((mapping.get(PAGE), mapping.get(PAGE + 1)), (9, 1));
    });
    ok!(SYS_read, gone.0, &mut [0_u8; 1], 1);
    let local = [[b"\x09\x09".as_ptr().expose_provenance(), 2]];
    let remote = [[mapping.address() + PAGE - 1, 2]];
    let written = sys!(SYS_process_vm_writev, child.pid(), &local, 1, &remote, 1, 0);
    assert!(matches!(written, Ok(2) | Err(nix::errno::Errno::ENOSYS)), "{written:?}");
    if written.is_err() {
        child.finish();
        super::support::skip("there is no process_vm_writev");
    }
    ok!(SYS_write, go.1, b"g", 1);
    child.success();
    assert!(mapping.is_all(1));
}
