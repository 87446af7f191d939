//! What the boot loader told the kernel, in the one form that both front ends produce.
//!
//! [`BootInfo`] is filled before `kernel_main` runs and never changes afterwards. Invariants of
//! [`BootInfo::memory`]: regions are sorted by address, do not overlap, and are multiples of a page; only
//! [`MemoryKind::Usable`] may be handed to an allocator.

use crate::addr::PhysAddr;

/// What a region of physical memory holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MemoryKind {
    /// Free RAM.
    Usable,
    /// RAM with ACPI tables; never reused, because tables are read at any time.
    AcpiTables,
    /// RAM that holds the initial file system.
    Initramfs,
    /// RAM with the kernel's image, its first page tables and its boot data.
    Kernel,
    /// RAM below 1 MiB: firmware data and the start-up page of the other processors.
    LowMemory,
    /// ACPI non-volatile storage.
    AcpiNonVolatile,
    /// Firmware, devices, defective RAM, or anything unknown.
    Reserved,
}

/// A run of physical memory of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRegion {
    /// First byte; page-aligned.
    pub start: PhysAddr,
    /// Length in bytes; a multiple of the page size.
    pub bytes: u64,
    /// What it holds.
    pub kind: MemoryKind,
}

impl MemoryRegion {
    /// First byte past the region, as a number (it may be the end of the address space).
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.as_u64() + self.bytes
    }
}

/// A run of physical bytes, of any alignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhysRange {
    /// First byte.
    pub start: PhysAddr,
    /// Length in bytes.
    pub bytes: u64,
}

impl PhysRange {
    /// First byte past the range, as a number.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.as_u64() + self.bytes
    }
}

/// Everything the kernel learns from its loader.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    /// The physical memory map; see the module's invariants.
    pub memory: &'static [MemoryRegion],
    /// The kernel's command line.
    pub command_line: &'static str,
    /// Where the initial file system's archive lies.
    pub initramfs: Option<PhysRange>,
    /// Where ACPI's root pointer lies, if the loader or a scan found one.
    pub rsdp: Option<PhysAddr>,
    /// Name and version of the loader, for the log.
    pub boot_loader: &'static str,
    /// Where the kernel's image was loaded.
    pub kernel: PhysRange,
}
