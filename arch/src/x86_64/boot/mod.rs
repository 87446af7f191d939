//! From the loader's first jump to `kernel_main`.
//!
//! Two front ends, [`pvh`] and [`limine`], arrive in different states and learn the same things. Each fills a [`Handoff`]
//! and calls [`start`], which makes the processor and the address space the kernel's own:
//!
//! 1. the console, the boot processor's area and its descriptor tables, so that early exceptions print;
//! 2. the memory map and the strings, copied out of the loader's memory ([`BootInfo`]);
//! 3. the kernel's page tables ([`tables`]), after which nothing of the loader's is used any more.

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::mem::MaybeUninit;

use crate::addr::PhysAddr;
use crate::boot::{BootInfo, MemoryKind, MemoryRegion, PhysRange};
use crate::memory_map::MemoryMap;

use super::percpu::CpuArea;
use super::stacks::{BOOT_IST, SKEIN_BOOT_STACK};
use super::{clock, control, descriptors, memory, percpu, serial};

mod limine;
mod pvh;
mod tables;

pub(super) use tables::trampoline;

/// Bytes of command line that are kept; Linux keeps 2048.
const COMMAND_LINE_BYTES: usize = 4096;
/// End of the memory that real mode and old firmware know.
const LOW_MEMORY_END: u64 = 0x10_0000;

/// What a front end found out. The slices lie in the loader's memory.
pub(super) struct Handoff<'a> {
    /// The kernel's address of physical byte zero, under the loader's page tables.
    pub window: u64,
    /// Physical bytes from zero on that the loader's window covers.
    pub window_bytes: u64,
    /// Physical address of the first byte of the image.
    pub image: u64,
    /// The loader's map: free RAM first where regions may overlap.
    pub memory: &'a mut dyn Iterator<Item = (u64, u64, MemoryKind)>,
    /// Memory that is free once nothing of the loader's is used any more.
    pub reclaimable: &'a mut dyn Iterator<Item = (u64, u64)>,
    pub command_line: &'a [u8],
    pub initramfs: Option<PhysRange>,
    pub rsdp: Option<PhysAddr>,
    /// The loader's name and version.
    pub loader: [&'a str; 2],
}

/// What `kernel_main` refers to for ever. Written here, before there is a second CPU, and never again.
struct Kept {
    info: MaybeUninit<BootInfo>,
    map: MemoryMap,
    command_line: [u8; COMMAND_LINE_BYTES],
    loader: arrayvec::ArrayString<64>,
}

struct KeptCell(UnsafeCell<Kept>);

// SAFETY: written by the boot processor alone before it starts others.
unsafe impl Sync for KeptCell {}

static KEPT: KeptCell = KeptCell(UnsafeCell::new(Kept {
    info: MaybeUninit::uninit(),
    map: MemoryMap::new(),
    command_line: [0; COMMAND_LINE_BYTES],
    loader: arrayvec::ArrayString::new_const(),
}));

struct BootArea(UnsafeCell<CpuArea>);

// SAFETY: the boot processor's alone; see `CpuArea`.
unsafe impl Sync for BootArea {}

/// The boot processor's area.
static BOOT_AREA: BootArea = BootArea(UnsafeCell::new(CpuArea::new()));

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

unsafe extern "Rust" {
    /// The kernel's entry point, in its binary.
    safe fn kernel_main(boot: &'static BootInfo) -> !;
}

/// The address of a symbol of the linker script.
fn address_of(symbol: *const u8) -> u64 {
    symbol as u64
}

/// Sets up what lets an exception be reported. The first thing that each front end calls.
pub(super) fn prepare_processor() {
    clock::note_start();
    serial::init();
    let [a, b, c] = &BOOT_IST;
    // SAFETY: called once, by the boot processor on its boot stack with interrupts off; area and stacks are statics
    // made for this.
    unsafe { descriptors::load(BOOT_AREA.0.get(), [a.top(), b.top(), c.top()]) };
    percpu::set_stack_bounds(SKEIN_BOOT_STACK.bottom(), SKEIN_BOOT_STACK.top());
    control::init_boot();
}

/// Builds the kernel's world from what a front end found, and runs the kernel in it. On the boot stack.
pub(super) fn start(handoff: Handoff<'_>) -> ! {
    let image_start = address_of(&raw const __image_start);
    let image_bytes = address_of(&raw const __image_end) - image_start;
    let image = PhysRange { start: PhysAddr::new(handoff.image), bytes: image_bytes };
    memory::set_image_offset(handoff.image.wrapping_sub(image_start - memory::IMAGE));
    // SAFETY: this runs once, on the boot processor; nobody else refers to the cell yet.
    let kept = unsafe { &mut *KEPT.0.get() };

    keep_strings(kept, &handoff);
    for (start, bytes, kind) in &mut *handoff.memory {
        kept.map.paint(start, bytes, kind);
    }
    choose_trampoline(&kept.map);
    paint_what_is_in_use(&mut kept.map, image, handoff.initramfs);
    let reclaimable: arrayvec::ArrayVec<(u64, u64), 128> = handoff.reclaimable.take(128).collect();
    tables::build_and_load(
        &mut kept.map,
        image,
        (handoff.window, handoff.window_bytes),
        &reclaimable,
    );
    // What the loader gives back may overlap what it passed.
    paint_what_is_in_use(&mut kept.map, image, handoff.initramfs);
    let Kept { info, map, command_line, loader } = kept;
    let length = command_line.iter().position(|byte| *byte == 0).unwrap_or(COMMAND_LINE_BYTES);
    let info = info.write(BootInfo {
        memory: map.regions(),
        command_line: utf8_prefix(&command_line[..length]),
        initramfs: handoff.initramfs,
        rsdp: handoff.rsdp,
        boot_loader: loader,
        kernel: image,
    });
    kernel_main(info)
}

fn keep_strings(kept: &mut Kept, handoff: &Handoff<'_>) {
    let length = handoff.command_line.len().min(COMMAND_LINE_BYTES);
    kept.command_line[..length].copy_from_slice(&handoff.command_line[..length]);
    let [name, version] = handoff.loader;
    // A name that does not fit is cut at the last piece that does.
    let _ = write!(kept.loader, "{name}");
    if !version.is_empty() {
        let _ = write!(kept.loader, " {version}");
    }
}

/// The text up to the first byte that is not UTF-8.
fn utf8_prefix(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
    }
}

/// Picks the start-up page while the map still tells free low memory from the rest.
fn choose_trampoline(map: &MemoryMap) {
    let free = |region: &&MemoryRegion| {
        region.kind == MemoryKind::Usable && region.start.as_u64() < LOW_MEMORY_END
    };
    tables::choose_trampoline(map.regions().iter().filter(free));
}

/// Marks the memory that the kernel uses already, whatever the loader called it.
fn paint_what_is_in_use(map: &mut MemoryMap, image: PhysRange, initramfs: Option<PhysRange>) {
    map.paint(0, LOW_MEMORY_END, MemoryKind::LowMemory);
    map.paint(image.start.as_u64(), image.bytes, MemoryKind::Kernel);
    if let Some(archive) = initramfs {
        map.paint(archive.start.as_u64(), archive.bytes, MemoryKind::Initramfs);
    }
}
