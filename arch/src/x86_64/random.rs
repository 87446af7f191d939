//! Entropy for the kernel's random number generator.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;

/// 32 bytes of entropy: from `RDSEED`, else `RDRAND`, mixed with the jitter of the time-stamp counter, which is all
/// there is on processors that have neither. Not whitened: feed it to a generator.
#[must_use]
pub fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        let word = hardware().unwrap_or(0) ^ jitter();
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A word from the processor's own source. Ten attempts, as Intel's guide to these instructions advises.
fn hardware() -> Option<u64> {
    let cpuid = raw_cpuid::CpuId::new();
    let seed = cpuid.get_extended_feature_info().is_some_and(|info| info.has_rdseed());
    let random = cpuid.get_feature_info().is_some_and(|info| info.has_rdrand());
    (0..10)
        .find_map(|_| if seed { rdseed() } else { None })
        .or_else(|| (0..10).find_map(|_| if random { rdrand() } else { None }))
}

fn rdseed() -> Option<u64> {
    let (value, valid): (u64, u8);
    // SAFETY: the caller checked that the instruction exists.
    unsafe {
        asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) valid, options(nomem, nostack))
    };
    (valid != 0).then_some(value)
}

fn rdrand() -> Option<u64> {
    let (value, valid): (u64, u8);
    // SAFETY: the caller checked that the instruction exists.
    unsafe {
        asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) valid, options(nomem, nostack))
    };
    (valid != 0).then_some(value)
}

/// Folds the low bits of many time-stamp differences into a word (splitmix64's finaliser as the mixer).
fn jitter() -> u64 {
    let mut pool = 0u64;
    // SAFETY: reading the time-stamp counter is always permitted in kernel mode.
    let mut previous = unsafe { _rdtsc() };
    for round in 0..256u64 {
        for _ in 0..(round & 7) {
            core::hint::spin_loop();
        }
        // SAFETY: as above.
        let now = unsafe { _rdtsc() };
        pool = pool.rotate_left(7) ^ now.wrapping_sub(previous) ^ now;
        pool = (pool ^ pool >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        pool ^= pool >> 27;
        previous = now;
    }
    pool
}
