//! execve: what the new program finds, and what exec keeps and drops.

use std::ffi::{CStr, CString};
use std::sync::atomic::Ordering::SeqCst;

use libc::{AT_EMPTY_PATH, AT_FDCWD, O_CLOEXEC, SIGTERM, SIGUSR1, SIGUSR2};

use super::elf::Image;
use super::support::{
    Child, Mapping, PAGE, Status, block, caught, child, exec, exec_helper, helper_output, ignore,
    nap, needs_root, own_program, pipe, read_all, read_text, record, set_of, vector,
};
use crate::sys::Errno;
use crate::{fails, ok, sys};

super::area!("exec":
    arguments_and_environment_arrive,
    empty_argument_vector_gets_one,
    auxiliary_vector_is_right,
    random_bytes_differ,
    secure_bit_after_setuid_file,
    close_on_exec_closes,
    signal_state_after_exec,
    ids_stay_across_exec,
    name_becomes_the_files,
    execveat_by_descriptor,
    text_file_busy_for_writers,
    exec_from_another_thread,
    exec_ends_other_threads,
    exec_drops_memory_mappings,
    failed_exec_changes_nothing,
    stack_pointer_is_aligned,
    registers_start_clean,
    pending_alarm_survives,
);

/// The lines of a helper's output that begin with `prefix`, without it.
pub(super) fn lines<'a>(output: &'a str, prefix: &str) -> Vec<&'a str> {
    output.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
}

fn arguments_and_environment_arrive() {
    let output = helper_output("arguments", &[c"", c"two words", c"\xc3\xa4"], || {});
    let arguments = lines(&output, "argument ");
    assert_eq!(arguments, ["suite", "--helper", "arguments", "", "two words", "ä"]);
    assert_eq!(lines(&output, "variable "), ["HELPER=yes"]);
}

fn empty_argument_vector_gets_one() {
    // A program that exits with argc: `mov rdi, [rsp]; mov eax, SYS_exit_group; syscall`.
    let program = argc_program();
    for vector in [Vec::new(), vector(&[])] {
        let child = child(|| {
            if vector.is_empty() {
                ok!(SYS_execve, program.as_c_str(), 0, 0);
            } else {
                ok!(SYS_execve, program.as_c_str(), &vector[..], 0);
            }
        });
        assert_eq!(child.status(), Status::Exited(1));
    }
}

pub(super) fn argc_program() -> CString {
    Image::with_code(vec![0x48, 0x8b, 0x3c, 0x24, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]).save("argc")
}

fn auxiliary_vector_is_right() {
    let output = helper_output("auxv", &[], || {});
    let value = |key: u64| -> u64 {
        let prefix = format!("{key} ");
        lines(&output, &prefix)[0].parse().unwrap()
    };
    assert_eq!(value(libc::AT_PAGESZ), 4096);
    assert_eq!(value(libc::AT_PHENT), 56);
    assert_eq!(value(libc::AT_CLKTCK), 100);
    assert_eq!(value(libc::AT_SECURE), 0);
    assert_eq!(value(libc::AT_FLAGS), 0);
    assert_eq!(value(libc::AT_UID), ok!(SYS_getuid) as u64);
    assert_eq!(value(libc::AT_EUID), ok!(SYS_geteuid) as u64);
    assert_eq!(value(libc::AT_GID), ok!(SYS_getgid) as u64);
    assert_eq!(value(libc::AT_EGID), ok!(SYS_getegid) as u64);
    let file = std::fs::read(own_program().to_str().unwrap()).unwrap();
    let field = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    assert_eq!(value(libc::AT_PHNUM), u64::from(u16::from_le_bytes([file[56], file[57]])));
    // Entry and program headers lie as far apart in memory as in the file.
    assert_eq!(value(libc::AT_ENTRY) & 0xfff, field(24) & 0xfff);
    assert_eq!(value(libc::AT_PHDR) & 0xfff, field(32) & 0xfff);
    assert_eq!(lines(&output, "execfn ")[0], own_program().to_str().unwrap());
}

fn random_bytes_differ() {
    let random = || {
        let output = helper_output("auxv", &[], || {});
        lines(&output, "random ")[0].to_owned()
    };
    let (first, second) = (random(), random());
    assert_ne!(first, second);
    assert_ne!(first, "0".repeat(32));
}

fn secure_bit_after_setuid_file() {
    needs_root();
    // Exits with the AT_SECURE entry's value. The vector follows argv and envp, here one argument, none.
    let code = vec![
        0x48, 0x8d, 0x5c, 0x24, 0x20, // lea rbx, [rsp + 32]: argc, argv[0], null, null
        0x48, 0x8b, 0x03, // next: mov rax, [rbx]
        0x48, 0x8b, 0x7b, 0x08, // mov rdi, [rbx + 8]
        0x48, 0x83, 0xc3, 0x10, // add rbx, 16
        0x48, 0x83, 0xf8, 23, // cmp rax, AT_SECURE
        0x75, 0xef, // jne next
        0xb8, 231, 0, 0, 0, 0x0f, 0x05, // exit_group
    ];
    let program = Image::with_code(code).save("secure");
    let run = || {
        let child = child(|| {
            ok!(SYS_setresuid, 1000, 1000, 1000);
            exec(&program, &[c"secure"], &[]).unwrap();
        });
        child.status()
    };
    assert_eq!(run(), Status::Exited(0));
    ok!(SYS_chmod, program.as_c_str(), 0o4755);
    let mut information = [0_u64; 15];
    ok!(SYS_statfs, c".", &mut information);
    // f_flags: a mount with nosuid does not honour the bit.
    let expected = if information[10] & libc::ST_NOSUID != 0 { 0 } else { 1 };
    assert_eq!(run(), Status::Exited(expected));
}

fn close_on_exec_closes() {
    let output = helper_output("descriptors", &[], || {
        for fd in 3..20 {
            let _ = sys!(SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        ok!(SYS_dup3, 0, 20, 0);
        ok!(SYS_dup3, 0, 21, O_CLOEXEC);
        ok!(SYS_dup3, 0, 22, 0);
        ok!(SYS_fcntl, 22, libc::F_SETFD, libc::FD_CLOEXEC);
        ok!(SYS_dup3, 21, 23, 0);
    });
    assert_eq!(
        output,
        "0
1
2
20
23
",
        "the flag belongs to the descriptor"
    );
}

fn signal_state_after_exec() {
    // Whoever started the suite may ignore signals, and children inherit that: GNU make ignores two of its own.
    let mut ignored: Vec<i32> = inherited_ignored().collect();
    ignored.push(SIGUSR2);
    ignored.sort_unstable();
    let output = helper_output("signals", &[], || {
        record(SIGUSR1, 0);
        ignore(SIGUSR2);
        block(&[SIGTERM, libc::SIGHUP]);
        ok!(SYS_kill, ok!(SYS_getpid), SIGTERM);
    });
    let set = |signals| format!("{:x}", set_of(signals));
    assert_eq!(lines(&output, "blocked "), [set(&[SIGTERM, libc::SIGHUP])]);
    assert_eq!(lines(&output, "pending "), [set(&[SIGTERM])]);
    assert_eq!(lines(&output, "caught "), [""; 0]);
    let ignored: Vec<String> = ignored.iter().map(i32::to_string).collect();
    assert_eq!(lines(&output, "ignored "), ignored);
}

/// The signals that this process ignores, without SIGUSR2 and those that the Rust runtime sets.
fn inherited_ignored() -> impl Iterator<Item = i32> {
    (1..=64).filter(|&signal| {
        let mut action = [0_usize; 4];
        ok!(SYS_rt_sigaction, signal, 0, &mut action, 8);
        let others = [SIGUSR2, libc::SIGSEGV, libc::SIGBUS, libc::SIGPIPE];
        action[0] == libc::SIG_IGN && !others.contains(&signal)
    })
}

fn ids_stay_across_exec() {
    let before = Mapping::shared(1);
    let output = helper_output("identity", &[], || {
        ok!(SYS_setpgid, 0, 0);
        let pid = ok!(SYS_getpid);
        before.long(0).store(pid as u64, SeqCst);
    });
    let pid = before.long(0).load(SeqCst);
    assert_eq!(output, format!("{pid} {pid}\n{pid} {}\n", ok!(SYS_getsid, 0)));
}

/// A program that writes one byte and runs for ever.
fn endless_program(name: &str) -> CString {
    let code = vec![
        0xb8, 1, 0, 0, 0, // mov eax, SYS_write
        0xbf, 1, 0, 0, 0, // mov edi, 1
        0x48, 0x89, 0xe6, // mov rsi, rsp
        0xba, 1, 0, 0, 0, // mov edx, 1
        0x0f, 0x05, // syscall
        0xeb, 0xfe, // a jump to itself
    ];
    Image::with_code(code).save(name)
}

/// A child that does `prepare` and becomes an [`endless_program`], which runs when this returns: the byte says so. That a
/// descriptor was closed would not, as execve has more to do then.
#[track_caller]
fn run_endless(program: &CStr, prepare: impl FnOnce()) -> Child {
    let (read_end, write_end) = pipe(O_CLOEXEC);
    let child = child(|| {
        prepare();
        ok!(SYS_dup2, write_end, 1);
        exec(program, &[c"other"], &[]).unwrap();
    });
    ok!(SYS_close, write_end);
    assert_eq!(ok!(SYS_read, read_end, &mut [0_u8; 1], 1), 1);
    ok!(SYS_close, read_end);
    child
}

fn name_becomes_the_files() {
    let program = endless_program("endless-loop-of-a-program");
    let child = run_endless(&program, || {});
    let comm = read_text(&format!("/proc/{}/comm", child.pid()));
    let cmdline = read_text(&format!("/proc/{}/cmdline", child.pid()));
    child.finish();
    assert_eq!(comm, "endless-loop-of\n");
    assert_eq!(cmdline, "other\0");
}

/// execve with one argument.
pub(super) fn try_exec(path: &CStr) -> crate::sys::SysResult {
    exec(path, &[c"x"], &[])
}

fn execveat_by_descriptor() {
    let program = Image::new().save("program");
    ok!(SYS_mkdir, c"inner", 0o755);
    let directory = ok!(SYS_open, c".", libc::O_RDONLY | libc::O_DIRECTORY);
    let file = ok!(SYS_open, program.as_c_str(), libc::O_PATH | O_CLOEXEC);
    let arguments = vector(&[c"x"]);
    for way in 0..3 {
        let child = child(|| {
            ok!(SYS_chdir, c"inner");
            let result = match way {
                0 => sys!(SYS_execveat, directory, c"program", &arguments[..], 0, 0),
                1 => sys!(SYS_execveat, file, c"", &arguments[..], 0, AT_EMPTY_PATH),
                _ => sys!(SYS_execveat, AT_FDCWD, c"../program", &arguments[..], 0, 0),
            };
            result.unwrap();
        });
        assert_eq!(child.status(), Status::Exited(7), "way {way}");
    }
}

fn text_file_busy_for_writers() {
    let program = endless_program("program");
    let writer = ok!(SYS_open, program.as_c_str(), libc::O_WRONLY);
    assert_eq!(try_exec(&program), Err(Errno::ETXTBSY));
    ok!(SYS_close, writer);
    let child = run_endless(&program, || {});
    fails!(ETXTBSY: SYS_open, program.as_c_str(), libc::O_WRONLY);
    child.finish();
    ok!(SYS_open, program.as_c_str(), libc::O_WRONLY);
}

fn exec_from_another_thread() {
    let (read_end, write_end) = pipe(O_CLOEXEC);
    let child = child(|| {
        ok!(SYS_dup2, write_end, 1);
        std::thread::spawn(|| {
            assert_ne!(ok!(SYS_gettid), ok!(SYS_getpid));
            exec_helper("identity", &[]);
        });
        loop {
            nap(1000);
        }
    });
    let expected = format!("{0} {0}\n", child.pid());
    ok!(SYS_close, write_end);
    let output = String::from_utf8(read_all(read_end)).unwrap();
    child.success();
    assert!(output.starts_with(&expected), "the caller takes over the process id: {output}");
}

fn exec_ends_other_threads() {
    let program = Image::new().save("program");
    let counter: &'static Mapping = Box::leak(Box::new(Mapping::shared(1)));
    let child = child(|| {
        for _ in 0..3 {
            std::thread::spawn(|| {
                loop {
                    // Relaxed would do; the parent only looks whether it still moves.
                    counter.word(0).fetch_add(1, SeqCst);
                }
            });
        }
        std::thread::spawn(|| nap(1_000_000));
        nap(10);
        try_exec(&program).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(7));
    let before = counter.word(0).load(SeqCst);
    nap(5);
    assert_eq!(counter.word(0).load(SeqCst), before);
}

fn exec_drops_memory_mappings() {
    let child = run_endless(&endless_program("program"), || {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let mapping = Mapping::new(0x1234_5000, PAGE, libc::PROT_READ, flags, -1, 0).unwrap();
        std::mem::forget(mapping);
        assert!(read_text("/proc/self/maps").contains("12345000-12346000"));
    });
    let maps = read_text(&format!("/proc/{}/maps", child.pid()));
    child.finish();
    assert!(!maps.contains("12345000"), "{maps}");
    assert!(maps.contains("00400000-00401000 r-xp"), "{maps}");
    assert!(maps.contains("[stack]"), "{maps}");
}

fn failed_exec_changes_nothing() {
    let mut broken = Image::new();
    broken.header.machine = 3;
    let broken = broken.save("broken");
    ok!(SYS_prctl, libc::PR_SET_NAME, c"before");
    record(SIGUSR1, 0);
    let fd = ok!(SYS_open, c"/dev/null", O_CLOEXEC);
    assert_eq!(try_exec(&broken), Err(Errno::ENOEXEC));
    assert_eq!(read_text("/proc/self/comm"), "before\n");
    ok!(SYS_fcntl, fd, libc::F_GETFD);
    ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
    assert_eq!(caught(SIGUSR1), 1);
}

fn stack_pointer_is_aligned() {
    // `mov rdi, rsp; and edi, 15; exit_group`.
    let code = vec![0x48, 0x89, 0xe7, 0x83, 0xe7, 0x0f, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
    let program = Image::with_code(code).save("align");
    for length in [1, 7, 16, 31] {
        let name = CString::new("n".repeat(length)).unwrap();
        let child = child(|| {
            exec(&program, &[&name, &name], &[&name]).unwrap();
        });
        assert_eq!(child.status(), Status::Exited(0), "length {length}");
    }
}

fn registers_start_clean() {
    // ORs the general registers except rsp and exits with 1 if anything was set.
    let code = vec![
        0x48, 0x09, 0xd8, 0x48, 0x09, 0xc8, 0x48, 0x09, 0xd0, 0x48, 0x09, 0xf0, 0x48, 0x09, 0xf8,
        0x48, 0x09, 0xe8, 0x4c, 0x09, 0xc0, 0x4c, 0x09, 0xc8, 0x4c, 0x09, 0xd0, 0x4c, 0x09, 0xd8,
        0x4c, 0x09, 0xe0, 0x4c, 0x09, 0xe8, 0x4c, 0x09, 0xf0, 0x4c, 0x09,
        0xf8, // or rax, each
        0x31, 0xff, // xor edi, edi
        0x48, 0x85, 0xc0, // test rax, rax
        0x40, 0x0f, 0x95, 0xc7, // setne dil
        0xb8, 231, 0, 0, 0, 0x0f, 0x05,
    ];
    let program = Image::with_code(code).save("registers");
    let child = child(|| {
        try_exec(&program).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(0));
}

fn pending_alarm_survives() {
    let program = Image::with_code(vec![0xeb, 0xfe]).save("program");
    let child = child(|| {
        let soon = [0_i64, 0, 0, 50_000];
        ok!(SYS_setitimer, libc::ITIMER_REAL, &soon, 0);
        try_exec(&program).unwrap();
    });
    assert_eq!(child.status(), Status::Killed(libc::SIGALRM));
}
