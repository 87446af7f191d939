//! The kernel half of every address space: where things are, and how new kernel mappings are made.
//!
//! ```text
//! 0xffff_8000_0000_0000  window: all RAM, never executable        (root entries 256 ..)
//! 0xffff_c000_0000_0000  device registers, uncached                (root entry 384)
//! 0xffff_d000_0000_0000  kernel stacks with guard pages            (root entry 416)
//! 0xffff_ffff_8000_0000  the kernel's image, W^X                   (root entry 511)
//! ```
//!
//! All 256 root entries are populated at boot and never change, so a new root table copies them once. Below
//! them, mappings are only ever added: no TLB can hold anything stale.
//!
//! Locks: `FRAMES` and `AREAS` rank as leaves; the frame source is called with neither held.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use arrayvec::ArrayVec;

use crate::addr::{Frame, PAGE_SIZE, PhysAddr, VirtAddr};
use crate::error::OutOfMemory;
use crate::events::FrameSource;
use crate::paging::{Entry, EntryFlags, TABLE_ENTRIES, USER_ROOT_ENTRIES};
use crate::sync::{Irq, Rank, SpinLock};

/// Where the window on physical memory starts.
pub const WINDOW: u64 = 0xffff_8000_0000_0000;
/// Where the window ends at the latest: the most RAM there can be is 64 TiB.
const WINDOW_END: u64 = 0xffff_c000_0000_0000;
const DEVICES: u64 = 0xffff_c000_0000_0000;
/// Where kernel stacks start.
pub(super) const STACKS: u64 = 0xffff_d000_0000_0000;
/// The link address that physical address zero would have in the kernel's image.
pub(super) const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// Leaf flags of kernel data.
pub(super) const DATA: EntryFlags = EntryFlags::PRESENT
    .union(EntryFlags::WRITABLE)
    .union(EntryFlags::GLOBAL)
    .union(EntryFlags::NO_EXECUTE)
    .union(EntryFlags::ACCESSED)
    .union(EntryFlags::DIRTY);
/// Leaf flags of device registers.
const DEVICE: EntryFlags = DATA.union(EntryFlags::CACHE_DISABLE).union(EntryFlags::WRITE_THROUGH);
/// Flags of entries that point at tables.
const TABLE: EntryFlags =
    EntryFlags::PRESENT.union(EntryFlags::WRITABLE).union(EntryFlags::ACCESSED);

/// Physical address of the kernel's root table; zero until boot has built it.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// Physical end of what the window maps.
static WINDOW_LIMIT: AtomicU64 = AtomicU64::new(0);
/// The kernel's frame allocator; null until it is set.
static SOURCE: AtomicPtr<FrameSource> = AtomicPtr::new(core::ptr::null_mut());

/// Frames that one mapping call may need: a stack's and a table on each level below the root.
const POOL: usize = 16;
/// Frames set aside for kernel tables and stacks.
static FRAMES: SpinLock<ArrayVec<Frame, POOL>, Irq> =
    SpinLock::new(Rank::LEAF, ArrayVec::new_const());
/// The first unused address among the device mappings. Also serialises changes of the kernel's tables.
static AREAS: SpinLock<u64, Irq> = SpinLock::new(Rank::LEAF, DEVICES);

/// Where the physical byte `address` of RAM is mapped, writable and cached.
#[must_use]
pub fn window(address: PhysAddr) -> *mut u8 {
    (WINDOW + address.as_u64()) as *mut u8
}

/// Physical address just past everything that [`window`] covers.
fn window_end() -> u64 {
    WINDOW_LIMIT.load(Ordering::Relaxed)
}

/// Whether the window maps all of `bytes` from `start` on. The window has holes where there is no RAM, so this looks at
/// the tables.
pub(super) fn is_in_window(start: PhysAddr, bytes: u64) -> bool {
    let first = start.as_u64() & !(PAGE_SIZE as u64 - 1);
    let pages = (first..start.as_u64() + bytes.max(1)).step_by(PAGE_SIZE);
    start.as_u64() + bytes <= window_end() && pages.clone().all(|page| is_mapped(WINDOW + page))
}

fn is_mapped(address: u64) -> bool {
    let mut table = kernel_root();
    for level in (1..=4).rev() {
        // SAFETY: an aligned entry of a kernel table, which is never freed.
        let value = Entry::from_bits(unsafe { entry(table, address, level).read_volatile() });
        if !value.is_present() || value.is_huge() {
            return value.is_present();
        }
        table = value.frame();
    }
    true
}

/// The kernel's own root table: the kernel half alone.
#[must_use]
pub fn kernel_root() -> Frame {
    // Relaxed: set at boot, before there is a second CPU.
    PhysAddr::new(ROOT.load(Ordering::Relaxed)).frame()
}

/// Records the tables that boot built and what their window covers.
pub(super) fn set_kernel_root(root: Frame, window_limit: u64) {
    assert!(window_limit <= WINDOW_END - WINDOW, "more physical memory than the window can map");
    ROOT.store(root.start().as_u64(), Ordering::Relaxed);
    WINDOW_LIMIT.store(window_limit, Ordering::Relaxed);
}

/// Makes `root` a root table with an empty user half and the kernel half of every other.
///
/// # Safety
/// `root` is a frame that the caller owns and nobody else accesses.
pub unsafe fn init_root(root: Frame) {
    let source = window(kernel_root().start()).cast::<u64>();
    let target = window(root.start()).cast::<u64>();
    // SAFETY: both are whole frames in the window; the target is the caller's, the source's kernel half never changes.
    unsafe {
        target.write_bytes(0, USER_ROOT_ENTRIES);
        let kernel_half = source.add(USER_ROOT_ENTRIES);
        target
            .add(USER_ROOT_ENTRIES)
            .copy_from_nonoverlapping(kernel_half, TABLE_ENTRIES - USER_ROOT_ENTRIES);
    }
}

/// Gives the machine layer frames for kernel page tables and stacks.
pub fn set_frame_source(source: &'static FrameSource) {
    // Release pairs with the acquire in `refill`.
    SOURCE.store(core::ptr::from_ref(source).cast_mut(), Ordering::Release);
}

/// Sees to it that at least `count` frames are set aside.
fn refill(count: usize) -> Result<(), OutOfMemory> {
    // SAFETY: null, or stored by `set_frame_source`: a value that lives for ever and does not change.
    let source = unsafe { SOURCE.load(Ordering::Acquire).as_ref() };
    while FRAMES.lock().len() < count {
        let source = source.ok_or(OutOfMemory)?;
        let frame = (source.take)().ok_or(OutOfMemory)?;
        let pushed = FRAMES.lock().try_push(frame);
        if let Err(unneeded) = pushed {
            // Others filled the pool meanwhile.
            (source.give_back)(unneeded.element());
            return Ok(());
        }
    }
    Ok(())
}

/// Sets frames from the boot reserve aside, for what is mapped before there is a frame source.
pub(super) fn seed(frames: impl Iterator<Item = Frame>) {
    let mut pool = FRAMES.lock();
    frames.take(POOL - pool.len()).for_each(|frame| pool.push(frame));
}

fn take_cleared() -> Option<Frame> {
    let frame = FRAMES.lock_nested().pop()?;
    // SAFETY: the frame was given to this module for good, and nothing refers to it yet.
    unsafe { window(frame.start()).write_bytes(0, PAGE_SIZE) };
    Some(frame)
}

/// The entry of `table` that `address` selects at `level`.
fn entry(table: Frame, address: u64, level: u32) -> *mut u64 {
    let index = address >> (12 + 9 * (level - 1)) & 0x1ff;
    // The sum stays within the table's frame.
    window(table.start()).cast::<u64>().wrapping_add(index as usize)
}

/// Maps the page at `address` of the kernel half to `frame`, or to a fresh cleared frame. The caller holds
/// [`AREAS`]. An existing mapping is kept.
fn map(address: u64, frame: Option<Frame>, flags: EntryFlags) -> Result<(), OutOfMemory> {
    let mut table = kernel_root();
    for level in (2..=4).rev() {
        let slot = entry(table, address, level);
        // SAFETY: `slot` lies in a kernel table, which only holders of `AREAS` change; processors may read it meanwhile,
        // and a 64-bit store is one access to them.
        let mut value = Entry::from_bits(unsafe { slot.read_volatile() });
        if !value.is_present() {
            value = Entry::new(take_cleared().ok_or(OutOfMemory)?, TABLE);
            // SAFETY: as above; the new table was cleared before it is linked.
            unsafe { slot.write_volatile(value.bits()) };
        }
        table = value.frame();
    }
    let slot = entry(table, address, 1);
    // SAFETY: as above.
    let present = Entry::from_bits(unsafe { slot.read_volatile() }).is_present();
    if !present {
        let frame = frame.or_else(take_cleared).ok_or(OutOfMemory)?;
        // SAFETY: as above.
        unsafe { slot.write_volatile(Entry::new(frame, flags).bits()) };
    }
    Ok(())
}

/// Maps `pages` fresh pages of kernel data from `address` on. Pages that an earlier failed call mapped stay.
pub(super) fn map_data(address: u64, pages: usize) -> Result<(), OutOfMemory> {
    for page in 0..pages as u64 {
        refill(4)?;
        let _areas = AREAS.lock();
        map(address + page * PAGE_SIZE as u64, None, DATA)?;
    }
    Ok(())
}

/// Maps `bytes` of device registers at physical `start`, uncached, and returns where.
///
/// # Errors
/// [`OutOfMemory`] when there is no frame for a page table.
pub fn map_device(start: PhysAddr, bytes: usize) -> Result<*mut u8, OutOfMemory> {
    map_outside(start, bytes, DEVICE)
}

/// Maps `bytes` of firmware's memory that the window leaves out, cached, and returns where.
pub(super) fn map_firmware(start: PhysAddr, bytes: usize) -> Result<*mut u8, OutOfMemory> {
    map_outside(start, bytes, DATA)
}

fn map_outside(start: PhysAddr, bytes: usize, flags: EntryFlags) -> Result<*mut u8, OutOfMemory> {
    let offset = start.page_offset();
    let pages = (offset + bytes).div_ceil(PAGE_SIZE);
    let base = {
        let mut next = AREAS.lock();
        let base = *next;
        *next += (pages * PAGE_SIZE) as u64;
        base
    };
    for page in 0..pages as u64 {
        refill(4)?;
        let _areas = AREAS.lock();
        map(base + page * PAGE_SIZE as u64, Some(start.frame().offset(page)), flags)?;
    }
    Ok((base + offset as u64) as *mut u8)
}

/// Where `address`, within the kernel's image, lies in physical memory.
pub(super) fn image_to_physical(address: VirtAddr) -> PhysAddr {
    let linked = address.as_u64() - IMAGE;
    PhysAddr::new(linked.wrapping_add(IMAGE_OFFSET.load(Ordering::Relaxed)))
}

/// Physical load address minus the one linked for.
static IMAGE_OFFSET: AtomicU64 = AtomicU64::new(0);

/// Records where the loader put the image, as the physical address of link address [`IMAGE`] (it may wrap).
pub(super) fn set_image_offset(offset: u64) {
    IMAGE_OFFSET.store(offset, Ordering::Relaxed);
}
