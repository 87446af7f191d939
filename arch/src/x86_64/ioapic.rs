//! The I/O APICs: device interrupts on the ISA lines.
//!
//! Every line has the vector `ISA_BASE + line` and goes to the boot processor. Lines are masked until a driver
//! enables them. Locks: [`LINES`] is a leaf.

use core::sync::atomic::{AtomicU16, Ordering};

use alloc::vec::Vec;
use x2apic::ioapic::{IoApic, IrqFlags, IrqMode, RedirectionTableEntry};
use x86_64::instructions::port::Port;

use super::acpi::{Override, Platform};
use super::{apic, memory, report, traps};
use crate::addr::{PAGE_SIZE, PhysAddr};
use crate::cpu::CpuId;
use crate::sync::{Irq, Rank, SpinLock};

/// ISA interrupt lines.
const ISA_LINES: u8 = 16;

/// An I/O APIC and the global numbers of its inputs.
struct Unit {
    registers: IoApic,
    first: u32,
    inputs: u32,
}

/// Where a line goes: the unit's index and its input there.
#[derive(Clone, Copy)]
struct Route {
    unit: usize,
    input: u8,
}

struct Lines {
    units: Vec<Unit>,
    routes: [Option<Route>; ISA_LINES as usize],
}

static LINES: SpinLock<Lines, Irq> =
    SpinLock::new(Rank::LEAF, Lines { units: Vec::new(), routes: [None; ISA_LINES as usize] });
/// A bit for each line that is level-triggered.
static LEVEL: AtomicU16 = AtomicU16::new(0);

/// A bit for each line that a driver uses.
static ENABLED: AtomicU16 = AtomicU16::new(0);

/// Masks the legacy controllers, maps the I/O APICs and routes the ISA lines, all masked.
pub(super) fn init(platform: &Platform) {
    mask_legacy();
    let mut units = Vec::new();
    for info in &platform.io_apics {
        let Ok(base) = memory::map_device(PhysAddr::new(info.address), PAGE_SIZE) else {
            report!("I/O APIC at {:#x}: no memory to map it", info.address);
            continue;
        };
        // SAFETY: firmware says that an I/O APIC's registers are there, and they are mapped uncached.
        let mut registers = unsafe { IoApic::new(base as u64) };
        // SAFETY: reads the version register.
        let inputs = u32::from(unsafe { registers.max_table_entry() }) + 1;
        for input in 0..inputs as u8 {
            // SAFETY: masks an input.
            unsafe { registers.disable_irq(input) };
        }
        units.push(Unit { registers, first: info.first_interrupt, inputs });
    }
    let mut routes = [None; ISA_LINES as usize];
    for line in 0..ISA_LINES {
        routes[usize::from(line)] = route(line, &mut units, &platform.overrides);
    }
    *LINES.lock() = Lines { units, routes };
}

/// Masks every input of the two 8259 controllers.
fn mask_legacy() {
    // SAFETY: the mask registers of the legacy controllers; where there are none the writes go nowhere.
    unsafe {
        Port::<u8>::new(0x21).write(0xff);
        Port::<u8>::new(0xa1).write(0xff);
    }
}

fn route(line: u8, units: &mut [Unit], overrides: &[Override]) -> Option<Route> {
    let source = overrides.iter().find(|source| source.line == line);
    let interrupt = source.map_or(u32::from(line), |source| source.interrupt);
    // An override that moves another line onto this input leaves this line without one.
    if source.is_none() && overrides.iter().any(|other| other.interrupt == interrupt) {
        return None;
    }
    // Polarity and trigger mode (ACPI 6.5, table 5.26); "as the bus says" is active high and edge for ISA.
    let flags = source.map_or(0, |source| source.flags);
    let (active_low, level) = (flags & 3 == 3, flags >> 2 & 3 == 3);
    let (index, unit) = units
        .iter_mut()
        .enumerate()
        .find(|(_, unit)| (unit.first..unit.first + unit.inputs).contains(&interrupt))?;
    let input = (interrupt - unit.first) as u8;
    let mut entry = RedirectionTableEntry::default();
    entry.set_mode(IrqMode::Fixed);
    let mut bits = IrqFlags::MASKED;
    bits.set(IrqFlags::LOW_ACTIVE, active_low);
    bits.set(IrqFlags::LEVEL_TRIGGERED, level);
    entry.set_flags(bits);
    entry.set_dest(apic::id_of(CpuId::BOOT) as u8);
    entry.set_vector(traps::ISA_BASE + line);
    if level {
        LEVEL.fetch_or(1 << line, Ordering::Relaxed);
    }
    // SAFETY: an input of this unit, masked, with a vector that has a gate.
    unsafe { unit.registers.set_table_entry(input, entry) };
    Some(Route { unit: index, input })
}

/// Lets interrupts of ISA line `line` through, and says whether that line exists.
pub(super) fn enable_line(line: u8) -> bool {
    ENABLED.fetch_or(1 << line, Ordering::Relaxed);
    with_route(line, |unit, input| {
        // SAFETY: an input that `init` routed to a vector with a gate.
        unsafe { unit.registers.enable_irq(input) };
    })
}

fn with_route(line: u8, change: impl FnOnce(&mut Unit, u8)) -> bool {
    let mut lines = LINES.lock();
    let Some(route) = lines.routes.get(usize::from(line)).copied().flatten() else { return false };
    change(&mut lines.units[route.unit], route.input);
    true
}

/// The ISA line that raises `vector`.
pub(super) fn line_of(vector: u8) -> Option<u8> {
    let line = vector.wrapping_sub(traps::ISA_BASE);
    (line < ISA_LINES).then_some(line)
}

/// Whether a driver uses `line`.
pub(super) fn is_enabled(line: u8) -> bool {
    ENABLED.load(Ordering::Relaxed) & 1 << line != 0
}

/// Whether `line` is level-triggered.
pub(super) fn is_level(line: u8) -> bool {
    LEVEL.load(Ordering::Relaxed) & 1 << line != 0
}
