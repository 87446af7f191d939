//! The area that each CPU finds through its GS base.
//!
//! In kernel mode GS points at the running CPU's [`CpuArea`]; in user mode `swapgs` keeps it aside in
//! `KERNEL_GS_BASE`. Fields are touched by their own CPU only, by single instructions where a thread could
//! be moved between two, except those that are atomics. The assembly finds fields by `offset_of!`.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use x86_64::structures::gdt::GlobalDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

use crate::cpu::{CpuId, MAX_CPUS};
use crate::sync::HeldLocks;

/// Descriptors in each CPU's table: null, six segments and a double-width task state segment.
pub(super) const GDT_ENTRIES: usize = 9;

/// One CPU's own data.
#[repr(C, align(64))]
pub(super) struct CpuArea {
    /// The area's own address, so that GS-relative code can form a pointer.
    pub this: usize,
    /// The user stack pointer during the first instructions of a system call.
    pub user_rsp: u64,
    /// Where the stack stood in `enter_user`: entries from user mode resume there.
    pub enter_rsp: u64,
    /// The CPU's number.
    pub cpu: u32,
    /// Holds on preemption, and whether it is requested: see [`super::preempt`].
    pub preempt: u32,
    /// The thread that runs, as the kernel knows it: see `thread::current`.
    pub thread: usize,
    /// What the kernel keeps for this CPU: see `thread::own_part`.
    pub own_part: usize,
    /// Bounds of the thread stack in use, for backtraces and for naming an overflow.
    pub stack_bottom: usize,
    pub stack_top: usize,
    /// The stack for entries from user mode (its `rsp0`) and the interrupt stack table.
    pub tss: TaskStateSegment,
    pub gdt: GlobalDescriptorTable<GDT_ENTRIES>,
    /// Locks held, for the order check. Touched with interrupts off.
    pub held_locks: HeldLocks,
    /// The local APIC. Touched with interrupts off.
    pub local_apic: UnsafeCell<Option<super::apic::LocalUnit>>,
    /// Interrupts and exceptions taken, by vector. Other CPUs read it.
    pub counts: [AtomicU64; 256],
    /// The first address of each IST stack's usable part, to name overflows.
    pub ist_bottoms: [AtomicUsize; 3],
}

// SAFETY: other CPUs reach an area only through `of`, and there only the atomics; all else belongs to the CPU
// whose GS base points here.
unsafe impl Sync for CpuArea {}

impl CpuArea {
    /// An area that no CPU uses yet.
    pub const fn new() -> Self {
        Self {
            this: 0,
            user_rsp: 0,
            enter_rsp: 0,
            cpu: 0,
            preempt: super::preempt::INITIAL,
            thread: 0,
            own_part: 0,
            stack_bottom: 0,
            stack_top: 0,
            tss: TaskStateSegment::new(),
            gdt: GlobalDescriptorTable::empty(),
            held_locks: HeldLocks::new(),
            local_apic: UnsafeCell::new(None),
            counts: [const { AtomicU64::new(0) }; 256],
            ist_bottoms: [const { AtomicUsize::new(0) }; 3],
        }
    }
}

/// The area of each CPU that was ever set up. Areas are never freed after that.
static AREAS: [AtomicPtr<CpuArea>; MAX_CPUS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];

/// Makes `area` known as its CPU's.
pub(super) fn publish(area: *mut CpuArea) {
    let cpu = current_cpu();
    // Release: whoever finds the area sees it initialised.
    AREAS[cpu.index()].store(area, Ordering::Release);
}

/// The area of `cpu`, if it was set up. Only the atomics in it may be used.
pub(super) fn of(cpu: CpuId) -> Option<&'static CpuArea> {
    // SAFETY: null or an area that is never freed; the fields that its CPU changes are not read through this.
    unsafe { AREAS[cpu.index()].load(Ordering::Acquire).as_ref() }
}

/// Offset of `rsp0` in the area: 4 bytes into the task state segment (Intel SDM vol. 3A, figure 8-11).
pub(super) const TSS_RSP0: usize = offset_of!(CpuArea, tss) + 4;

/// The running CPU's area. Only for code that cannot move to another CPU while it uses the pointer.
pub(super) fn area() -> *mut CpuArea {
    let this: usize;
    // SAFETY: GS points at this CPU's area from its first instruction of Rust code on.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) this, const offset_of!(CpuArea, this),
            options(nostack, preserves_flags));
    }
    this as *mut CpuArea
}

/// The CPU that this runs on. Unless preemption is off, the thread may have moved by the time it is used.
#[must_use]
pub fn current_cpu() -> CpuId {
    let cpu: u32;
    // SAFETY: as in `area`; a single load of a field that never changes.
    unsafe {
        asm!("mov {:e}, gs:[{}]", out(reg) cpu, const offset_of!(CpuArea, cpu),
            options(nostack, preserves_flags));
    }
    CpuId::new(cpu as usize)
}

/// Records the bounds of the stack that this CPU's current thread runs on.
pub(super) fn set_stack_bounds(bottom: usize, top: usize) {
    let area = area();
    // SAFETY: the caller cannot be preempted between two stores of one switch (interrupts are off there), and only
    // this CPU touches these fields.
    unsafe {
        (*area).stack_bottom = bottom;
        (*area).stack_top = top;
    }
}

/// The bounds of the current thread's stack.
pub(super) fn stack_bounds() -> (usize, usize) {
    let area = area();
    // SAFETY: plain reads of this CPU's fields; a stale pair after a move is still some stack's bounds.
    unsafe { ((*area).stack_bottom, (*area).stack_top) }
}
