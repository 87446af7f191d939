//! Exceptions in kernel mode: those that user copies may raise are resolved or fixed up; all others are bugs of
//! the kernel and end in a panic that shows the registers.

use core::fmt;
use core::sync::atomic::Ordering;

use x86_64::registers::control::Cr2;

use super::descriptors::{IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI};
use super::traps::{self, TrapFrame};
use super::{interrupts, percpu, user_copy};
use crate::addr::VirtAddr;
use crate::context::Access;

/// Bits of a page fault's error code (Intel SDM vol. 3A, figure 4-12).
const FAULT_WRITE: u64 = 1 << 1;
const FAULT_FETCH: u64 = 1 << 4;

/// What a page fault's error code says was tried.
pub(super) fn access_of(error_code: u64) -> Access {
    if error_code & FAULT_FETCH != 0 {
        Access::Execute
    } else if error_code & FAULT_WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

/// Names of the exceptions (Intel SDM vol. 3A, table 6-1).
const NAMES: [&str; 32] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid task state segment",
    "segment not present",
    "stack-segment fault",
    "general protection",
    "page fault",
    "reserved exception 15",
    "x87 floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualisation exception",
    "control protection",
    "reserved exception 22",
    "reserved exception 23",
    "reserved exception 24",
    "reserved exception 25",
    "reserved exception 26",
    "reserved exception 27",
    "hypervisor injection",
    "VMM communication",
    "security exception",
    "reserved exception 31",
];

/// The exception's name in words.
pub(super) fn name(vector: u8) -> &'static str {
    NAMES.get(usize::from(vector)).copied().unwrap_or("interrupt")
}

/// Handles exception `vector`, raised by kernel code.
pub(super) fn in_kernel(frame: &mut TrapFrame, vector: u8) {
    let fault_address = Cr2::read_raw();
    if let Some(resume) = user_copy::fixup_of(frame.rip) {
        if vector == traps::PAGE_FAULT {
            let address = VirtAddr::new_truncate(fault_address);
            if address.to_user().is_some() && resolve(frame, address) {
                return;
            }
            frame.rip = resume;
            return;
        }
        // A non-canonical address, or an extended-state image the processor refuses.
        if vector == 13 {
            frame.rip = resume;
            return;
        }
    }
    fatal(frame, fault_address);
}

/// Asks the kernel to make the access at `address` possible, with interrupts as they were.
fn resolve(frame: &TrapFrame, address: VirtAddr) -> bool {
    const INTERRUPT_FLAG: u64 = 1 << 9;
    let Some(handlers) = super::handlers() else { return false };
    if frame.rflags & INTERRUPT_FLAG != 0 {
        interrupts::enable();
    }
    let resolved = (handlers.page_fault)(address, access_of(frame.error_code));
    let _ = interrupts::disable();
    resolved
}

fn fatal(frame: &TrapFrame, fault_address: u64) -> ! {
    let vector = frame.vector as u8;
    panic!(
        "{} in kernel mode, error code {:#x}, address {fault_address:#x}\n{}",
        name(vector),
        frame.error_code,
        Registers(frame)
    );
}

/// A double fault: nearly always a kernel stack that ran into its guard page.
pub(super) fn double_fault(frame: &TrapFrame) -> ! {
    let fault_address = Cr2::read_raw() as usize;
    let (bottom, top) = percpu::stack_bounds();
    let below = |bottom: usize| (bottom.saturating_sub(4096)..bottom).contains(&fault_address);
    if below(bottom) {
        panic!(
            "kernel stack overflow: {bottom:#x}..{top:#x} ran into its guard page\n{}",
            Registers(frame)
        );
    }
    // SAFETY: this CPU's area; the bounds are atomics.
    let area = unsafe { &*percpu::area() };
    for (slot, name) in
        [(IST_DOUBLE_FAULT, "double fault"), (IST_NMI, "NMI"), (IST_MACHINE_CHECK, "machine check")]
    {
        if below(area.ist_bottoms[slot].load(Ordering::Relaxed)) {
            panic!("overflow of the {name} stack\n{}", Registers(frame));
        }
    }
    panic!("double fault, last fault address {fault_address:#x}\n{}", Registers(frame));
}

/// A machine check: the hardware is broken; nothing can be recovered here.
pub(super) fn machine_check(frame: &TrapFrame) -> ! {
    panic!("machine check\n{}", Registers(frame));
}

/// Prints a frame's registers.
pub(super) struct Registers<'a>(pub &'a TrapFrame);

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        writeln!(
            f,
            "rip {:04x}:{:016x} rsp {:04x}:{:016x} rflags {:08x}",
            r.cs, r.rip, r.ss, r.rsp, r.rflags
        )?;
        writeln!(f, "rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", r.rax, r.rbx, r.rcx, r.rdx)?;
        writeln!(f, "rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", r.rsi, r.rdi, r.rbp, r.r8)?;
        writeln!(f, "r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", r.r9, r.r10, r.r11, r.r12)?;
        write!(f, "r13 {:016x} r14 {:016x} r15 {:016x}", r.r13, r.r14, r.r15)
    }
}
