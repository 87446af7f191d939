//! Exceptions and interrupts: the entry stubs and what happens in kernel mode.
//!
//! Each of the 256 vectors has a stub that pushes its number and goes one of three ways:
//!
//! - from user mode: to `user::skein_user_trap`, which ends the `enter_user` call;
//! - from kernel mode: to [`kernel_trap`], which handles it and returns there;
//! - double fault, NMI and machine check: to [`paranoid_trap`] on a stack of their own. They may strike between
//!   a `swapgs` and the mode change it belongs to, so the entry takes the CPU's area from the top of its own
//!   stack and puts the old GS base back at the end.
//!
//! The flags are reset at each entry (`push 2; popfq`): the processor leaves AC and DF as the interrupted code
//! had them, and AC would keep user memory open.

use core::arch::global_asm;
use core::sync::atomic::Ordering;

use super::{apic, faults, percpu};

pub(super) const NMI: u8 = 2;
pub(super) const BREAKPOINT: u8 = 3;
pub(super) const OVERFLOW: u8 = 4;
pub(super) const DOUBLE_FAULT: u8 = 8;
pub(super) const PAGE_FAULT: u8 = 14;
pub(super) const MACHINE_CHECK: u8 = 18;

/// First vector of ISA interrupt lines 0 to 15.
pub(super) const ISA_BASE: u8 = 0x30;
pub(super) const TIMER: u8 = 0xf0;
pub(super) const RESCHEDULE: u8 = 0xf1;
pub(super) const TLB_SHOOTDOWN: u8 = 0xf2;
pub(super) const CALL: u8 = 0xf3;
pub(super) const APIC_ERROR: u8 = 0xfe;
/// Low four bits set: older local APICs force them (Intel SDM vol. 3A, 11.9).
pub(super) const SPURIOUS: u8 = 0xff;

/// The interrupted state, as stubs and processor leave it on the stack.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Bytes from one stub to the next.
const STUB_BYTES: usize = 16;

global_asm!(
    ".macro skein_push_all",
    "push rdi", "push rsi", "push rdx", "push rcx", "push rax", "push r8", "push r9", "push r10",
    "push r11", "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
    ".endm",
    ".macro skein_pop_all",
    "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "pop r11", "pop r10",
    "pop r9", "pop r8", "pop rax", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
    ".endm",
    // Calls a handler with the trap frame, behind a link of the chain of frame pointers that leads to the interrupted
    // function. Backtraces take each address for that of a call's end, so the link holds one byte more than RIP.
    ".macro skein_handle handler",
    "push [rsp + 136]",
    "inc qword ptr [rsp]",
    "push rbp",
    "mov rbp, rsp",
    "lea rdi, [rsp + 16]",
    "call \\handler",
    "add rsp, 16",
    ".endm",
    ".balign 16",
    ".global skein_stubs",
    "skein_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    // The exceptions with an error code (Intel SDM vol. 3A, table 6-1); the others push a zero.
    ".if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21) && (vector != 29) && (vector != 30)",
    "push 0",
    ".endif",
    "push vector",
    ".if (vector == 2) || (vector == 8) || (vector == 18)",
    "jmp skein_paranoid_entry",
    ".else",
    "jmp skein_trap_entry",
    ".endif",
    ".set vector, vector + 1",
    ".endr",
    // Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
    "skein_trap_entry:",
    "test byte ptr [rsp + 24], 3",
    "jnz skein_user_trap",
    "skein_push_all",
    "push 2",
    "popfq",
    "skein_handle {kernel_trap}",
    "skein_pop_all",
    "add rsp, 16",
    "iretq",
    // The same, on an IST stack whose top word is the CPU's area.
    "skein_paranoid_entry:",
    "skein_push_all",
    "push 2",
    "popfq",
    "mov ecx, 0xc0000101",
    "rdmsr",
    "shl rdx, 32",
    "or rax, rdx",
    "mov rbx, rax",
    "mov rax, [rsp + 176]",
    "mov rdx, rax",
    "shr rdx, 32",
    "wrmsr",
    "skein_handle {paranoid_trap}",
    "mov ecx, 0xc0000101",
    "mov rax, rbx",
    "mov rdx, rbx",
    "shr rdx, 32",
    "wrmsr",
    "skein_pop_all",
    "add rsp, 16",
    "iretq",
    kernel_trap = sym kernel_trap,
    paranoid_trap = sym paranoid_trap,
);

unsafe extern "C" {
    static skein_stubs: u8;
}

/// The entry point of `vector`.
pub(super) fn stub_address(vector: usize) -> usize {
    &raw const skein_stubs as usize + vector * STUB_BYTES
}

/// Counts one event of `vector` on this CPU.
pub(super) fn count(vector: u8) {
    // SAFETY: interrupts are off, so the area stays this CPU's; the counters are atomics.
    let area = unsafe { &*percpu::area() };
    // Relaxed: a statistic. Load and store suffice, only this CPU writes it.
    let counter = &area.counts[usize::from(vector)];
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Something happened in kernel mode. Runs on the interrupted thread's stack, interrupts off.
extern "C" fn kernel_trap(frame: &mut TrapFrame) {
    let vector = frame.vector as u8;
    if vector < 32 {
        count(vector);
        return faults::in_kernel(frame, vector);
    }
    super::preempt::in_interrupt(|| apic::dispatch(vector));
    if super::preempt::count() == 0
        && super::preempt::requested()
        && let Some(handlers) = super::handlers()
    {
        (handlers.preempt)();
    }
}

/// A double fault, NMI or machine check, from either mode. Takes no locks.
extern "C" fn paranoid_trap(frame: &mut TrapFrame) {
    let vector = frame.vector as u8;
    count(vector);
    match vector {
        NMI => super::ipi::on_nmi(frame),
        DOUBLE_FAULT => faults::double_fault(frame),
        _ => faults::machine_check(frame),
    }
}
