//! What the kernel does at an interrupt: [`handle`], the machine's [`Handlers::interrupt`](arch::events::Handlers::interrupt).
//!
//! Handlers run with interrupts off and never sleep or switch: what they decide becomes a preemption request that
//! takes effect when the interrupt returns.
//!
//! The table of device handlers is written once per line and read without a lock.

use arch::clock;
use arch::events::Interrupt;
use spin::Once;

use super::usage::Mode;
use crate::errno::{Errno, Result};
use crate::scheduling::{self, carry_out, scheduler, this_cpu_part};
use crate::trace::{self, Event};
use crate::{device, log, task};

/// How many ISA interrupt lines there are.
const LINES: usize = 16;

/// Device handlers by ISA line.
static DEVICES: [Once<fn()>; LINES] = [const { Once::new() }; LINES];

/// Calls `handler` at each interrupt on ISA line `line`. It runs with interrupts off and must not sleep.
///
/// # Errors
/// `EINVAL` for a line that does not exist, `EBUSY` for one that has a handler.
pub fn register_irq(line: u8, handler: fn()) -> Result<()> {
    let entry = DEVICES.get(usize::from(line)).ok_or(Errno::EINVAL)?;
    let mut registered = false;
    entry.call_once(|| {
        registered = true;
        handler
    });
    if registered { Ok(()) } else { Err(Errno::EBUSY) }
}

/// Handles one interrupt. Interrupts are off; the machine has acknowledged it.
pub fn handle(interrupt: Interrupt) {
    // Before the scheduler runs there is nobody to account to; a device may interrupt already.
    let Some(current) = task::try_current() else {
        if let Interrupt::Device(line) = interrupt {
            run_device_handler(line);
        }
        return;
    };
    let usage = &this_cpu_part().usage;
    let interrupted = usage.enter(Mode::Interrupt, clock::stamp());
    let (kind, line) = trace_words(interrupt);
    trace::record(Event::Interrupt, current.tid(), kind, line);
    match interrupt {
        Interrupt::Timer => timer(),
        Interrupt::Reschedule => scheduling::look(),
        Interrupt::Device(line) => run_device_handler(line),
        Interrupt::Call => {}
    }
    trace::record(Event::InterruptEnd, current.tid(), kind, 0);
    usage.enter(interrupted, clock::stamp());
}

/// How a trace tells interrupts apart.
fn trace_words(interrupt: Interrupt) -> (u64, u64) {
    match interrupt {
        Interrupt::Timer => (0, 0),
        Interrupt::Reschedule => (1, 0),
        Interrupt::Call => (2, 0),
        Interrupt::Device(line) => (3, line.into()),
    }
}

/// The machine's timer: expires timers, ends slices, and is set again.
fn timer() {
    let this = this_cpu_part();
    let now = clock::now();
    this.timer_fired();
    this.timers.expire(now);
    if log::take_news() {
        device::announce_news();
    }
    let cpu = arch::current_cpu();
    if scheduler().deadline(cpu) <= now {
        carry_out(scheduler().tick(cpu, now));
        carry_out(scheduler().balance(cpu, now));
        scheduling::listen_to_watchdog();
    }
    if log::take_news() {
        device::announce_news();
    }
    this.program_timer(scheduler().next_tick(cpu));
}

fn run_device_handler(line: u8) {
    if let Some(handler) = DEVICES.get(usize::from(line)).and_then(Once::get) {
        handler();
    }
}
