//! Extended registers on their way through a signal frame whose image says less, or other things, than the kernel wrote.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use libc::{SIGSEGV, SIGUSR1};

use super::support::{Status, child, default_action, exit_now, install, skip};
use crate::ok;

super::area!("extended_state":
    whole_image_keeps_mxcsr,
    legacy_image_keeps_mxcsr,
    image_without_avx_keeps_mxcsr,
    image_without_sse_has_the_initial_mxcsr,
    changed_mxcsr_is_loaded,
    compacted_image_is_loaded_or_refused,
    unknown_component_is_refused,
);

/// Where `uc_mcontext.fpregs` is in the context that a handler gets.
const IMAGE_ADDRESS: usize = 224;
/// Places in the image: MXCSR, the kernel's description, and the header of XSAVE.
const MXCSR: usize = 24;
const FIRST_MAGIC: usize = 464;
const FEATURES: usize = 472;
const PRESENT: usize = 512;
const COMPACTION: usize = 520;
const SSE: u64 = 2;
const COMPACTED: u64 = 1 << 63;
const INITIAL: u32 = 0x1f80;
/// Rounds towards zero, all exceptions masked.
const CHANGED: u32 = 0x7f80;

/// Up to two changes that the handler makes: bits to clear and bits to set in a word of the image.
static CHANGES: [Change; 2] = [const { Change::none() }; 2];

struct Change {
    place: AtomicU64,
    clear: AtomicU64,
    set: AtomicU64,
}

impl Change {
    const fn none() -> Self {
        Self { place: AtomicU64::new(0), clear: AtomicU64::new(0), set: AtomicU64::new(0) }
    }
}

static SEEN: AtomicU32 = AtomicU32::new(0);

extern "C" fn tamper(_signal: i32, _info: usize, context: *mut u8) {
    // SAFETY: the context and the image in it are this handler's to change; what comes of it is the point of the case.
    unsafe {
        let image = context.add(IMAGE_ADDRESS).cast::<*mut u8>().read_unaligned();
        SEEN.store(image.add(MXCSR).cast::<u32>().read_unaligned(), SeqCst);
        for change in &CHANGES {
            let word = image.add(change.place.load(SeqCst) as usize).cast::<u64>();
            let value = word.read_unaligned() & !change.clear.load(SeqCst);
            word.write_unaligned(value | change.set.load(SeqCst));
        }
    }
}

fn mxcsr() -> u32 {
    let mut value = 0_u32;
    // SAFETY: stores the register.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) };
    value
}

fn set_mxcsr(value: u32) {
    // SAFETY: masks all exceptions; the rounding matters to nothing that the case computes.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack)) };
}

/// MXCSR after a handler that makes these changes (place, bits to clear, bits to set), or how the process ended.
fn after(changes: &[(usize, u64, u64)]) -> Result<u32, Status> {
    for ((place, clear, set), change) in changes.iter().zip(&CHANGES) {
        change.place.store(*place as u64, SeqCst);
        change.clear.store(*clear, SeqCst);
        change.set.store(*set, SeqCst);
    }
    let status = child(|| {
        ok!(SYS_setrlimit, libc::RLIMIT_CORE, &[0_u64, 0]);
        default_action(SIGSEGV);
        install(SIGUSR1, tamper as *const () as usize, 0);
        let pid = ok!(SYS_getpid);
        set_mxcsr(CHANGED);
        ok!(SYS_kill, pid, SIGUSR1);
        let after = mxcsr();
        set_mxcsr(INITIAL);
        assert_eq!(SEEN.load(SeqCst), CHANGED, "the frame shows it");
        exit_now(match after {
            CHANGED => 1,
            INITIAL => 2,
            _ => 3,
        });
    })
    .status();
    match status {
        Status::Exited(1) => Ok(CHANGED),
        Status::Exited(2) => Ok(INITIAL),
        other => Err(other),
    }
}

/// The features of the processor's leaf 13.1: bit 1 is XSAVEC, bit 3 XSAVES.
fn extensions() -> u32 {
    __cpuid_count(13, 1).eax
}

fn needs_xsave() {
    if std::arch::x86_64::__cpuid(1).ecx & 1 << 27 == 0 {
        skip("needs XSAVE");
    }
}

/// Linux resets MXCSR with the components that an image lacks where the processor has no XSAVES.
fn needs_mxcsr_to_be_kept() {
    needs_xsave();
    let version = std::fs::read_to_string("/proc/version").unwrap();
    if !version.contains("Skein") && extensions() & 8 == 0 {
        skip("needs XSAVES on Linux");
    }
}

fn whole_image_keeps_mxcsr() {
    assert_eq!(after(&[]), Ok(CHANGED));
}

fn legacy_image_keeps_mxcsr() {
    needs_mxcsr_to_be_kept();
    assert_eq!(after(&[(FIRST_MAGIC, 0xffff_ffff, 0)]), Ok(CHANGED));
}

fn image_without_avx_keeps_mxcsr() {
    needs_mxcsr_to_be_kept();
    assert_eq!(after(&[(FEATURES, !3, 0)]), Ok(CHANGED));
}

fn image_without_sse_has_the_initial_mxcsr() {
    needs_xsave();
    assert_eq!(after(&[(FEATURES, SSE, 0)]), Ok(INITIAL));
}

fn changed_mxcsr_is_loaded() {
    assert_eq!(after(&[(MXCSR, 0xffff_ffff, u64::from(INITIAL))]), Ok(INITIAL));
}

/// The two formats agree on x87 and SSE, which are all that the image is left with.
fn compacted_image_is_loaded_or_refused() {
    needs_xsave();
    let outcome = after(&[(PRESENT, !3, 0), (COMPACTION, !0, COMPACTED | 3)]);
    if extensions() & 2 != 0 {
        assert_eq!(outcome, Ok(CHANGED));
    } else {
        assert_eq!(outcome, Err(Status::Killed(SIGSEGV)));
    }
}

fn unknown_component_is_refused() {
    needs_xsave();
    assert_eq!(after(&[(PRESENT, 0, 1 << 62)]), Err(Status::Killed(SIGSEGV)));
}
