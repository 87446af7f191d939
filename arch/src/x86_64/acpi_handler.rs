//! How the `acpi` crate reaches memory, ports and PCI configuration space.

use core::ptr::NonNull;

use acpi::{Handler, PciAddress, RawPhysicalMapping};
use x86_64::instructions::port::Port;

use super::{acpi as tables, clock, memory};
use crate::addr::PhysAddr;
use crate::time::Nanos;

/// The machine, as the crate sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Firmware;

impl Firmware {
    /// Where physical `address` and the `bytes` after it can be read: in the window, or mapped for the purpose.
    pub fn map(address: usize, bytes: usize) -> Option<NonNull<u8>> {
        let start = PhysAddr::new(address as u64);
        if memory::is_in_window(start, bytes as u64) {
            return NonNull::new(memory::window(start));
        }
        NonNull::new(memory::map_firmware(start, bytes).ok()?)
    }

    fn at<T>(address: usize) -> *mut T {
        Self::map(address, size_of::<T>()).map_or(core::ptr::null_mut(), |at| at.as_ptr().cast())
    }

    /// Selects a register of PCI configuration space by mechanism 1 and returns the port that shows it.
    fn pci_port(address: PciAddress, offset: u16) -> u16 {
        let selector = 1 << 31
            | u32::from(address.bus()) << 16
            | u32::from(address.device()) << 11
            | u32::from(address.function()) << 8
            | u32::from(offset & 0xfc);
        // SAFETY: the configuration address port of every PC.
        unsafe { Port::new(0xcf8).write(selector) };
        0xcfc + (offset & 3)
    }
}

macro_rules! accessors {
    ($($type:ty: $read:ident $write:ident $read_io:ident $write_io:ident;)*) => {
        $(
            fn $read(&self, address: usize) -> $type {
                // SAFETY: firmware names an address of its own; mapped by `at`.
                unsafe { Self::at::<$type>(address).read_volatile() }
            }
            fn $write(&self, address: usize, value: $type) {
                // SAFETY: as above.
                unsafe { Self::at::<$type>(address).write_volatile(value) }
            }
            fn $read_io(&self, port: u16) -> $type {
                // SAFETY: firmware names a port of its own.
                unsafe { Port::new(port).read() }
            }
            fn $write_io(&self, port: u16, value: $type) {
                // SAFETY: as above.
                unsafe { Port::new(port).write(value) }
            }
        )*
    };
}

macro_rules! pci_accessors {
    ($($type:ty: $read:ident $write:ident;)*) => {
        $(
            fn $read(&self, address: PciAddress, offset: u16) -> $type {
                // SAFETY: the configuration data port, after the selection of a register.
                unsafe { Port::new(Self::pci_port(address, offset)).read() }
            }
            fn $write(&self, address: PciAddress, offset: u16, value: $type) {
                // SAFETY: as above.
                unsafe { Port::new(Self::pci_port(address, offset)).write(value) }
            }
        )*
    };
}

impl Handler for Firmware {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> RawPhysicalMapping<T> {
        tables::raw_mapping(address, size)
    }

    unsafe fn unmap_physical_region<T>(&self, _region: RawPhysicalMapping<T>) {}

    accessors! {
        u8: read_u8 write_u8 read_io_u8 write_io_u8;
        u16: read_u16 write_u16 read_io_u16 write_io_u16;
        u32: read_u32 write_u32 read_io_u32 write_io_u32;
    }

    fn read_u64(&self, address: usize) -> u64 {
        // SAFETY: firmware names an address of its own; mapped by `at`.
        unsafe { Self::at::<u64>(address).read_volatile() }
    }

    fn write_u64(&self, address: usize, value: u64) {
        // SAFETY: as above.
        unsafe { Self::at::<u64>(address).write_volatile(value) }
    }

    pci_accessors! {
        u8: read_pci_u8 write_pci_u8;
        u16: read_pci_u16 write_pci_u16;
        u32: read_pci_u32 write_pci_u32;
    }

    fn nanos_since_boot(&self) -> u64 {
        clock::now().0
    }

    fn stall(&self, microseconds: u64) {
        clock::spin_for(Nanos::from_micros(microseconds));
    }

    fn sleep(&self, milliseconds: u64) {
        clock::spin_for(Nanos::from_millis(milliseconds));
    }
}
