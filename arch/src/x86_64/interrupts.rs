//! The interrupt flag of the running CPU.

use core::arch::asm;

const INTERRUPT_FLAG: u64 = 1 << 9;

/// The interrupt flag as it was before [`disable`].
#[derive(Clone, Copy, Debug)]
pub struct Saved(bool);

/// Whether interrupts are enabled on this CPU.
#[must_use]
pub fn enabled() -> bool {
    let flags: u64;
    // SAFETY: reads the flags through the stack.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
    flags & INTERRUPT_FLAG != 0
}

/// Disables interrupts and returns what they were.
#[must_use = "pass it to `restore`"]
pub fn disable() -> Saved {
    let saved = Saved(enabled());
    // SAFETY: masking interrupts breaks nothing; the compiler keeps memory accesses behind it.
    unsafe { asm!("cli", options(nostack)) };
    saved
}

/// Disables interrupts, for a caller that knows what they were.
pub fn mask() {
    // SAFETY: as `disable`.
    unsafe { asm!("cli", options(nostack)) };
}

/// Sets the interrupt flag back to what [`disable`] found.
pub fn restore(saved: Saved) {
    if saved.0 {
        enable();
    }
}

/// Enables interrupts.
pub fn enable() {
    // SAFETY: every CPU has its descriptor tables before any code can call this.
    unsafe { asm!("sti", options(nostack)) };
}

/// Enables interrupts and halts until one arrives.
///
/// Called with interrupts off, after the caller found nothing to do: `sti` takes effect only after the next
/// instruction, so an interrupt that comes in between still ends the `hlt` (Intel SDM vol. 2B, STI).
pub fn wait() {
    // SAFETY: as `enable`; the halt ends with the next interrupt.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}
