//! Captures signal frames as the kernel writes them, as test data: run it on Linux and keep what it prints.
//!
//! Each case gives all registers known values, raises a signal, and lets the handler copy its frame before anything else
//! happens. What the frame was made from is printed with it; `kernel/src/signal/frame/captured.rs` makes the same frame from that.

use std::arch::{asm, naked_asm};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use user::ok;

/// Bytes of `struct rt_sigframe`, and where the address of the XSAVE image stands in it.
const FRAME_SIZE: usize = 440;
const IMAGE_ADDRESS: usize = 232;
const INSTRUCTION_POINTER: usize = 48 + 16 * 8;
/// In the image: the size of what follows on the stack.
const IMAGE_SIZE: usize = 464 + 4;
const IMAGE_MAX: usize = 16384;
/// Bytes of `mov [rax], rax`.
const STORE_LENGTH: u64 = 3;
const SA_RESTORER: u64 = 0x0400_0000;

static mut FRAME: [u8; FRAME_SIZE] = [0; FRAME_SIZE];
static mut IMAGE: [u8; IMAGE_MAX] = [0; IMAGE_MAX];
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// The handler: the stack pointer is the frame's address.
#[unsafe(naked)]
extern "C" fn handler() {
    naked_asm!("mov rdi, rsp", "sub rsp, 8", "call {copy}", "add rsp, 8", "ret", copy = sym copy)
}

#[unsafe(naked)]
extern "C" fn restorer() {
    naked_asm!("mov eax, 15", "syscall", "ud2")
}

/// Keeps the frame; a fault's instruction is stepped over.
extern "C" fn copy(frame: *mut u8) {
    // SAFETY: the kernel has just written a frame here, and nobody else touches the copies.
    unsafe {
        std::ptr::copy_nonoverlapping(frame, (&raw mut FRAME).cast(), FRAME_SIZE);
        let image = frame.add(IMAGE_ADDRESS).cast::<*const u8>().read_unaligned();
        let size = image.add(IMAGE_SIZE).cast::<u32>().read_unaligned() as usize;
        std::ptr::copy_nonoverlapping(image, (&raw mut IMAGE).cast(), size.min(IMAGE_MAX));
        let rip = frame.add(INSTRUCTION_POINTER).cast::<u64>();
        if rip.read_unaligned() == FAULT.load(SeqCst) as u64 {
            rip.write_unaligned(rip.read_unaligned() + STORE_LENGTH);
        }
    }
    ADDRESS.store(frame.addr(), SeqCst);
}

static FAULT: AtomicUsize = AtomicUsize::new(0);

/// Stack pointer, flags and instruction pointer of what is interrupted.
type Before = [u64; 3];

/// Gives the registers that are free their values and sends `signal` to this process.
fn send(signal: i32) -> Before {
    let mut before = [0; 3];
    let pid = ok!(SYS_getpid);
    // SAFETY: all that changes is declared or restored.
    unsafe {
        asm!(
            "push rbx", "push rbp",
            "pushfq", "pop rdx", "mov [rax + 8], rdx", "mov [rax], rsp",
            "lea rdx, [rip + 2f]", "mov [rax + 16], rdx",
            "mov rbx, 0x0b0b", "mov rbp, 0x0505", "mov rdx, 0x0d0d", "mov r8, 0x0808",
            "mov r9, 0x0909", "mov r10, 0x1010", "mov r12, 0x1212", "mov r13, 0x1313",
            "mov r14, 0x1414", "mov r15, 0x1515",
            "mov eax, 62", "syscall",
            "2:", "pop rbp", "pop rbx",
            inout("rax") before.as_mut_ptr() => _, in("rdi") pid, in("rsi") signal as usize,
            out("rcx") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    before
}

/// Gives them their values and writes to address 0x40.
fn fault() -> Before {
    let mut before = [0; 3];
    // SAFETY: as above; the handler steps over the instruction that faults.
    unsafe {
        asm!(
            "push rbx", "push rbp",
            "pushfq", "pop rdx", "mov [rax + 8], rdx", "mov [rax], rsp",
            "lea rdx, [rip + 2f]", "mov [rax + 16], rdx", "mov [rcx], rdx",
            "mov rbx, 0x0b0b", "mov rbp, 0x0505", "mov rdx, 0x0d0d", "mov r8, 0x0808",
            "mov r9, 0x0909", "mov r10, 0x1010", "mov r12, 0x1212", "mov r13, 0x1313",
            "mov r14, 0x1414", "mov r15, 0x1515", "mov rdi, 0x0707", "mov rsi, 0x0606",
            "mov rcx, 0x0c0c", "mov r11, 0x1111", "mov eax, 0x40",
            "2:", "mov [rax], rax", "pop rbp", "pop rbx",
            inout("rax") before.as_mut_ptr() => _, inout("rcx") FAULT.as_ptr() => _,
            out("rdi") _, out("rsi") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    before
}

/// Captures one case and prints it.
fn capture(name: &str, signal: i32, flags: i32, stack: [u64; 3], raise: impl FnOnce() -> Before) {
    let flags = flags as u32 as u64 | SA_RESTORER;
    let handler = handler as *const () as u64;
    let restorer = restorer as *const () as u64;
    // kernel_sigaction: handler, flags, restorer, mask.
    ok!(SYS_rt_sigaction, signal, &[handler, flags, restorer, 0x8000], 0, 8);
    ok!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &0x5500_0000_0000_u64, 0, 8);
    ok!(SYS_sigaltstack, &stack, 0);
    let [rsp, rflags, rip] = raise();
    ok!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &0_u64, 0, 8);
    println!("case {name}");
    println!("signal {signal:x}\nflags {flags:x}\nhandler {handler:x}\nrestorer {restorer:x}");
    println!("stack-base {:x}\nstack-flags {:x}\nstack-size {:x}", stack[0], stack[1], stack[2]);
    println!("pid {:x}\nuser {:x}", ok!(SYS_getpid), ok!(SYS_getuid));
    println!("rsp {rsp:x}\nrflags {rflags:x}\nrip {rip:x}\nframe {:x}", ADDRESS.load(SeqCst));
    let (frame, image) = (&raw const FRAME, &raw const IMAGE);
    // SAFETY: the handler has returned.
    let (frame, image) = unsafe { (frame.read(), &*image) };
    let size = u32::from_ne_bytes([
        image[IMAGE_SIZE],
        image[IMAGE_SIZE + 1],
        image[IMAGE_SIZE + 2],
        image[IMAGE_SIZE + 3],
    ]);
    println!("head {}", hexadecimal(&frame));
    println!("image {}", hexadecimal(&image[..(size as usize).min(IMAGE_MAX)]));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() -> ExitCode {
    let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
    println!("# {}", version.trim());
    let no_stack = [0, libc::SS_DISABLE as u64, 0];
    let size = 65536_u64;
    let area = ok!(
        SYS_mmap,
        0,
        size,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
        0
    );
    let stack = [area as u64, 0, size];
    let (user, segv) = (libc::SIGUSR1, libc::SIGSEGV);
    capture("siginfo", user, libc::SA_SIGINFO, no_stack, || send(user));
    capture("plain", user, 0, no_stack, || send(user));
    capture("alternate-stack", user, libc::SA_SIGINFO | libc::SA_ONSTACK, stack, || send(user));
    capture("vectors", user, libc::SA_SIGINFO, no_stack, || {
        if std::arch::is_x86_feature_detected!("avx") {
            // SAFETY: fills vector registers, which are declared.
            unsafe {
                asm!("vpcmpeqd xmm1, xmm1, xmm1", "vinsertf128 ymm1, ymm1, xmm1, 1",
                    "vmovaps ymm15, ymm1", out("ymm1") _, out("ymm15") _);
            }
        }
        send(user)
    });
    capture("fault", segv, libc::SA_SIGINFO, no_stack, fault);
    ExitCode::SUCCESS
}
