//! The order in which the system comes up: [`start`] on the boot CPU, [`start_secondary`] on each other one.
#![allow(unsafe_code, reason = "takes over the memory and the modules that the loader left")]

use alloc::format;
use alloc::sync::Arc;

use arch::boot::{BootInfo, MemoryKind};
use arch::cpu::CpuId;
use arch::events::Handlers;

use super::command_line::CommandLine;
use super::first_program;
use crate::scheduling::ThreadCore;
use crate::task::Thread;
use crate::{
    cpu, device, fs, log, log_error, log_info, log_warn, memory, scheduling, syscall, trace, tty,
};

/// The ISA interrupt line of the first serial port.
const SERIAL_LINE: u8 = 4;

static HANDLERS: Handlers = Handlers {
    interrupt: cpu::handle,
    preempt: scheduling::preempt,
    page_fault: memory::fault::in_kernel,
    log: log::machine_line,
    trace: trace::machine_event,
};

/// Brings the system up and never returns: this becomes the idle thread of the boot CPU.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts off and `boot` as the loader gave it.
///
/// # Panics
/// When there is too little memory to run anything.
pub unsafe fn start(boot: &'static BootInfo) -> ! {
    // SAFETY: by this function's contract this is the first thing that happens.
    unsafe { memory::heap::init(boot) };
    arch::memory::set_frame_source(&memory::heap::MACHINE_SOURCE);
    let line = CommandLine::parse(boot.command_line);
    obey(&line);
    fs::set_command_line(boot.command_line);
    greet(boot, &line);
    arch::init(boot, &HANDLERS);
    let records = line.trace_records.unwrap_or(trace::DEFAULT_RECORDS);
    if !trace::initialize(arch::cpu_count(), records) && records > 0 {
        log_warn!("no memory for a trace of {records} records per CPU");
    }
    if line.record_decisions {
        trace::decisions::enable();
    }
    initialize_scheduling(&line);
    scheduling::adopt_cpu(idle_thread(CpuId::BOOT));
    initialize_devices();
    let online = arch::smp::start(start_secondary);
    log_info!("{} of {} CPUs are online", online.len(), arch::cpu_count());
    // SAFETY: the range comes from the boot loader, and is kept out of the usable memory.
    let archive = boot.initramfs.map(|range| unsafe { memory::heap::boot_module(range) });
    first_program::spawn(line, archive);
    scheduling::run_idle()
}

/// Where every other CPU enters the kernel proper, set up by the machine layer, with interrupts off.
fn start_secondary(cpu: CpuId) -> ! {
    scheduling::adopt_cpu(idle_thread(cpu));
    scheduling::run_idle()
}

fn idle_thread(cpu: CpuId) -> Arc<Thread> {
    let core = ThreadCore::new_idle(cpu).expect("memory for a CPU's own thread");
    Thread::new_kernel(&format!("swapper/{cpu}"), core)
}

/// Sets what the command line asks for and what must be known early.
fn obey(line: &CommandLine) {
    if let Some(level) = line.log_level {
        log::set_console_level(level.saturating_sub(1));
    }
    if line.trace_system_calls {
        syscall::enable_tracing();
    }
    if let Some(count) = line.maximum_cpus {
        arch::smp::limit(count);
    }
}

fn greet(boot: &BootInfo, line: &CommandLine) {
    let usable = boot.memory.iter().filter(|region| region.kind == MemoryKind::Usable);
    let mebibytes = usable.map(|region| region.bytes).sum::<u64>() >> 20;
    log_info!("Skein {} started by {}", env!("CARGO_PKG_VERSION"), boot.boot_loader);
    log_info!("command line: {}", boot.command_line);
    log_info!("{mebibytes} MiB of memory");
    for complaint in &line.complaints {
        log_warn!("command line: {complaint} is not understood");
    }
}

fn initialize_devices() {
    device::register_all();
    let console = tty::serial::initialize();
    let interrupts = cpu::register_irq(SERIAL_LINE, tty::serial::interrupt);
    if let Err(errno) = console.and(interrupts) {
        log_error!("no console: {errno}");
    }
}

fn initialize_scheduling(line: &CommandLine) {
    if line.test_policies {
        scheduling::offer_test_policies();
    }
    let policy = line.policy.as_deref();
    if !scheduling::initialize(arch::cpu_count(), policy, line.policy_seed) {
        log_warn!("there is no scheduling policy {}: using the default", policy.unwrap_or(""));
    }
}
