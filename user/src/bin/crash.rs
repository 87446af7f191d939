//! A program that dies of SIGSEGV in a known place, with threads, for tests of core files.
//!
//! As first process of a machine it does so in a child, and prints the core file on the console: a line for each 32 bytes
//! that are not all zero, and one with the size.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::sys::reboot::{RebootMode, reboot};
use user::init::mounts;
use user::{ok, sys};

/// Bytes that a line shows.
const ROW: usize = 32;
/// How many threads there are besides the first.
const THREADS: u32 = 2;

fn main() -> ExitCode {
    if ok!(SYS_getpid) != 1 {
        black_box(outer)(3);
        return ExitCode::FAILURE;
    }
    mounts::mount_all();
    match dump() {
        Ok(()) => {
            let Err(error) = reboot(RebootMode::RB_POWER_OFF);
            eprintln!("crash: cannot power off: {error}");
        }
        Err(error) => eprintln!("crash: {error}"),
    }
    ExitCode::FAILURE
}

/// Crashes in a child and prints what that leaves.
fn dump() -> std::io::Result<()> {
    std::env::set_current_dir("/tmp")?;
    let child = ok!(SYS_fork);
    if child == 0 {
        ok!(SYS_setrlimit, libc::RLIMIT_CORE, &[u64::MAX, u64::MAX]);
        black_box(outer)(3);
    }
    let mut status = 0_i32;
    ok!(SYS_wait4, child, &mut status, 0, 0);
    println!("core-status {status:#x}");
    let core = std::fs::read("/tmp/core")?;
    let mut out = std::io::stdout().lock();
    for (index, row) in core.chunks(ROW).enumerate() {
        if row.iter().any(|&byte| byte != 0) {
            let mut text = String::new();
            for byte in row {
                // A String takes everything.
                let _written = write!(text, "{byte:02x}");
            }
            writeln!(out, "core {:x} {text}", index * ROW)?;
        }
    }
    writeln!(out, "core-size {}", core.len())?;
    out.flush()
}

static READY: AtomicU32 = AtomicU32::new(0);

#[inline(never)]
fn outer(depth: u64) {
    for _ in 0..THREADS {
        std::thread::spawn(|| black_box(waiting_in_the_core)());
    }
    while READY.load(SeqCst) < THREADS {
        std::thread::yield_now();
    }
    black_box(middle)(black_box(depth) + 1);
}

#[inline(never)]
fn waiting_in_the_core() {
    READY.fetch_add(1, SeqCst);
    loop {
        black_box(sys!(SYS_pause)).ok();
    }
}

#[inline(never)]
fn middle(depth: u64) {
    black_box(innermost)(black_box(depth) + 1);
    black_box(depth);
}

#[inline(never)]
fn innermost(depth: u64) {
    black_box(depth);
    // SAFETY: not safe at all: it writes to where nothing is mapped, which ends the process.
    unsafe {
        std::arch::asm!("mov r15, 0x5ca1ab1e", "mov r14, 0x0ddba11", "mov qword ptr [{nowhere}], r15",
            nowhere = in(reg) 0x40_u64, out("r15") _, out("r14") _);
    }
}
