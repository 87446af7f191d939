//! Entering user mode as a call that returns a reason.
//!
//! [`enter_user`] leaves a return address and the context's address on the kernel stack and notes the stack
//! pointer in the CPU's area and as the `rsp0` of its task state segment. Whatever ends user mode comes in at
//! one of two places below, stores the user registers straight into the [`UserContext`], and returns to
//! `enter_user` on that stack. Interrupts are off from before the entry until after the return.
//!
//! Every system call passes here, so instructions count: the compiler is told that all registers are lost rather than
//! made to save them twice, and the reason comes back in registers.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use x86_64::registers::control::Cr2;

use super::percpu::{CpuArea, TSS_RSP0};
use super::{descriptors, faults, interrupts, traps};
use crate::addr::VirtAddr;
use crate::context::{Exit, UserContext};

/// Stands for a system call where the entry code returns a vector.
const SYSCALL: u64 = 0x100;

/// RFLAGS bits that user mode may choose: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC, ID and NT (as Linux's
/// `FIX_EFLAGS`, with ID and NT harmless).
const USER_FLAGS: u64 = 0x0025_4dd5;
/// RFLAGS bits that user mode always has: IF and the fixed bit.
const FORCED_FLAGS: u64 = 0x202;
/// RFLAGS bits that `SYSRET` does not restore as `IRET` does: RF and TF.
const SLOW_FLAGS: u64 = 0x0001_0100;

global_asm!(
    // Jumped to with rdi = context, esi not zero: SYSRET may be used. Top of the stack: the context's address, and above
    // it where to return to, with rax = vector or SYSCALL, rdx = error code, all other registers lost.
    ".global skein_enter_user",
    "skein_enter_user:",
    "mov gs:[{enter_rsp}], rsp",
    "mov gs:[{rsp0}], rsp",
    "test esi, esi",
    "mov r15, [rdi + {r15}]",
    "mov r14, [rdi + {r14}]",
    "mov r13, [rdi + {r13}]",
    "mov r12, [rdi + {r12}]",
    "mov rbp, [rdi + {rbp}]",
    "mov rbx, [rdi + {rbx}]",
    "mov r10, [rdi + {r10}]",
    "mov r9, [rdi + {r9}]",
    "mov r8, [rdi + {r8}]",
    "mov rax, [rdi + {rax}]",
    "mov rdx, [rdi + {rdx}]",
    "mov rsi, [rdi + {rsi}]",
    "jz 7f",
    "mov rcx, [rdi + {rip}]",
    "mov r11, [rdi + {rflags}]",
    "mov rsp, [rdi + {rsp}]",
    "mov rdi, [rdi + {rdi}]",
    "swapgs",
    "sysretq",
    "7:",
    "push {user_data}",
    "push qword ptr [rdi + {rsp}]",
    "push qword ptr [rdi + {rflags}]",
    "push {user_code}",
    "push qword ptr [rdi + {rip}]",
    "mov rcx, [rdi + {rcx}]",
    "mov r11, [rdi + {r11}]",
    "mov rdi, [rdi + {rdi}]",
    "swapgs",
    "iretq",
    // The target of SYSCALL: rcx = user RIP, r11 = user RFLAGS, on the user's stack pointer, flags masked.
    ".global skein_syscall_entry",
    "skein_syscall_entry:",
    "swapgs",
    "mov gs:[{user_rsp}], rsp",
    "mov rsp, gs:[{enter_rsp}]",
    "mov rsp, [rsp]",
    "mov [rsp + {r15}], r15",
    "mov [rsp + {r14}], r14",
    "mov [rsp + {r13}], r13",
    "mov [rsp + {r12}], r12",
    "mov [rsp + {rbp}], rbp",
    "mov [rsp + {rbx}], rbx",
    "mov [rsp + {r11}], r11",
    "mov [rsp + {r10}], r10",
    "mov [rsp + {r9}], r9",
    "mov [rsp + {r8}], r8",
    "mov [rsp + {rax}], rax",
    "mov [rsp + {rcx}], rcx",
    "mov [rsp + {rdx}], rdx",
    "mov [rsp + {rsi}], rsi",
    "mov [rsp + {rdi}], rdi",
    "mov [rsp + {rip}], rcx",
    "mov [rsp + {rflags}], r11",
    "mov rax, gs:[{user_rsp}]",
    "mov [rsp + {rsp}], rax",
    "mov rsp, gs:[{enter_rsp}]",
    "mov eax, {syscall}",
    "add rsp, 8",
    "ret",
    // An exception or interrupt in user mode. Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS, and above
    // that what skein_enter_user left.
    ".global skein_user_trap",
    "skein_user_trap:",
    "swapgs",
    "push rax",
    "mov rax, [rsp + 64]",
    "mov [rax + {r15}], r15",
    "mov [rax + {r14}], r14",
    "mov [rax + {r13}], r13",
    "mov [rax + {r12}], r12",
    "mov [rax + {rbp}], rbp",
    "mov [rax + {rbx}], rbx",
    "mov [rax + {r11}], r11",
    "mov [rax + {r10}], r10",
    "mov [rax + {r9}], r9",
    "mov [rax + {r8}], r8",
    "mov [rax + {rcx}], rcx",
    "mov [rax + {rdx}], rdx",
    "mov [rax + {rsi}], rsi",
    "mov [rax + {rdi}], rdi",
    "pop qword ptr [rax + {rax}]",
    "mov rcx, rax",
    "pop rax",
    "pop rdx",
    "pop qword ptr [rcx + {rip}]",
    "add rsp, 8",
    "pop qword ptr [rcx + {rflags}]",
    "pop qword ptr [rcx + {rsp}]",
    // What SYSCALL does by its mask: no flag of the user's holds here.
    "push 2",
    "popfq",
    "add rsp, 16",
    "ret",
    enter_rsp = const offset_of!(CpuArea, enter_rsp),
    user_rsp = const offset_of!(CpuArea, user_rsp),
    rsp0 = const TSS_RSP0,
    syscall = const SYSCALL,
    user_code = const descriptors::USER_CODE,
    user_data = const descriptors::USER_DATA,
    r15 = const offset_of!(UserContext, r15),
    r14 = const offset_of!(UserContext, r14),
    r13 = const offset_of!(UserContext, r13),
    r12 = const offset_of!(UserContext, r12),
    rbp = const offset_of!(UserContext, rbp),
    rbx = const offset_of!(UserContext, rbx),
    r11 = const offset_of!(UserContext, r11),
    r10 = const offset_of!(UserContext, r10),
    r9 = const offset_of!(UserContext, r9),
    r8 = const offset_of!(UserContext, r8),
    rax = const offset_of!(UserContext, rax),
    rcx = const offset_of!(UserContext, rcx),
    rdx = const offset_of!(UserContext, rdx),
    rsi = const offset_of!(UserContext, rsi),
    rdi = const offset_of!(UserContext, rdi),
    rip = const offset_of!(UserContext, rip),
    rflags = const offset_of!(UserContext, rflags),
    rsp = const offset_of!(UserContext, rsp),
);

unsafe extern "C" {
    /// The target of `SYSCALL`; never called.
    pub(super) static skein_syscall_entry: u8;
}

/// What ended user mode, as the entry code found it.
#[derive(Clone, Copy)]
#[must_use]
pub struct RawExit {
    /// The vector, or [`SYSCALL`].
    vector: u64,
    error_code: u64,
}

/// Runs user mode from `context` until something ends it, and says what.
///
/// Called and returns with interrupts off; the address space is the current one. The registers are loaded from `context` and
/// stored back there; the segment bases are in the processor (`thread::switch`).
#[inline]
pub fn enter_user(context: &mut UserContext) -> RawExit {
    debug_assert!(!interrupts::enabled(), "entering user mode with interrupts on");
    context.rflags = context.rflags & USER_FLAGS | FORCED_FLAGS;
    let fast = sysret_is_safe(context);
    if !fast && VirtAddr::try_new(context.rip).is_none() {
        // IRET to such an address would fault in kernel mode; in user mode it is a general protection fault.
        return RawExit { vector: 13, error_code: 0 };
    }
    let (vector, error_code): (u64, u64);
    // SAFETY: the flags are forced above and RIP is canonical; user mode runs with the user's rights only, and every way
    // out of it comes back here. RBX and RBP, which cannot be named as lost, are kept on the stack.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "push rdi",
            "jmp skein_enter_user",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") &raw mut *context => _, inout("esi") u32::from(fast) => _,
            out("rax") vector, out("rdx") error_code, out("rcx") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    RawExit { vector, error_code }
}

/// Whether `SYSRET` leads to the same state as `IRET`: it takes RIP and RFLAGS from RCX and R11, and faults
/// in kernel mode on some processors when RIP is not canonical (Intel SDM vol. 2B, SYSRET).
fn sysret_is_safe(context: &UserContext) -> bool {
    context.rcx == context.rip
        && context.r11 == context.rflags
        && context.rip < crate::addr::USER_END
        && context.rflags & SLOW_FLAGS == 0
}

impl RawExit {
    /// What happened. Once for each exit, before interrupts are enabled.
    #[inline]
    pub fn decode(self) -> Exit {
        if self.vector == SYSCALL {
            Exit::Syscall
        } else {
            decode_trap(self.vector as u8, self.error_code)
        }
    }
}

/// Interrupts are off since the trap, and nothing in between faults: CR2 is still the trap's.
fn decode_trap(vector: u8, error_code: u64) -> Exit {
    if vector >= 32 {
        return Exit::Interrupt { vector };
    }
    traps::count(vector);
    if vector == traps::PAGE_FAULT {
        Exit::PageFault {
            address: VirtAddr::new_truncate(Cr2::read_raw()),
            access: faults::access_of(error_code),
            error_code,
        }
    } else {
        Exit::Exception { vector, error_code }
    }
}
