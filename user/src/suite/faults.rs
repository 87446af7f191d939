//! Page faults and other exceptions as signals, and the stack that grows.

use std::arch::asm;

use libc::{
    MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_PRIVATE, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE,
};
use libc::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};

use super::support::{
    Fault, Info, Mapping, PAGE, Status, block, child, default_action, fault_of, ignore, in_child,
    install, nap, peek, poke, record, skip, until,
};
use crate::{fails, ok, sys};

super::area!("faults":
    unmapped_address_is_maperr,
    null_pointer_is_maperr,
    forbidden_access_is_accerr,
    kernel_address_is_maperr,
    non_canonical_address_is_general_protection,
    executing_data_is_accerr,
    executing_nothing_is_maperr,
    division_by_zero_is_fpe,
    floating_point_exception_is_decoded,
    vector_exception_is_decoded,
    undefined_instruction_is_ill,
    breakpoint_is_trap,
    single_step_is_trap,
    privileged_instruction_is_segv,
    beyond_end_of_file_is_bus_error,
    truncation_takes_pages_away,
    write_to_read_only_file_mapping,
    default_action_dumps_core,
    blocked_fault_kills,
    ignored_fault_kills,
    stack_grows_on_touch,
    stack_stops_at_its_limit,
    growsdown_mapping_grows,
    stack_overflow_on_alternate_stack,
    fault_can_be_repaired,
    faults_in_many_threads,
    protection_change_reaches_other_threads,
    unmap_reaches_other_threads,
);

const MAPERR: i32 = 1;
const ACCERR: i32 = 2;

#[track_caller]
fn assert_fault(fault: Option<Fault>, signal: i32, code: i32, address: usize) {
    assert_eq!(fault, Some(Fault { signal, code, address }));
}

fn unmapped_address_is_maperr() {
    let mapping = Mapping::private(3);
    mapping.unmap(1, 1);
    let address = mapping.page(1) + 123;
    assert_fault(fault_of(|| _ = peek(address)), SIGSEGV, MAPERR, address);
    assert_fault(fault_of(|| poke(address, 1)), SIGSEGV, MAPERR, address);
}

fn null_pointer_is_maperr() {
    assert_fault(fault_of(|| _ = peek(std::hint::black_box(0) + 8)), SIGSEGV, MAPERR, 8);
}

fn forbidden_access_is_accerr() {
    let mapping = Mapping::private(2);
    mapping.stamp(1);
    mapping.protect(0, 1, PROT_READ);
    mapping.protect(1, 1, PROT_NONE);
    assert_fault(fault_of(|| mapping.set(5, 1)), SIGSEGV, ACCERR, mapping.address() + 5);
    assert_fault(fault_of(|| _ = mapping.get(PAGE)), SIGSEGV, ACCERR, mapping.page(1));
    assert_eq!(fault_of(|| _ = mapping.get(0)), None);
}

fn kernel_address_is_maperr() {
    let address = 0xffff_ffff_8000_0000;
    assert_fault(fault_of(|| _ = peek(address)), SIGSEGV, MAPERR, address);
    let address = 0xffff_8000_0000_1000;
    assert_fault(fault_of(|| poke(address, 1)), SIGSEGV, MAPERR, address);
}

fn non_canonical_address_is_general_protection() {
    // The processor does not tell the address: SI_KERNEL and zero.
    assert_fault(fault_of(|| _ = peek(0x1234_0000_0000_0000)), SIGSEGV, 0x80, 0);
}

/// Calls the code at `address`.
fn call(address: usize) {
    // SAFETY: cases put a `ret` there, or expect the fault.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) }
}

fn executing_data_is_accerr() {
    let mapping = Mapping::private(1);
    mapping.set(0, 0xc3);
    assert_fault(fault_of(|| call(mapping.address())), SIGSEGV, ACCERR, mapping.address());
    mapping.protect(0, 1, PROT_READ | PROT_EXEC);
    assert_eq!(fault_of(|| call(mapping.address())), None);
}

fn executing_nothing_is_maperr() {
    assert_fault(fault_of(|| call(0x10)), SIGSEGV, MAPERR, 0x10);
}

fn division_by_zero_is_fpe() {
    let fault = fault_of(|| {
        // SAFETY: the division faults; nothing else happens.
        unsafe {
            asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
        }
    });
    let fault = fault.unwrap();
    assert_eq!((fault.signal, fault.code), (SIGFPE, 1));
    assert_ne!(fault.address, 0, "the address of the instruction");
}

fn floating_point_exception_is_decoded() {
    // One exception unmasked at a time: one by zero, zero by zero.
    for (control, dividend, code) in [(0x37b_u16, 1.0_f64, 3), (0x37e, 0.0, 7)] {
        let fault = fault_of(|| {
            // SAFETY: changes only this process's floating-point state, and faults at the end.
            unsafe {
                asm!("fninit", "fldcw [{}]", "fld qword ptr [{}]", "fldz", "fdivp st(1), st", "fwait",
                    in(reg) &raw const control, in(reg) &raw const dividend);
            }
        });
        assert_eq!(fault.map(|fault| (fault.signal, fault.code)), Some((SIGFPE, code)));
    }
}

fn vector_exception_is_decoded() {
    let hypervisor = std::arch::x86_64::__cpuid(0x4000_0000);
    if hypervisor.ebx == u32::from_le_bytes(*b"TCGT") {
        skip("QEMU's emulation raises no SSE exceptions");
    }
    // Unmask one SSE exception at a time and divide: by zero, zero by zero.
    for (control, dividend, code) in [(0x1d80_u32, 1.0_f64, 3), (0x1f00, 0.0, 7)] {
        let fault = fault_of(|| {
            // SAFETY: changes only this process's rounding and exception state.
            unsafe {
                asm!("ldmxcsr [{}]", "divsd {}, {}", in(reg) &raw const control,
                    inout(xmm_reg) dividend => _, in(xmm_reg) 0.0_f64);
            }
        });
        assert_eq!(fault.map(|fault| (fault.signal, fault.code)), Some((SIGFPE, code)));
    }
}

fn undefined_instruction_is_ill() {
    // SAFETY: the instruction does nothing but fault.
    let fault = fault_of(|| unsafe { asm!("ud2") }).unwrap();
    assert_eq!((fault.signal, fault.code), (SIGILL, 2));
    assert_ne!(fault.address, 0);
}

fn breakpoint_is_trap() {
    // SAFETY: the instruction does nothing but trap.
    let fault = fault_of(|| unsafe { asm!("int3") }).unwrap();
    assert_eq!((fault.signal, fault.code, fault.address), (SIGTRAP, 0x80, 0));
}

fn single_step_is_trap() {
    let fault = fault_of(|| {
        // SAFETY: sets the trap flag, which the handler's process never clears because it exits.
        unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop") }
    });
    assert_eq!(fault.map(|fault| (fault.signal, fault.code)), Some((SIGTRAP, 2)));
}

fn privileged_instruction_is_segv() {
    // SAFETY: each faults in user mode.
    let instructions: [fn(); 4] = [
        || unsafe { asm!("hlt") },
        || unsafe { asm!("cli") },
        || unsafe { asm!("in al, 0x80", out("al") _) },
        || unsafe { asm!("mov {}, cr3", out(reg) _) },
    ];
    for instruction in instructions {
        assert_fault(fault_of(instruction), SIGSEGV, 0x80, 0);
    }
}

/// A file of one page and a bit, mapped with four pages.
fn short_file() -> (i32, Mapping) {
    std::fs::write("short", vec![1; PAGE + 10]).unwrap();
    let fd = ok!(SYS_open, c"short", libc::O_RDWR) as i32;
    (fd, Mapping::file(fd, 4 * PAGE, libc::MAP_SHARED))
}

fn beyond_end_of_file_is_bus_error() {
    let (_, mapping) = short_file();
    assert_eq!(mapping.get(PAGE + 10), 0);
    assert_fault(fault_of(|| _ = mapping.get(2 * PAGE)), SIGBUS, 2, mapping.page(2));
    assert_fault(fault_of(|| mapping.set(3 * PAGE, 1)), SIGBUS, 2, mapping.page(3));
}

fn truncation_takes_pages_away() {
    let (fd, mapping) = short_file();
    mapping.set(PAGE, 9);
    ok!(SYS_ftruncate, fd, 100);
    assert_fault(fault_of(|| _ = mapping.get(PAGE)), SIGBUS, 2, mapping.page(1));
    assert_eq!((mapping.get(99), mapping.get(100)), (1, 0));
    ok!(SYS_ftruncate, fd, 3 * PAGE);
    assert_eq!(mapping.get(PAGE), 0, "what was cut off is gone");
    mapping.set(2 * PAGE, 1);
    // From a child the other way round: the parent truncates, the child sees it.
    in_child(|| ok_unit(sys!(SYS_ftruncate, fd, 0)));
    assert_fault(fault_of(|| _ = mapping.get(0)), SIGBUS, 2, mapping.address());
}

#[track_caller]
fn ok_unit(result: crate::sys::SysResult) {
    result.unwrap();
}

fn write_to_read_only_file_mapping() {
    let (fd, _) = short_file();
    let mapping = Mapping::new(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0).unwrap();
    assert_fault(fault_of(|| mapping.set(0, 1)), SIGSEGV, ACCERR, mapping.address());
}

/// How a child ends that touches an unmapped page after `prepare`.
fn death_by_fault(prepare: impl FnOnce()) -> Status {
    child(|| {
        default_action(SIGSEGV);
        prepare();
        poke(16, 1);
    })
    .status()
}

fn default_action_dumps_core() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
    assert_eq!(death_by_fault(|| {}).signal(), Some(SIGSEGV));
}

fn blocked_fault_kills() {
    assert_eq!(death_by_fault(|| block(&[SIGSEGV])).signal(), Some(SIGSEGV));
    let handled_but_blocked = death_by_fault(|| {
        record(SIGSEGV, 0);
        block(&[SIGSEGV]);
    });
    assert_eq!(handled_but_blocked.signal(), Some(SIGSEGV));
}

fn ignored_fault_kills() {
    assert_eq!(death_by_fault(|| ignore(SIGSEGV)).signal(), Some(SIGSEGV));
}

/// Uses so many pages of stack.
#[inline(never)]
fn descend(pages: usize) -> usize {
    let page = std::hint::black_box([pages as u8; PAGE]);
    if pages == 0 { 0 } else { usize::from(page[PAGE - 1] != 0) + descend(pages - 1) }
}

fn stack_grows_on_touch() {
    in_child(|| assert!(descend(500) > 0));
}

fn stack_stops_at_its_limit() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
    let child = child(|| {
        ok!(SYS_setrlimit, libc::RLIMIT_STACK, &[512_u64 << 10, 512 << 10]);
        default_action(SIGSEGV);
        descend(1000);
    });
    assert_eq!(child.status().signal(), Some(SIGSEGV));
}

fn growsdown_mapping_grows() {
    // Reserve a range, free it, and put a growing page at its top.
    let range = Mapping::private(600);
    let top = range.page(599);
    drop(range);
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | libc::MAP_FIXED_NOREPLACE;
    let mapping = Mapping::new(top, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0).unwrap();
    poke(mapping.address() - 1, 7);
    poke(mapping.address() - 10 * PAGE, 8);
    assert_eq!((peek(top - 1), peek(top - 10 * PAGE), peek(top - 5 * PAGE)), (7, 8, 0));
    ok!(SYS_munmap, top - 10 * PAGE, 11 * PAGE);
}

fn stack_overflow_on_alternate_stack() {
    let alternate = Mapping::private(16);
    let fault = fault_of(|| {
        let stack = libc::stack_t {
            ss_sp: std::ptr::with_exposed_provenance_mut(alternate.address()),
            ss_flags: 0,
            ss_size: alternate.len(),
        };
        ok!(SYS_sigaltstack, &stack, 0);
        ok!(SYS_setrlimit, libc::RLIMIT_STACK, &[256_u64 << 10, 256 << 10]);
        descend(1000);
    });
    let fault = fault.expect("the stack has a limit");
    assert_eq!(fault.signal, SIGSEGV);
}

extern "C" fn make_writable(_: i32, info: *const [u32; 32], _: usize) {
    // SAFETY: the kernel passes a siginfo_t, 128 bytes.
    let info = Info::decode(unsafe { &*info });
    let page = info.address as usize & !(PAGE - 1);
    ok!(SYS_mprotect, page, PAGE, PROT_READ | PROT_WRITE);
}

fn fault_can_be_repaired() {
    let mapping = Mapping::private(32);
    mapping.protect(0, 32, PROT_NONE);
    install(SIGSEGV, make_writable as *const () as usize, 0);
    mapping.stamp(5);
    assert!(mapping.has_stamp(5));
}

fn faults_in_many_threads() {
    let mapping = Mapping::private(256);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let mapping = &mapping;
            scope.spawn(move || {
                // Every thread touches every page, each its own byte.
                for index in 0..256 {
                    mapping.set(index * PAGE + thread, thread as u8 + 1);
                }
            });
        }
    });
    for index in 0..256 {
        assert!((0..4).all(|thread| mapping.get(index * PAGE + thread) == thread as u8 + 1));
    }
}

/// A child in which one thread writes to `mapping` without pause while another does `change`.
fn death_while_writing(mapping: &Mapping, change: impl FnOnce()) -> Status {
    child(|| {
        default_action(SIGSEGV);
        ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
        let address = mapping.address();
        let writes = Mapping::shared(1);
        let counter = writes.address();
        std::thread::spawn(move || {
            loop {
                poke(address, 1);
                poke(counter, 1);
            }
        });
        until("the other thread wrote", || writes.get(0) == 1);
        change();
        nap(100_000);
    })
    .status()
}

fn protection_change_reaches_other_threads() {
    let mapping = Mapping::private(1);
    let status = death_while_writing(&mapping, || mapping.protect(0, 1, PROT_READ));
    assert_eq!(status.signal(), Some(SIGSEGV));
}

fn unmap_reaches_other_threads() {
    let mapping = Mapping::private(1);
    let status = death_while_writing(&mapping, || mapping.unmap(0, 1));
    assert_eq!(status.signal(), Some(SIGSEGV));
    fails!(EINVAL: SYS_munmap, 1, 1);
}
