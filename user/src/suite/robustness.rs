//! What no program may do to the kernel: bad pointers, unknown calls, garbage, using up what there is.

use super::support::{
    Child, Mapping, PAGE, Random, Status, child, default_action, exit_now, in_child, nap,
    needs_root, pipe, poke, read_text, record, until, wait_for,
};
use crate::sys::{Errno, raw};
use crate::{fails, ok, sys};

super::area!("robustness":
    bad_pointers_are_efault,
    pointers_that_wrap_are_efault,
    read_only_memory_is_efault,
    unknown_calls_are_enosys,
    strings_without_end,
    huge_counts_are_survived,
    negative_descriptors_everywhere,
    random_calls_are_survived,
    random_memory_calls_are_survived,
    closing_everything_at_exit,
    pipes_without_end,
    zombies_without_end,
    thread_bomb_under_limit,
    dead_child_frees_its_memory,
);

/// Calls whose pointer is in the given argument; the others are valid or zero.
const POINTER_CALLS: &[(i64, [usize; 6], usize)] = &[
    (libc::SYS_stat, [0; 6], 0),
    (libc::SYS_open, [0; 6], 0),
    (libc::SYS_pipe, [0; 6], 0),
    (libc::SYS_uname, [0; 6], 0),
    (libc::SYS_chdir, [0; 6], 0),
    (libc::SYS_mkdir, [0; 6], 0),
    (libc::SYS_unlink, [0; 6], 0),
    (libc::SYS_rename, [0; 6], 0),
    (libc::SYS_readlink, [0, 0, 10, 0, 0, 0], 0),
    (libc::SYS_truncate, [0; 6], 0),
    (libc::SYS_access, [0; 6], 0),
    (libc::SYS_execve, [0; 6], 0),
    (libc::SYS_sysinfo, [0; 6], 0),
    (libc::SYS_times, [0; 6], 0),
    (libc::SYS_nanosleep, [0; 6], 0),
    (libc::SYS_gettimeofday, [0; 6], 0),
    (libc::SYS_getcwd, [0, 4096, 0, 0, 0, 0], 0),
    (libc::SYS_getrandom, [0, 16, 0, 0, 0, 0], 0),
    (libc::SYS_rt_sigpending, [0, 8, 0, 0, 0, 0], 0),
    (libc::SYS_rt_sigsuspend, [0, 8, 0, 0, 0, 0], 0),
    (libc::SYS_rt_sigtimedwait, [0, 0, 0, 8, 0, 0], 0),
    (libc::SYS_poll, [0, 1, 0, 0, 0, 0], 0),
    (libc::SYS_statfs, [0; 6], 0),
    (libc::SYS_clone3, [0, 88, 0, 0, 0, 0], 0),
    (libc::SYS_memfd_create, [0; 6], 0),
    (libc::SYS_chmod, [0; 6], 0),
    (libc::SYS_clock_gettime, [1, 0, 0, 0, 0, 0], 1),
    (libc::SYS_getrlimit, [7, 0, 0, 0, 0, 0], 1),
    (libc::SYS_getrusage, [0; 6], 1),
    (libc::SYS_getitimer, [0; 6], 1),
    (libc::SYS_fstat, [0; 6], 1),
    (libc::SYS_rt_sigaction, [10, 0, 0, 8, 0, 0], 1),
    (libc::SYS_rt_sigprocmask, [0, 0, 0, 8, 0, 0], 1),
    (libc::SYS_sched_getparam, [0; 6], 1),
    (libc::SYS_sched_setaffinity, [0, 8, 0, 0, 0, 0], 2),
    (libc::SYS_sched_getaffinity, [0, 128, 0, 0, 0, 0], 2),
    (libc::SYS_getgroups, [64, 0, 0, 0, 0, 0], 1),
    (libc::SYS_prctl, [libc::PR_GET_NAME as usize, 0, 0, 0, 0, 0], 1),
    (libc::SYS_arch_prctl, [0x1003, 0, 0, 0, 0, 0], 1),
    (libc::SYS_futex, [0; 6], 0),
    (libc::SYS_pselect6, [1, 0, 0, 0, 0, 0], 1),
    (libc::SYS_socketpair, [1, 1, 0, 0, 0, 0], 3),
    (libc::SYS_prlimit64, [0, 7, 0, 0, 0, 0], 3),
    (libc::SYS_getresuid, [0; 6], 0),
    (libc::SYS_openat, [libc::AT_FDCWD as usize, 0, 0, 0, 0, 0], 1),
    (libc::SYS_newfstatat, [libc::AT_FDCWD as usize, 0, 0, 0, 0, 0], 1),
    (libc::SYS_statx, [libc::AT_FDCWD as usize, 0, 0, 0xfff, 0, 0], 1),
    (libc::SYS_faccessat, [libc::AT_FDCWD as usize, 0, 0, 0, 0, 0], 1),
];

/// Calls that write nothing when there is nothing to say, so that a bad pointer need not fail.
fn is_lenient(number: i64) -> bool {
    number == libc::SYS_getgroups
}

fn every_call_fails_with(address: usize) {
    for (number, arguments, position) in POINTER_CALLS {
        let mut arguments = *arguments;
        arguments[*position] = address;
        // SAFETY: the address belongs to nobody, so there is nothing to damage.
        let result = unsafe { raw(*number, &arguments) };
        if !is_lenient(*number) || result != Ok(0) {
            assert_eq!(result, Err(Errno::EFAULT), "call {number} with {address:#x}");
        }
    }
}

fn bad_pointers_are_efault() {
    for address in [8, 0x7fff_ffff_f000, 0xffff_8000_0000_0000, 0xffff_ffff_8000_0000, 1 << 62] {
        every_call_fails_with(address);
    }
    let mapping = Mapping::private(1);
    mapping.protect(0, 1, libc::PROT_NONE);
    every_call_fails_with(mapping.address());
}

fn pointers_that_wrap_are_efault() {
    every_call_fails_with(usize::MAX - 7);
    let (read_end, write_end) = pipe(0);
    ok!(SYS_write, write_end, b"abc", 3);
    fails!(EFAULT: SYS_read, read_end, usize::MAX - 4, 3);
    fails!(EFAULT: SYS_write, write_end, 0x7fff_ffff_efff_usize, 4096);
}

fn read_only_memory_is_efault() {
    let mapping = Mapping::private(1);
    mapping.protect(0, 1, libc::PROT_READ);
    for number in [libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_times, libc::SYS_pipe] {
        // SAFETY: the page is this case's own.
        assert_eq!(unsafe { raw(number, &[mapping.address()]) }, Err(Errno::EFAULT));
    }
    let fd = ok!(SYS_open, c"/dev/zero", libc::O_RDONLY);
    fails!(EFAULT: SYS_read, fd, mapping.address(), 100);
}

fn unknown_calls_are_enosys() {
    for number in [500, 1000, 4095, 1 << 20, i64::MAX, -1] {
        // SAFETY: no such calls exist.
        assert_eq!(unsafe { raw(number, &[]) }, Err(Errno::ENOSYS), "number {number}");
    }
}

fn strings_without_end() {
    // A path that runs into an unmapped page, and one as long as can be.
    let mapping = Mapping::private(3);
    mapping.fill(b'/');
    mapping.unmap(2, 1);
    fails!(EFAULT: SYS_access, mapping.page(2) - 10, 0);
    fails!(ENAMETOOLONG: SYS_access, mapping.address(), 0);
    poke(mapping.page(2) - 1, 0);
    ok!(SYS_access, mapping.page(2) - 10, 0);
}

fn huge_counts_are_survived() {
    let zero = ok!(SYS_open, c"/dev/zero", libc::O_RDONLY);
    let null = ok!(SYS_open, c"/dev/null", libc::O_WRONLY);
    let mapping = Mapping::private(3);
    // Keeps the reads away from whatever lies behind.
    mapping.protect(2, 1, libc::PROT_NONE);
    for count in [usize::MAX, isize::MAX as usize, 1 << 40] {
        let read = sys!(SYS_read, zero, mapping.address(), count);
        assert!(read.is_err() || read.is_ok_and(|length| length <= 0x7fff_f000), "{read:?}");
        let _ = sys!(SYS_write, null, mapping.address(), count);
        let _ = sys!(SYS_getdents64, zero, mapping.address(), count);
        let _ = sys!(SYS_getrandom, mapping.page(1), PAGE, 0);
    }
    fails!(EINVAL: SYS_poll, mapping.address(), usize::MAX, 0);
}

fn negative_descriptors_everywhere() {
    let mut buffer = [0_u64; 32];
    for fd in [-1_i32, i32::MIN, i32::MAX, 1 << 20] {
        fails!(EBADF: SYS_read, fd, &mut buffer, 8);
        fails!(EBADF: SYS_write, fd, &buffer, 8);
        fails!(EBADF: SYS_close, fd);
        fails!(EBADF: SYS_fstat, fd, &mut buffer);
        fails!(EBADF: SYS_lseek, fd, 0, 0);
        fails!(EBADF: SYS_ioctl, fd, libc::TCGETS, &mut buffer);
        fails!(EBADF: SYS_dup, fd);
        fails!(EBADF: SYS_fcntl, fd, 1);
        fails!(EBADF: SYS_fchdir, fd);
        fails!(EBADF: SYS_fsync, fd);
        fails!(EBADF: SYS_ftruncate, fd, 0);
        fails!(EBADF: SYS_getdents64, fd, &mut buffer, 100);
        fails!(EBADF: SYS_epoll_wait, fd, &mut buffer, 1, 0);
        fails!(EBADF: SYS_mmap, 0, PAGE, 1, libc::MAP_PRIVATE, fd, 0);
        fails!(EBADF: SYS_flock, fd, 2);
        fails!(EBADF: SYS_fchmod, fd, 0);
    }
}

/// Calls that garbage must not reach: they stop the machine, change it for others, wait for ever or end the child.
const FORBIDDEN: &[i64] = &[
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_pause,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigreturn,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_setpriority,
    libc::SYS_ptrace,
    libc::SYS_bpf,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_send_signal,
    libc::SYS_sync,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_io_uring_enter,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_prlimit64,
    libc::SYS_setrlimit,
    libc::SYS_chroot,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_migrate_pages,
    libc::SYS_munlockall,
    libc::SYS_mlockall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_setsid,
    libc::SYS_setpgid,
];

/// Numbers that make kernels stumble.
fn strange_number(random: &mut Random, scratch: usize) -> usize {
    match random.below(10) {
        0 => 0,
        1 => random.below(64),
        2 => usize::MAX - random.below(64),
        3 => scratch + random.below(2 * PAGE),
        4 => 1 << random.below(64),
        5 => 0x7fff_ffff_f000 - random.below(64),
        6 => 0xffff_8000_0000_0000 + random.below(1 << 20),
        7 => random.below(PAGE),
        8 => i32::MIN as usize,
        _ => random.bits() as usize,
    }
}

/// One child's worth of random calls, as a user without rights, with an alarm against waiting for ever.
fn random_calls(seed: u64, allowed: impl Fn(i64) -> bool) {
    let scratch = Mapping::private(2);
    let child = child(|| {
        let mut random = Random::new(seed);
        for fd in 0..10 {
            let _ = sys!(SYS_close, fd);
        }
        let _ = sys!(SYS_setresuid, 54321, 54321, 54321);
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_AS, &[1_u64 << 30, 1 << 30], 0);
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_FSIZE, &[1_u64 << 16, 1 << 16], 0);
        let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_NPROC, &[1_u64, 1], 0);
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            default_action(signal);
        }
        for _ in 0..120 {
            let number = random.below(460) as i64;
            if FORBIDDEN.contains(&number) || !allowed(number) {
                continue;
            }
            let arguments: [usize; 6] =
                std::array::from_fn(|_| strange_number(&mut random, scratch.address()));
            // A call may wait, for input for example: it is cut short.
            let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, &[0_i64, 20_000, 0, 20_000], 0);
            record(libc::SIGALRM, 0);
            // SAFETY: this child is there to be damaged; whatever happens to it, it is waited for.
            let _ = unsafe { raw(number, &arguments) };
        }
    });
    // A call that took the alarm away may still sleep: then it is killed.
    let pid = child.pid();
    for _ in 0..400 {
        if wait_for(pid, libc::WNOHANG).unwrap().0 == pid {
            return;
        }
        nap(5);
    }
    // By now it may have ended by itself.
    child.kill(libc::SIGKILL);
    child.status();
}

fn random_calls_are_survived() {
    needs_root();
    for seed in 1..=40 {
        random_calls(seed, |_| true);
    }
}

fn random_memory_calls_are_survived() {
    needs_root();
    let memory = [
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_msync,
        libc::SYS_mincore,
        libc::SYS_mlock,
        libc::SYS_munlock,
    ];
    for seed in 1..=10 {
        random_calls(seed, |number| memory.contains(&number));
    }
}

fn closing_everything_at_exit() {
    // Exits with all kinds of descriptors open and waited on.
    let child = child(|| {
        for _ in 0..10 {
            pipe(0);
            ok!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut [0_i32; 2]);
            let event = ok!(SYS_eventfd2, 0, 0);
            let epoll = ok!(SYS_epoll_create1, 0);
            ok!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, event, &[1_u32, 0, 0]);
            std::thread::spawn(move || _ = sys!(SYS_epoll_wait, epoll, &mut [0_u32; 3], 1, -1));
        }
        nap(5);
        exit_now(3);
    });
    assert_eq!(child.status(), Status::Exited(3));
}

fn pipes_without_end() {
    let child = child(|| {
        let mut last = 0;
        loop {
            let mut ends = [0_i32; 2];
            match sys!(SYS_pipe2, &mut ends, libc::O_NONBLOCK) {
                Ok(_) => {
                    last = ends[1];
                    let _ = sys!(SYS_write, last, &[0_u8; 4096], 4096);
                }
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(last > 100);
    });
    child.success();
}

fn zombies_without_end() {
    let mut pids = Vec::new();
    for _ in 0..200 {
        let pid = ok!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if pid == 0 {
            exit_now(0);
        }
        pids.push(pid);
    }
    for pid in pids {
        Child::from_pid(pid).success();
    }
}

fn thread_bomb_under_limit() {
    needs_root();
    in_child(|| {
        ok!(SYS_prlimit64, 0, libc::RLIMIT_NPROC, &[30_u64, 30], 0);
        ok!(SYS_setresuid, 54322, 54322, 54322);
        let mut started = 0;
        while std::thread::Builder::new().spawn(|| nap(100_000)).is_ok() {
            started += 1;
            assert!(started < 100);
        }
        assert_eq!(started, 29);
    });
}

fn dead_child_frees_its_memory() {
    let free = || -> u64 {
        let text = read_text("/proc/meminfo");
        let line = text.lines().find(|line| line.starts_with("MemFree:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = free();
    for _ in 0..20 {
        in_child(|| Mapping::private(2048).stamp(1));
    }
    // 160 MiB passed through; 60 MiB of slack for whatever else the machine does.
    until("the memory came back", || free() + (60 << 10) > before);
}
