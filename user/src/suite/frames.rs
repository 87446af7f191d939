//! Frames that lie: whatever a handler makes of its frame, sigreturn restores a legal state or the process dies of SIGSEGV.

use std::arch::naked_asm;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use libc::{SA_ONSTACK, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGUSR1};

use super::support::{Mapping, Random, Status, child, default_action, exit_now, install};
use crate::{ok, sys};

super::area!("frames":
    every_changed_register_is_harmless,
    every_changed_word_of_the_image_is_harmless,
    random_frames_are_harmless,
    selectors_and_privileged_flags_are_not_taken,
    kernel_addresses_are_not_jumped_to,
    unblockable_signals_stay_unblocked,
    image_without_second_magic_counts_as_legacy,
);

/// Bytes of `struct rt_sigframe`; places of its words.
const FRAME_SIZE: usize = 440;
const REGISTERS: usize = 48;
const STACK_POINTER: usize = REGISTERS + 15 * 8;
const INSTRUCTION_POINTER: usize = REGISTERS + 16 * 8;
const FLAGS: usize = REGISTERS + 17 * 8;
const SELECTORS: usize = REGISTERS + 18 * 8;
const IMAGE_ADDRESS: usize = 232;
const MASK: usize = 304;
/// Bytes of the image that matter to every processor: the legacy area and the header.
const IMAGE_HEAD: usize = 512 + 64;

/// What the handler writes: where, and what; the place counts from the frame, or from the image with [`IN_IMAGE`].
static PLACE: AtomicUsize = AtomicUsize::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);
/// Seed of a handler that changes everything at random; 0 for one word.
static SEED: AtomicU64 = AtomicU64::new(0);
const IN_IMAGE: usize = 1 << 20;

#[unsafe(naked)]
extern "C" fn handler() {
    naked_asm!("mov rdi, rsp", "sub rsp, 8", "call {tamper}", "add rsp, 8", "ret", tamper = sym tamper)
}

extern "C" fn tamper(frame: *mut u8) {
    let place = PLACE.load(SeqCst);
    // SAFETY: the frame and its image are this handler's to write; what comes of it is the point of the test.
    unsafe {
        let image = frame.add(IMAGE_ADDRESS).cast::<*mut u8>().read_unaligned();
        let seed = SEED.load(SeqCst);
        if seed != 0 {
            let mut random = Random::new(seed);
            for _ in 0..=random.below(8) {
                let at = 8 + random.below(FRAME_SIZE / 8 - 1) * 8;
                frame.add(at).cast::<u64>().write_unaligned(value(&mut random));
                let at = random.below(IMAGE_HEAD / 8) * 8;
                image.add(at).cast::<u64>().write_unaligned(value(&mut random));
            }
        } else {
            let target =
                if place >= IN_IMAGE { image.add(place - IN_IMAGE) } else { frame.add(place) };
            target.cast::<u64>().write_unaligned(VALUE.load(SeqCst));
        }
    }
}

/// Values that are likely to hurt.
fn value(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << 63,
        3 => 0xffff_8000_0000_0000,
        4 => 0x0000_7fff_ffff_f000,
        _ => random.bits(),
    }
}

/// When the clock ends a state that may run on for ever, in microseconds.
const ALARM: u64 = 100_000;

/// Takes SIGUSR1 with the tampering handler in a child; how that ends. `alarm` is in microseconds; with 0 there is none.
fn outcome(alarm: u64) -> Status {
    child(|| {
        ok!(SYS_setrlimit, libc::RLIMIT_CORE, &[0_u64, 0]);
        [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM].into_iter().for_each(default_action);
        let stack = Mapping::private(16);
        ok!(SYS_sigaltstack, &[stack.address(), 0, stack.len()], 0);
        install(SIGUSR1, handler as *const () as usize, SA_ONSTACK);
        // In case it has no alarm, blocks SIGALRM or waits for ever: the limit on CPU time, or the end of the case.
        ok!(SYS_setrlimit, libc::RLIMIT_CPU, &[1_u64, 1]);
        ok!(SYS_setitimer, libc::ITIMER_REAL, &[0_u64, 0, 0, alarm], 0);
        ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
        exit_now(0);
    })
    .status()
}

/// The ends that a process may come to by its own registers.
#[track_caller]
fn assert_legal(status: Status, what: &str) {
    let by_fault =
        [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM, libc::SIGKILL, libc::SIGXCPU];
    let legal = match status {
        Status::Exited(_) => true,
        Status::Killed(signal) => by_fault.contains(&signal) || signal == libc::SIGSYS,
        _ => false,
    };
    assert!(legal, "{what}: {status:?}");
}

/// How a change ends of which the end is known: without an alarm, which may come first on a slow machine.
fn change(place: usize, value: u64) -> Status {
    PLACE.store(place, SeqCst);
    VALUE.store(value, SeqCst);
    outcome(0)
}

/// Checks that a change ends legally, by the clock if by nothing else.
#[track_caller]
fn assert_harmless(place: usize, value: u64, what: &str) {
    PLACE.store(place, SeqCst);
    VALUE.store(value, SeqCst);
    assert_legal(outcome(ALARM), what);
}

const VALUES: [u64; 4] = [0, u64::MAX, 1 << 47, 0xffff_8000_0010_0000];

fn every_changed_register_is_harmless() {
    for place in (8..FRAME_SIZE).step_by(8) {
        for value in VALUES {
            assert_harmless(place, value, &format!("{value:#x} at byte {place}"));
        }
    }
}

fn every_changed_word_of_the_image_is_harmless() {
    // The first words, software's part, and the header.
    for place in (0..48).chain(456..IMAGE_HEAD).step_by(8) {
        for value in VALUES {
            assert_harmless(IN_IMAGE + place, value, &format!("{value:#x} at {place}"));
        }
    }
}

fn random_frames_are_harmless() {
    for seed in 1..=100 {
        SEED.store(seed, SeqCst);
        assert_legal(outcome(ALARM), &format!("seed {seed}"));
    }
}

fn selectors_and_privileged_flags_are_not_taken() {
    // All selectors of the kernel's own segments: they are ring 3's again.
    assert_harmless(SELECTORS, 0x0018_0000_0000_0010, "kernel selectors");
    // I/O privilege level, nested task, virtual 8086 mode; without the trap flag, which is the program's own affair.
    assert_eq!(change(FLAGS, 0x2_7202), Status::Exited(0));
    assert_eq!(change(FLAGS, 0), Status::Exited(0), "interrupts stay on");
}

fn kernel_addresses_are_not_jumped_to() {
    for address in [0xffff_ffff_8000_0000, 1 << 47, 0x8000_0000_0000_0000, u64::MAX] {
        assert_eq!(change(INSTRUCTION_POINTER, address), Status::Killed(SIGSEGV), "{address:#x}");
    }
    assert_harmless(STACK_POINTER, 0xffff_ffff_8000_0000, "a kernel stack");
}

fn unblockable_signals_stay_unblocked() {
    // All signals: SIGKILL, by which the limit on CPU time would end it, is not blocked.
    assert_eq!(change(MASK, u64::MAX), Status::Exited(0));
}

fn image_without_second_magic_counts_as_legacy() {
    const SIZES: usize = 464;
    // The first magic number is gone: the legacy area alone counts, and that is intact.
    assert_eq!(change(IN_IMAGE + SIZES, 0), Status::Exited(0));
    // An image elsewhere that is none.
    assert_eq!(change(IMAGE_ADDRESS, 64), Status::Killed(SIGSEGV));
    assert_eq!(change(IMAGE_ADDRESS, 0), Status::Exited(0), "none at all: fresh registers");
    let _alive = sys!(SYS_getpid);
}
