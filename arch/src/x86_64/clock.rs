//! The monotonic clock and each CPU's one-shot timer.
//!
//! The clock is the time-stamp counter times a fixed-point factor; if the counters of two CPUs disagree it changes to
//! the HPET without a jump. The parameters are written by the boot processor before other CPUs use them, and once more by
//! `abandon_tsc`, while only the boot processor and the CPU that it is bringing up can look.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;

use super::acpi::Platform;
use super::reference::{Hpet, IntervalTimer, Reference};
use super::{apic, interrupts, report, rtc, tsc};
use crate::time::Nanos;

/// Counter value at the clock's zero.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick, with 32 fractional bits; zero until calibrated, and when the clock is the HPET.
static FACTOR: AtomicU64 = AtomicU64::new(0);
/// As [`FACTOR`], and not zero when the clock is the HPET.
static RATE: AtomicU64 = AtomicU64::new(0);
static FREQUENCY: AtomicU64 = AtomicU64::new(0);
/// Timer ticks (after division) per second.
static TIMER_FREQUENCY: AtomicU64 = AtomicU64::new(0);
/// The clock is the HPET, which read this much less than the clock when it took over.
static ON_HPET: AtomicBool = AtomicBool::new(false);
static HPET_OFFSET: AtomicU64 = AtomicU64::new(0);
static HPET: Once<Hpet> = Once::new();
static REALTIME: AtomicU64 = AtomicU64::new(0);

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since boot, on the monotonic clock. The same on all CPUs.
#[must_use]
#[inline]
pub fn now() -> Nanos {
    // Acquire pairs with the release in `abandon_tsc`: the offset is there.
    let factor = FACTOR.load(Ordering::Acquire);
    if factor == 0 {
        return now_by_hpet();
    }
    let ticks = tsc::read().saturating_sub(BASE.load(Ordering::Relaxed));
    Nanos(((u128::from(ticks) * u128::from(factor)) >> 32) as u64)
}

/// The time where the counter does not tell it; zero until something does.
#[cold]
fn now_by_hpet() -> Nanos {
    match HPET.get() {
        Some(hpet) if ON_HPET.load(Ordering::Relaxed) => {
            let offset = HPET_OFFSET.load(Ordering::Relaxed);
            Nanos(hpet.nanoseconds(hpet.ticks()).wrapping_add(offset))
        }
        _ => Nanos::ZERO,
    }
}

/// The clock in ticks of the time-stamp counter: cheaper than [`now`], for accounts that are kept in ticks. It may be early or
/// late by the few instructions that are in flight; [`stamp_in_order`] is not.
#[must_use]
#[inline]
pub fn stamp() -> u64 {
    // Acquire: as in `now`.
    if FACTOR.load(Ordering::Acquire) == 0 { stamp_by_hpet() } else { tsc::read_unordered() }
}

/// As [`stamp`], and read after all earlier loads.
#[must_use]
#[inline]
pub fn stamp_in_order() -> u64 {
    // Acquire: as in `now`.
    if FACTOR.load(Ordering::Acquire) == 0 { stamp_by_hpet() } else { tsc::read() }
}

/// What the counter would say if it agreed with the clock.
#[cold]
fn stamp_by_hpet() -> u64 {
    let rate = u128::from(RATE.load(Ordering::Relaxed)).max(1);
    // Rounded up, so that `time_of` has the same time again.
    let ticks = (u128::from(now_by_hpet().0) << 32).div_ceil(rate);
    BASE.load(Ordering::Relaxed).wrapping_add(ticks as u64)
}

/// The time at which a [`stamp`] was taken.
#[must_use]
#[inline]
pub fn time_of(stamp: u64) -> Nanos {
    span_of(stamp.saturating_sub(BASE.load(Ordering::Relaxed)))
}

/// How long `ticks` last.
#[must_use]
#[inline]
pub fn span_of(ticks: u64) -> Nanos {
    Nanos(((u128::from(ticks) * u128::from(RATE.load(Ordering::Relaxed))) >> 32) as u64)
}

/// The time-stamp counter as it is, for time stamps that are put in order later. Not ordered with other instructions.
#[must_use]
pub fn ticks() -> u64 {
    tsc::read_unordered()
}

/// What [`ticks`] was at the clock's zero.
#[must_use]
pub fn first_ticks() -> u64 {
    BASE.load(Ordering::Relaxed)
}

/// What the clock counts with, for the log.
#[must_use]
pub fn source_name() -> &'static str {
    if ON_HPET.load(Ordering::Relaxed) { "hpet" } else { "tsc" }
}

/// Ticks of the time-stamp counter per second.
#[must_use]
pub fn tsc_frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed)
}

/// Nanoseconds from 1970 to the monotonic clock's zero, from the CMOS clock.
#[must_use]
pub fn realtime_at_boot() -> Nanos {
    Nanos(REALTIME.load(Ordering::Relaxed))
}

/// Notes the counter at the clock's zero: early, so that the clock counts all of the boot.
pub(super) fn note_start() {
    BASE.store(tsc::read(), Ordering::Relaxed);
}

/// Finds the rates of the counter and of the local timer. On the boot processor, whose local APIC is not set up yet.
pub(super) fn init(platform: &Platform) {
    let hpet = platform.hpet.and_then(Hpet::new).map(|hpet| *HPET.call_once(|| hpet));
    let reference =
        hpet.map_or_else(|| Reference::IntervalTimer(IntervalTimer::new()), Reference::Hpet);
    let (frequency, how) = tsc::frequency(Some(&reference))
        .expect("nothing tells how fast the time-stamp counter runs");
    FREQUENCY.store(frequency, Ordering::Relaxed);
    let rate = ((u128::from(SECOND) << 32) / u128::from(frequency)) as u64;
    RATE.store(rate, Ordering::Relaxed);
    FACTOR.store(rate, Ordering::Relaxed);
    report!("clock: TSC at {}.{:03} MHz by {how}", frequency / 1_000_000, frequency / 1000 % 1000);
    if !tsc::is_steady() {
        abandon_tsc("it changes its rate");
    }
    let deadline =
        raw_cpuid::CpuId::new().get_feature_info().is_some_and(|info| info.has_tsc_deadline());
    if deadline && !ON_HPET.load(Ordering::Relaxed) {
        apic::use_deadline_timer();
    }
    let seconds = rtc::read(platform.century_register);
    REALTIME.store((seconds * SECOND).saturating_sub(now().0), Ordering::Relaxed);
}

/// Finds the rate of the local timer, once the local APIC is set up.
pub(super) fn calibrate_timer() {
    const SPAN: Nanos = Nanos::from_millis(10);
    if apic::has_deadline_timer() {
        return;
    }
    apic::set_countdown(u32::MAX);
    let (start, first) = sample_countdown();
    spin_for(SPAN);
    let (end, last) = sample_countdown();
    apic::set_countdown(0);
    let ticks = u128::from(first.wrapping_sub(last)) * u128::from(SECOND);
    let frequency = (ticks / u128::from((end - start).0.max(1))) as u64;
    TIMER_FREQUENCY.store(frequency, Ordering::Relaxed);
    report!("clock: local timer at {} kHz", frequency * apic::TIMER_DIVISOR / 1000);
}

/// The time and the countdown at that time: the closest of several attempts, as a hypervisor may pause the CPU between
/// the readings.
fn sample_countdown() -> (Nanos, u32) {
    let attempt = |_| {
        let before = now();
        let count = apic::countdown();
        (now() - before, before, count)
    };
    let closest = (0..16).map(attempt).min_by_key(|(width, ..)| *width);
    closest.map_or((Nanos::ZERO, 0), |(width, before, count)| (before + Nanos(width.0 / 2), count))
}

/// Stops using the time-stamp counter as the clock, for the reason `why`. Where there is no HPET to take over, it stays.
pub(super) fn abandon_tsc(why: &str) {
    let Some(hpet) = HPET.get().filter(|hpet| hpet.is_wide()) else {
        report!("clock: TSC unreliable ({why}), but there is nothing better");
        return;
    };
    if ON_HPET.load(Ordering::Relaxed) {
        return;
    }
    let offset = now().0.wrapping_sub(hpet.nanoseconds(hpet.ticks()));
    HPET_OFFSET.store(offset, Ordering::Relaxed);
    ON_HPET.store(true, Ordering::Relaxed);
    FACTOR.store(0, Ordering::Release);
    report!("clock: TSC unreliable ({why}), using the HPET");
}

/// Arms the running CPU's timer for the absolute time `deadline`, or stops it with `None`.
///
/// A deadline that has passed interrupts at once. One that is further ahead than the timer counts interrupts
/// early: [`Interrupt::Timer`](crate::events::Interrupt::Timer) says what to do then.
pub fn set_timer(deadline: Option<Nanos>) {
    let saved = interrupts::disable();
    if apic::has_deadline_timer() {
        apic::set_deadline(deadline.map_or(0, to_ticks));
    } else {
        apic::set_countdown(deadline.map_or(0, to_countdown));
    }
    interrupts::restore(saved);
}

/// The time-stamp counter's value at `time`, rounded up; not zero. Counted from now on this CPU, so that it holds even where
/// the CPUs' counters differ.
fn to_ticks(time: Nanos) -> u64 {
    let left = u128::from(time.saturating_sub(now()).0);
    let frequency = u128::from(FREQUENCY.load(Ordering::Relaxed));
    let ticks = u64::try_from(left * frequency / u128::from(SECOND) + 1).unwrap_or(u64::MAX);
    tsc::read().saturating_add(ticks)
}

/// Timer ticks until `time`, rounded up; not zero.
fn to_countdown(time: Nanos) -> u32 {
    let left = u128::from(time.saturating_sub(now()).0);
    let frequency = u128::from(TIMER_FREQUENCY.load(Ordering::Relaxed));
    u32::try_from(left * frequency / u128::from(SECOND) + 1).unwrap_or(u32::MAX)
}

/// Waits for `span` without giving the CPU away. For hardware that needs a moment.
pub(super) fn spin_for(span: Nanos) {
    let start = now();
    while now().saturating_sub(start) < span {
        core::hint::spin_loop();
    }
}
