//! Core files of processes with many threads that die at once, with much memory, and with many files (core(5)).

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE, O_CREAT, O_RDWR, PROT_NONE, PROT_READ};
use libc::{SIGABRT, SIGSEGV};

use super::cores::{Core, NT_FILE, NT_PRSTATUS, die, dumped, found, limit_cores};
use super::support::{Mapping, PAGE, Status, child, default_action};
use crate::ok;

super::area!("large_cores":
    threads_that_die_at_once_are_all_there,
    reserved_memory_is_not_searched,
    long_list_of_files_is_left_out,
    dump_shows_in_status,
);

fn threads_that_die_at_once_are_all_there() {
    const THREADS: usize = 4;
    static READY: AtomicU32 = AtomicU32::new(0);
    fn crash() {
        READY.fetch_add(1, Ordering::SeqCst);
        while READY.load(Ordering::SeqCst) < THREADS as u32 {
            std::hint::spin_loop();
        }
        // SAFETY: none: this is a fault.
        unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
    }
    for _ in 0..10 {
        let core = dumped(|| {
            for _ in 1..THREADS {
                std::thread::spawn(crash);
            }
            crash();
        });
        let path = core.1.clone();
        assert_eq!(Core::of(core, SIGSEGV).notes_of(NT_PRSTATUS).len(), THREADS);
        std::fs::remove_file(path.expect("a core file")).unwrap();
    }
}

/// Address space is not memory: how much of it is reserved makes no difference. In pieces, for no hole needs to be so large.
fn reserved_memory_is_not_searched() {
    const PIECE: usize = 1 << 40;
    const PIECES: usize = 64;
    let core = dumped(|| {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        for _ in 0..PIECES {
            ok!(SYS_mmap, 0, PIECE, PROT_NONE, flags, -1, 0);
        }
        die(SIGABRT);
    });
    let core = Core::of(core, SIGABRT);
    let reserved = core.segments.iter().filter(|segment| segment[3] >= PIECE as u64);
    let (stored, memory) =
        reserved.fold((0, 0), |sum, segment| (sum.0 + segment[2], sum.1 + segment[3]));
    assert!(memory >= (PIECES * PIECE) as u64, "their headers are there: {memory:#x}");
    assert_eq!(stored, 0, "and none of their bytes");
}

fn long_list_of_files_is_left_out() {
    const COUNT: usize = 20_000;
    let name = CString::new("x".repeat(220)).unwrap();
    let core = dumped(|| {
        let file = ok!(SYS_open, name.as_c_str(), O_RDWR | O_CREAT, 0o600);
        ok!(SYS_ftruncate, file, PAGE);
        for _ in 0..COUNT {
            ok!(SYS_mmap, 0, PAGE, PROT_READ, libc::MAP_SHARED, file, 0);
        }
        die(SIGABRT);
    });
    let core = Core::of(core, SIGABRT);
    assert_eq!(core.notes_of(NT_PRSTATUS).len(), 1);
    assert_eq!(core.notes_of(NT_FILE).len(), 0);
    assert!(core.segments.len() > COUNT);
}

fn dump_shows_in_status() {
    super::cores::needs_plain_cores();
    let shows = |value: &str, pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().any(|line| line == format!("CoreDumping:\t{value}"))
    };
    assert!(shows("0", ok!(SYS_getpid) as i32));
    let pages = Mapping::private(16_384);
    pages.stamp(1);
    // The dump may be over before this process looks.
    let seen = (0..10).any(|_| {
        let dying = child(|| {
            limit_cores(u64::MAX);
            default_action(SIGSEGV);
            die(SIGSEGV);
        });
        let mut seen = false;
        while !seen
            && found().is_none_or(|core| core.metadata().map_or(0, |core| core.len()) < 32 << 20)
        {
            seen = shows("1", dying.pid());
        }
        assert_eq!(dying.status(), Status::Dumped(SIGSEGV));
        std::fs::remove_file(found().expect("a core file")).unwrap();
        seen
    });
    assert!(seen);
}
