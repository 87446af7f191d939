//! Measures another program from its execution to its end, as first program of a machine.
//!
//! `stopwatch time|instructions PROGRAM [ARGUMENT]...` executes the program with these arguments and prints
//! a line as `bench` prints them: nanoseconds, or ticks of the time stamp counter, which are instructions
//! under QEMU's `-icount shift=0`. What the program itself prints stands before it.

use std::process::Command;
use std::time::Instant;

use nix::sys::reboot::{RebootMode, reboot};
use nix::time::{ClockId, clock_gettime};

fn main() {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME);
    let ticks = ticks();
    user::init::mounts::mount_all();
    if let Ok(boot) = boot {
        let nanoseconds = boot.tv_sec() * 1_000_000_000 + boot.tv_nsec();
        println!("{{\"boot_to_init\":{nanoseconds},\"ticks\":{ticks}}}");
    }
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let program = arguments.next().unwrap_or_default();
    println!("{}", measure(&mode, &program, arguments));
    println!("{{\"end\":true,\"cases\":1}}");
    if std::process::id() == 1 {
        nix::unistd::sync();
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        eprintln!("stopwatch: cannot power off: {error}");
    }
}

/// Runs the program; the value is the line about it.
fn measure(mode: &str, program: &str, arguments: impl Iterator<Item = String>) -> String {
    let (start, first) = (Instant::now(), ticks());
    let status = Command::new(program).args(arguments).status();
    let (nanoseconds, ticks) = (start.elapsed().as_nanos() as u64, ticks() - first);
    let failure = match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("it ended with {status}")),
        Err(error) => Some(format!("it cannot be executed: {error}")),
    };
    if let Some(failure) = failure {
        return serde_json::json!({
            "case": "program", "parameter": "", "unsupported": failure
        })
        .to_string();
    }
    let (unit, value) = match mode {
        "instructions" => ("instructions", ticks),
        _ => ("ns", nanoseconds),
    };
    serde_json::json!({
        "case": "program", "parameter": "", "unit": unit, "operations": 1, "samples": 1,
        "minimum": value, "median": value, "p99": value, "maximum": value, "deviation": 0
    })
    .to_string()
}

/// The time stamp counter.
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and both kernels allow it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
