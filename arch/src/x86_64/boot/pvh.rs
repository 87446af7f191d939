//! The PVH front end: `qemu -kernel`, Firecracker and Cloud Hypervisor enter here.
//!
//! The ELF note below names a 32-bit entry point (Xen's `docs/misc/pvh.pandoc`): protected mode, flat segments, paging
//! off, interrupts off, EBX = physical address of the start information. The code here maps the first 4 GiB twice,
//! at zero and in the window, and the image where it is linked; then it enters 64-bit mode.

use core::arch::global_asm;
use core::ptr;

use super::Handoff;
use crate::addr::{PAGE_SIZE, PhysAddr};
use crate::boot::{MemoryKind, PhysRange};
use crate::machine::memory::{IMAGE, WINDOW};
use crate::machine::stacks::BOOT_STACK_BYTES;

/// What the first tables map.
const MAPPED: u64 = 1 << 32;

global_asm!(
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18", // name size, description size, XEN_ELFNOTE_PHYS32_ENTRY
    ".asciz \"Xen\"",
    ".quad skein_pvh_entry - {image}",
    ".popsection",
    ".pushsection .bss.pvh, \"aw\", @nobits",
    ".balign 4096",
    "skein_pvh_root: .skip 4096",
    "skein_pvh_low: .skip 4096",
    "skein_pvh_high: .skip 4096",
    "skein_pvh_directories: .skip 4 * 4096",
    ".popsection",
    ".pushsection .rodata.pvh, \"a\"",
    ".balign 8",
    // Null, 64-bit code, data.
    "skein_pvh_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "skein_pvh_gdt_pointer: .word 23",
    ".long skein_pvh_gdt - {image}",
    ".popsection",
    ".pushsection .text.boot, \"ax\"",
    ".code32",
    ".global skein_pvh_entry",
    "skein_pvh_entry:",
    "cli",
    "cld",
    "movl %ebx, %esi",
    // Root: zero and the window share a table; the image has its own.
    "movl $(skein_pvh_low - {image} + 3), %eax",
    "movl %eax, skein_pvh_root - {image}",
    "movl %eax, skein_pvh_root - {image} + 256 * 8",
    "movl $(skein_pvh_high - {image} + 3), skein_pvh_root - {image} + 511 * 8",
    "movl $(skein_pvh_directories - {image} + 3), %eax",
    "movl %eax, skein_pvh_high - {image} + 510 * 8",
    "movl $4, %ecx",
    "movl $(skein_pvh_low - {image}), %edi",
    "2: movl %eax, (%edi)",
    "addl $4096, %eax",
    "addl $8, %edi",
    "loop 2b",
    // 2048 pages of 2 MiB: present, writable, large.
    "movl $2048, %ecx",
    "movl $(skein_pvh_directories - {image}), %edi",
    "movl $0x83, %eax",
    "3: movl %eax, (%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "loop 3b",
    "movl $(skein_pvh_root - {image}), %eax",
    "movl %eax, %cr3",
    "movl %cr4, %eax",
    "orl $0x20, %eax", // PAE
    "movl %eax, %cr4",
    "movl $0xc0000080, %ecx", // EFER
    "rdmsr",
    "orl $0x100, %eax", // LME
    "wrmsr",
    "movl %cr0, %eax",
    "orl $0x80000001, %eax", // PG, PE
    "movl %eax, %cr0",
    "lgdt skein_pvh_gdt_pointer - {image}",
    "ljmpl $8, $(4f - {image})",
    ".code64",
    "4: movabsq $5f, %rax",
    "jmp *%rax",
    "5: xorl %eax, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "movabsq $(SKEIN_BOOT_STACK + {stack_end}), %rsp",
    "xorl %ebp, %ebp",
    "movl %esi, %edi",
    "call {entry}",
    "ud2",
    ".popsection",
    image = const IMAGE,
    stack_end = const PAGE_SIZE + BOOT_STACK_BYTES,
    entry = sym entry,
    options(att_syntax)
);

/// `hvm_start_info` (Xen's `public/arch-x86/hvm/start_info.h`).
#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    /// From version 1 on.
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `hvm_modlist_entry`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Module {
    address: u64,
    bytes: u64,
    command_line: u64,
    reserved: u64,
}

/// `hvm_memmap_table_entry`; the types are those of the E820 map.
#[derive(Clone, Copy)]
#[repr(C)]
struct MapEntry {
    address: u64,
    bytes: u64,
    kind: u32,
    reserved: u32,
}

const MAGIC: u32 = 0x336e_c578;
/// More entries than this are not believed.
const MAX_ENTRIES: u32 = 1024;
const MAX_COMMAND_LINE: u64 = 4096;

/// `bytes` at physical `address` under the first tables; empty where they are not mapped.
fn physical(address: u64, bytes: u64) -> &'static [u8] {
    match address.checked_add(bytes) {
        Some(end) if address != 0 && end <= MAPPED => {
            let start = ptr::with_exposed_provenance((WINDOW + address) as usize);
            // SAFETY: mapped by the code above; the loader's memory is only read until the kernel has its own tables.
            unsafe { core::slice::from_raw_parts(start, bytes as usize) }
        }
        _ => &[],
    }
}

/// A structure of the loader's at physical `address`.
///
/// # Safety
/// Every bit pattern is a `T`.
unsafe fn structure<T: Copy>(address: u64) -> Option<T> {
    let bytes = physical(address, size_of::<T>() as u64);
    // SAFETY: the slice is as long as a `T`, or empty; any bits will do, by contract.
    (!bytes.is_empty()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

extern "C" fn entry(start_info: u32) -> ! {
    super::prepare_processor();
    // SAFETY: a structure of integers.
    let info = unsafe { structure::<StartInfo>(u64::from(start_info)) };
    let Some(info) = info.filter(|info| info.magic == MAGIC) else {
        panic!("PVH: no start information at {start_info:#x}");
    };
    assert!(info.version >= 1, "PVH: the loader passes no memory map");

    let line = physical(info.command_line, MAX_COMMAND_LINE);
    let length = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    // SAFETY: a structure of integers.
    let module = (info.module_count > 0).then(|| unsafe { structure::<Module>(info.modules) });
    let initramfs = module
        .flatten()
        .filter(|module| module.bytes > 0)
        .map(|module| PhysRange { start: PhysAddr::new(module.address), bytes: module.bytes });
    let rsdp = Some(info.rsdp).filter(|rsdp| *rsdp != 0).map(PhysAddr::new).or_else(find_rsdp);
    let image = (&raw const super::__image_start) as u64 - IMAGE;
    super::start(Handoff {
        window: WINDOW,
        window_bytes: MAPPED,
        image,
        memory: &mut memory(&info, true).chain(memory(&info, false)),
        reclaimable: &mut core::iter::empty(),
        command_line: &line[..length],
        initramfs,
        rsdp,
        loader: ["PVH", ""],
    })
}

/// The entries of the loader's map that are free RAM, or those that are not.
fn memory(info: &StartInfo, usable: bool) -> impl Iterator<Item = (u64, u64, MemoryKind)> + use<> {
    let (base, count) = (info.memory_map, info.memory_map_entries.min(MAX_ENTRIES));
    (0..u64::from(count))
        // SAFETY: a structure of integers.
        .filter_map(move |i| unsafe {
            structure::<MapEntry>(base + i * size_of::<MapEntry>() as u64)
        })
        .map(|entry| (entry.address, entry.bytes, kind(entry.kind)))
        .filter(move |(_, _, kind)| (*kind == MemoryKind::Usable) == usable)
}

fn kind(e820: u32) -> MemoryKind {
    match e820 {
        1 => MemoryKind::Usable,
        3 => MemoryKind::AcpiTables,
        4 => MemoryKind::AcpiNonVolatile,
        _ => MemoryKind::Reserved,
    }
}

/// Looks for ACPI's root pointer where a PC BIOS puts it (ACPI 6.5, 5.2.5.1).
fn find_rsdp() -> Option<PhysAddr> {
    // SAFETY: an integer. The BIOS data area holds the segment of the extended one.
    let extended = unsafe { structure::<u16>(0x40e) }.map_or(0, |segment| u64::from(segment) << 4);
    [(extended, 0x400), (0xe_0000, 0x2_0000)].into_iter().find_map(|(start, bytes)| {
        let area = physical(start, bytes);
        area.chunks_exact(16).enumerate().find_map(|(index, chunk)| {
            let table = area.get(index * 16..index * 16 + 20)?;
            let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            let found = chunk.starts_with(b"RSD PTR ") && sum == 0;
            found.then(|| PhysAddr::new(start + index as u64 * 16))
        })
    })
}
