//! Core files (core(5)): when there is one, what it is called, and what is in it.

use std::arch::asm;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use libc::{SIGABRT, SIGKILL, SIGQUIT, SIGSEGV, SIGTERM};

use super::support::{
    Mapping, PAGE, Status, child, default_action, exit_now, needs_root, read_text, skip, until,
    write_text,
};
use crate::ok;

super::area!("cores":
    fault_leaves_its_registers,
    siginfo_and_auxiliary_vector_are_there,
    every_thread_is_there,
    memory_is_there_as_it_was,
    limit_zero_forbids_a_core,
    limit_cuts_a_core_off,
    undumpable_process_leaves_none,
    only_core_signals_leave_one,
    sigchld_says_dumped,
    old_file_is_replaced_not_overwritten,
    unwritable_directory_leaves_none,
    filter_chooses_memory,
    pattern_names_the_file,
    killed_while_dumping,
);

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
pub(super) const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
pub(super) const NT_FILE: u32 = 0x4649_4c45;

/// Skips the case where core files do not go to the working directory.
pub(super) fn needs_plain_cores() {
    if !read_text(PATTERN).starts_with("core") {
        skip("core files go elsewhere here");
    }
}

pub(super) fn limit_cores(bytes: u64) {
    ok!(SYS_setrlimit, libc::RLIMIT_CORE, &[bytes, bytes]);
}

/// Runs `body`, which does not survive, in a child that may leave a core file; how it ended, and the file.
#[track_caller]
pub(super) fn dumped(body: impl FnOnce()) -> (Status, Option<PathBuf>) {
    needs_plain_cores();
    let status = child(|| {
        limit_cores(u64::MAX);
        [SIGSEGV, SIGQUIT, SIGABRT].into_iter().for_each(default_action);
        body();
    })
    .status();
    (status, found())
}

/// The core file in the working directory.
pub(super) fn found() -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(".").unwrap();
    entries.find_map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name();
        name.to_str().unwrap().starts_with("core").then(|| entry.path())
    })
}

pub(super) fn die(signal: i32) -> ! {
    ok!(SYS_tgkill, ok!(SYS_getpid), ok!(SYS_gettid), signal);
    exit_now(3)
}

/// A core file, taken apart.
pub(super) struct Core {
    bytes: Vec<u8>,
    /// Kind and content.
    notes: Vec<(u32, Vec<u8>)>,
    /// Address, offset, bytes in the file, bytes in memory.
    pub(super) segments: Vec<[u64; 4]>,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Core {
    #[track_caller]
    pub(super) fn of((status, path): (Status, Option<PathBuf>), signal: i32) -> Self {
        assert_eq!(status, Status::Dumped(signal));
        let bytes = std::fs::read(path.expect("a core file")).unwrap();
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01");
        assert_eq!(half(&bytes, 16), 62 << 16 | 4, "x86-64, ET_CORE");
        let (table, count) = (word(&bytes, 32) as usize, half(&bytes, 56) as usize & 0xffff);
        let (mut notes, mut segments) = (Vec::new(), Vec::new());
        for header in bytes[table..].chunks(56).take(count) {
            let (offset, size) = (word(header, 8), word(header, 32));
            match half(header, 0) {
                4 => notes = parse_notes(&bytes[offset as usize..][..size as usize]),
                1 => segments.push([word(header, 16), offset, size, word(header, 40)]),
                kind => panic!("a program header of type {kind}"),
            }
        }
        Self { bytes, notes, segments }
    }

    pub(super) fn notes_of(&self, kind: u32) -> Vec<&[u8]> {
        let notes = self.notes.iter().filter(|(found, _)| *found == kind);
        notes.map(|(_, content)| &content[..]).collect()
    }

    /// What the file holds of the page at `address`; `None` if that is not stored.
    pub(super) fn page(&self, address: usize) -> Option<&[u8]> {
        let address = address as u64;
        let segment = self.segments.iter().find(|s| (s[0]..s[0] + s[3]).contains(&address))?;
        let inside = address - segment[0];
        let at = (segment[1] + inside) as usize;
        (inside < segment[2]).then(|| &self.bytes[at..at + PAGE])
    }
}

fn parse_notes(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut notes = Vec::new();
    while bytes.len() >= 12 {
        let (name, size) = (half(bytes, 0) as usize, half(bytes, 4) as usize);
        let start = 12 + name.next_multiple_of(4);
        notes.push((half(bytes, 8), bytes[start..start + size].to_vec()));
        bytes = &bytes[(start + size).next_multiple_of(4).min(bytes.len())..];
    }
    notes
}

/// Registers of a `struct elf_prstatus`, numbered as in `struct user_regs_struct`.
fn register(status: &[u8], index: usize) -> u64 {
    word(status, 112 + index * 8)
}

fn fault_leaves_its_registers() {
    let core = dumped(|| {
        // SAFETY: does not return: the address is not mapped.
        unsafe {
            asm!(
                "mov r15, 15",
                "mov r12, 12",
                "mov rax, 64",
                "mov qword ptr [rax], rax",
                options(noreturn)
            );
        }
    });
    let core = Core::of(core, SIGSEGV);
    let status = core.notes_of(NT_PRSTATUS)[0];
    assert_eq!(status.len(), 336);
    assert_eq!((register(status, 0), register(status, 3), register(status, 10)), (15, 12, 64));
    assert_eq!(register(status, 15), u64::MAX, "no system call");
    assert_eq!((register(status, 17), register(status, 20)), (0x33, 0x2b));
    assert_ne!(register(status, 21), 0, "fs_base");
    assert_eq!(half(status, 0), SIGSEGV as u32);
    assert_eq!(half(status, 12), SIGSEGV as u32, "pr_cursig");
    let own = fault_leaves_its_registers as *const () as u64;
    assert!(register(status, 16).abs_diff(own) < 1 << 24, "rip is in this program");
}

fn siginfo_and_auxiliary_vector_are_there() {
    let core = dumped(|| {
        // SAFETY: does not return: the address is not mapped.
        unsafe { asm!("mov eax, 72", "mov qword ptr [rax], rax", options(noreturn)) };
    });
    let core = Core::of(core, SIGSEGV);
    let info = core.notes_of(NT_SIGINFO)[0];
    assert_eq!((info.len(), half(info, 0), half(info, 8)), (128, SIGSEGV as u32, 1));
    assert_eq!(word(info, 16), 72);
    let auxiliary = core.notes_of(NT_AUXV)[0];
    let pairs: Vec<(u64, u64)> =
        auxiliary.chunks(16).map(|pair| (word(pair, 0), word(pair, 8))).collect();
    assert!(pairs.contains(&(libc::AT_PAGESZ, PAGE as u64)));
    assert_eq!(pairs.last(), Some(&(0, 0)));
    let process = core.notes_of(NT_PRPSINFO)[0];
    assert_eq!((process.len(), half(process, 28)), (136, ok!(SYS_getpid) as u32));
    assert!(process[56..].starts_with(b"suite ") || process[56..].contains(&b'/'), "psargs");
    let files = core.notes_of(NT_FILE)[0];
    assert!(word(files, 0) >= 1);
    assert_eq!(word(files, 8), PAGE as u64);
    let program = std::fs::read_link("/proc/self/exe").unwrap();
    let names = &files[16 + 24 * word(files, 0) as usize..];
    assert!(
        names.split(|&byte| byte == 0).any(|name| name == program.as_os_str().as_encoded_bytes())
    );
}

fn every_thread_is_there() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static READY: AtomicU32 = AtomicU32::new(0);
    fn marked(marker: u64, sleeps: bool) {
        // SAFETY: counts itself with its mark in a register, and loops with that, asleep or not.
        unsafe {
            asm!("lock inc dword ptr [{ready}]", "2:", "test {sleeps}, {sleeps}", "jz 2b",
                "mov eax, 34", "syscall", "jmp 2b",
                ready = in(reg) READY.as_ptr(), sleeps = in(reg) u64::from(sleeps),
                in("r15") marker, options(noreturn));
        }
    }
    let core = dumped(|| {
        for marker in 0x7001..0x7004 {
            std::thread::spawn(move || marked(marker, marker != 0x7003));
        }
        until("the threads run", || READY.load(Ordering::SeqCst) == 3);
        until("two of them sleep", || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            let stats =
                tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
            stats.filter(|stat| stat.as_ref().unwrap().contains(") S ")).count() == 2
        });
        die(SIGABRT);
    });
    let core = Core::of(core, SIGABRT);
    let threads = core.notes_of(NT_PRSTATUS);
    assert_eq!(threads.len(), 4);
    let mut marks: Vec<u64> = threads[1..].iter().map(|status| register(status, 0)).collect();
    marks.sort_unstable();
    assert_eq!(marks, [0x7001, 0x7002, 0x7003]);
    let asleep = threads.iter().find(|status| register(status, 0) == 0x7001).unwrap();
    assert_eq!(register(asleep, 15), libc::SYS_pause as u64, "orig_rax");
}

fn memory_is_there_as_it_was() {
    let pages = Mapping::private(4);
    let address = pages.address();
    pages.fill(0xa5);
    let core = dumped(|| {
        ok!(SYS_madvise, address + 2 * PAGE, PAGE, libc::MADV_DONTDUMP);
        // Also what nobody may read.
        ok!(SYS_mprotect, address, PAGE, libc::PROT_NONE);
        die(SIGQUIT);
    });
    let core = Core::of(core, SIGQUIT);
    assert!(core.page(address).unwrap().iter().all(|&byte| byte == 0xa5));
    assert!(core.page(address + 2 * PAGE).is_none(), "MADV_DONTDUMP");
    let end = core.segments.iter().map(|segment| segment[1] + segment[2]).max().unwrap();
    assert_eq!(core.bytes.len() as u64, end);
    let path = found().unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o600);
}

fn limit_zero_forbids_a_core() {
    let outcome = dumped(|| {
        limit_cores(0);
        die(SIGSEGV);
    });
    assert_eq!(outcome, (Status::Killed(SIGSEGV), None));
}

fn limit_cuts_a_core_off() {
    let outcome = dumped(|| {
        limit_cores(3 * PAGE as u64);
        die(SIGSEGV);
    });
    assert_eq!(outcome.0, Status::Dumped(SIGSEGV));
    let metadata = std::fs::metadata(outcome.1.unwrap()).unwrap();
    assert!(metadata.blocks() * 512 <= 4 * PAGE as u64, "{metadata:?}");
    let outcome = child(|| {
        limit_cores(PAGE as u64 - 1);
        default_action(SIGSEGV);
        die(SIGSEGV);
    });
    assert_eq!(outcome.status(), Status::Killed(SIGSEGV), "too little for the headers");
}

fn undumpable_process_leaves_none() {
    let outcome = dumped(|| {
        ok!(SYS_prctl, libc::PR_SET_DUMPABLE, 0);
        assert_eq!(ok!(SYS_prctl, libc::PR_GET_DUMPABLE), 0);
        die(SIGSEGV);
    });
    assert_eq!(outcome, (Status::Killed(SIGSEGV), None));
}

fn only_core_signals_leave_one() {
    let outcome = dumped(|| die(SIGTERM));
    assert_eq!(outcome, (Status::Killed(SIGTERM), None));
    let outcome = dumped(|| die(SIGKILL));
    assert_eq!(outcome, (Status::Killed(SIGKILL), None));
    assert_eq!(dumped(|| die(SIGQUIT)).0, Status::Dumped(SIGQUIT));
}

fn sigchld_says_dumped() {
    needs_plain_cores();
    let dying = child(|| {
        limit_cores(u64::MAX);
        default_action(SIGABRT);
        die(SIGABRT);
    });
    let mut info = [0_u32; 32];
    ok!(SYS_waitid, libc::P_PID, dying.pid(), &mut info, libc::WEXITED, 0);
    dying.abandon();
    assert_eq!((info[2] as i32, info[6] as i32), (libc::CLD_DUMPED, SIGABRT));
}

fn old_file_is_replaced_not_overwritten() {
    needs_plain_cores();
    let name = read_text(PATTERN);
    if name.contains('%') || read_text("/proc/sys/kernel/core_uses_pid").trim() != "0" {
        skip("the name of a core file is not known beforehand");
    }
    let name = name.trim();
    write_text(name, "precious");
    std::fs::hard_link(name, "kept").unwrap();
    assert_eq!(dumped(|| die(SIGSEGV)).0, Status::Dumped(SIGSEGV));
    assert_eq!(read_text("kept"), "precious");
    assert_ne!(std::fs::metadata(name).unwrap().len(), 8);
}

fn unwritable_directory_leaves_none() {
    needs_root();
    let outcome = dumped(|| {
        std::fs::create_dir("closed").unwrap();
        std::env::set_current_dir("closed").unwrap();
        ok!(SYS_setuid, 1000);
        ok!(SYS_prctl, libc::PR_SET_DUMPABLE, 1);
        die(SIGSEGV);
    });
    assert_eq!(outcome, (Status::Killed(SIGSEGV), None));
    assert_eq!(std::fs::read_dir("closed").unwrap().count(), 0);
}

fn filter_chooses_memory() {
    assert_eq!(read_text("/proc/self/coredump_filter"), "00000033\n");
    let pages = Mapping::private(1);
    pages.fill(7);
    let address = pages.address();
    let core = dumped(|| {
        write_text("/proc/self/coredump_filter", "0x10");
        // A child has what its parent set.
        let dying = child(|| die(SIGSEGV));
        assert_eq!(dying.status(), Status::Dumped(SIGSEGV));
        exit_now(0);
    });
    assert_eq!(core.0, Status::Exited(0));
    let core = Core::of((Status::Dumped(SIGSEGV), core.1), SIGSEGV);
    assert!(core.page(address).is_none());
    assert!(core.segments.iter().any(|segment| segment[2] == PAGE as u64), "ELF headers");
}

fn pattern_names_the_file() {
    needs_root();
    needs_plain_cores();
    let old = read_text(PATTERN);
    if std::fs::write(PATTERN, "core.%e.%s.%p\n").is_err() {
        skip("the pattern cannot be changed here");
    }
    assert_eq!(read_text(PATTERN), "core.%e.%s.%p\n");
    let dying = child(|| {
        limit_cores(u64::MAX);
        default_action(SIGSEGV);
        ok!(SYS_prctl, libc::PR_SET_NAME, c"a/b");
        die(SIGSEGV);
    });
    let name = format!("core.a!b.11.{}", dying.pid());
    let status = dying.status();
    write_text(PATTERN, &old);
    assert_eq!(status, Status::Dumped(SIGSEGV));
    assert!(std::fs::exists(&name).unwrap(), "{name} is missing: {:?}", found());
}

fn killed_while_dumping() {
    needs_plain_cores();
    let pages = Mapping::private(4096);
    pages.stamp(1);
    let dying = child(|| {
        limit_cores(u64::MAX);
        default_action(SIGSEGV);
        die(SIGSEGV);
    });
    until("the dump has begun", || found().is_some());
    dying.kill(SIGKILL);
    // The kill may come after the last page.
    let status = dying.status();
    assert!(matches!(status, Status::Killed(SIGKILL) | Status::Dumped(SIGSEGV)), "{status:?}");
}
