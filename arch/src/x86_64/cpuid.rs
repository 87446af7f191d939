//! What the processor says about itself.

use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::string::String;
use alloc::vec::Vec;
use raw_cpuid::CpuId;
use spin::Once;

use super::{clock, flag_names, fpu};
use crate::features::Features;

/// Whether CR4.FSGSBASE is set on every CPU.
static FSGSBASE: AtomicBool = AtomicBool::new(false);
static FEATURES: Once<Features> = Once::new();

/// Records whether the FS and GS bases have instructions of their own.
pub(super) fn set_fsgsbase(enabled: bool) {
    // Relaxed: set by the boot processor before there are others.
    FSGSBASE.store(enabled, Ordering::Relaxed);
}

/// Whether the FS and GS bases have instructions of their own.
#[inline]
pub(super) fn has_fsgsbase() -> bool {
    FSGSBASE.load(Ordering::Relaxed)
}

/// What the processor is and can do.
///
/// # Panics
/// Before `arch::init`.
#[must_use]
pub fn features() -> &'static Features {
    FEATURES.get().expect("the processor is described by arch::init")
}

/// Describes the boot processor, after the clock is calibrated.
pub(super) fn init() {
    FEATURES.call_once(describe);
}

/// `AT_MINSIGSTKSZ` is this much more than the extended state: the frame itself and its alignment, as on Linux.
const SIGNAL_FRAME_BYTES: usize = 944;

fn describe() -> Features {
    let cpuid = CpuId::new();
    let basic = cpuid.get_feature_info();
    let widths = cpuid.get_processor_capacity_feature_info();
    Features {
        vendor: cpuid.get_vendor_info().map_or_else(String::new, |v| v.as_str().into()),
        brand: cpuid
            .get_processor_brand_string()
            .map_or_else(|| "unknown".into(), |brand| brand.as_str().trim().into()),
        family: basic.as_ref().map_or(0, |info| info.family_id().into()),
        model: basic.as_ref().map_or(0, |info| info.model_id().into()),
        stepping: basic.as_ref().map_or(0, |info| info.stepping_id().into()),
        flags: flags(),
        cache_kib: cache_kib(),
        clflush_bytes: basic
            .as_ref()
            .map_or(64, |info| u32::from(info.cflush_cache_line_size()) * 8),
        physical_bits: widths.as_ref().map_or(36, |w| w.physical_address_bits().into()),
        virtual_bits: widths.as_ref().map_or(48, |w| w.linear_address_bits().into()),
        tsc_khz: clock::tsc_frequency() / 1000,
        hwcap: __cpuid(1).edx.into(),
        hwcap2: u64::from(has_fsgsbase()) << 1,
        minimum_signal_stack: fpu::layout().size + SIGNAL_FRAME_BYTES,
    }
}

/// `leaf`, or zeros where the processor does not have it (unsupported leaves return another's data).
fn leaf(number: u32, subleaf: u32) -> CpuidResult {
    let last = __cpuid(number & 0x8000_0000).eax;
    if number <= last {
        __cpuid_count(number, subleaf)
    } else {
        CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 }
    }
}

/// Linux's names of the features that user programs can use or that the kernel has on, in the order of its words.
fn flags() -> Vec<&'static str> {
    let (basic, extended) = (leaf(1, 0), leaf(0x8000_0001, 0));
    let (structured, xsave, power) = (leaf(7, 0), leaf(0xd, 1), leaf(0x8000_0007, 0));
    let words = [
        (basic.edx, &flag_names::BASIC_EDX),
        (extended.edx, &flag_names::EXTENDED_EDX),
        (basic.ecx, &flag_names::BASIC_ECX),
        (extended.ecx, &flag_names::EXTENDED_ECX),
        (structured.ebx, &flag_names::STRUCTURED_EBX),
        (xsave.eax, &flag_names::XSAVE_EAX),
        (structured.ecx, &flag_names::STRUCTURED_ECX),
        (structured.edx, &flag_names::STRUCTURED_EDX),
        (power.edx, &flag_names::POWER_EDX),
    ];
    let enabled = fpu::layout().features;
    let usable = |name: &&'static str| match *name {
        "" => false,
        "fsgsbase" => has_fsgsbase(),
        // State that is not enabled in XCR0 makes the instructions fault.
        name if name.starts_with("avx512") => enabled & 0xe0 == 0xe0,
        name if name.starts_with("amx") => false,
        _ => true,
    };
    words
        .into_iter()
        .flat_map(|(word, names)| {
            (0..32).filter(move |bit| word & 1 << bit != 0).map(|bit| names[bit])
        })
        .filter(usable)
        .collect()
}

/// The largest cache, from the deterministic parameters (leaf 4, or AMD's 8000001Dh).
fn cache_kib() -> u32 {
    [4, 0x8000_001d]
        .into_iter()
        .flat_map(|number| (0..8).map(move |subleaf| leaf(number, subleaf)))
        .filter(|cache| cache.eax & 0x1f != 0)
        .map(|cache| {
            let field =
                |shift: u32, bits: u32| u64::from(cache.ebx >> shift & ((1 << bits) - 1)) + 1;
            let bytes = field(22, 10) * field(12, 10) * field(0, 12) * (u64::from(cache.ecx) + 1);
            (bytes / 1024) as u32
        })
        .max()
        .unwrap_or(0)
}
