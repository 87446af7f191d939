//! Counters of interrupts, for `/proc/interrupts`.

use core::sync::atomic::Ordering;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{ioapic, percpu, smp, traps};
use crate::events::InterruptCount;

/// The vectors that always have a row, with Linux's labels.
const ROWS: [(u8, &str, &str); 8] = [
    (traps::NMI, "NMI", "Non-maskable interrupts"),
    (traps::TIMER, "LOC", "Local timer interrupts"),
    (traps::SPURIOUS, "SPU", "Spurious interrupts"),
    (traps::RESCHEDULE, "RES", "Rescheduling interrupts"),
    (traps::CALL, "CAL", "Function call interrupts"),
    (traps::TLB_SHOOTDOWN, "TLB", "TLB shootdowns"),
    (traps::APIC_ERROR, "ERR", "Local APIC errors"),
    (traps::MACHINE_CHECK, "MCE", "Machine check exceptions"),
];

/// The interrupts so far, one row for each vector that is in use or was ever raised: device lines first.
#[must_use]
pub fn interrupt_counts() -> Vec<InterruptCount> {
    let lines =
        (traps::ISA_BASE..traps::TIMER).filter_map(|vector| match ioapic::line_of(vector) {
            Some(line) if ioapic::is_enabled(line) || was_raised(vector) => Some(row(
                vector,
                format!("{line}"),
                if ioapic::is_level(line) { "IO-APIC level" } else { "IO-APIC edge" },
            )),
            _ => None,
        });
    let fixed = ROWS.iter().map(|(vector, label, name)| row(*vector, String::from(*label), name));
    let known = |vector: u8| {
        ioapic::line_of(vector).is_some() || ROWS.iter().any(|(known, ..)| *known == vector)
    };
    let unexpected = (32..=255)
        .filter(|vector| !known(*vector) && was_raised(*vector))
        .map(|vector| row(vector, format!("V{vector:02X}"), "Unexpected vector"));
    lines.chain(fixed).chain(unexpected).collect()
}

fn of(vector: u8) -> impl Iterator<Item = u64> {
    smp::online().iter().filter_map(percpu::of).map(move |area| {
        // Relaxed: a statistic of another CPU.
        area.counts[usize::from(vector)].load(Ordering::Relaxed)
    })
}

fn was_raised(vector: u8) -> bool {
    of(vector).any(|count| count != 0)
}

fn row(vector: u8, label: String, name: &'static str) -> InterruptCount {
    InterruptCount { vector, label, name, counts: of(vector).collect() }
}
