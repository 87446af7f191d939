//! What the processor is and can do, for `/proc/cpuinfo` and the auxiliary vector.

use alloc::string::String;
use alloc::vec::Vec;

/// The boot processor's identity; the others are checked to agree in what the kernel relies on.
#[derive(Clone, Debug)]
pub struct Features {
    /// Vendor string, such as `GenuineIntel`.
    pub vendor: String,
    /// Marketing name.
    pub brand: String,
    /// Display family (Intel SDM vol. 2A, CPUID leaf 1).
    pub family: u32,
    /// Display model.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Linux's names of the features, in the order of `/proc/cpuinfo`.
    pub flags: Vec<&'static str>,
    /// Size of the last-level cache in KiB, 0 if unknown.
    pub cache_kib: u32,
    /// Cache line flushed by `clflush`, in bytes.
    pub clflush_bytes: u32,
    /// Physical address width in bits.
    pub physical_bits: u32,
    /// Linear address width in bits.
    pub virtual_bits: u32,
    /// Frequency of the time-stamp counter in kHz.
    pub tsc_khz: u64,
    /// `AT_HWCAP`: CPUID leaf 1, EDX.
    pub hwcap: u64,
    /// `AT_HWCAP2`: bit 1 is FSGSBASE in user mode.
    pub hwcap2: u64,
    /// `AT_MINSIGSTKSZ`: bytes of stack that a signal frame needs at least.
    pub minimum_signal_stack: usize,
}
