//! Clocks of known rate, to measure others against: the HPET and the PC's interval timer.

use x86_64::instructions::port::Port;

use super::memory;
use crate::addr::{PAGE_SIZE, PhysAddr};

/// Length of one measurement.
const SPAN_NS: u64 = 10_000_000;
/// Looks at a clock that does not move before it is taken for dead.
const PATIENCE: u32 = 10_000;

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
}

/// Channel 0 of the 8254 interval timer, whose interrupt nobody uses. It counts down and wraps every 55 ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntervalTimer(());

impl IntervalTimer {
    const FREQUENCY: u64 = 1_193_182;
    const COMMAND: u16 = 0x43;
    const CHANNEL: u16 = 0x40;

    /// Starts the channel.
    pub fn new() -> Self {
        // SAFETY: channel 0, low then high byte, mode 2, the longest period. Its interrupt line is masked.
        unsafe {
            Port::<u8>::new(Self::COMMAND).write(0x34);
            Port::<u8>::new(Self::CHANNEL).write(0);
            Port::<u8>::new(Self::CHANNEL).write(0);
        }
        Self(())
    }

    /// Ticks since some moment, modulo 2^16.
    fn ticks(self) -> u64 {
        // SAFETY: latches and reads the count.
        let count = unsafe {
            Port::<u8>::new(Self::COMMAND).write(0);
            let low = Port::<u8>::new(Self::CHANNEL).read();
            u16::from_le_bytes([low, Port::<u8>::new(Self::CHANNEL).read()])
        };
        u64::from(count.wrapping_neg())
    }
}

/// A clock to measure against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference {
    /// The high precision event timer.
    Hpet(Hpet),
    /// The PC's interval timer.
    IntervalTimer(IntervalTimer),
}

impl Reference {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hpet(_) => "the HPET",
            Self::IntervalTimer(_) => "the interval timer",
        }
    }

    fn ticks(&self) -> u64 {
        match self {
            Self::Hpet(hpet) => hpet.ticks(),
            Self::IntervalTimer(timer) => timer.ticks(),
        }
    }

    /// Nanoseconds between two readings, less than a wrap apart.
    fn elapsed(&self, start: u64, end: u64) -> u64 {
        let ticks = end.wrapping_sub(start);
        match self {
            Self::Hpet(hpet) => {
                hpet.nanoseconds(if hpet.wide { ticks } else { ticks & 0xffff_ffff })
            }
            Self::IntervalTimer(_) => (ticks & 0xffff) * 1_000_000_000 / IntervalTimer::FREQUENCY,
        }
    }

    /// Whether the clock moves at all.
    pub fn is_running(&self) -> bool {
        let start = self.ticks();
        (0..PATIENCE).any(|_| self.ticks() != start)
    }

    /// Readings of `counter` and of this clock that belong together: the closest of several attempts, because a
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

    /// Runs for about [`SPAN_NS`] and returns how far `counter` went, and how long that took in nanoseconds.
    pub fn measure(&self, counter: fn() -> u64) -> (u64, u64) {
        let (first, start) = self.sample(counter);
        while self.elapsed(start, self.ticks()) < SPAN_NS {
            core::hint::spin_loop();
        }
        let (last, end) = self.sample(counter);
        (last.wrapping_sub(first), self.elapsed(start, end))
    }
}
