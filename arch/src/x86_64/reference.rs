//! Clocks of known rate, to measure others against: the HPET and the PC's interval timer.

use x86_64::instructions::port::Port;

use super::memory;
use crate::addr::{PAGE_SIZE, PhysAddr};

/// Length of one measurement.
const SPAN_NS: u64 = 10_000_000;
/// Looks at a clock that does not move before it is taken for dead.
const PATIENCE: u32 = 50_000_000;

/// The high precision event timer (IA-PC HPET specification 1.0a).
#[derive(Clone, Copy, Debug)]
pub(super) struct Hpet {
    registers: usize,
    /// Femtoseconds per tick.
    period: u64,
    wide: bool,
}

impl Hpet {
    const CAPABILITIES: usize = 0;
    const CONFIGURATION: usize = 0x10;
    const COUNTER: usize = 0xf0;

    /// Maps and starts the timer at physical `address`. `None` when what is there is not credible.
    pub fn new(address: u64) -> Option<Self> {
        let registers = memory::map_device(PhysAddr::new(address), PAGE_SIZE).ok()? as usize;
        let mut hpet = Self { registers, period: 0, wide: false };
        let capabilities = hpet.read(Self::CAPABILITIES);
        hpet.period = capabilities >> 32;
        hpet.wide = capabilities & 1 << 13 != 0;
        // The specification caps the period at 100 ns.
        if hpet.period == 0 || hpet.period > 100_000_000 {
            return None;
        }
        let configuration = hpet.read(Self::CONFIGURATION);
        // SAFETY: sets the enable bit of the timer mapped above.
        unsafe {
            ((registers + Self::CONFIGURATION) as *mut u64).write_volatile(configuration | 1);
        }
        Some(hpet)
    }

    fn read(&self, register: usize) -> u64 {
        // SAFETY: a register of the timer, mapped in `new`.
        unsafe { ((self.registers + register) as *const u64).read_volatile() }
    }

    /// The counter, in ticks.
    pub fn ticks(&self) -> u64 {
        let ticks = self.read(Self::COUNTER);
        if self.wide { ticks } else { ticks & 0xffff_ffff }
    }

    /// Whether the counter has 64 bits, so that it does not wrap while the machine is up.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// `ticks` in nanoseconds.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * u128::from(self.period) / 1_000_000) as u64
    }

    fn elapsed(&self, start: u64, end: u64) -> u64 {
        let ticks = end.wrapping_sub(start);
        self.nanoseconds(if self.wide { ticks } else { ticks & 0xffff_ffff })
    }

    /// Readings of `counter` and of this timer that belong together: the closest of several attempts, because a
    /// hypervisor may pause the CPU between two instructions.
    fn sample(&self, counter: fn() -> u64) -> (u64, u64) {
        const ATTEMPTS: usize = 16;
        let attempt = |_| {
            let before = counter();
            let ticks = self.ticks();
            let width = counter().wrapping_sub(before);
            (width, before.wrapping_add(width / 2), ticks)
        };
        let closest = (0..ATTEMPTS).map(attempt).min_by_key(|(width, ..)| *width);
        closest.map_or((0, 0), |(_, count, ticks)| (count, ticks))
    }

    fn measure(&self, counter: fn() -> u64) -> Option<(u64, u64)> {
        let (first, start) = self.sample(counter);
        (0..PATIENCE).find(|_| self.elapsed(start, self.ticks()) >= SPAN_NS)?;
        let (last, end) = self.sample(counter);
        Some((last.wrapping_sub(first), self.elapsed(start, end)))
    }
}

/// A clock to measure against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference {
    /// The high precision event timer.
    Hpet(Hpet),
    /// Channel 2 of the 8254.
    IntervalTimer,
}

impl Reference {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hpet(_) => "the HPET",
            Self::IntervalTimer => "the interval timer",
        }
    }

    /// Runs for about [`SPAN_NS`] and returns how far `counter` went, and how long that took in nanoseconds. `None` when the
    /// clock stands still.
    pub fn measure(&self, counter: fn() -> u64) -> Option<(u64, u64)> {
        match self {
            Self::Hpet(hpet) => hpet.measure(counter),
            Self::IntervalTimer => measure_interval(counter),
        }
    }
}

/// Lets channel 2 count down once, watching its output in the system control port.
fn measure_interval(counter: fn() -> u64) -> Option<(u64, u64)> {
    const FREQUENCY: u64 = 1_193_182;
    const COUNT: u64 = FREQUENCY * SPAN_NS / 1_000_000_000;
    let mut control = Port::<u8>::new(0x61);
    // SAFETY: the speaker's timer and gate on every PC; the speaker itself is off (bit 1).
    unsafe {
        let gate = control.read() & !3;
        control.write(gate);
        // Channel 2, low then high byte, mode 0: the output rises at zero.
        Port::<u8>::new(0x43).write(0xb0);
        Port::<u8>::new(0x42).write(COUNT as u8);
        Port::<u8>::new(0x42).write((COUNT >> 8) as u8);
        control.write(gate | 1);
    }
    let start = counter();
    // SAFETY: reads the port. Bit 5 is channel 2's output.
    let done = (0..PATIENCE).any(|_| unsafe { control.read() } & 1 << 5 != 0);
    let ticks = counter().wrapping_sub(start);
    done.then_some((ticks, COUNT * 1_000_000_000 / FREQUENCY))
}
