//! Control registers and model-specific registers: the same on every CPU, and checked to be.
//!
//! The boot processor chooses what to enable from what it offers ([`init_boot`]); the others apply that choice
//! ([`init_other`]) and compare ([`check_agreement`]). A processor that cannot follow is not used.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use raw_cpuid::CpuId;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::XCr0;

use super::{cpuid, descriptors, fpu, mmu, user, user_copy};

/// RFLAGS bits that `SYSCALL` clears: TF, IF, DF, IOPL, NT, RF, AC, and the arithmetic ones for good measure.
const SYSCALL_MASK: u64 = 0x5_7fd5;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_CSTAR: u32 = 0xc000_0083;
const MSR_FMASK: u32 = 0xc000_0084;
const MSR_SYSENTER_CS: u32 = 0x174;

/// What every CPU must have: see [`State`].
static CR0: AtomicU64 = AtomicU64::new(0);
static CR4: AtomicU64 = AtomicU64::new(0);
static EFER: AtomicU64 = AtomicU64::new(0);
static XCR0: AtomicU64 = AtomicU64::new(0);
static GIGABYTE_PAGES: AtomicBool = AtomicBool::new(false);

/// The registers that all CPUs share by value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State {
    cr0: u64,
    cr4: u64,
    efer: u64,
    xcr0: u64,
}

impl State {
    fn current() -> Self {
        let cr4 = Cr4::read();
        let xcr0 = if cr4.contains(Cr4Flags::OSXSAVE) { XCr0::read_raw() } else { 0 };
        Self { cr0: Cr0::read_raw(), cr4: cr4.bits(), efer: Efer::read_raw(), xcr0 }
    }

    fn of_boot_processor() -> Self {
        Self {
            cr0: CR0.load(Ordering::Relaxed),
            cr4: CR4.load(Ordering::Relaxed),
            efer: EFER.load(Ordering::Relaxed),
            xcr0: XCR0.load(Ordering::Relaxed),
        }
    }
}

/// Whether the tables may map 1 GiB at once.
pub(super) fn has_gigabyte_pages() -> bool {
    GIGABYTE_PAGES.load(Ordering::Relaxed)
}

/// Sets the boot processor up and remembers the choice. Global pages come with the kernel's own tables.
pub(super) fn init_boot() {
    let cpuid = CpuId::new();
    let extended = cpuid.get_extended_processor_and_feature_identifiers();
    let has = |test: fn(&raw_cpuid::ExtendedProcessorFeatureIdentifiers) -> bool| {
        extended.as_ref().is_some_and(test)
    };
    assert!(
        has(|info| info.has_execute_disable() && info.has_syscall_sysret()),
        "this processor lacks execute-disable or SYSCALL"
    );
    GIGABYTE_PAGES.store(has(|info| info.has_1gib_pages()), Ordering::Relaxed);
    let cr4 = choose_cr4(&cpuid);
    cpuid::set_fsgsbase(cr4.contains(Cr4Flags::FSGSBASE));
    apply(cr4 - Cr4Flags::PAGE_GLOBAL);
    mmu::set_pcid(cr4.contains(Cr4Flags::PCID));
    if cr4.contains(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION) {
        user_copy::set_smap();
    }
    CR4.store(cr4.bits(), Ordering::Relaxed);
}

/// Turns global pages on, now that the kernel's own tables are loaded, and records the result for comparison.
pub(super) fn finish_boot() {
    let cr4 = Cr4Flags::from_bits_retain(CR4.load(Ordering::Relaxed));
    // SAFETY: as `apply`; the kernel's tables use the global bit only where all address spaces agree.
    unsafe { Cr4::write_raw(cr4.bits()) };
    if cr4.contains(Cr4Flags::PCID) {
        crate::tlb::enable_pcids();
    }
    let state = State::current();
    CR0.store(state.cr0, Ordering::Relaxed);
    EFER.store(state.efer, Ordering::Relaxed);
    XCR0.store(state.xcr0, Ordering::Relaxed);
}

/// Sets another processor up as the boot processor chose. Its descriptor tables are loaded already.
pub(super) fn init_other() {
    apply(Cr4Flags::from_bits_retain(CR4.load(Ordering::Relaxed)));
}

/// Compares the running CPU with the boot processor: write protection, no-execute, SMEP, SMAP and all else.
///
/// # Errors
/// This CPU's state and the boot processor's, when they differ.
pub(super) fn check_agreement() -> Result<(), (State, State)> {
    let (here, boot) = (State::current(), State::of_boot_processor());
    if here == boot { Ok(()) } else { Err((here, boot)) }
}

/// What of CR4 the processor offers and the kernel uses.
fn choose_cr4(cpuid: &CpuId<raw_cpuid::CpuIdReaderNative>) -> Cr4Flags {
    let basic = cpuid.get_feature_info();
    let structured = cpuid.get_extended_feature_info();
    let mut flags = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        | Cr4Flags::PAGE_GLOBAL
        | Cr4Flags::OSFXSR
        | Cr4Flags::OSXMMEXCPT_ENABLE;
    if let Some(info) = &basic {
        flags.set(Cr4Flags::OSXSAVE, info.has_xsave());
        flags.set(Cr4Flags::PCID, info.has_pcid());
        flags.set(Cr4Flags::MACHINE_CHECK_EXCEPTION, info.has_mce());
    }
    if let Some(info) = &structured {
        flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, info.has_smep());
        flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, info.has_smap());
        flags.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, info.has_umip());
        flags.set(Cr4Flags::FSGSBASE, info.has_fsgsbase());
    }
    flags
}

/// Applies `cr4` and everything that does not depend on the processor's features.
fn apply(cr4: Cr4Flags) {
    let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
        | Cr0Flags::PAGING
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::ALIGNMENT_MASK;
    // SAFETY: 64-bit mode, paging and the flat segments stay as they are; caching is on (a start-up interrupt leaves it
    // off), and the low bits of CR3 are clear, as CR4.PCIDE demands.
    unsafe {
        Cr0::write_raw(cr0.bits());
        let efer = Efer::read() | EferFlags::NO_EXECUTE_ENABLE | EferFlags::SYSTEM_CALL_EXTENSIONS;
        Efer::write_raw(efer.bits());
        Cr4::write_raw(cr4.bits());
    }
    load_syscall_registers();
    fpu::init(cr4.contains(Cr4Flags::OSXSAVE));
}

/// Points `SYSCALL` at the entry code, and makes `SYSENTER` and 32-bit `SYSCALL` useless.
fn load_syscall_registers() {
    let entry = &raw const user::skein_syscall_entry as u64;
    let star = u64::from(descriptors::USER_BASE) << 48 | u64::from(descriptors::KERNEL_CODE) << 32;
    // SAFETY: the entry code is mapped in every address space, and the selectors are those of every CPU's GDT. There is no
    // 32-bit user code segment to come from, and if there were, CSTAR's zero would fault.
    unsafe {
        Msr::new(MSR_STAR).write(star);
        Msr::new(MSR_LSTAR).write(entry);
        Msr::new(MSR_CSTAR).write(0);
        Msr::new(MSR_FMASK).write(SYSCALL_MASK);
        Msr::new(MSR_SYSENTER_CS).write(0);
    }
}

/// Loads `root` on a CPU that still runs on other tables.
///
/// # Safety
/// `root` maps the running code, its stack and data at the same addresses.
pub(super) unsafe fn load_first_root(root: crate::addr::Frame) {
    // SAFETY: by contract.
    unsafe {
        asm!("mov cr3, {}", in(reg) root.start().as_u64(), options(nostack, preserves_flags));
    }
}
