//! The time-stamp counter: its frequency, and whether the CPUs' counters agree.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use raw_cpuid::CpuId;

use super::reference::Reference;

/// Reads the counter, after all earlier loads (Intel SDM vol. 2B, RDTSC).
pub(super) fn read() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the counter is always readable in kernel mode. Not `nomem`: it stays in order with memory accesses.
    unsafe {
        asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Reads the counter without waiting for earlier instructions: cheaper, and inexact by what is in flight.
pub(super) fn read_unordered() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the counter is always readable in kernel mode.
    unsafe {
        asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Whether the counter can be a clock: it runs at one rate in all states, or a hypervisor keeps it. Whether the
/// CPUs agree is checked as they come up.
pub(super) fn is_steady() -> bool {
    let cpuid = CpuId::new();
    let invariant =
        cpuid.get_advanced_power_mgmt_info().is_some_and(|info| info.has_invariant_tsc());
    let hypervisor = cpuid.get_feature_info().is_some_and(|info| info.has_hypervisor());
    invariant || hypervisor
}

/// The frequency in Hz and how it was found.
pub(super) fn frequency(reference: Option<&Reference>) -> Option<(u64, &'static str)> {
    let cpuid = CpuId::new();
    from_crystal(&cpuid)
        .map(|hertz| (hertz, "CPUID leaf 15h"))
        .or_else(|| from_hypervisor(&cpuid).map(|hertz| (hertz, "the hypervisor")))
        .or_else(|| super::kvm_clock::tsc_frequency().map(|hertz| (hertz, "KVM's clock")))
        .or_else(|| {
            let reference = reference.filter(|reference| reference.is_running())?;
            Some((measure(reference), reference.name()))
        })
        .filter(|(hertz, _)| *hertz > 0)
}

/// Leaf 15h: the ratio to the core crystal and the crystal's frequency; leaf 16h stands in for a crystal that is not
/// reported (Intel SDM vol. 3B, 19.7.3).
fn from_crystal(cpuid: &CpuId<raw_cpuid::CpuIdReaderNative>) -> Option<u64> {
    let tsc = cpuid.get_tsc_info()?;
    let (numerator, denominator) = (u64::from(tsc.numerator()), u64::from(tsc.denominator()));
    if numerator == 0 || denominator == 0 {
        return None;
    }
    let crystal = u64::from(tsc.nominal_frequency());
    if crystal != 0 {
        return Some(crystal * numerator / denominator);
    }
    let base = u64::from(cpuid.get_processor_frequency_info()?.processor_base_frequency());
    (base != 0).then_some(base * 1_000_000)
}

/// The timing leaf that VMware introduced and KVM and others offer: kHz in EAX.
fn from_hypervisor(cpuid: &CpuId<raw_cpuid::CpuIdReaderNative>) -> Option<u64> {
    const TIMING: u32 = 0x4000_0010;
    const BASE: u32 = 0x4000_0000;
    cpuid.get_feature_info().filter(|info| info.has_hypervisor())?;
    let last = core::arch::x86_64::__cpuid(BASE).eax;
    (last >= TIMING).then(|| u64::from(core::arch::x86_64::__cpuid(TIMING).eax) * 1000)
}

/// Measures against a clock of known rate: the median of three runs.
fn measure(reference: &Reference) -> u64 {
    let mut runs = [0; 3];
    for run in &mut runs {
        let (ticks, elapsed) = reference.measure(read);
        *run = (u128::from(ticks) * 1_000_000_000 / u128::from(elapsed.max(1))) as u64;
    }
    runs.sort_unstable();
    runs[1]
}

/// Turns that each of two CPUs takes in a comparison.
const TURNS: u32 = 4000;

/// The largest value that either CPU has seen; guarded by [`BUSY`].
static LATEST: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicBool = AtomicBool::new(false);
/// CPUs that have arrived for the comparison, and that have finished it.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static FINISHED: AtomicU32 = AtomicU32::new(0);
/// A counter was seen behind one read earlier on the other CPU.
static WARPED: AtomicBool = AtomicBool::new(false);

/// Makes the comparison ready for the next pair of CPUs.
pub(super) fn prepare_comparison() {
    LATEST.store(0, Ordering::Relaxed);
    ARRIVED.store(0, Ordering::Relaxed);
    FINISHED.store(0, Ordering::Release);
}

/// Compares this CPU's counter with the other's, which runs the same function at the same time, and says whether they
/// never went backwards between the two. As Linux's `check_tsc_warp`, in turns rather than in time.
pub(super) fn compare() -> bool {
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    while ARRIVED.load(Ordering::Acquire) < 2 {
        core::hint::spin_loop();
    }
    for _ in 0..TURNS {
        while BUSY.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        let now = read();
        if now < LATEST.load(Ordering::Relaxed) {
            WARPED.store(true, Ordering::Relaxed);
        }
        LATEST.store(now, Ordering::Relaxed);
        BUSY.store(false, Ordering::Release);
    }
    FINISHED.fetch_add(1, Ordering::AcqRel);
    while FINISHED.load(Ordering::Acquire) < 2 {
        core::hint::spin_loop();
    }
    !WARPED.load(Ordering::Relaxed)
}
