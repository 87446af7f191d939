//! The kernel's first page tables: the whole kernel half, built once.
//!
//! Frames come from the top of one large free region below 4 GiB, because the start-up code of other processors
//! loads a root table in 32-bit mode. What was taken becomes [`MemoryKind::Kernel`].

use core::sync::atomic::{AtomicU64, Ordering};

use super::address_of;
use crate::addr::{Frame, PAGE_SIZE, PhysAddr, VirtAddr};
use crate::boot::{MemoryKind, MemoryRegion, PhysRange};
use crate::machine::{control, memory, stacks};
use crate::memory_map::MemoryMap;
use crate::paging::{Entry, EntryFlags, TABLE_ENTRIES, USER_ROOT_ENTRIES};

const PAGE: u64 = PAGE_SIZE as u64;
/// The bytes that an entry maps on levels 1 to 3.
const SPAN: [u64; 4] = [0, PAGE, PAGE << 9, PAGE << 18];
/// Physical memory that 32-bit code can name.
const LOW: u64 = 1 << 32;

/// Flags of entries that point at tables: the leaves decide.
const TABLE: EntryFlags =
    EntryFlags::PRESENT.union(EntryFlags::WRITABLE).union(EntryFlags::ACCESSED);
const READ_ONLY: EntryFlags = EntryFlags::PRESENT
    .union(EntryFlags::GLOBAL)
    .union(EntryFlags::NO_EXECUTE)
    .union(EntryFlags::ACCESSED);
const EXECUTABLE: EntryFlags =
    EntryFlags::PRESENT.union(EntryFlags::GLOBAL).union(EntryFlags::ACCESSED);

/// The page for the other processors' start-up code, or zero.
static TRAMPOLINE: AtomicU64 = AtomicU64::new(0);
/// The root table that start-up code runs under: the kernel half and that page, at its physical address.
static TRAMPOLINE_ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

/// Picks the page of low memory for start-up code: free, not the first, and where a start-up interrupt can point.
pub(super) fn choose_trampoline<'a>(mut low: impl Iterator<Item = &'a MemoryRegion>) {
    let page = low.find_map(|region| {
        let page = region.start.as_u64().max(0x8000);
        (page + PAGE <= region.end().min(0x9_0000)).then_some(page)
    });
    TRAMPOLINE.store(page.unwrap_or(0), Ordering::Relaxed);
}

/// The page for start-up code and the root table to run it under.
pub(in crate::machine) fn trampoline() -> Option<(PhysAddr, PhysAddr)> {
    let page = TRAMPOLINE.load(Ordering::Relaxed);
    let root = TRAMPOLINE_ROOT.load(Ordering::Relaxed);
    (page != 0).then(|| (PhysAddr::new(page), PhysAddr::new(root)))
}

/// Hands out frames from the top of a region downwards.
struct Reserve {
    /// Physical address of the lowest frame handed out; the region's end at first.
    lowest: u64,
    start: u64,
    /// The loader's address of physical zero.
    window: u64,
}

impl Reserve {
    /// The largest free region that 32-bit code and the loader's window reach.
    fn new(map: &MemoryMap, window: u64, window_bytes: u64) -> Self {
        let limit = LOW.min(window_bytes);
        let clipped = |region: &MemoryRegion| (region.start.as_u64(), region.end().min(limit));
        let (start, end) = map
            .regions()
            .iter()
            .filter(|region| region.kind == MemoryKind::Usable && region.start.as_u64() < limit)
            .map(clipped)
            .max_by_key(|(start, end)| end - start)
            .expect("no free memory below 4 GiB");
        Self { lowest: end, start, window }
    }

    /// A cleared frame.
    fn take(&mut self) -> Frame {
        assert!(self.lowest > self.start, "not enough memory for the kernel's page tables");
        self.lowest -= PAGE;
        let frame = PhysAddr::new(self.lowest).frame();
        // SAFETY: free RAM that this reserve owns, mapped by the loader.
        unsafe { self.table(frame).cast::<u8>().write_bytes(0, PAGE_SIZE) };
        frame
    }

    fn table(&self, frame: Frame) -> *mut u64 {
        (self.window + frame.start().as_u64()) as *mut u64
    }
}

/// Tables under construction, reached through the loader's window.
struct Builder {
    reserve: Reserve,
    root: Frame,
    /// The highest level at which a leaf may be: 3 where the processor has 1 GiB pages.
    top_leaf: u32,
}

impl Builder {
    fn slot(&self, table: Frame, address: u64, level: u32) -> *mut u64 {
        let index = address >> (12 + 9 * (level - 1)) & 0x1ff;
        self.reserve.table(table).wrapping_add(index as usize)
    }

    /// Maps `address .. address + bytes` to `physical ..`, with the largest pages that fit.
    fn map(&mut self, mut address: u64, mut physical: u64, mut bytes: u64, flags: EntryFlags) {
        while bytes > 0 {
            let fits = |level: &u32| {
                let span = SPAN[*level as usize];
                address.is_multiple_of(span) && physical.is_multiple_of(span) && bytes >= span
            };
            let level = (1..=self.top_leaf).rev().find(fits).unwrap_or(1);
            self.map_one(address, physical, level, flags);
            let span = SPAN[level as usize];
            (address, physical, bytes) =
                (address + span, physical + span, bytes.saturating_sub(span));
        }
    }

    fn map_one(&mut self, address: u64, physical: u64, leaf: u32, flags: EntryFlags) {
        let mut table = self.root;
        for level in (leaf + 1..=4).rev() {
            let slot = self.slot(table, address, level);
            // SAFETY: `slot` lies in a table from the reserve, which only this builder knows.
            let mut entry = Entry::from_bits(unsafe { slot.read() });
            if !entry.is_present() {
                entry = Entry::new(self.reserve.take(), TABLE);
                // SAFETY: as above.
                unsafe { slot.write(entry.bits()) };
            }
            table = entry.frame();
        }
        let huge = if leaf > 1 { EntryFlags::HUGE } else { EntryFlags::empty() };
        let entry = Entry::new(PhysAddr::new(physical).frame(), flags | huge);
        // SAFETY: as above.
        unsafe { self.slot(table, address, leaf).write(entry.bits()) };
    }

    /// Populates the root entries of the kernel half that nothing is mapped under yet.
    fn populate_root(&mut self) {
        for index in USER_ROOT_ENTRIES..TABLE_ENTRIES {
            let slot = self.reserve.table(self.root).wrapping_add(index);
            // SAFETY: within the root table, which only this builder knows.
            unsafe {
                if slot.read() == 0 {
                    slot.write(Entry::new(self.reserve.take(), TABLE).bits());
                }
            }
        }
    }

    /// A root with the kernel half, and `page` at its own address, for start-up code.
    fn trampoline_root(&mut self, page: u64) -> Frame {
        let kernel = self.root;
        let root = self.reserve.take();
        // SAFETY: two different root tables of this builder's.
        unsafe {
            let source = self.reserve.table(kernel).add(USER_ROOT_ENTRIES);
            let target = self.reserve.table(root).add(USER_ROOT_ENTRIES);
            target.copy_from_nonoverlapping(source, TABLE_ENTRIES - USER_ROOT_ENTRIES);
        }
        self.root = root;
        self.map(page, page, PAGE, EntryFlags::PRESENT | EntryFlags::WRITABLE);
        self.root = kernel;
        root
    }
}

/// Builds the kernel half, loads it, and settles what is left of the memory map: `reclaimable` becomes free.
pub(super) fn build_and_load(
    map: &mut MemoryMap,
    image: PhysRange,
    (window, window_bytes): (u64, u64),
    reclaimable: &[(u64, u64)],
) {
    let mut reserve = Reserve::new(map, window, window_bytes);
    let end = reserve.lowest;
    let root = reserve.take();
    let top_leaf = if control::has_gigabyte_pages() { 3 } else { 2 };
    let mut builder = Builder { reserve, root, top_leaf };
    let mut limit = 0;
    for &(start, bytes) in reclaimable {
        // Painted now so that the window covers it; nobody allocates before the loader's memory is out of use.
        map.paint(start, bytes, MemoryKind::Usable);
    }
    let image_pages = image.start.as_u64()..image.end().next_multiple_of(PAGE);
    for (start, bytes) in window_runs(map, image_pages) {
        builder.map(memory::WINDOW + start, start, bytes, memory::DATA);
        limit = limit.max(start + bytes);
    }
    map_image(&mut builder);
    builder.populate_root();
    let page = TRAMPOLINE.load(Ordering::Relaxed);
    if page != 0 {
        let trampoline = builder.trampoline_root(page);
        TRAMPOLINE_ROOT.store(trampoline.start().as_u64(), Ordering::Relaxed);
    }
    let seed: arrayvec::ArrayVec<Frame, 16> = (0..16).map(|_| builder.reserve.take()).collect();

    // SAFETY: the new tables map the running code, the stack and all data where they are now.
    unsafe { control::load_first_root(root) };
    control::finish_boot();
    memory::set_kernel_root(root, limit);
    memory::seed(seed.into_iter());
    map.paint(builder.reserve.lowest, end - builder.reserve.lowest, MemoryKind::Kernel);
}

/// The runs of RAM that the window maps: all but the image, which has mappings of its own with narrower rights.
fn window_runs(map: &MemoryMap, image: core::ops::Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let mut ram = MemoryMap::new();
    for region in map.regions() {
        if region.kind != MemoryKind::Reserved {
            // One kind for all, so that neighbours become one run and large pages fit.
            ram.paint(region.start.as_u64(), region.bytes, MemoryKind::Usable);
        }
    }
    ram.paint(image.start, image.end - image.start, MemoryKind::Reserved);
    let regions: arrayvec::ArrayVec<MemoryRegion, { crate::memory_map::CAPACITY }> =
        ram.regions().iter().copied().collect();
    regions
        .into_iter()
        .filter(|region| region.kind == MemoryKind::Usable)
        .map(|region| (region.start.as_u64(), region.bytes))
}

/// Maps the sections of the image, each with the rights it needs, leaving out the guard pages of the boot stacks.
fn map_image(builder: &mut Builder) {
    let sections = [
        (&raw const __text_start, &raw const __text_end, EXECUTABLE),
        (&raw const __rodata_start, &raw const __rodata_end, READ_ONLY),
        (&raw const __data_start, &raw const __data_end, memory::DATA),
    ];
    let guards = stacks::boot_guards();
    for (start, end, flags) in sections {
        let (start, end) = (address_of(start), address_of(end));
        for page in (start..end).step_by(PAGE_SIZE) {
            if !guards.contains(&(page as usize)) {
                let physical = memory::image_to_physical(VirtAddr::new_truncate(page));
                builder.map_one(page, physical.as_u64(), 1, flags);
            }
        }
    }
}
