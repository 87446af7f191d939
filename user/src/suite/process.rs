//! fork, clone, exit, orphans, process groups and sessions.

use std::sync::atomic::{AtomicU32, Ordering};

use libc::{CLONE_FILES, CLONE_FS, CLONE_PARENT_SETTID, CLONE_VFORK, CLONE_VM, SIGCHLD, SIGUSR1};

use super::support::{
    Child, Mapping, Status, caught, child, exec_helper, exit_now, in_child, nap, pipe, read_all,
    read_text, record, until, wait_for, write_text,
};
use crate::{fails, ok, sys};

super::area!("process":
    fork_tells_parent_and_child_apart,
    exit_status_is_eight_bits,
    exit_group_ends_all_threads,
    child_copies_descriptors,
    child_shares_file_offset,
    clone_with_files_shares_descriptors,
    clone_with_fs_shares_working_directory,
    clone_with_vm_shares_memory,
    clone_refuses_nonsense_flags,
    clone3_forks,
    clone3_refuses_bad_sizes,
    vfork_parent_waits_for_exec_or_exit,
    clone_stores_ids_on_both_sides,
    clear_child_tid_is_zeroed_and_woken,
    set_tid_address_returns_thread_id,
    exit_signal_of_clone_is_sent,
    orphan_goes_to_the_subreaper,
    orphan_sees_new_parent,
    death_signal_of_parent_arrives,
    name_can_be_set_and_read,
    process_group_follows_setpgid,
    setpgid_refuses_strangers,
    setpgid_refuses_child_after_exec,
    session_leader_has_no_terminal,
    setsid_refuses_group_leader,
    getpgid_and_getsid_of_others,
    many_children_are_all_reaped,
    deep_chain_of_forks,
    pids_are_not_reused_at_once,
);

fn fork_tells_parent_and_child_apart() {
    let parent = ok!(SYS_getpid);
    let seen = Mapping::shared(1);
    let child = child(|| {
        assert_eq!(ok!(SYS_getppid), parent);
        assert_eq!(ok!(SYS_gettid), ok!(SYS_getpid));
        seen.word(0).store(ok!(SYS_getpid) as u32, Ordering::SeqCst);
    });
    let pid = child.pid();
    assert_ne!(pid as usize, parent);
    child.success();
    assert_eq!(seen.word(0).load(Ordering::SeqCst), pid as u32);
    fails!(ECHILD: SYS_wait4, pid, 0, 0, 0);
}

fn exit_status_is_eight_bits() {
    for (given, seen) in [(0, 0), (1, 1), (255, 255), (256, 0), (-1, 255), (0x1234, 0x34)] {
        let child = child(|| exit_now(given));
        assert_eq!(child.status(), Status::Exited(seen));
    }
}

fn exit_group_ends_all_threads() {
    let child = child(|| {
        for _ in 0..3 {
            std::thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        }
        std::thread::spawn(|| nap(100_000));
        nap(5);
        ok!(SYS_exit_group, 9);
    });
    assert_eq!(child.status(), Status::Exited(9));
}

fn child_copies_descriptors() {
    let (read_end, write_end) = pipe(0);
    in_child(|| {
        ok!(SYS_close, read_end);
        ok!(SYS_write, write_end, b"x", 1);
    });
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"x");
}

fn child_shares_file_offset() {
    write_text("file", "abcdef");
    let fd = ok!(SYS_open, c"file", libc::O_RDONLY);
    in_child(|| {
        let mut byte = [0_u8; 2];
        assert_eq!(ok!(SYS_read, fd, &mut byte, 2), 2);
    });
    assert_eq!(ok!(SYS_lseek, fd, 0, libc::SEEK_CUR), 2);
}

/// clone without a new stack: a fork with other flags.
#[track_caller]
fn clone_with(flags: i32, body: impl FnOnce()) -> Child {
    let pid = ok!(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if pid == 0 {
        body();
        exit_now(0);
    }
    Child::from_pid(pid)
}

fn clone_with_files_shares_descriptors() {
    let fd = ok!(SYS_open, c"/dev/null", libc::O_RDONLY);
    clone_with(CLONE_FILES, || {
        ok!(SYS_close, fd);
        ok!(SYS_dup2, 1, fd + 10);
    })
    .success();
    fails!(EBADF: SYS_fcntl, fd, libc::F_GETFD);
    ok!(SYS_fcntl, fd + 10, libc::F_GETFD);
}

fn clone_with_fs_shares_working_directory() {
    ok!(SYS_mkdir, c"inner", 0o755);
    clone_with(CLONE_FS, || {
        ok!(SYS_chdir, c"inner");
        ok!(SYS_umask, 0o137);
    })
    .success();
    assert!(std::env::current_dir().unwrap().ends_with("inner"));
    assert_eq!(ok!(SYS_umask, 0), 0o137);
}

static SHARED: AtomicU32 = AtomicU32::new(0);

extern "C" fn store_and_exit(value: *mut libc::c_void) -> i32 {
    SHARED.store(value.addr() as u32, Ordering::SeqCst);
    7
}

/// Starts `store_and_exit` on a stack of its own.
fn clone_on_new_stack(flags: i32, value: usize) -> Child {
    let stack = Mapping::private(16);
    // SAFETY: the child runs on a stack of its own and touches one atomic.
    let pid = unsafe {
        let top = std::ptr::with_exposed_provenance_mut(stack.address() + stack.len());
        libc::clone(store_and_exit, top, flags | SIGCHLD, std::ptr::without_provenance_mut(value))
    };
    assert!(pid > 0);
    std::mem::forget(stack);
    Child::from_pid(pid as usize)
}

fn clone_with_vm_shares_memory() {
    assert_eq!(clone_on_new_stack(CLONE_VM, 31).status(), Status::Exited(7));
    assert_eq!(SHARED.load(Ordering::SeqCst), 31);
    assert_eq!(clone_on_new_stack(0, 32).status(), Status::Exited(7));
    assert_eq!(SHARED.load(Ordering::SeqCst), 31);
}

fn clone_refuses_nonsense_flags() {
    fails!(EINVAL: SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0);
    fails!(EINVAL: SYS_clone, libc::CLONE_THREAD | libc::CLONE_SIGHAND, 0, 0, 0, 0);
    fails!(EINVAL: SYS_clone, libc::CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0);
    fails!(EINVAL: SYS_clone, CLONE_FS | libc::CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
}

/// The argument of clone3 as its first version has it.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

const CLONE_ARGUMENTS: usize = size_of::<CloneArguments>();

fn clone3_forks() {
    let mut parent_tid = 0_u32;
    let arguments = CloneArguments {
        flags: CLONE_PARENT_SETTID as u64,
        parent_tid: (&raw mut parent_tid).expose_provenance() as u64,
        exit_signal: SIGCHLD as u64,
        ..CloneArguments::default()
    };
    let pid = ok!(SYS_clone3, &arguments, CLONE_ARGUMENTS);
    if pid == 0 {
        exit_now(3);
    }
    // The kernel wrote it behind the compiler's back.
    let parent_tid = std::hint::black_box(&parent_tid);
    assert_eq!(*parent_tid as usize, pid);
    assert_eq!(Child::from_pid(pid).status(), Status::Exited(3));
}

fn clone3_refuses_bad_sizes() {
    let arguments = CloneArguments { exit_signal: SIGCHLD as u64, ..CloneArguments::default() };
    fails!(EINVAL: SYS_clone3, &arguments, CLONE_ARGUMENTS - 8);
    fails!(E2BIG: SYS_clone3, &arguments, 1 << 20);
    fails!(EFAULT: SYS_clone3, 16, CLONE_ARGUMENTS);
    let half_a_stack = CloneArguments { stack: 4096, ..arguments };
    fails!(EINVAL: SYS_clone3, &half_a_stack, CLONE_ARGUMENTS);
    let bad_signal = CloneArguments { exit_signal: 65, ..CloneArguments::default() };
    fails!(EINVAL: SYS_clone3, &bad_signal, CLONE_ARGUMENTS);
    let signal_in_flags = CloneArguments { flags: SIGCHLD as u64, ..CloneArguments::default() };
    fails!(EINVAL: SYS_clone3, &signal_in_flags, CLONE_ARGUMENTS);
}

extern "C" fn slowly_store(_: *mut libc::c_void) -> i32 {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    ok!(SYS_nanosleep, &pause, 0);
    SHARED.store(55, Ordering::SeqCst);
    0
}

fn vfork_parent_waits_for_exec_or_exit() {
    let stack = Mapping::private(16);
    let flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
    // SAFETY: the child runs on a stack of its own, calls the kernel and touches one atomic.
    let pid = unsafe {
        let top = std::ptr::with_exposed_provenance_mut(stack.address() + stack.len());
        libc::clone(slowly_store, top, flags, std::ptr::null_mut())
    };
    assert_eq!(SHARED.load(Ordering::SeqCst), 55, "the parent went on before the child was done");
    Child::from_pid(pid as usize).success();
}

fn clone_stores_ids_on_both_sides() {
    let flags = CLONE_PARENT_SETTID | libc::CLONE_CHILD_SETTID | SIGCHLD;
    let ids = Mapping::private(1);
    let pid = ok!(SYS_clone, flags, 0, ids.address(), ids.address() + 8, 0);
    let own = ids.word(8).load(Ordering::SeqCst) as usize;
    if pid == 0 {
        assert_eq!(own, ok!(SYS_gettid));
        exit_now(0);
    }
    assert_eq!(own, 0, "the child's word showed up in the parent");
    assert_eq!(ids.word(0).load(Ordering::SeqCst) as usize, pid);
    Child::from_pid(pid).success();
}

fn clear_child_tid_is_zeroed_and_woken() {
    let shared: &'static Mapping = Box::leak(Box::new(Mapping::shared(1)));
    let word = shared.word(0);
    word.store(1, Ordering::SeqCst);
    let child = clone_with(0, || {
        ok!(SYS_set_tid_address, shared.address());
        // The kernel clears the word only for someone who may look: in a process with other users of its memory.
        std::thread::spawn(move || {
            until("the word is cleared", || word.load(Ordering::SeqCst) == 0);
            exit_now(0);
        });
        ok!(SYS_exit, 0);
    });
    while word.load(Ordering::SeqCst) != 0 {
        let limit = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = sys!(SYS_futex, word, libc::FUTEX_WAIT, 1, &limit);
    }
    child.success();
}

fn set_tid_address_returns_thread_id() {
    in_child(|| {
        assert_eq!(ok!(SYS_set_tid_address, 0), ok!(SYS_gettid));
        assert_eq!(ok!(SYS_set_tid_address, 0x1234), ok!(SYS_gettid));
    });
}

fn exit_signal_of_clone_is_sent() {
    record(SIGUSR1, 0);
    let pid = ok!(SYS_clone, SIGUSR1, 0, 0, 0, 0);
    if pid == 0 {
        exit_now(4);
    }
    until("the exit signal came", || caught(SIGUSR1) == 1);
    fails!(ECHILD: SYS_wait4, pid, 0, libc::WNOHANG, 0);
    let (found, status) = wait_for(pid as i32, libc::__WALL).unwrap();
    assert_eq!((found, status), (pid as i32, Status::Exited(4)));
}

fn orphan_goes_to_the_subreaper() {
    ok!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    let orphan = Mapping::shared(1);
    in_child(|| {
        let grandchild = child(|| {
            nap(10);
            exit_now(21);
        });
        orphan.word(0).store(grandchild.pid() as u32, Ordering::SeqCst);
        grandchild.abandon();
    });
    let (pid, status) = wait_for(-1, 0).unwrap();
    assert_eq!(pid as u32, orphan.word(0).load(Ordering::SeqCst));
    assert_eq!(status, Status::Exited(21));
}

fn orphan_sees_new_parent() {
    let (read_end, write_end) = pipe(0);
    let middle = Mapping::shared(1);
    in_child(|| {
        middle.word(0).store(ok!(SYS_getpid) as u32, Ordering::SeqCst);
        let grandchild = child(|| {
            let old = middle.word(0).load(Ordering::SeqCst) as usize;
            until("the parent was gone", || ok!(SYS_getppid) != old);
            ok!(SYS_write, write_end, b"y", 1);
        });
        grandchild.abandon();
    });
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"y");
}

fn death_signal_of_parent_arrives() {
    let (read_end, write_end) = pipe(0);
    let ready = Mapping::shared(1);
    in_child(|| {
        let grandchild = child(|| {
            record(SIGUSR1, 0);
            ok!(SYS_prctl, libc::PR_SET_PDEATHSIG, SIGUSR1);
            let mut set = 0_i32;
            ok!(SYS_prctl, libc::PR_GET_PDEATHSIG, &mut set);
            assert_eq!(set, SIGUSR1);
            ready.word(0).store(1, Ordering::SeqCst);
            until("the parent's death was told", || caught(SIGUSR1) == 1);
            ok!(SYS_write, write_end, b"z", 1);
        });
        until("the grandchild was ready", || ready.word(0).load(Ordering::SeqCst) == 1);
        grandchild.abandon();
    });
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"z");
}

fn name_can_be_set_and_read() {
    let mut name = [0xff_u8; 16];
    ok!(SYS_prctl, libc::PR_SET_NAME, c"a-name-that-is-too-long");
    ok!(SYS_prctl, libc::PR_GET_NAME, &mut name);
    assert_eq!(&name, b"a-name-that-is-\0");
    assert_eq!(read_text("/proc/self/comm"), "a-name-that-is-\n");
    fails!(EFAULT: SYS_prctl, libc::PR_SET_NAME, 8);
}

fn process_group_follows_setpgid() {
    let own = ok!(SYS_getpgid, 0);
    assert_eq!(own, ok!(SYS_getpid), "the harness gives each case a group");
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        assert_eq!(ok!(SYS_getpgid, 0), own);
        ok!(SYS_setpgid, 0, 0);
        assert_eq!(ok!(SYS_getpgid, 0), ok!(SYS_getpid));
        ok!(SYS_write, write_end, b"1", 1);
        nap(100_000);
    });
    ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
    let pid = child.pid();
    assert_eq!(ok!(SYS_getpgid, pid), pid as usize);
    ok!(SYS_setpgid, pid, own);
    assert_eq!(ok!(SYS_getpgid, pid), own);
    child.finish();
}

fn setpgid_refuses_strangers() {
    fails!(ESRCH: SYS_setpgid, 1, 0);
    fails!(EINVAL: SYS_setpgid, 0, -1);
    in_child(|| fails!(EPERM: SYS_setpgid, 0, 1));
}

fn setpgid_refuses_child_after_exec() {
    let (read_end, write_end) = pipe(libc::O_CLOEXEC);
    let (block_read, block_write) = pipe(0);
    let child = child(|| {
        ok!(SYS_close, block_write);
        ok!(SYS_dup2, block_read, 0);
        exec_helper("hold", &[]);
    });
    ok!(SYS_close, write_end);
    // The close-on-exec end closes when the exec has happened.
    assert_eq!(read_all(read_end), b"");
    fails!(EACCES: SYS_setpgid, child.pid(), 0);
    child.finish();
}

fn session_leader_has_no_terminal() {
    in_child(|| {
        let pid = ok!(SYS_setsid);
        assert_eq!(pid, ok!(SYS_getpid));
        assert_eq!(ok!(SYS_getsid, 0), pid);
        assert_eq!(ok!(SYS_getpgid, 0), pid);
        fails!(ENXIO: SYS_open, c"/dev/tty", libc::O_RDWR);
        fails!(EPERM: SYS_setpgid, 0, 0);
        // A group of another session is out of reach.
        let grandchild = child(|| {
            ok!(SYS_setpgid, 0, 0);
            ok!(SYS_setpgid, 0, pid);
        });
        grandchild.success();
    });
}

fn setsid_refuses_group_leader() {
    fails!(EPERM: SYS_setsid);
}

fn getpgid_and_getsid_of_others() {
    fails!(ESRCH: SYS_getpgid, 0x3fff_ffff);
    fails!(ESRCH: SYS_getsid, 0x3fff_ffff);
    let child = child(|| nap(100_000));
    assert_eq!(ok!(SYS_getsid, child.pid()), ok!(SYS_getsid, 0));
    child.finish();
}

fn many_children_are_all_reaped() {
    let mut pids: Vec<i32> = (0..40).map(|index| child(|| exit_now(index)).pid()).collect();
    while !pids.is_empty() {
        let (pid, status) = wait_for(-1, 0).unwrap();
        let index = pids.iter().position(|other| *other == pid).expect("a child of ours, once");
        pids.swap_remove(index);
        assert!(matches!(status, Status::Exited(0..40)));
    }
    fails!(ECHILD: SYS_wait4, -1, 0, 0, 0);
}

fn deep_chain_of_forks() {
    fn descend(depth: i32) {
        if depth > 0 {
            let child = child(|| {
                descend(depth - 1);
                exit_now(depth);
            });
            assert_eq!(child.status(), Status::Exited(depth));
        }
    }
    descend(25);
}

fn pids_are_not_reused_at_once() {
    let first = child(|| {}).pid();
    wait_for(first, 0).unwrap();
    let second = child(|| {}).pid();
    wait_for(second, 0).unwrap();
    assert_ne!(first, second);
}
