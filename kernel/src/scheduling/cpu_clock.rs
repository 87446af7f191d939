//! The CPU time of one thread: [`CpuClock`], exact at any moment and readable from any CPU.
//!
//! While the thread is on a CPU its time is kept in that CPU's [account](crate::cpu::Usage), and the clock only says in whose;
//! when it goes, it takes along what it has spent there. So entering and leaving the kernel touches one account.
//!
//! No locks: the writer, the CPU that the thread leaves, makes `version` odd before its account forgets the thread's time
//! and even after it has been added here; a reader that saw an odd or a changed version reads again.

use arch::cpu::CpuId;
use arch::sync::atomic::{AtomicU16, AtomicU64, Ordering, fence};

use crate::cpu::{Spent, not_negative};

/// In [`CpuClock::cpu`]: on none.
const NOWHERE: u16 = u16::MAX;

/// A thread's CPU time, in ticks.
pub struct CpuClock {
    version: AtomicU64,
    /// The CPU whose account has the rest.
    cpu: AtomicU16,
    user: AtomicU64,
    system: AtomicU64,
}

impl CpuClock {
    /// A clock that stands at zero.
    pub(super) const fn new() -> Self {
        Self {
            version: AtomicU64::new(0),
            cpu: AtomicU16::new(NOWHERE),
            user: AtomicU64::new(0),
            system: AtomicU64::new(0),
        }
    }

    /// The thread comes to `cpu`, whose account has begun anew for it.
    #[inline]
    pub(super) fn start(&self, cpu: CpuId) {
        // Pairs with the acquire in `read`: who finds the CPU finds its account begun.
        self.cpu.store(cpu.index() as u16, Ordering::Release);
    }

    /// The thread goes. `hand_over` has its CPU's account begin anew, and returns what the thread has spent there.
    #[inline]
    pub(super) fn stop(&self, hand_over: impl FnOnce() -> Spent) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        // Pairs with the fence in `read`: who sees the account forget sees the odd version.
        fence(Ordering::Release);
        let spent = hand_over();
        // Only this CPU writes, so a load and a store replace the locked addition.
        let charge = |sum: &AtomicU64, ticks: u64| {
            sum.store(sum.load(Ordering::Relaxed).wrapping_add(ticks), Ordering::Relaxed);
        };
        charge(&self.user, spent.user);
        charge(&self.system, spent.system);
        self.cpu.store(NOWHERE, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// The time up to now. `spent_on` says what the thread that runs on a CPU has spent there.
    pub(super) fn read(&self, spent_on: impl Fn(CpuId) -> Spent) -> Spent {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let cpu = self.cpu.load(Ordering::Acquire);
            let here =
                if cpu == NOWHERE { Spent::default() } else { spent_on(CpuId::new(cpu.into())) };
            let total = |before: &AtomicU64, here| {
                not_negative(before.load(Ordering::Relaxed).wrapping_add(here))
            };
            let spent = Spent {
                user: total(&self.user, here.user),
                system: total(&self.system, here.system),
            };
            // Pairs with the fence in `stop`.
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return spent;
            }
            arch::relax();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cpu_knows_is_added_while_the_thread_is_there() {
        let clock = CpuClock::new();
        let on = |cpu: CpuId| Spent { user: 100 + cpu.index() as u64, system: 1 };
        assert_eq!(clock.read(on), Spent::default());
        clock.start(CpuId::new(3));
        assert_eq!(clock.read(on), Spent { user: 103, system: 1 });
        clock.stop(|| Spent { user: 110, system: 2 });
        assert_eq!(clock.read(on), Spent { user: 110, system: 2 });
        clock.start(CpuId::new(0));
        assert_eq!(clock.read(on), Spent { user: 210, system: 3 });
    }

    #[test]
    fn readers_never_lose_what_a_leaving_thread_takes_along() {
        const STAYS: u64 = 50_000;
        let (clock, account) = (CpuClock::new(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..STAYS {
                    clock.start(CpuId::BOOT);
                    account.store(1, Ordering::Relaxed);
                    clock.stop(|| Spent { user: account.swap(0, Ordering::Relaxed), system: 0 });
                }
            });
            let mut last = 0;
            while last < STAYS {
                let on = |_| Spent { user: account.load(Ordering::Relaxed), system: 0 };
                let Spent { user, .. } = clock.read(on);
                assert!(user >= last, "{user} after {last}");
                last = user;
            }
        });
    }
}
