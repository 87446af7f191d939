//! Segments, task state and the interrupt descriptor table.
//!
//! The segment selectors equal Linux's, because signal frames show them to user programs. The interrupt
//! descriptor table is one for all CPUs; its interrupt-stack numbers are resolved by each CPU's own task
//! state segment.

use core::sync::atomic::Ordering;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::model_specific::GsBase;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, SegmentSelector};

use super::percpu::{self, CpuArea};
use super::traps;

/// Kernel code segment.
pub(super) const KERNEL_CODE: u16 = 0x10;
/// Kernel stack segment.
pub(super) const KERNEL_DATA: u16 = 0x18;
/// 32-bit user code segment: `SYSRET` counts from it (Intel SDM vol. 3A, 5.8.8).
pub(super) const USER_BASE: u16 = 0x20 | 3;
/// User data and stack segment.
pub(super) const USER_DATA: u16 = 0x28 | 3;
/// 64-bit user code segment.
pub(super) const USER_CODE: u16 = 0x30 | 3;

/// Slots of the interrupt stack table, counted from zero.
pub(super) const IST_DOUBLE_FAULT: usize = 0;
pub(super) const IST_NMI: usize = 1;
pub(super) const IST_MACHINE_CHECK: usize = 2;

/// A gate of the interrupt descriptor table (Intel SDM vol. 3A, figure 7-8).
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u64,
    high: u64,
}

/// Lowest privilege level that may invoke a gate by an `int` instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invoker {
    Kernel,
    User,
}

impl Gate {
    const EMPTY: Self = Self { low: 0, high: 0 };

    /// A present 64-bit interrupt gate to `target`; `ist` counts from one, zero means the current stack.
    fn new(target: usize, ist: u64, invoker: Invoker) -> Self {
        let target = target as u64;
        let privilege = if invoker == Invoker::User { 3 << 45 } else { 0 };
        let low = target & 0xffff
            | u64::from(KERNEL_CODE) << 16
            | ist << 32
            | 0x8e << 40
            | privilege
            | (target >> 16 & 0xffff) << 48;
        Self { low, high: target >> 32 }
    }
}

#[repr(C, align(4096))]
struct InterruptTable([Gate; 256]);

static INTERRUPT_TABLE: Once<InterruptTable> = Once::new();

fn interrupt_table() -> &'static InterruptTable {
    INTERRUPT_TABLE.call_once(|| {
        let mut table = InterruptTable([Gate::EMPTY; 256]);
        for (vector, gate) in table.0.iter_mut().enumerate() {
            let (ist, invoker) = match vector as u8 {
                traps::NMI => (IST_NMI as u64 + 1, Invoker::Kernel),
                traps::DOUBLE_FAULT => (IST_DOUBLE_FAULT as u64 + 1, Invoker::Kernel),
                traps::MACHINE_CHECK => (IST_MACHINE_CHECK as u64 + 1, Invoker::Kernel),
                traps::BREAKPOINT | traps::OVERFLOW => (0, Invoker::User),
                _ => (0, Invoker::Kernel),
            };
            *gate = Gate::new(traps::stub_address(vector), ist, invoker);
        }
        table
    })
}

/// Makes `area` the running CPU's: segments, task state with the stacks whose tops are `ist_tops`, interrupt
/// table and GS base.
///
/// The top 16 bytes of each IST stack hold the area's address: their entry code cannot trust GS.
///
/// # Safety
/// Runs once on the CPU that owns `area`, with interrupts off. `area` and the stacks stay valid forever, and
/// `ist_tops` are 16-byte aligned ends of writable stacks that nothing else uses.
pub(super) unsafe fn load(area: *mut CpuArea, ist_tops: [usize; 3]) {
    // SAFETY: the caller gives this CPU sole use of the area.
    let cpu = unsafe { &mut *area };
    cpu.this = area as usize;
    for (slot, top) in ist_tops.into_iter().enumerate() {
        let anchor = top - 16;
        // SAFETY: the last 16 bytes of a stack that is ours by contract.
        unsafe { (anchor as *mut usize).write(area as usize) };
        cpu.tss.interrupt_stack_table[slot] = VirtAddr::new(anchor as u64);
        cpu.ist_bottoms[slot].store(top - super::stacks::IST_BYTES, Ordering::Relaxed);
    }
    let gdt = &mut cpu.gdt;
    gdt.append(Descriptor::UserSegment(DescriptorFlags::KERNEL_CODE32.bits()));
    gdt.append(Descriptor::kernel_code_segment());
    gdt.append(Descriptor::kernel_data_segment());
    gdt.append(Descriptor::UserSegment(DescriptorFlags::USER_CODE32.bits()));
    gdt.append(Descriptor::user_data_segment());
    gdt.append(Descriptor::user_code_segment());
    // SAFETY: the task state segment lives as long as the area: forever.
    let tss = gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const cpu.tss) });
    let selector = |raw: u16| SegmentSelector(raw);
    let idt = interrupt_table();
    // SAFETY: the tables are complete and permanent; the selectors name descriptors of matching kind. GS is loaded
    // before its base is set, because loading a selector clears the base.
    unsafe {
        cpu.gdt.load_unsafe();
        CS::set_reg(selector(KERNEL_CODE));
        SS::set_reg(selector(KERNEL_DATA));
        DS::set_reg(selector(0));
        ES::set_reg(selector(0));
        FS::set_reg(selector(0));
        GS::set_reg(selector(0));
        GsBase::write(VirtAddr::new(area as u64));
        load_tss(tss);
        x86_64::instructions::tables::lidt(&DescriptorTablePointer {
            limit: (size_of::<InterruptTable>() - 1) as u16,
            base: VirtAddr::from_ptr(idt),
        });
    }
    percpu::publish(area);
}
