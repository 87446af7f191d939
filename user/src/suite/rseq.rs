//! Restartable sequences (rseq(2)): the area of a thread, and what restarts a sequence.
//!
//! The C library that the suite is linked with registers no area of its own.

use std::arch::asm;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use libc::{SIGALRM, SIGSEGV, SIGUSR1};
use nix::errno::Errno;

use super::membarrier::{REGISTER_RSEQ, RSEQ, membarrier};
use super::support::{
    Mapping, Status, allowed_cpus, caught, child, default_action, exit_now, helper_output, install,
    needs_cpus, pin, record, skip, try_pin, until,
};
use crate::sys::SysResult;
use crate::{ok, sys};

super::area!("rseq":
    registration_and_its_errors,
    area_shows_the_cpu,
    area_follows_the_thread_from_cpu_to_cpu,
    signal_restarts_a_sequence,
    preemption_restarts_a_sequence,
    migration_restarts_a_sequence,
    barrier_restarts_a_sequence,
    sequence_that_is_over_is_forgotten,
    fork_inherits_the_area,
    threads_have_none_at_first,
    exec_forgets_the_area,
    area_that_is_gone_is_fatal,
    section_that_makes_no_sense_is_fatal,
);

/// `struct rseq`, as of Linux 6.1.
#[repr(C, align(32))]
struct Area {
    cpu_id_start: AtomicU32,
    cpu_id: AtomicU32,
    section: AtomicU64,
    flags: AtomicU32,
    padding: [u32; 3],
}

/// `struct rseq_cs`
#[repr(C, align(32))]
struct Section {
    version: u32,
    flags: u32,
    start: u64,
    length: u64,
    abort: u64,
}

const SIZE: u32 = 32;
const UNREGISTER: i32 = 1;
const SIGNATURE: u32 = 0x5305_3053;
/// `RSEQ_CPU_ID_UNINITIALIZED`
const UNINITIALIZED: u32 = u32::MAX;

impl Area {
    fn new() -> Self {
        Self {
            cpu_id_start: AtomicU32::new(0),
            cpu_id: AtomicU32::new(UNINITIALIZED),
            section: AtomicU64::new(0),
            flags: AtomicU32::new(0),
            padding: [0; 3],
        }
    }

    fn call(&self, length: u32, flags: i32, signature: u32) -> SysResult {
        sys!(SYS_rseq, self, length, flags, signature)
    }

    /// Registers it for the calling thread.
    #[track_caller]
    fn register(&self) {
        match self.call(SIZE, 0, SIGNATURE) {
            Ok(_) => {}
            Err(Errno::ENOSYS) => skip("this kernel has no restartable sequences"),
            Err(errno) => panic!("an area cannot be registered: {errno}"),
        }
    }

    fn unregister(&self) {
        assert_eq!(self.call(SIZE, UNREGISTER, SIGNATURE), Ok(0));
    }

    /// Enters a sequence and stays in it until it is restarted. `inside` is set there.
    fn spin(&self, inside: &AtomicBool) {
        // SAFETY: the section is the code between labels 3 and 4; the kernel goes on at 5, before which the signature stands.
        // Nothing but the two flags and the area is written.
        unsafe {
            asm!(
                ".pushsection .data.rel.ro.rseq, \"aw\"",
                ".balign 32",
                "2: .long 0, 0",
                ".quad 3f, 4f - 3f, 5f",
                ".popsection",
                "lea {scratch}, [rip + 2b]",
                "mov [{area} + 8], {scratch}",
                "3: mov byte ptr [{inside}], 1",
                "6: pause",
                "jmp 6b",
                "4: .long 0x53053053",
                "5: nop",
                scratch = out(reg) _,
                area = in(reg) self,
                inside = in(reg) inside.as_ptr(),
            );
        }
        assert_eq!(self.section.load(SeqCst), 0, "the section is over");
    }
}

/// The address of the byte after a sequence's signature is where it goes on.
fn is_abort_address(address: u64) -> bool {
    // SAFETY: four bytes of code before an address that the thread has run.
    unsafe { std::ptr::read_unaligned((address - 4) as *const u32) == SIGNATURE }
}

fn registration_and_its_errors() {
    let (area, other) = (Area::new(), Area::new());
    assert_eq!(area.call(SIZE, UNREGISTER, SIGNATURE), Err(Errno::EINVAL), "none yet");
    assert_eq!(area.call(SIZE - 1, 0, SIGNATURE), Err(Errno::EINVAL), "too short");
    assert_eq!(area.call(SIZE, 4, SIGNATURE), Err(Errno::EINVAL), "unknown flag");
    let middle = &raw const area.section;
    assert_eq!(sys!(SYS_rseq, middle, SIZE, 0, SIGNATURE), Err(Errno::EINVAL), "not aligned");
    let kernel = 0xffff_8000_0000_0000_u64;
    assert_eq!(sys!(SYS_rseq, kernel, SIZE, 0, SIGNATURE), Err(Errno::EFAULT));
    area.register();
    assert_eq!(area.call(SIZE, 0, SIGNATURE), Err(Errno::EBUSY));
    assert_eq!(area.call(SIZE, 0, 1), Err(Errno::EPERM));
    assert_eq!(area.call(SIZE - 1, 0, SIGNATURE), Err(Errno::EINVAL));
    assert_eq!(other.call(SIZE, 0, SIGNATURE), Err(Errno::EINVAL));
    assert_eq!(other.call(SIZE, UNREGISTER, SIGNATURE), Err(Errno::EINVAL));
    assert_eq!(area.call(SIZE, UNREGISTER, 1), Err(Errno::EPERM));
    assert_eq!(area.call(SIZE - 1, UNREGISTER, SIGNATURE), Err(Errno::EINVAL));
    assert_eq!(area.call(SIZE, UNREGISTER | 2, SIGNATURE), Err(Errno::EINVAL));
    area.unregister();
    assert_eq!((area.cpu_id_start.load(SeqCst), area.cpu_id.load(SeqCst)), (0, UNINITIALIZED));
    assert_eq!(area.call(SIZE, UNREGISTER, SIGNATURE), Err(Errno::EINVAL), "none any more");
    other.register();
    other.unregister();
}

fn area_shows_the_cpu() {
    let area = Area::new();
    area.register();
    for cpu in allowed_cpus() {
        pin(0, cpu);
        assert_eq!(area.cpu_id.load(SeqCst) as usize, cpu);
        assert_eq!(area.cpu_id_start.load(SeqCst) as usize, cpu);
    }
    area.unregister();
}

fn area_follows_the_thread_from_cpu_to_cpu() {
    needs_cpus(2);
    let cpus = allowed_cpus();
    let (tid, shown) = (AtomicU32::new(0), AtomicU32::new(UNINITIALIZED));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let area = Area::new();
            area.register();
            pin(0, cpus[0]);
            tid.store(ok!(SYS_gettid) as u32, SeqCst);
            while !done.load(SeqCst) {
                let (before, mut now) = (area.cpu_id.load(SeqCst), 0_u32);
                ok!(SYS_getcpu, &mut now, 0, 0);
                let after = area.cpu_id.load(SeqCst);
                // Whoever was moved in between is told so.
                assert!(before != after || now == after, "{before} {now} {after}");
                shown.store(after, SeqCst);
            }
            area.unregister();
        });
        until("the thread has its area", || tid.load(SeqCst) != 0);
        for round in 0..100 {
            let cpu = cpus[round % cpus.len()];
            pin(tid.load(SeqCst) as usize, cpu);
            // Once between two looks at the most: moved there and back, the thread would see nothing of it.
            until("the area shows the CPU", || shown.load(SeqCst) as usize == cpu);
        }
        done.store(true, SeqCst);
    });
}

/// A handler's frame has shown an abort address.
static ABORTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_address(_signal: i32, _info: usize, context: usize) {
    // The instruction pointer is the 17th register of the ucontext's, which start behind 40 bytes.
    // SAFETY: the kernel's own structure.
    let address = unsafe { *((context + 40 + 16 * 8) as *const u64) };
    if is_abort_address(address) {
        ABORTED.store(true, SeqCst);
    }
}

/// Has a thread spin in a sequence, and calls `disturb` with its id once it is inside. Returns when the sequence was restarted.
fn disturbed(disturb: impl FnOnce(usize)) {
    let (tid, inside) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let area = Area::new();
            area.register();
            tid.store(ok!(SYS_gettid) as u32, SeqCst);
            area.spin(&inside);
            area.unregister();
        });
        until("the thread is in its sequence", || inside.load(SeqCst));
        disturb(tid.load(SeqCst) as usize);
    });
}

fn signal_restarts_a_sequence() {
    install(SIGALRM, note_address as *const () as usize, 0);
    let area = Area::new();
    area.register();
    // Again and again: a switch may restart the sequence before the signal comes, and the signal may come before the sequence.
    ok!(SYS_setitimer, libc::ITIMER_REAL, &[0_i64, 5000, 0, 5000], 0);
    until("a frame shows the abort address", || {
        area.spin(&AtomicBool::new(false));
        ABORTED.load(SeqCst)
    });
    ok!(SYS_setitimer, libc::ITIMER_REAL, &[0_i64; 4], 0);
    area.unregister();
}

fn preemption_restarts_a_sequence() {
    pin(0, allowed_cpus()[0]);
    let (page, area) = (Mapping::shared(1), Area::new());
    // Another process wants the same CPU.
    let rival = child(|| {
        while page.word(0).load(Relaxed) == 0 {
            std::hint::spin_loop();
        }
    });
    area.register();
    for _ in 0..5 {
        area.spin(&AtomicBool::new(false));
    }
    area.unregister();
    page.word(0).store(1, SeqCst);
    rival.success();
}

fn migration_restarts_a_sequence() {
    needs_cpus(2);
    let cpus = allowed_cpus();
    disturbed(|tid| {
        for cpu in &cpus {
            match try_pin(tid, *cpu) {
                // The first move has ended the sequence, and with it the thread.
                Err(Errno::ESRCH) => break,
                moved => assert_eq!(moved, Ok(())),
            }
        }
    });
}

fn barrier_restarts_a_sequence() {
    needs_cpus(2);
    if membarrier(REGISTER_RSEQ, 0, 0).is_err() {
        skip("this kernel has no such barrier");
    }
    for _ in 0..5 {
        disturbed(|_| assert_eq!(membarrier(RSEQ, 0, 0), Ok(0)));
    }
}

/// A section that no thread is in.
fn elsewhere() -> Section {
    static CODE: [u32; 4] = [0, 0, SIGNATURE, 0];
    let start = CODE.as_ptr() as u64;
    Section { version: 0, flags: 0, start, length: 4, abort: start + 12 }
}

fn sequence_that_is_over_is_forgotten() {
    record(SIGUSR1, 0);
    let (area, section) = (Area::new(), elsewhere());
    area.register();
    area.section.store(&raw const section as u64, SeqCst);
    ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
    assert_eq!((caught(SIGUSR1), area.section.load(SeqCst)), (1, 0));
    area.unregister();
}

fn fork_inherits_the_area() {
    let area = Area::new();
    area.register();
    child(|| {
        let mut cpu = 0_u32;
        assert_eq!(area.call(SIZE, 0, SIGNATURE), Err(Errno::EBUSY));
        let last = *allowed_cpus().last().unwrap();
        pin(0, last);
        ok!(SYS_getcpu, &mut cpu, 0, 0);
        assert_eq!((cpu, area.cpu_id.load(SeqCst)), (last as u32, last as u32));
        area.unregister();
    })
    .success();
    // The child's end is the child's.
    assert_eq!(area.call(SIZE, 0, SIGNATURE), Err(Errno::EBUSY));
    area.unregister();
}

fn threads_have_none_at_first() {
    let area = Area::new();
    area.register();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(area.call(SIZE, UNREGISTER, SIGNATURE), Err(Errno::EINVAL));
            let own = Area::new();
            own.register();
            own.unregister();
        });
    });
    area.unregister();
}

/// What the suite's helper `rseq` does: says whether it has an area although it registered none.
pub(super) fn helper(arguments: &[String]) {
    let address: u64 = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(0);
    println!("{:?}", sys!(SYS_rseq, address, SIZE, UNREGISTER, SIGNATURE).err());
    let area = Area::new();
    area.register();
    area.unregister();
}

fn exec_forgets_the_area() {
    let area = Area::new();
    let address = std::ffi::CString::new((&raw const area as u64).to_string()).unwrap();
    let output = helper_output("rseq", &[&address], || area.register());
    assert_eq!(output, "Some(EINVAL)\n");
    // The case is skipped, not failed, where the child could not register it.
    area.register();
    area.unregister();
}

/// How a child ends that has registered an area, makes `mistake` with it, and takes a signal.
fn fate(mistake: impl FnOnce(&Area)) -> Status {
    child(|| {
        default_action(SIGSEGV);
        record(SIGUSR1, 0);
        let page = Mapping::private(1);
        // SAFETY: a page of zeros is an area.
        let area = unsafe { &*(page.address() as *const Area) };
        area.register();
        mistake(area);
        ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
        exit_now(0);
    })
    .status()
}

fn area_that_is_gone_is_fatal() {
    assert_eq!(fate(|_| ()), Status::Exited(0));
    let status = fate(|area| {
        ok!(SYS_munmap, area, 4096);
    });
    assert_eq!(status, Status::Killed(SIGSEGV));
    let status = fate(|area| {
        ok!(SYS_mprotect, area, 4096, libc::PROT_READ);
    });
    assert_eq!(status, Status::Killed(SIGSEGV));
}

fn section_that_makes_no_sense_is_fatal() {
    let outcome = |change: fn(&mut Section)| {
        fate(|area| {
            let mut section = elsewhere();
            change(&mut section);
            area.section.store(&raw const section as u64, SeqCst);
            ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
        })
    };
    assert_eq!(outcome(|_| ()), Status::Exited(0));
    assert_eq!(outcome(|section| section.version = 1), Status::Killed(SIGSEGV), "version");
    assert_eq!(outcome(|section| section.abort = section.start), Status::Killed(SIGSEGV), "inside");
    assert_eq!(outcome(|section| section.abort -= 4), Status::Killed(SIGSEGV), "signature");
    assert_eq!(outcome(|section| section.length = 1 << 62), Status::Killed(SIGSEGV), "length");
    let nowhere = fate(|area| area.section.store(8, SeqCst));
    assert_eq!(nowhere, Status::Killed(SIGSEGV), "not mapped");
    let kernel = fate(|area| area.section.store(0xffff_8000_0000_0000, SeqCst));
    assert_eq!(kernel, Status::Killed(SIGSEGV), "not the program's");
}
