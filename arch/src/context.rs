//! What crosses the border to user mode: register state going in, a reason coming out.

use crate::addr::VirtAddr;

/// The user-visible general registers of a thread, in the order of the kernel ABI's `struct sigcontext_64`: a signal frame
/// takes them as they lie here.
///
/// Code and stack selectors are fixed (64-bit user mode is the only one), so they are not stored; nor are the
/// [`SegmentBases`], which stay in the processor while the thread does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct UserContext {
    /// Fifth system-call argument.
    pub r8: u64,
    /// Sixth system-call argument.
    pub r9: u64,
    /// Fourth system-call argument.
    pub r10: u64,
    /// General register; clobbered by `syscall` (holds RFLAGS).
    pub r11: u64,
    /// General register.
    pub r12: u64,
    /// General register.
    pub r13: u64,
    /// General register.
    pub r14: u64,
    /// General register.
    pub r15: u64,
    /// First system-call argument.
    pub rdi: u64,
    /// Second system-call argument.
    pub rsi: u64,
    /// Frame pointer.
    pub rbp: u64,
    /// General register.
    pub rbx: u64,
    /// Third system-call argument.
    pub rdx: u64,
    /// System-call number in, result out.
    pub rax: u64,
    /// General register; clobbered by `syscall` (holds RIP).
    pub rcx: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Flags; the entry code forces the bits that user mode may not choose.
    pub rflags: u64,
}

/// The bases of the segments that user mode may move. The kernel uses neither, so they change only with the thread.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct SegmentBases {
    /// FS: thread-local storage.
    pub fs: u64,
    /// The user's GS.
    pub gs: u64,
}

/// How an address was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A data read.
    Read,
    /// A data write.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Why a thread left user mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It executed `syscall`; number and arguments are in the registers.
    Syscall,
    /// It touched memory that the tables do not permit (vector 14).
    PageFault {
        /// The touched address (CR2).
        address: VirtAddr,
        /// What it tried.
        access: Access,
        /// The raw error code (Intel SDM vol. 3A, 4.7).
        error_code: u64,
    },
    /// Another exception of the processor.
    Exception {
        /// The vector, 0 to 31 (Intel SDM vol. 3A, 6.15).
        vector: u8,
        /// The error code, or 0 where the vector has none.
        error_code: u64,
    },
    /// A maskable interrupt; it is not acknowledged yet and interrupts are off.
    Interrupt {
        /// The vector, 32 to 255.
        vector: u8,
    },
}

/// How many kernel stacks there are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StackUsage {
    /// Stacks that have memory.
    pub mapped: usize,
    /// Of these, stacks that nobody has.
    pub cached: usize,
}
