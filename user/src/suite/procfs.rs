//! `/proc` as busybox's ps, top, free, uptime, mount and pidof read it.

use std::collections::HashMap;

use super::support::{
    Child, PAGE, block, child, in_child, nap, needs_root, read_text, skip, until, write_text,
};
use crate::{fails, ok};

super::area!("procfs":
    own_stat_has_its_fields,
    stat_survives_strange_names,
    stat_of_a_busy_process,
    status_has_its_lines,
    cmdline_and_environment,
    comm_can_be_written,
    executable_link,
    maps_have_the_format,
    statm_and_stat_agree,
    descriptor_directory,
    task_directory,
    limits_table,
    listing_finds_processes,
    listing_forgets_ended_processes,
    zombie_shows_as_such,
    meminfo_is_consistent,
    stat_counts_every_cpu,
    stat_counters_only_grow,
    loadavg_has_five_fields,
    uptime_has_two_fields,
    cpuinfo_has_a_block_for_each_cpu,
    mounts_name_the_root,
    filesystems_list_tmpfs,
    version_names_a_kernel,
    interrupts_have_a_column_for_each_cpu,
    sys_kernel_values,
    sys_values_are_roots_whoever_opened_them,
    missing_entries,
    small_reads_and_seeks,
    files_are_read_only,
    ended_process_reads_fail,
    others_are_visible_but_not_private,
);

/// The fields of `/proc/PID/stat` after the name, the first being the state (number 3).
#[track_caller]
fn stat(pid: &str) -> Vec<String> {
    let text = read_text(&format!("/proc/{pid}/stat"));
    assert!(text.ends_with('\n'));
    let (_, rest) = text.rsplit_once(") ").unwrap();
    rest.split_whitespace().map(str::to_owned).collect()
}

fn own_stat_has_its_fields() {
    let fields = stat("self");
    assert!(fields.len() >= 42, "{} fields", fields.len());
    let number = |index: usize| -> i64 { fields[index - 3].parse().unwrap() };
    assert_eq!(fields[0], "R");
    assert_eq!(number(4) as usize, ok!(SYS_getppid));
    assert_eq!(number(5) as usize, ok!(SYS_getpgid, 0));
    assert_eq!(number(6) as usize, ok!(SYS_getsid, 0));
    assert_eq!(number(20), 1, "threads");
    assert!(number(23) > 1 << 20, "virtual size in bytes");
    assert!(number(24) > 10, "resident pages");
    let text = read_text("/proc/self/stat");
    assert!(text.starts_with(&format!("{} (", ok!(SYS_getpid))));
    assert!(fields[1..].iter().all(|field| field.parse::<i128>().is_ok()), "{fields:?}");
}

fn stat_survives_strange_names() {
    ok!(SYS_prctl, libc::PR_SET_NAME, c"a) R (b c");
    assert!(read_text("/proc/self/stat").contains(" (a) R (b c) R "));
    assert_eq!(stat("self")[0], "R");
}

fn stat_of_a_busy_process() {
    let child = child(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    let pid = child.pid().to_string();
    let ticks = || -> u64 { stat(&pid)[14 - 3].parse::<u64>().unwrap() };
    until("the child's user time grew", || ticks() >= 2);
    let start: u64 = stat(&pid)[22 - 3].parse().unwrap();
    let own_start: u64 = stat("self")[22 - 3].parse().unwrap();
    assert!(start >= own_start);
    let cpu: usize = stat(&pid)[39 - 3].parse().unwrap();
    assert!(cpu < 4096);
    child.finish();
}

fn status_has_its_lines() {
    let text = read_text("/proc/self/status");
    let lines: HashMap<&str, &str> =
        text.lines().map(|line| line.split_once(":\t").unwrap_or((line, ""))).collect();
    assert_eq!(lines["Pid"], ok!(SYS_getpid).to_string());
    assert_eq!(lines["Tgid"], ok!(SYS_getpid).to_string());
    assert_eq!(lines["PPid"], ok!(SYS_getppid).to_string());
    assert_eq!(lines["Threads"], "1");
    assert!(lines["State"].starts_with("R (running)"));
    let uid = ok!(SYS_getuid);
    assert_eq!(lines["Uid"], format!("{uid}\t{uid}\t{uid}\t{uid}"));
    for name in ["VmSize", "VmRSS"] {
        let kibibytes = lines[name].trim().strip_suffix(" kB").unwrap();
        assert!(kibibytes.trim().parse::<u64>().unwrap() > 100, "{name} {kibibytes}");
    }
    for name in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(lines[name].len(), 16);
    }
    block(&[libc::SIGUSR1]);
    assert!(read_text("/proc/self/status").contains("SigBlk:\t0000000000000200\n"));
}

fn cmdline_and_environment() {
    let command = std::fs::read("/proc/self/cmdline").unwrap();
    let arguments: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    assert_eq!(arguments[1..], [&b"--exact"[..], b"procfs::cmdline_and_environment", b""]);
    let environment = std::fs::read("/proc/self/environ").unwrap();
    assert!(environment.is_empty() || environment.ends_with(b"\0"));
    let count = environment.iter().filter(|byte| **byte == 0).count();
    assert_eq!(count, std::env::vars_os().count());
}

fn comm_can_be_written() {
    write_text("/proc/self/comm", "another-name-too-long");
    assert_eq!(read_text("/proc/self/comm"), "another-name-to\n");
}

fn executable_link() {
    let path = std::fs::read_link("/proc/self/exe").unwrap();
    assert_eq!(path, std::env::current_exe().unwrap());
    let child = child(|| nap(100_000));
    let link = std::fs::read_link(format!("/proc/{}/exe", child.pid())).unwrap();
    assert_eq!(link, path);
    child.finish();
}

fn maps_have_the_format() {
    let text = read_text("/proc/self/maps");
    let here = maps_have_the_format as *const () as usize;
    let mut own = None;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert!((5..=7).contains(&fields.len()), "{line}");
        let (start, end) = fields[0].split_once('-').unwrap();
        let range =
            usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap();
        assert!(!range.is_empty() && range.start.is_multiple_of(PAGE));
        let rights = fields[1].as_bytes();
        assert!(rights.len() == 4 && (rights[3] == b'p' || rights[3] == b's'), "{line}");
        u64::from_str_radix(fields[2], 16).unwrap();
        assert!(fields[3].contains(':'));
        fields[4].parse::<u64>().unwrap();
        if range.contains(&here) {
            own = Some((fields[1].to_owned(), fields[5].to_owned()));
        }
    }
    let program = std::env::current_exe().unwrap();
    assert_eq!(own.unwrap(), ("r-xp".to_owned(), program.to_str().unwrap().to_owned()));
}

fn statm_and_stat_agree() {
    let statm = read_text("/proc/self/statm");
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let bytes: u64 = stat("self")[23 - 3].parse().unwrap();
    // Reading a file may map a little more memory in between.
    assert!(bytes.abs_diff(pages * 4096) <= 64 * 4096, "{pages} pages, {bytes} bytes");
}

fn descriptor_directory() {
    let fd = ok!(SYS_open, c"/dev/null", libc::O_RDONLY);
    let names: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for expected in [0, 1, 2, fd] {
        assert!(names.contains(&expected.to_string()), "{names:?}");
    }
    assert_eq!(
        std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().to_str(),
        Some("/dev/null")
    );
    ok!(SYS_close, fd);
    fails!(ENOENT: SYS_readlink, c"/proc/self/fd/99", &mut [0_u8; 16], 16);
}

fn task_directory() {
    let pid = ok!(SYS_getpid);
    let names: Vec<String> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [pid.to_string()]);
    assert!(read_text(&format!("/proc/self/task/{pid}/stat")).starts_with(&format!("{pid} (")));
}

fn limits_table() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[123_u64, 456], 0);
    let Ok(text) = std::fs::read_to_string("/proc/self/limits") else {
        skip("no /proc/self/limits");
    };
    let line = text.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[4..], ["123", "456", "bytes"]);
}

fn processes() -> Vec<u32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect()
}

fn listing_finds_processes() {
    let children: Vec<Child> = (0..5).map(|_| child(|| nap(100_000))).collect();
    let found = processes();
    assert!(found.contains(&(ok!(SYS_getpid) as u32)));
    assert!(children.iter().all(|child| found.contains(&(child.pid() as u32))));
    for child in children {
        child.finish();
    }
}

fn listing_forgets_ended_processes() {
    let child = child(|| {});
    let pid = child.pid();
    child.success();
    assert!(!processes().contains(&(pid as u32)));
    assert!(!std::fs::exists(format!("/proc/{pid}")).unwrap());
}

fn zombie_shows_as_such() {
    let child = child(|| {});
    let pid = child.pid().to_string();
    until("the child was a zombie", || stat(&pid)[0] == "Z");
    assert_eq!(read_text(&format!("/proc/{pid}/cmdline")), "");
    assert!(read_text(&format!("/proc/{pid}/status")).contains("State:\tZ (zombie)"));
    child.success();
}

/// The numbers of `/proc/meminfo` in KiB.
fn meminfo() -> HashMap<String, u64> {
    read_text("/proc/meminfo")
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(':').unwrap();
            (name.to_owned(), rest.split_whitespace().next().unwrap().parse().unwrap())
        })
        .collect()
}

fn meminfo_is_consistent() {
    let numbers = meminfo();
    for name in
        ["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree"]
    {
        assert!(numbers.contains_key(name), "{name} is missing");
    }
    assert!(numbers["MemFree"] < numbers["MemTotal"]);
    assert!(numbers["MemAvailable"] <= numbers["MemTotal"]);
    assert!(numbers["MemTotal"] > 16 << 10);
    assert!(read_text("/proc/meminfo").lines().next().unwrap().ends_with(" kB"));
}

fn online_cpus() -> usize {
    read_text("/proc/stat").lines().filter(|line| line.starts_with("cpu")).count() - 1
}

fn stat_counts_every_cpu() {
    let text = read_text("/proc/stat");
    assert!(text.starts_with("cpu  "));
    for line in text.lines().filter(|line| line.starts_with("cpu")) {
        let numbers: Vec<u64> =
            line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect();
        assert!(numbers.len() >= 8, "{line}");
    }
    for name in ["intr ", "ctxt ", "btime ", "processes ", "procs_running ", "procs_blocked "] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
    assert!(online_cpus() >= std::thread::available_parallelism().unwrap().get());
}

fn stat_counters_only_grow() {
    let value = |name: &str| -> u64 {
        let text = read_text("/proc/stat");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = (value("ctxt"), value("processes"));
    for _ in 0..5 {
        in_child(|| nap(1));
    }
    let after = (value("ctxt"), value("processes"));
    assert!(after.0 > before.0, "context switches");
    assert!(after.1 >= before.1 + 5, "processes");
    let total = || -> u64 {
        read_text("/proc/stat")
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .map(|number| number.parse::<u64>().unwrap())
            .sum()
    };
    let before = total();
    until("CPU time was accounted", || total() > before);
}

fn loadavg_has_five_fields() {
    let text = read_text("/proc/loadavg");
    let fields: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(fields.len(), 5);
    assert!(fields[..3].iter().all(|field| field.parse::<f64>().is_ok() && field.contains('.')));
    let (running, all) = fields[3].split_once('/').unwrap();
    assert!(running.parse::<u32>().unwrap() >= 1);
    assert!(all.parse::<u32>().unwrap() >= 2);
    assert!(fields[4].parse::<u32>().unwrap() >= 1);
}

fn uptime_has_two_fields() {
    let text = read_text("/proc/uptime");
    let fields: Vec<f64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
    assert_eq!(fields.len(), 2);
    let mut now = [0_i64; 2];
    ok!(SYS_clock_gettime, libc::CLOCK_BOOTTIME, &mut now);
    assert!((now[0] as f64 - fields[0]).abs() < 30.0);
}

fn cpuinfo_has_a_block_for_each_cpu() {
    let text = read_text("/proc/cpuinfo");
    let count = text.lines().filter(|line| line.starts_with("processor\t:")).count();
    assert_eq!(count, online_cpus());
    for name in ["vendor_id", "model name", "flags"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
}

fn mounts_name_the_root() {
    let text = read_text("/proc/mounts");
    for line in text.lines() {
        assert_eq!(line.split(' ').count(), 6, "{line}");
        assert!(line.ends_with(" 0 0"));
    }
    let targets: Vec<&str> = text.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert!(targets.contains(&"/") && targets.contains(&"/proc"), "{targets:?}");
    assert_eq!(text, read_text("/proc/self/mounts"));
}

fn filesystems_list_tmpfs() {
    let text = read_text("/proc/filesystems");
    assert!(text.contains("nodev\ttmpfs\n") && text.contains("nodev\tproc\n"), "{text}");
}

fn version_names_a_kernel() {
    let text = read_text("/proc/version");
    assert!(text.len() > 10 && text.ends_with('\n') && text.contains(" version "), "{text}");
}

fn interrupts_have_a_column_for_each_cpu() {
    let text = read_text("/proc/interrupts");
    let head: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head.len(), online_cpus());
    assert!(head.iter().all(|name| name.starts_with("CPU")));
    let sum: u64 = text
        .lines()
        .skip(1)
        .flat_map(|line| line.split_whitespace().skip(1).take(head.len()))
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    assert!(sum > 0);
}

fn sys_kernel_values() {
    let pid_max: u32 = read_text("/proc/sys/kernel/pid_max").trim().parse().unwrap();
    assert!(pid_max >= 300);
    let mut names = [[0_u8; 65]; 6];
    ok!(SYS_uname, &mut names);
    let length = names[1].iter().position(|byte| *byte == 0).unwrap();
    assert_eq!(read_text("/proc/sys/kernel/hostname").trim().as_bytes(), &names[1][..length]);
    assert!(!read_text("/proc/sys/kernel/osrelease").trim().is_empty());
}

fn sys_values_are_roots_whoever_opened_them() {
    needs_root();
    let file = ok!(SYS_open, c"/proc/sys/kernel/core_uses_pid", libc::O_RDWR);
    in_child(|| {
        ok!(SYS_setresuid, 1000, 1000, 1000);
        fails!(EPERM: SYS_write, file, b"0", 1);
        assert_eq!(ok!(SYS_read, file, &mut [0_u8; 1], 1), 1);
    });
    ok!(SYS_close, file);
}

fn missing_entries() {
    fails!(ENOENT: SYS_open, c"/proc/0", libc::O_RDONLY);
    fails!(ENOENT: SYS_open, c"/proc/999999999/stat", libc::O_RDONLY);
    fails!(ENOENT: SYS_open, c"/proc/self/nonsense", libc::O_RDONLY);
    fails!(ENOENT: SYS_open, c"/proc/01", libc::O_RDONLY);
    fails!(ENOTDIR: SYS_open, c"/proc/self/stat/x", libc::O_RDONLY);
}

fn small_reads_and_seeks() {
    let whole = std::fs::read("/proc/self/status").unwrap();
    let fd = ok!(SYS_open, c"/proc/self/status", libc::O_RDONLY);
    let mut pieces = Vec::new();
    let mut buffer = [0_u8; 7];
    loop {
        let count = ok!(SYS_read, fd, &mut buffer, 7);
        if count == 0 {
            break;
        }
        pieces.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(pieces[..20], whole[..20]);
    assert!(pieces.len().abs_diff(whole.len()) < 16);
    ok!(SYS_lseek, fd, 0, libc::SEEK_SET);
    ok!(SYS_read, fd, &mut buffer, 5);
    assert_eq!(buffer[..5], whole[..5]);
    assert_eq!(ok!(SYS_pread64, fd, &mut buffer, 5, 5), 5);
    assert_eq!(buffer[..5], whole[5..10]);
}

fn files_are_read_only() {
    needs_root();
    in_child(|| {
        ok!(SYS_setresuid, 1000, 1000, 1000);
        fails!(EACCES: SYS_open, c"/proc/meminfo", libc::O_WRONLY);
    });
    assert!(crate::sys!(SYS_mkdir, c"/proc/directory", 0o755).is_err());
    assert!(crate::sys!(SYS_unlink, c"/proc/meminfo").is_err());
}

fn ended_process_reads_fail() {
    let child = child(|| nap(100_000));
    let path = std::ffi::CString::new(format!("/proc/{}/stat", child.pid())).unwrap();
    let fd = ok!(SYS_open, path.as_c_str(), libc::O_RDONLY);
    assert!(ok!(SYS_read, fd, &mut [0_u8; 512], 512) > 50);
    child.finish();
    ok!(SYS_lseek, fd, 0, libc::SEEK_SET);
    fails!(ESRCH: SYS_read, fd, &mut [0_u8; 512], 512);
}

fn others_are_visible_but_not_private() {
    needs_root();
    let root = child(|| nap(100_000));
    let pid = root.pid();
    in_child(|| {
        ok!(SYS_setresgid, 1000, 1000, 1000);
        ok!(SYS_setresuid, 1000, 1000, 1000);
        read_text(&format!("/proc/{pid}/stat"));
        read_text(&format!("/proc/{pid}/cmdline"));
        let path = std::ffi::CString::new(format!("/proc/{pid}/environ")).unwrap();
        fails!(EACCES: SYS_open, path.as_c_str(), libc::O_RDONLY);
        let path = std::ffi::CString::new(format!("/proc/{pid}/exe")).unwrap();
        fails!(EACCES: SYS_readlink, path.as_c_str(), &mut [0_u8; 64], 64);
    });
    root.finish();
}
