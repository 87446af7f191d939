//! The Limine front end: BIOS and UEFI machines by way of the Limine boot loader, versions 7 and later.
//!
//! The requests lie in a section that the loader scans; it fills in the responses before it jumps to the entry
//! point. Base revision 2 is the newest that Limine 7 knows, and later ones keep it.

use core::arch::naked_asm;

use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, ExecutableAddressRequest, ExecutableFileRequest, HhdmRequest,
    MemoryMapRequest, ModuleRequest, RequestsEndMarker, RequestsStartMarker, RsdpRequest,
    StackSizeRequest,
};

use super::Handoff;
use crate::addr::{PAGE_SIZE, PhysAddr};
use crate::boot::{MemoryKind, PhysRange};
use crate::machine::stacks::{BOOT_STACK_BYTES, SKEIN_BOOT_STACK};

#[used]
#[unsafe(link_section = ".requests_start_marker")]
static START: RequestsStartMarker = RequestsStartMarker::new();
#[used]
#[unsafe(link_section = ".requests_end_marker")]
static END: RequestsEndMarker = RequestsEndMarker::new();
#[used]
#[unsafe(link_section = ".requests")]
static BASE_REVISION: BaseRevision = BaseRevision::with_revision(2);
#[used]
#[unsafe(link_section = ".requests")]
static LOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static STACK: StackSizeRequest = StackSizeRequest::new().with_size(64 * 1024);
#[used]
#[unsafe(link_section = ".requests")]
static WINDOW: HhdmRequest = HhdmRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static MEMORY: MemoryMapRequest = MemoryMapRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static EXECUTABLE: ExecutableFileRequest = ExecutableFileRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static MODULES: ModuleRequest = ModuleRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static RSDP: RsdpRequest = RsdpRequest::new();

/// Where Limine jumps: 64-bit mode, on a stack in memory that will be reclaimed. Moves to the boot stack.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn skein_limine_entry() -> ! {
    naked_asm!(
        "cli",
        "cld",
        "lea rsp, [rip + {stack} + {end}]",
        "xor ebp, ebp",
        "call {entry}",
        "ud2",
        stack = sym SKEIN_BOOT_STACK,
        end = const PAGE_SIZE + BOOT_STACK_BYTES,
        entry = sym entry,
    );
}

extern "C" fn entry() -> ! {
    super::prepare_processor();
    assert!(BASE_REVISION.is_supported(), "Limine: this version does not know base revision 2");
    let (Some(window), Some(memory), Some(address)) =
        (WINDOW.get_response(), MEMORY.get_response(), ADDRESS.get_response())
    else {
        panic!("Limine: no answer about the memory map, the window or the load address");
    };
    let window = window.offset();
    // Older revisions pass pointers into the window, newer ones physical addresses.
    let physical =
        |address: u64| PhysAddr::new(if address >= window { address - window } else { address });
    let entries = memory.entries();
    let of_kind = |reclaimable: bool| {
        entries
            .iter()
            .filter(move |e| (e.entry_type == EntryType::BOOTLOADER_RECLAIMABLE) == reclaimable)
    };
    let module = MODULES.get_response().and_then(|modules| modules.modules().first().copied());
    let covered = entries.iter().map(|entry| entry.base + entry.length).max().unwrap_or(0);
    super::start(Handoff {
        window,
        window_bytes: covered,
        image: address.physical_base(),
        memory: &mut of_kind(false).map(|entry| (entry.base, entry.length, kind(entry.entry_type))),
        reclaimable: &mut of_kind(true).map(|entry| (entry.base, entry.length)),
        command_line: EXECUTABLE
            .get_response()
            .map_or(&[], |response| response.file().string().to_bytes()),
        initramfs: module
            .map(|file| PhysRange { start: physical(file.addr() as u64), bytes: file.size() }),
        rsdp: RSDP.get_response().map(|response| physical(response.address() as u64)),
        loader: LOADER
            .get_response()
            .map_or(["Limine", ""], |response| [response.name(), response.version()]),
    })
}

fn kind(entry: EntryType) -> MemoryKind {
    match entry {
        EntryType::USABLE => MemoryKind::Usable,
        EntryType::ACPI_RECLAIMABLE => MemoryKind::AcpiTables,
        EntryType::ACPI_NVS => MemoryKind::AcpiNonVolatile,
        _ => MemoryKind::Reserved,
    }
}
