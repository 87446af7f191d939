//! The flight recorder: what each CPU did last, cheap enough to be always on.
//!
//! Every CPU has a [`Ring`] of fixed-size [`Record`]s. [`record`] writes one: a time stamp, an [`Event`], the thread that it
//! is about, two words. `/proc/trace` shows all rings ([`mod@file`]); a panic prints their ends; `make trace` turns them
//! into a timeline. `docs/trace.md` has the format and what a record costs.
//!
//! To add an event: a variant in [`records::event`], a call of [`record`] where it happens, a line in the converter
//! (`xtask/lab/src/kernel_trace.rs`). Recording takes no lock and never sleeps; it is allowed everywhere once the current CPU is known.
//!
//! The rings are made at boot ([`initialize`]) and never freed. `trace=N` on the command line sets the number of records per
//! CPU, `trace=0` switches tracing off for good.

use arch::cpu::CpuId;
use arch::events::MachineEvent;
use arch::sync::PerCpu;
use arch::sync::atomic::{AtomicU32, Ordering};
use arch::{clock, preempt};
use spin::Once;

use crate::{scheduling, task};

pub mod decisions;
pub mod file;
mod report;

pub use records::{Event, Record, Ring, words_of};
pub use report::log_last;

/// Records per CPU where the command line says nothing: 128 KiB each.
pub const DEFAULT_RECORDS: usize = 4096;

/// Everything but system calls.
const DEFAULT_EVENTS: u32 = !(1 << Event::SystemCall as u32 | 1 << Event::SystemCallEnd as u32);

static RINGS: Once<PerCpu<Ring>> = Once::new();
/// Bit n: events with number n are recorded. Relaxed: late sight of a change does no harm.
static EVENTS: AtomicU32 = AtomicU32::new(0);

/// Makes the rings: once, at boot. Without memory for them, or for no records, there is no tracing.
pub fn initialize(cpus: usize, records: usize) -> bool {
    let mut rings = alloc::vec::Vec::new();
    if rings.try_reserve_exact(cpus).is_err() {
        return false;
    }
    for _ in 0..cpus {
        let Some(ring) = Ring::new(records) else { return false };
        rings.push(ring);
    }
    let mut rings = rings.into_iter();
    RINGS.call_once(|| PerCpu::new(cpus, |_| rings.next().expect("one for each CPU")));
    EVENTS.store(DEFAULT_EVENTS, Ordering::Relaxed);
    true
}

/// Whether `event` is recorded now. For callers that would have to gather what they record.
#[must_use]
pub fn wants(event: Event) -> bool {
    EVENTS.load(Ordering::Relaxed) & 1 << event as u32 != 0
}

/// Records `event` of thread `subject` on this CPU.
#[inline(always)]
pub fn record(event: Event, subject: task::Tid, first: u64, second: u64) {
    let head = u64::from(event as u8) | u64::from(subject.as_u32()) << 32;
    record_words(event, head, first, second);
}

/// As [`record`], with a head word whose subject is no thread id.
#[inline(always)]
fn record_words(event: Event, head: u64, first: u64, second: u64) {
    if wants(event) {
        // The position belongs to this CPU until the record is written.
        preempt::disable();
        let own = scheduling::noted_cpu_part().and_then(|part| part.ring);
        if let Some(ring) = own.or_else(|| ring_of(arch::current_cpu())) {
            ring.push(Record { time: clock::ticks(), head, first, second });
        }
        preempt::enable();
    }
}

/// The ring of `cpu`, if there is tracing.
pub(crate) fn ring_of(cpu: CpuId) -> Option<&'static Ring> {
    RINGS.get().map(|rings| rings.get(cpu))
}

/// As [`record`], of the thread that runs on this CPU.
pub fn record_current(event: Event, first: u64, second: u64) {
    if wants(event) {
        let subject = task::try_current().map_or(task::Tid::KERNEL, |thread| thread.tid());
        record(event, subject, first, second);
    }
}

/// The machine layer's hook: what happens below the kernel proper.
pub fn machine_event(event: MachineEvent) {
    match event {
        MachineEvent::Shootdown(sent) => {
            let cpus = u64::from(sent.targets) | u64::from(sent.skipped) << 32;
            record_current(Event::Shootdown, cpus, u64::from(sent.pages));
        }
        MachineEvent::PathCopy { level } => {
            record_current(Event::PathCopy, u64::from(level), 0);
        }
        MachineEvent::FrameCopy { address } => {
            record_current(Event::FrameCopy, address.as_u64(), 0);
        }
        MachineEvent::SoleOwner { address, tables } => {
            record_current(Event::SoleOwner, address.as_u64(), u64::from(tables));
        }
        MachineEvent::SpaceFork { entries, pages } => {
            record_current(Event::SpaceFork, u64::from(entries), pages);
        }
    }
}

/// Records that the fair class has another policy.
pub fn record_policy(name: &str) {
    let (first, second) = words_of(name.as_bytes());
    record_current(Event::Policy, first, second);
}

/// Records the name that a thread has taken.
pub fn record_name(subject: task::Tid, name: &task::Name) {
    let (first, second) = words_of(name.as_bytes());
    record(Event::Name, subject, first, second);
}
