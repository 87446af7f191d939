//! What happens when the kernel finds itself broken: an epitaph on the console, and a failing exit.

use core::fmt::Write;
use core::panic::PanicInfo;

use arch::cpu::CpuId;
use arch::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Level, record, symbols};
use crate::task::Name;

/// Exit code for the emulator that means "the kernel panicked" (QEMU's status becomes 225).
const EXIT_PANIC: u8 = 0x70;
const NOBODY: usize = usize::MAX;

static PANICKING: AtomicBool = AtomicBool::new(false);
/// The CPU that panicked first; it alone prints.
static OWNER: AtomicUsize = AtomicUsize::new(NOBODY);

/// Whether the kernel is going down. From then on the console is polled and nothing waits for a lock.
#[must_use]
pub fn panicking() -> bool {
    PANICKING.load(Ordering::Relaxed)
}

/// Prints cause, CPU, thread, held locks, backtrace and the counters, and leaves the emulator with a failing code.
///
/// The other CPUs are stopped first, by NMI, so that what is printed is what was. A panic while panicking ends at once.
pub fn die(info: &PanicInfo<'_>) -> ! {
    let _ = arch::interrupts::disable();
    let cpu = arch::current_cpu();
    // AcqRel: one CPU wins; the others wait here until its NMI stops them.
    match OWNER.compare_exchange(NOBODY, cpu.index(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(owner) if owner == cpu.index() => {
            arch::serial::write_polled(b"panic while panicking\r\n");
            arch::power::exit_emulator(EXIT_PANIC);
        }
        Err(_) => arch::power::halt(),
    }
    PANICKING.store(true, Ordering::Relaxed);
    arch::sync::stop_checking_order();
    arch::ipi::stop_others();
    print(cpu, info);
    arch::power::exit_emulator(EXIT_PANIC)
}

fn print(cpu: CpuId, info: &PanicInfo<'_>) {
    record(Level::Emergency, format_args!("kernel {info}"));
    let mut who = arrayvec::ArrayString::<64>::new();
    match crate::task::try_current() {
        Some(thread) => {
            let name = thread.try_name().unwrap_or(Name::new(b"?"));
            // A name that does not fit is cut by the fixed buffer's error.
            let _ = write!(who, "thread {} ({name})", thread.tid());
        }
        None => who.push_str("no thread"),
    }
    record(Level::Emergency, format_args!("CPU {cpu}, {who}"));
    arch::preempt::held_locks(|name| record(Level::Emergency, format_args!("holds lock {name}")));
    record(Level::Emergency, format_args!("backtrace:"));
    arch::backtrace::frames(|address| match symbols::caller(address as u64) {
        Some((name, offset)) => {
            record(Level::Emergency, format_args!("  {address:#018x} {name}+{offset:#x}"));
        }
        None => record(Level::Emergency, format_args!("  {address:#018x} ?")),
    });
    crate::trace::log_last(Level::Emergency);
    crate::memory::log_counters(Level::Emergency);
}
