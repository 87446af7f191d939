//! What ACPI's static tables say: processors, interrupt controllers, timers and the power registers.
//!
//! The tables are found and interpreted by the `acpi` crate; this module maps them and copies what the kernel needs
//! into [`Platform`], so that nothing else ever reads firmware's memory. Without tables the platform is one processor
//! with a standard PC's interrupt controller.

use core::pin::Pin;
use core::ptr::NonNull;

use acpi::address::{AddressSpace, GenericAddress};
use acpi::sdt::fadt::Fadt;
use acpi::sdt::madt::{Madt, MadtEntry};
use acpi::{AcpiTables, AmlTable, HpetInfo, PhysicalMapping, RawPhysicalMapping};
use alloc::vec::Vec;

use super::{acpi_handler::Firmware, memory, report};
use crate::addr::PhysAddr;
use crate::boot::BootInfo;
use crate::firmware;

/// Where the local APIC of every PC is unless told otherwise.
const LOCAL_APIC: u64 = 0xfee0_0000;
/// Where the first I/O APIC of every PC is.
const IO_APIC: u64 = 0xfec0_0000;

/// An I/O APIC.
#[derive(Clone, Copy, Debug)]
pub(super) struct IoApicInfo {
    /// Physical address of its registers.
    pub address: u64,
    /// The global interrupt number of its first input.
    pub first_interrupt: u32,
}

/// Where an ISA interrupt line really goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Override {
    pub line: u8,
    pub interrupt: u32,
    /// MPS INTI flags (ACPI 6.5, table 5.26).
    pub flags: u16,
}

/// A register that firmware describes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Register {
    /// An I/O port of so many bytes.
    Port(u16, u8),
    /// A mapped address, of so many bytes.
    Memory(usize, u8),
}

/// The registers that turn the machine off or restart it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct PowerRegisters {
    /// PM1 control blocks a and b (ACPI 6.5, 4.8.3.2), with the S5 sleep types for each.
    pub control: [Option<Register>; 2],
    pub sleep_types: Option<[u8; 2]>,
    /// The sleep control register of hardware-reduced ACPI (4.8.3.7).
    pub sleep_control: Option<Register>,
    /// The reset register and the value that resets (4.8.3.6).
    pub reset: Option<(Register, u8)>,
    /// The port and the value that switch ACPI mode on.
    pub enable: Option<(u16, u8)>,
}

/// What the kernel knows of the machine.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    pub local_apic: u64,
    /// APIC ids of the usable processors.
    pub processors: Vec<u32>,
    pub io_apics: Vec<IoApicInfo>,
    pub overrides: Vec<Override>,
    /// Physical address of the HPET's registers.
    pub hpet: Option<u64>,
    pub power: PowerRegisters,
    /// The CMOS register that holds the century, or 0.
    pub century_register: u8,
}

impl Platform {
    fn without_tables() -> Self {
        Self {
            local_apic: LOCAL_APIC,
            processors: Vec::new(),
            io_apics: Vec::new(),
            overrides: Vec::new(),
            hpet: None,
            power: PowerRegisters::default(),
            century_register: 0,
        }
    }
}

/// Reads the tables that `boot` points at.
pub(super) fn discover(boot: &BootInfo) -> Platform {
    let mut platform = Platform::without_tables();
    let Some(rsdp) = boot.rsdp else {
        report!("ACPI: no tables; using one processor");
        platform.io_apics.push(IoApicInfo { address: IO_APIC, first_interrupt: 0 });
        return platform;
    };
    // SAFETY: the loader or the scan found a root pointer there.
    let tables = match unsafe { AcpiTables::from_rsdp(Firmware, rsdp.as_u64() as usize) } {
        Ok(tables) => tables,
        Err(error) => {
            report!("ACPI: unusable tables ({error:?}); using one processor");
            platform.io_apics.push(IoApicInfo { address: IO_APIC, first_interrupt: 0 });
            return platform;
        }
    };
    match tables.find_table::<Madt>() {
        Some(madt) if is_well_formed(&madt) => read_madt(madt.get(), &mut platform),
        Some(_) => report!("ACPI: the MADT is malformed; using one processor"),
        None => report!("ACPI: no MADT; using one processor"),
    }
    platform.hpet = HpetInfo::new(&tables).ok().map(|hpet| hpet.base_address as u64);
    if let Some(fadt) = tables.find_table::<Fadt>() {
        platform.century_register = fadt.century;
        platform.power = read_power(&fadt);
    }
    platform.power.sleep_types = tables
        .dsdt()
        .into_iter()
        .chain(tables.ssdts())
        .find_map(|table| firmware::sleep_types(aml_bytes(table)?));
    platform
}

/// Checks that the MADT's entries have lengths that lead to its end: the crate's iterator trusts them.
fn is_well_formed(madt: &PhysicalMapping<Firmware, Madt>) -> bool {
    let length = madt.get().header.length as usize;
    if length < size_of::<Madt>() {
        return false;
    }
    // SAFETY: the mapping covers the table's whole length.
    let bytes = unsafe { core::slice::from_raw_parts(madt.as_ptr().cast::<u8>(), length) };
    let mut rest = &bytes[size_of::<Madt>()..];
    while let [kind, entry_length, ..] = *rest {
        let least = match kind {
            0 => 8,
            1 | 5 => 12,
            2 => 10,
            9 => 16,
            _ => 2,
        };
        if usize::from(entry_length) < least || usize::from(entry_length) > rest.len() {
            return false;
        }
        rest = &rest[usize::from(entry_length)..];
    }
    rest.is_empty()
}

fn read_madt(madt: Pin<&Madt>, platform: &mut Platform) {
    /// The processor can be used (ACPI 6.5, table 5.22).
    const ENABLED: u32 = 1;
    platform.local_apic = u64::from(madt.local_apic_address);
    for entry in madt.entries() {
        match entry {
            MadtEntry::LocalApic(cpu) if cpu.flags & ENABLED != 0 => {
                platform.processors.push(u32::from(cpu.apic_id));
            }
            MadtEntry::LocalX2Apic(cpu) if cpu.flags & ENABLED != 0 => {
                platform.processors.push(cpu.x2apic_id);
            }
            MadtEntry::IoApic(unit) => platform.io_apics.push(IoApicInfo {
                address: u64::from(unit.io_apic_address),
                first_interrupt: unit.global_system_interrupt_base,
            }),
            MadtEntry::InterruptSourceOverride(source) if source.bus == 0 => {
                platform.overrides.push(Override {
                    line: source.irq,
                    interrupt: source.global_system_interrupt,
                    flags: source.flags,
                });
            }
            MadtEntry::LocalApicAddressOverride(unit) => {
                platform.local_apic = unit.local_apic_address;
            }
            _ => {}
        }
    }
    platform.processors.sort_unstable();
    platform.processors.dedup();
}

fn read_power(fadt: &Fadt) -> PowerRegisters {
    let enable = (fadt.smi_cmd_port != 0 && fadt.acpi_enable != 0)
        .then_some((fadt.smi_cmd_port as u16, fadt.acpi_enable));
    // SAFETY: the table's revision says whether it has these fields.
    let sleep_control = unsafe { fadt.sleep_control_reg.access(fadt.header.revision) };
    let flags = fadt.flags;
    PowerRegisters {
        control: [
            fadt.pm1a_control_block().ok().and_then(register),
            fadt.pm1b_control_block().ok().flatten().and_then(register),
        ],
        sleep_types: None,
        sleep_control: sleep_control
            .filter(|raw| raw.address != 0)
            .and_then(|raw| GenericAddress::from_raw(raw).ok())
            .and_then(register),
        reset: flags
            .supports_system_reset_via_fadt()
            .then(|| fadt.reset_register().ok().and_then(register))
            .flatten()
            .map(|register| (register, fadt.reset_value)),
        enable,
    }
}

fn register(address: GenericAddress) -> Option<Register> {
    let bytes = (address.bit_width / 8).clamp(1, 4);
    match address.address_space {
        _ if address.address == 0 => None,
        AddressSpace::SystemIo => Some(Register::Port(address.address as u16, bytes)),
        AddressSpace::SystemMemory => {
            let start = PhysAddr::new(address.address);
            let mapped = memory::map_device(start, usize::from(bytes)).ok()?;
            Some(Register::Memory(mapped as usize, bytes))
        }
        _ => None,
    }
}

fn aml_bytes(table: AmlTable) -> Option<&'static [u8]> {
    const HEADER: usize = 36;
    let length = (table.length as usize).checked_sub(HEADER)?;
    let start = Firmware::map(table.phys_address + HEADER, length)?;
    // SAFETY: mapped for good, and firmware's tables do not change.
    Some(unsafe { core::slice::from_raw_parts(start.as_ptr(), length) })
}

/// A mapping for the crate: never undone, so it needs no bookkeeping.
pub(super) fn raw_mapping<T>(address: usize, bytes: usize) -> RawPhysicalMapping<T> {
    let start = Firmware::map(address, bytes).unwrap_or_else(|| {
        panic!("ACPI: cannot map {bytes} bytes of firmware's memory at {address:#x}")
    });
    // SAFETY: `start` maps `bytes` bytes from `address` on.
    unsafe { RawPhysicalMapping::new(address, NonNull::cast(start), bytes, bytes) }
}
