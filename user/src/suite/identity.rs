//! Credentials, resource limits, umask, and what a process may ask about itself and the machine.

use libc::{RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_STACK};

use super::support::{Mapping, in_child, needs_root, until};
use crate::{fails, ok};

super::area!("identity":
    root_becomes_user_and_stays,
    setresuid_keeps_what_is_minus_one,
    user_sets_only_own_ids,
    saved_id_brings_back,
    groups_are_set_by_root_only,
    setreuid_swaps,
    credentials_are_inherited,
    credentials_apply_to_all_threads_of_libc,
    limits_are_read_and_set,
    soft_limit_may_not_exceed_hard,
    user_may_not_raise_hard_limit,
    limits_are_inherited,
    prlimit_refuses_bad_resource,
    umask_masks_and_returns_old,
    uname_names_a_machine,
    host_name_can_be_set,
    getrusage_moves_on,
    getrusage_counts_page_faults,
    sysinfo_is_plausible,
    getcpu_is_in_the_affinity_mask,
    priority_range_is_known,
    scheduler_policy_is_other,
    personality_is_linux,
    getgroups_size_is_checked,
);

#[track_caller]
fn users() -> [u32; 3] {
    let mut ids = [0_u32; 3];
    let (real, rest) = ids.split_at_mut(1);
    let (effective, saved) = rest.split_at_mut(1);
    ok!(SYS_getresuid, &mut real[0], &mut effective[0], &mut saved[0]);
    ids
}

fn root_becomes_user_and_stays() {
    needs_root();
    in_child(|| {
        ok!(SYS_setgid, 1000);
        ok!(SYS_setuid, 1000);
        assert_eq!(users(), [1000; 3]);
        fails!(EPERM: SYS_setuid, 0);
        fails!(EPERM: SYS_setgid, 0);
    });
}

fn setresuid_keeps_what_is_minus_one() {
    needs_root();
    in_child(|| {
        ok!(SYS_setresuid, -1, 5, -1);
        assert_eq!(users(), [0, 5, 0]);
        ok!(SYS_setresuid, -1, 0, -1);
        ok!(SYS_setresuid, -1, -1, 7);
        assert_eq!(users(), [0, 0, 7]);
        ok!(SYS_setresuid, 1, 2, 3);
        assert_eq!(users(), [1, 2, 3]);
    });
}

fn user_sets_only_own_ids() {
    needs_root();
    in_child(|| {
        ok!(SYS_setresuid, 1, 2, 3);
        fails!(EPERM: SYS_setresuid, 4, -1, -1);
        fails!(EPERM: SYS_setresuid, -1, 0, -1);
        ok!(SYS_setresuid, 3, 1, 2);
        assert_eq!(users(), [3, 1, 2]);
    });
}

fn saved_id_brings_back() {
    needs_root();
    in_child(|| {
        ok!(SYS_setresuid, -1, 1000, -1);
        assert_eq!(ok!(SYS_geteuid), 1000);
        ok!(SYS_setuid, 0);
        assert_eq!(users(), [0, 0, 0]);
    });
}

fn groups_are_set_by_root_only() {
    needs_root();
    in_child(|| {
        ok!(SYS_setgroups, 3, &[10_u32, 20, 30]);
        let mut groups = [0_u32; 8];
        assert_eq!(ok!(SYS_getgroups, 8, &mut groups), 3);
        assert_eq!(groups[..3], [10, 20, 30]);
        fails!(EINVAL: SYS_setgroups, 1 << 20, &groups);
        ok!(SYS_setresuid, 5, 5, 5);
        fails!(EPERM: SYS_setgroups, 0, 0);
    });
}

fn setreuid_swaps() {
    needs_root();
    in_child(|| {
        ok!(SYS_setreuid, 1, 2);
        ok!(SYS_setreuid, 2, 1);
        assert_eq!(users()[..2], [2, 1]);
        fails!(EPERM: SYS_setreuid, 9, -1);
    });
}

fn credentials_are_inherited() {
    needs_root();
    in_child(|| {
        ok!(SYS_setresgid, 4, 5, 6);
        ok!(SYS_setresuid, 1, 2, 3);
        in_child(|| {
            assert_eq!(users(), [1, 2, 3]);
            assert_eq!((ok!(SYS_getgid), ok!(SYS_getegid)), (4, 5));
        });
    });
}

fn credentials_apply_to_all_threads_of_libc() {
    needs_root();
    in_child(|| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            receiver.recv().unwrap();
            ok!(SYS_geteuid)
        });
        // SAFETY: no memory is involved. The C library signals every thread to do the same.
        assert_eq!(unsafe { libc::seteuid(12) }, 0);
        sender.send(()).unwrap();
        assert_eq!(other.join().unwrap(), 12);
    });
}

/// Soft and hard limit of a resource.
#[track_caller]
fn limit(resource: impl Into<i64>) -> [u64; 2] {
    // The constants are of different types in different C libraries.
    let resource = resource.into();
    let mut pair = [0_u64; 2];
    ok!(SYS_prlimit64, 0, resource, 0, &mut pair);
    let mut same = [1_u64; 2];
    ok!(SYS_getrlimit, resource, &mut same);
    assert_eq!(pair, same);
    pair
}

fn limits_are_read_and_set() {
    let [soft, hard] = limit(RLIMIT_NOFILE);
    assert!(soft >= 64 && soft <= hard);
    let mut old = [0_u64; 2];
    ok!(SYS_prlimit64, 0, RLIMIT_NOFILE, &[50_u64, hard], &mut old);
    assert_eq!(old, [soft, hard]);
    assert_eq!(limit(RLIMIT_NOFILE), [50, hard]);
    ok!(SYS_setrlimit, RLIMIT_NOFILE, &[60_u64, hard]);
    assert_eq!(limit(RLIMIT_NOFILE), [60, hard]);
    assert!(limit(RLIMIT_STACK)[0] >= 1 << 20);
}

fn soft_limit_may_not_exceed_hard() {
    fails!(EINVAL: SYS_setrlimit, RLIMIT_NOFILE, &[11_u64, 10]);
}

fn user_may_not_raise_hard_limit() {
    needs_root();
    in_child(|| {
        ok!(SYS_setrlimit, RLIMIT_CORE, &[0_u64, 100]);
        ok!(SYS_setresuid, 5, 5, 5);
        fails!(EPERM: SYS_setrlimit, RLIMIT_CORE, &[0_u64, 300]);
        ok!(SYS_setrlimit, RLIMIT_CORE, &[0_u64, 50]);
        fails!(EPERM: SYS_setrlimit, RLIMIT_CORE, &[0_u64, 200]);
    });
}

fn limits_are_inherited() {
    let hard = limit(RLIMIT_NOFILE)[1];
    ok!(SYS_setrlimit, RLIMIT_NOFILE, &[77_u64, hard]);
    in_child(|| assert_eq!(limit(RLIMIT_NOFILE), [77, hard]));
}

fn prlimit_refuses_bad_resource() {
    fails!(EINVAL: SYS_prlimit64, 0, 16, 0, &mut [0_u64; 2]);
    fails!(EINVAL: SYS_getrlimit, 99, &mut [0_u64; 2]);
    fails!(ESRCH: SYS_prlimit64, 0x3fff_ffff, RLIMIT_CORE, 0, 0);
    fails!(EFAULT: SYS_getrlimit, RLIMIT_CORE, 8);
}

fn umask_masks_and_returns_old() {
    ok!(SYS_umask, 0o027);
    assert_eq!(ok!(SYS_umask, 0o7777), 0o027);
    assert_eq!(ok!(SYS_umask, 0), 0o777, "only permission bits are kept");
}

fn uname_names_a_machine() {
    let mut names = [[0_u8; 65]; 6];
    ok!(SYS_uname, &mut names);
    assert!(names[4].starts_with(b"x86_64\0"));
    assert!(names.iter().take(5).all(|name| name[0] != 0 && name.contains(&0)));
    assert!(names[2][0].is_ascii_digit(), "a release starts with a number");
}

fn host_name_can_be_set() {
    needs_root();
    let mut names = [[0_u8; 65]; 6];
    ok!(SYS_uname, &mut names);
    let length = names[1].iter().position(|byte| *byte == 0).unwrap();
    ok!(SYS_sethostname, &names[1], length);
    fails!(EINVAL: SYS_sethostname, &names[1], 65);
    in_child(|| {
        ok!(SYS_setresuid, 5, 5, 5);
        fails!(EPERM: SYS_sethostname, &names[1], length);
    });
}

fn getrusage_moves_on() {
    let mut before = [0_i64; 18];
    ok!(SYS_getrusage, libc::RUSAGE_SELF, &mut before);
    let total =
        |usage: &[i64; 18]| usage[0] * 1_000_000 + usage[1] + usage[2] * 1_000_000 + usage[3];
    until("CPU time had passed", || {
        let mut after = [0_i64; 18];
        ok!(SYS_getrusage, libc::RUSAGE_SELF, &mut after);
        total(&after) > total(&before)
    });
    fails!(EINVAL: SYS_getrusage, 5, &mut before);
}

fn getrusage_counts_page_faults() {
    let mut before = [0_i64; 18];
    let mut after = [0_i64; 18];
    let mapping = Mapping::private(32);
    ok!(SYS_madvise, mapping.address(), mapping.len(), libc::MADV_NOHUGEPAGE);
    ok!(SYS_getrusage, libc::RUSAGE_SELF, &mut before);
    mapping.stamp(1);
    ok!(SYS_getrusage, libc::RUSAGE_SELF, &mut after);
    // ru_minflt and ru_maxrss.
    assert!(after[8] - before[8] >= 32, "minor faults: {} to {}", before[8], after[8]);
    assert!(after[4] > 128, "largest resident set in KiB: {}", after[4]);
}

fn sysinfo_is_plausible() {
    // SAFETY: a plain C struct of integers; zero is a valid value.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    ok!(SYS_sysinfo, &mut info);
    assert!(info.mem_unit >= 1 && info.totalram > info.freeram);
    assert!(info.totalram * u64::from(info.mem_unit) > 16 << 20);
    assert!(info.procs >= 1);
}

fn getcpu_is_in_the_affinity_mask() {
    let mut mask = [0_u64; 16];
    let bytes = ok!(SYS_sched_getaffinity, 0, 128, &mut mask);
    assert!(bytes >= 8 && bytes % 8 == 0);
    let mut cpu = u32::MAX;
    let mut node = u32::MAX;
    ok!(SYS_getcpu, &mut cpu, &mut node, 0);
    assert!(mask[cpu as usize / 64] & 1 << (cpu % 64) != 0);
    assert!(node < 1024);
    fails!(EINVAL: SYS_sched_getaffinity, 0, 7, &mut mask);
    fails!(ESRCH: SYS_sched_getaffinity, 0x3fff_ffff, 128, &mut mask);
}

fn priority_range_is_known() {
    assert_eq!(ok!(SYS_sched_get_priority_max, libc::SCHED_FIFO), 99);
    assert_eq!(ok!(SYS_sched_get_priority_min, libc::SCHED_FIFO), 1);
    assert_eq!(ok!(SYS_sched_get_priority_max, libc::SCHED_OTHER), 0);
    fails!(EINVAL: SYS_sched_get_priority_max, 55);
}

fn scheduler_policy_is_other() {
    assert_eq!(ok!(SYS_sched_getscheduler, 0), libc::SCHED_OTHER as usize);
    let mut parameter = [7_i32; 1];
    ok!(SYS_sched_getparam, 0, &mut parameter);
    assert_eq!(parameter, [0]);
    fails!(EINVAL: SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &[1_i32]);
    fails!(ESRCH: SYS_sched_getscheduler, 0x3fff_ffff);
}

fn personality_is_linux() {
    assert_eq!(ok!(SYS_personality, 0xffff_ffff_u32) & 0xff, 0);
}

fn getgroups_size_is_checked() {
    needs_root();
    in_child(|| {
        ok!(SYS_setgroups, 2, &[1_u32, 2]);
        assert_eq!(ok!(SYS_getgroups, 0, 0), 2);
        fails!(EINVAL: SYS_getgroups, 1, &mut [0_u32; 1]);
    });
}
