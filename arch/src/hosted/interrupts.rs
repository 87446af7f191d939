//! The simulated interrupt flag of each host thread.

use core::cell::Cell;
use std::thread_local;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// The interrupt flag as it was before [`disable`].
#[derive(Clone, Copy, Debug)]
pub struct Saved(bool);

/// Whether interrupts are enabled on this CPU.
#[must_use]
pub fn enabled() -> bool {
    ENABLED.get()
}

/// Disables interrupts and returns what they were.
#[must_use = "pass it to `restore`"]
pub fn disable() -> Saved {
    Saved(ENABLED.replace(false))
}

/// Disables interrupts, for a caller that knows what they were.
pub fn mask() {
    ENABLED.set(false);
}

/// Sets the interrupt flag back to what [`disable`] found.
pub fn restore(saved: Saved) {
    ENABLED.set(saved.0);
}

/// Enables interrupts.
pub fn enable() {
    ENABLED.set(true);
}

/// Enables interrupts and waits for one: here it only yields.
pub fn wait() {
    ENABLED.set(true);
    std::thread::yield_now();
}
