//! Switching between kernel contexts.
//!
//! A suspended context is a stack pointer: the callee-saved registers and the return address are on its stack; and the segment bases
//! of user mode, which stay in the processor while a thread does (`segments`).
//! Extended (floating-point) state is not touched here: `fpu` saves and restores it.

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use super::percpu::CpuArea;
pub use super::segments::{segment_bases, set_segment_bases};
pub use super::stacks::KernelStack;
use super::{interrupts, percpu, segments};
use crate::context::SegmentBases;

/// What [`set_current`] noted last on this CPU; null before the first time. In one instruction, so that a thread which
/// finds itself here is right even if it is moved to another CPU meanwhile.
#[must_use]
pub fn current() -> *const () {
    let thread: *const ();
    // SAFETY: one load of this CPU's own field.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) thread, const offset_of!(CpuArea, thread),
            options(nostack, preserves_flags));
    }
    thread
}

/// Notes the thread that this CPU runs from now on, for [`current`].
pub fn set_current(thread: *const ()) {
    // SAFETY: one store to this CPU's own field.
    unsafe {
        asm!("mov gs:[{}], {}", const offset_of!(CpuArea, thread), in(reg) thread,
            options(nostack, preserves_flags));
    }
}

/// What [`set_own_part`] noted on the CPU that this runs on; null before. In one instruction, as [`current`]: the thread may
/// be on another CPU by the time the value is used.
#[must_use]
#[inline]
pub fn own_part() -> *const () {
    let part: *const ();
    // SAFETY: one load of this CPU's own field.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) part, const offset_of!(CpuArea, own_part),
            options(nostack, preserves_flags));
    }
    part
}

/// Notes what the kernel keeps for this CPU, for [`own_part`].
pub fn set_own_part(part: *const ()) {
    // SAFETY: one store to this CPU's own field.
    unsafe {
        asm!("mov gs:[{}], {}", const offset_of!(CpuArea, own_part), in(reg) part,
            options(nostack, preserves_flags));
    }
}

/// A kernel context that is suspended, or will be when it is switched away from.
#[derive(Debug)]
#[repr(C)]
pub struct KernelContext {
    stack_pointer: usize,
    bases: SegmentBases,
}

/// What [`switch`] leaves on a stack, lowest address first.
#[repr(C)]
struct InitialFrame {
    r15: usize,
    r14: usize,
    r13: usize,
    r12: usize,
    rbx: usize,
    rbp: usize,
    return_address: usize,
    /// Ends the chain of frame pointers.
    end: [usize; 2],
}

impl KernelContext {
    /// A context that, switched to, calls `entry(argument)` on `stack`, with interrupts off and both segment bases zero.
    ///
    /// The stack must outlive the context, and nothing else may use it.
    #[must_use]
    pub fn new(stack: &KernelStack, entry: extern "C" fn(usize) -> !, argument: usize) -> Self {
        let stack_pointer = stack.top() - 16 - size_of::<InitialFrame>();
        let frame = InitialFrame {
            r15: 0,
            r14: 0,
            r13: 0,
            r12: argument,
            rbx: entry as usize,
            rbp: 0,
            return_address: start as *const () as usize,
            end: [0; 2],
        };
        // SAFETY: within the stack, which nobody runs on yet; the address is 8-byte aligned.
        unsafe { (stack_pointer as *mut InitialFrame).write(frame) };
        Self { stack_pointer, bases: SegmentBases { fs: 0, gs: 0 } }
    }

    /// The context of what runs already: filled in when it is switched away from.
    #[must_use]
    pub const fn running() -> Self {
        Self { stack_pointer: 0, bases: SegmentBases { fs: 0, gs: 0 } }
    }
}

/// The first instructions of a new context: the entry point is in RBX, its argument in R12.
#[unsafe(naked)]
extern "C" fn start() {
    naked_asm!("mov rdi, r12", "xor ebp, ebp", "and rsp, -16", "call rbx", "ud2");
}

/// Suspends the running context in `previous` and resumes `next`. Returns when something switches back.
///
/// # Safety
/// Interrupts are off. `next` was made by [`KernelContext::new`] or filled by an earlier switch, was not resumed since,
/// and its stack is intact. `previous` is writable and stays so until it is resumed.
pub unsafe fn switch(previous: *mut KernelContext, next: *const KernelContext) {
    debug_assert!(!interrupts::enabled(), "switching stacks with interrupts on");
    // SAFETY: by this function's contract.
    unsafe {
        (*previous).bases = segments::exchange((*next).bases);
        switch_stacks(previous, next);
    }
}

#[unsafe(naked)]
unsafe extern "C" fn switch_stacks(previous: *mut KernelContext, next: *const KernelContext) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, [rsi]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    );
}

/// Tells this CPU which stack its thread runs on: for backtraces and for naming an overflow. Entries from user mode
/// need no telling; they resume where `enter_user` stood. Called at each switch, with interrupts off.
pub fn set_kernel_stack(stack: &KernelStack) {
    percpu::set_stack_bounds(stack.bottom(), stack.top());
}
