//! Where signals land: the frame, registers and vector state, stacks, running threads.

use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use libc::{SA_ONSTACK, SIGUSR1, SIGUSR2};

use super::support::{
    Mapping, caught, child, default_action, in_child, install, nap, record, unblock, until,
};
use crate::{fails, ok};

super::area!("delivery":
    general_registers_survive,
    vector_registers_survive,
    flags_survive_and_are_clean_in_the_handler,
    red_zone_survives,
    stack_is_aligned_in_the_handler,
    context_shows_the_registers,
    handler_may_change_registers,
    handler_may_leave_by_jumping,
    nested_handlers_return_in_order,
    alternate_stack_is_used,
    alternate_stack_arguments,
    alternate_stack_is_not_nested,
    alternate_stack_is_per_thread,
    running_thread_is_interrupted,
    every_running_thread_is_interrupted,
    bad_sigreturn_is_segv,
    frame_on_bad_stack_kills,
    floating_point_control_is_reset_and_restored,
);

fn raise(signal: i32) {
    ok!(SYS_kill, ok!(SYS_getpid), signal);
}

extern "C" fn clobber(_: i32, _: usize, _: usize) {
    // SAFETY: overwrites vector registers, which a C function may.
    unsafe {
        asm!("pcmpeqd xmm0, xmm0", "pcmpeqd xmm1, xmm1", "pcmpeqd xmm7, xmm7", "pcmpeqd xmm15, xmm15",
            out("xmm0") _, out("xmm1") _, out("xmm7") _, out("xmm15") _);
        if std::arch::is_x86_feature_detected!("avx") {
            asm!("vcmptrueps ymm0, ymm0, ymm0", "vcmptrueps ymm15, ymm15, ymm15", out("ymm0") _, out("ymm15") _);
        }
    }
}

fn general_registers_survive() {
    install(SIGUSR1, clobber as *const () as usize, 0);
    let pid = ok!(SYS_getpid);
    let mut wrong: usize;
    // SAFETY: fills registers, sends a signal, compares; all that changes is declared.
    unsafe {
        asm!(
            "mov r8, 8", "mov r9, 9", "mov r10, 10", "mov r12, 12", "mov r13, 13", "mov r14, 14",
            "mov r15, 15", "mov rdx, 2",
            "syscall",
            "xor r8, 8", "xor r9, 9", "xor r10, 10", "xor r12, 12", "xor r13, 13", "xor r14, 14",
            "xor r15, 15", "xor rdx, 2",
            "or rax, r8", "or rax, r9", "or rax, r10", "or rax, r12", "or rax, r13", "or rax, r14",
            "or rax, r15", "or rax, rdx",
            inout("rax") libc::SYS_kill as usize => wrong,
            in("rdi") pid, in("rsi") SIGUSR1 as usize,
            out("rcx") _, out("r11") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    assert_eq!(wrong, 0);
}

fn vector_registers_survive() {
    install(SIGUSR1, clobber as *const () as usize, 0);
    let pid = ok!(SYS_getpid);
    let (low, high) = (0x1111_2222_3333_4444_u64, 0x5555_6666_7777_8888_u64);
    let (mut first, mut last): (u64, u64);
    // SAFETY: as above.
    unsafe {
        asm!(
            "movq xmm1, {low}", "movq xmm15, {high}",
            "syscall",
            "movq {first}, xmm1", "movq {last}, xmm15",
            low = in(reg) low, high = in(reg) high, first = out(reg) first, last = out(reg) last,
            inout("rax") libc::SYS_kill as usize => _, in("rdi") pid, in("rsi") SIGUSR1 as usize,
            out("rcx") _, out("r11") _, out("xmm1") _, out("xmm15") _,
        );
    }
    assert_eq!((first, last), (low, high));
    if !std::arch::is_x86_feature_detected!("avx") {
        return;
    }
    let pattern: [u64; 4] = [1, 2, 3, 4];
    let mut seen = [0_u64; 4];
    // SAFETY: as above; AVX is there.
    unsafe {
        asm!(
            "vmovdqu ymm15, [{pattern}]", "syscall", "vmovdqu [{seen}], ymm15",
            pattern = in(reg) &raw const pattern, seen = in(reg) &raw mut seen,
            inout("rax") libc::SYS_kill as usize => _, in("rdi") pid, in("rsi") SIGUSR1 as usize,
            out("rcx") _, out("r11") _, out("ymm15") _,
        );
    }
    assert_eq!(seen, pattern);
}

static FLAGS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_flags(_: i32, _: usize, _: usize) {
    let flags: usize;
    // SAFETY: reads the flags.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    FLAGS.store(flags | 1 << 63, SeqCst);
}

fn flags_survive_and_are_clean_in_the_handler() {
    let pid = ok!(SYS_getpid);
    install(SIGUSR1, note_flags as *const () as usize, 0);
    let after: usize;
    // SAFETY: sets direction and carry, sends a signal, clears them again.
    unsafe {
        asm!(
            "std", "stc", "syscall", "pushfq", "pop {after}", "cld",
            after = out(reg) after,
            inout("rax") libc::SYS_kill as usize => _, in("rdi") pid, in("rsi") SIGUSR1 as usize,
            out("rcx") _, out("r11") _,
        );
    }
    assert_eq!(after & 0x401, 0x401, "DF and CF after the handler");
    assert_eq!(FLAGS.load(SeqCst) & (1 << 63 | 0x400), 1 << 63, "DF in the handler");
}

fn red_zone_survives() {
    let pid = ok!(SYS_getpid);
    install(SIGUSR1, clobber as *const () as usize, 0);
    let seen: usize;
    // SAFETY: uses the 128 bytes below the stack pointer, which belong to the function, then sends a signal.
    unsafe {
        asm!(
            "mov qword ptr [rsp - 8], 77", "mov qword ptr [rsp - 128], 88",
            "syscall",
            "mov {seen}, [rsp - 8]", "shl {seen}, 8", "or {seen}, [rsp - 128]",
            seen = out(reg) seen,
            inout("rax") libc::SYS_kill as usize => _, in("rdi") pid, in("rsi") SIGUSR1 as usize,
            out("rcx") _, out("r11") _,
            options(nostack),
        );
    }
    assert_eq!(seen, 77 << 8 | 88);
}

static STACK: AtomicUsize = AtomicUsize::new(0);

/// Stores the stack pointer at the handler's first instruction.
#[unsafe(naked)]
extern "C" fn note_stack(_: i32, _: usize, _: usize) {
    std::arch::naked_asm!("lea rax, [rip + {stack}]", "mov [rax], rsp", "ret", stack = sym STACK)
}

fn stack_is_aligned_in_the_handler() {
    install(SIGUSR1, note_stack as *const () as usize, 0);
    raise(SIGUSR1);
    // As after a call: the return address has been pushed.
    assert_eq!(STACK.load(SeqCst) % 16, 8);
}

static CONTEXT: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// The general registers of an interrupted context.
fn registers(context: *mut libc::ucontext_t) -> &'static mut [i64; 23] {
    // SAFETY: the kernel passes a ucontext_t to SA_SIGINFO handlers, whose frame outlives the use here.
    unsafe { &mut (*context).uc_mcontext.gregs }
}

extern "C" fn note_context(_: i32, _: usize, context: *mut libc::ucontext_t) {
    let registers = registers(context);
    CONTEXT[0].store(registers[libc::REG_R12 as usize] as usize, SeqCst);
    CONTEXT[1].store(registers[libc::REG_RSP as usize] as usize, SeqCst);
    CONTEXT[2].store(registers[libc::REG_RIP as usize] as usize, SeqCst);
    CONTEXT[3].store(registers[libc::REG_CSGSFS as usize] as usize & 0xffff, SeqCst);
    registers[libc::REG_R13 as usize] = 0x1313;
}

/// Sends SIGUSR1 with r12 set; gives r13, the stack pointer and the address after the call.
fn raise_with_registers() -> (usize, usize, usize) {
    let pid = ok!(SYS_getpid);
    let (r13, stack, next): (usize, usize, usize);
    // SAFETY: sends a signal with known registers; the handler may change r13.
    unsafe {
        asm!(
            "mov r12, 0x1212", "mov r13, 0", "syscall", "2:", "lea {next}, [rip + 2b]", "mov {stack}, rsp",
            next = out(reg) next, stack = out(reg) stack,
            inout("rax") libc::SYS_kill as usize => _, in("rdi") pid, in("rsi") SIGUSR1 as usize,
            out("rcx") _, out("r11") _, out("r12") _, out("r13") r13,
            options(nostack),
        );
    }
    (r13, stack, next)
}

fn context_shows_the_registers() {
    install(SIGUSR1, note_context as *const () as usize, 0);
    let (_, stack, next) = raise_with_registers();
    let seen: Vec<usize> = CONTEXT.iter().map(|entry| entry.load(SeqCst)).collect();
    assert_eq!(seen, [0x1212, stack, next, 0x33]);
}

fn handler_may_change_registers() {
    install(SIGUSR1, note_context as *const () as usize, 0);
    assert_eq!(raise_with_registers().0, 0x1313);
}

static ESCAPE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn jump_away(_: i32, _: usize, context: *mut libc::ucontext_t) {
    // Leaves as siglongjmp does: straight to another place, without sigreturn.
    let registers = registers(context);
    let (stack, target) = (registers[libc::REG_RSP as usize], ESCAPE.load(SeqCst));
    unblock(&[SIGUSR1]);
    // SAFETY: `target` is in the function that was interrupted at this stack pointer and expects the jump.
    unsafe { asm!("mov rsp, {}", "jmp {}", in(reg) stack, in(reg) target, options(noreturn)) }
}

fn handler_may_leave_by_jumping() {
    let pid = ok!(SYS_getpid);
    install(SIGUSR1, jump_away as *const () as usize, 0);
    for _ in 0..3 {
        let mut arrived = 0_usize;
        // SAFETY: the handler comes back at label 2 with this stack pointer; all registers count as lost.
        unsafe {
            asm!(
                "push rbx", "push rbp",
                "lea rcx, [rip + 2f]", "mov [rdx], rcx", "syscall", "ud2",
                "2:", "pop rbp", "pop rbx", "mov eax, 1",
                in("rdx") ESCAPE.as_ptr(),
                inout("rax") libc::SYS_kill as usize => arrived,
                in("rdi") pid, in("rsi") SIGUSR1 as usize,
                lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
                clobber_abi("C"),
            );
        }
        assert_eq!(arrived, 1);
    }
}

static TRACE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn trace(signal: i32, _: usize, _: usize) {
    let digit = if signal == SIGUSR1 { 1 } else { 2 };
    TRACE.store(TRACE.load(SeqCst) * 10 + digit, SeqCst);
    if signal == SIGUSR1 {
        raise(SIGUSR2);
    }
    TRACE.store(TRACE.load(SeqCst) * 10 + digit, SeqCst);
}

fn nested_handlers_return_in_order() {
    install(SIGUSR1, trace as *const () as usize, 0);
    install(SIGUSR2, trace as *const () as usize, 0);
    raise(SIGUSR1);
    assert_eq!(TRACE.load(SeqCst), 1221);
}

fn set_alternate_stack(mapping: &Mapping) {
    let stack = libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(mapping.address()),
        ss_flags: 0,
        ss_size: mapping.len(),
    };
    ok!(SYS_sigaltstack, &stack, 0);
}

fn alternate_stack_is_used() {
    let mapping = Mapping::private(16);
    install(SIGUSR1, note_stack as *const () as usize, SA_ONSTACK);
    install(SIGUSR2, note_stack as *const () as usize, 0);
    set_alternate_stack(&mapping);
    raise(SIGUSR1);
    let range = mapping.address()..mapping.address() + mapping.len();
    assert!(range.contains(&STACK.load(SeqCst)));
    raise(SIGUSR2);
    assert!(!range.contains(&STACK.load(SeqCst)));
    let mut old = [0_usize; 3];
    ok!(SYS_sigaltstack, 0, &mut old);
    assert_eq!((old[0], old[1] as i32, old[2]), (mapping.address(), 0, mapping.len()));
    in_child(|| {
        ok!(SYS_sigaltstack, 0, &mut [0_usize; 3]);
        raise(SIGUSR1);
        assert!(range.contains(&STACK.load(SeqCst)), "inherited by fork");
    });
}

fn alternate_stack_arguments() {
    let disabled =
        libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    ok!(SYS_sigaltstack, &disabled, 0);
    let mut old = [0_usize; 3];
    ok!(SYS_sigaltstack, 0, &mut old);
    assert_eq!(old[1] as i32, libc::SS_DISABLE);
    let small = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 100 };
    fails!(ENOMEM: SYS_sigaltstack, &small, 0);
    let flags = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0x40, ss_size: 1 << 20 };
    fails!(EINVAL: SYS_sigaltstack, &flags, 0);
    fails!(EFAULT: SYS_sigaltstack, 8, 0);
}

static INNER: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

extern "C" fn nest_on_stack(signal: i32, _: usize, _: usize) {
    let here = 0_u8;
    let at = usize::from(signal == SIGUSR2);
    INNER[at].store((&raw const here).addr(), SeqCst);
    if signal == SIGUSR1 {
        let disabled = [0_usize, libc::SS_DISABLE as usize, 0];
        fails!(EPERM: SYS_sigaltstack, &disabled, 0);
        let mut state = [0_usize; 3];
        ok!(SYS_sigaltstack, 0, &mut state);
        assert_eq!(state[1] as i32 & libc::SS_ONSTACK, libc::SS_ONSTACK);
        raise(SIGUSR2);
    }
}

fn alternate_stack_is_not_nested() {
    let mapping = Mapping::private(16);
    install(SIGUSR1, nest_on_stack as *const () as usize, SA_ONSTACK);
    install(SIGUSR2, nest_on_stack as *const () as usize, SA_ONSTACK);
    set_alternate_stack(&mapping);
    raise(SIGUSR1);
    let (outer, inner) = (INNER[0].load(SeqCst), INNER[1].load(SeqCst));
    assert!(inner < outer && inner > mapping.address(), "the second goes on below the first");
}

fn alternate_stack_is_per_thread() {
    let mapping = Mapping::private(16);
    set_alternate_stack(&mapping);
    let other = std::thread::spawn(|| {
        let mut state = [0_usize; 3];
        ok!(SYS_sigaltstack, 0, &mut state);
        state[0]
    });
    assert_ne!(other.join().unwrap(), mapping.address());
}

fn running_thread_is_interrupted() {
    record(SIGUSR1, 0);
    let parent = ok!(SYS_getpid);
    let child = child(|| {
        nap(10);
        ok!(SYS_kill, parent, SIGUSR1);
    });
    // No system call in here: only the interrupt brings the signal.
    while caught(SIGUSR1) == 0 {
        std::hint::spin_loop();
    }
    child.success();
}

fn every_running_thread_is_interrupted() {
    static HIT: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn hit(_: i32, _: usize, _: usize) {
        HIT.fetch_add(1, SeqCst);
    }
    install(SIGUSR1, hit as *const () as usize, 0);
    let pid = ok!(SYS_getpid);
    let tids: Vec<usize> = (0..3)
        .map(|_| {
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                sender.send(ok!(SYS_gettid)).unwrap();
                loop {
                    std::hint::spin_loop();
                }
            });
            receiver.recv().unwrap()
        })
        .collect();
    for round in 1..=10 {
        for tid in &tids {
            ok!(SYS_tgkill, pid, *tid, SIGUSR1);
        }
        until("all threads were hit", || HIT.load(SeqCst) == 3 * round);
    }
}

fn bad_sigreturn_is_segv() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
    let child = child(|| {
        default_action(libc::SIGSEGV);
        // SAFETY: ends the process.
        unsafe {
            asm!("mov rsp, 64", "syscall", "ud2", in("rax") libc::SYS_rt_sigreturn, options(noreturn));
        }
    });
    assert_eq!(child.status().signal(), Some(libc::SIGSEGV));
}

fn frame_on_bad_stack_kills() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
    record(SIGUSR1, 0);
    let child = child(|| {
        default_action(libc::SIGSEGV);
        let pid = ok!(SYS_getpid);
        // SAFETY: ends the process: the frame cannot be written.
        unsafe {
            asm!("mov rsp, 64", "syscall", "ud2", in("rax") libc::SYS_kill, in("rdi") pid,
                in("rsi") SIGUSR1 as usize, options(noreturn));
        }
    });
    assert_eq!(child.status().signal(), Some(libc::SIGSEGV));
}

static CONTROL: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_control(_: i32, _: usize, _: usize) {
    let mut control = 0_u32;
    // SAFETY: reads and then changes MXCSR, which sigreturn restores.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &raw mut control);
        let changed = 0x1f80_u32 | 0x6000;
        asm!("ldmxcsr [{}]", in(reg) &raw const changed);
    }
    CONTROL.store(control as usize, SeqCst);
}

fn floating_point_control_is_reset_and_restored() {
    install(SIGUSR1, note_control as *const () as usize, 0);
    let own = 0x1f80_u32 | 0x2000;
    let mut after = 0_u32;
    // SAFETY: changes the rounding mode for the duration of the call, and sets it back.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) &raw const own);
        raise(SIGUSR1);
        asm!("stmxcsr [{}]", in(reg) &raw mut after);
        let normal = 0x1f80_u32;
        asm!("ldmxcsr [{}]", in(reg) &raw const normal);
    }
    assert_eq!(after & !0x3f, own, "the interrupted code's rounding mode");
    assert_eq!(CONTROL.load(SeqCst), 0x1f80, "the handler starts with the default");
}
