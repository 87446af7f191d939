//! KVM's paravirtual clock, read once for the rate of the time-stamp counter.
//!
//! Micro-VMs such as Cloud Hypervisor's have neither HPET nor interval timer to measure against; KVM tells the rate in the
//! structure that its guests' clocks are made of (Linux, `Documentation/virt/kvm/x86/msr.rst`).

use core::cell::UnsafeCell;

use x86_64::registers::model_specific::Msr;

use super::memory;
use crate::addr::VirtAddr;

/// CPUID leaves of the hypervisor: its signature, and KVM's features.
const SIGNATURE: u32 = 0x4000_0000;
const FEATURES: u32 = 0x4000_0001;
/// The clock's MSR exists under its present number.
const CLOCKSOURCE2: u32 = 1 << 3;
const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
const ENABLE: u64 = 1;

/// `pvclock_vcpu_time_info`.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct TimeInfo {
    /// Odd while KVM changes the rest.
    version: u32,
    padding: u32,
    tsc_timestamp: u64,
    system_time: u64,
    /// Nanoseconds per tick after the shift, with 32 fractional bits.
    tsc_to_system_mul: u32,
    tsc_shift: i8,
    flags: u8,
    padding2: [u8; 2],
}

struct Shared(UnsafeCell<TimeInfo>);

// SAFETY: KVM writes it, and only the boot processor reads it, once.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(TimeInfo {
    version: 0,
    padding: 0,
    tsc_timestamp: 0,
    system_time: 0,
    tsc_to_system_mul: 0,
    tsc_shift: 0,
    flags: 0,
    padding2: [0; 2],
}));

/// The rate of the time-stamp counter in Hz, if this is a guest of KVM.
pub(super) fn tsc_frequency() -> Option<u64> {
    raw_cpuid::CpuId::new().get_feature_info().filter(|info| info.has_hypervisor())?;
    let signature = core::arch::x86_64::__cpuid(SIGNATURE);
    let is_kvm = [signature.ebx, signature.ecx, signature.edx] == [0x4b4d_564b, 0x564b_4d56, 0x4d];
    if !is_kvm || core::arch::x86_64::__cpuid(FEATURES).eax & CLOCKSOURCE2 == 0 {
        return None;
    }
    let address = memory::image_to_physical(VirtAddr::new_truncate(SHARED.0.get() as u64));
    // SAFETY: the MSR exists by the feature bit; KVM writes within the structure until it is told to stop.
    unsafe { Msr::new(MSR_SYSTEM_TIME).write(address.as_u64() | ENABLE) };
    // SAFETY: plain data that KVM has filled in during the write above. Volatile: the compiler does not see that.
    let info = unsafe { SHARED.0.get().read_volatile() };
    // SAFETY: as above; zero stops the updates.
    unsafe { Msr::new(MSR_SYSTEM_TIME).write(0) };
    if info.tsc_to_system_mul == 0 || info.version % 2 != 0 {
        return None;
    }
    let hertz = (1_000_000_000u128 << 32) / u128::from(info.tsc_to_system_mul);
    let shift = u32::from(info.tsc_shift.unsigned_abs());
    let scaled = if info.tsc_shift < 0 { hertz << shift } else { hertz >> shift };
    u64::try_from(scaled).ok()
}
