//! The simulated machine: what all its simulated CPUs share.
//!
//! Each host thread belongs to one [`Machine`]; a thread that joins none gets a machine of its own on first
//! use, so that tests which run side by side do not see each other's CPUs. A test with several threads makes one
//! machine and lets each thread [`join`](Machine::join) it as one CPU.

use core::cell::Cell;
use std::boxed::Box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread_local;
use std::time::Duration;

use super::mmu::Mmu;
use crate::cpu::{CpuId, CpuMask};
use crate::tlb::{self, Shootdowns};

/// CPUs of a simulated machine.
pub const SIMULATED_CPUS: usize = 8;

/// How long an interrupt is under way between two host threads, at least.
const DELAY: Duration = Duration::from_micros(5);

/// One simulated CPU.
#[derive(Default)]
struct Cpu {
    /// Its MMU with its TLB. A memory access of the CPU holds this lock, so a flush never falls inside one.
    mmu: Mutex<Mmu>,
    /// A host thread plays this CPU and answers its interrupts.
    live: AtomicBool,
    /// Excludes two senders that answer for a CPU which no thread plays.
    proxy: Mutex<()>,
    /// A shootdown interrupt waits to be taken.
    interrupt: AtomicBool,
}

/// A machine with [`SIMULATED_CPUS`] CPUs.
pub struct Machine {
    cpus: [Cpu; SIMULATED_CPUS],
    shootdowns: Shootdowns,
    observer: Mutex<Option<Observer>>,
}

/// Called when an interrupt is under way: sent, and not taken by anybody.
type Observer = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    static MACHINE: Cell<Option<&'static Machine>> = const { Cell::new(None) };
}

impl Machine {
    /// A fresh machine. Machines live as long as the test process.
    #[must_use]
    pub fn new() -> &'static Self {
        let cpus = core::array::from_fn(|_| Cpu::default());
        Box::leak(Box::new(Self {
            cpus,
            shootdowns: Shootdowns::new(),
            observer: Mutex::new(None),
        }))
    }

    /// The machine of this host thread.
    #[must_use]
    pub fn current() -> &'static Self {
        MACHINE.get().unwrap_or_else(|| {
            let machine = Self::new();
            MACHINE.set(Some(machine));
            machine
        })
    }

    /// Makes this host thread play `cpu` of this machine until the returned value is dropped.
    ///
    /// # Panics
    /// When another thread plays that CPU.
    #[must_use = "the thread leaves the CPU when this is dropped"]
    pub fn join(&'static self, cpu: CpuId) -> Joined {
        let taken = self.cpus[cpu.index()].live.swap(true, Ordering::SeqCst);
        assert!(!taken, "two host threads play CPU {cpu}");
        let previous = MACHINE.replace(Some(self));
        super::set_current_cpu(cpu);
        Joined { machine: self, previous, cpu }
    }

    /// The shootdown protocol's state.
    #[must_use]
    pub fn shootdowns(&self) -> &Shootdowns {
        &self.shootdowns
    }

    /// Calls `observer` on the sender's thread each time that interrupts have been sent and none has been taken: the moment at
    /// which the tables are new and the TLBs of others are old.
    pub fn observe_interrupts(&self, observer: impl Fn() + Send + Sync + 'static) {
        *lock(&self.observer) = Some(Arc::new(observer));
    }

    pub(super) fn mmu(&self, cpu: CpuId) -> MutexGuard<'_, Mmu> {
        lock(&self.cpus[cpu.index()].mmu)
    }

    /// Takes a waiting interrupt of the current CPU.
    pub(super) fn poll(&self) {
        let cpu = super::current_cpu();
        if self.cpus[cpu.index()].interrupt.swap(false, Ordering::SeqCst) {
            tlb::serve();
        }
    }

    /// Interrupts `targets`. A CPU that no host thread plays is played by the sender for the occasion.
    pub(super) fn interrupt(&'static self, targets: &CpuMask) {
        let sender = super::current_cpu();
        let observer = lock(&self.observer).clone();
        if let Some(observe) = observer {
            observe();
        }
        let is_live = |cpu: &CpuId| self.cpus[cpu.index()].live.load(Ordering::SeqCst);
        if targets.iter().any(|cpu| is_live(&cpu)) {
            // An interrupt takes a while to arrive. What the others do in that while is what tests are after.
            std::thread::sleep(DELAY);
        }
        for cpu in targets.iter() {
            let target = &self.cpus[cpu.index()];
            target.interrupt.store(true, Ordering::SeqCst);
            if !is_live(&cpu) && cpu != sender {
                let _proxy = lock(&target.proxy);
                super::set_current_cpu(cpu);
                self.poll();
                super::set_current_cpu(sender);
            }
        }
    }
}

/// A host thread's membership in a machine.
pub struct Joined {
    machine: &'static Machine,
    previous: Option<&'static Machine>,
    cpu: CpuId,
}

impl Drop for Joined {
    fn drop(&mut self) {
        let cpu = &self.machine.cpus[self.cpu.index()];
        cpu.live.store(false, Ordering::SeqCst);
        // From here on senders answer for this CPU themselves; what was sent before is answered now.
        let proxy = lock(&cpu.proxy);
        cpu.interrupt.store(true, Ordering::SeqCst);
        self.machine.poll();
        drop(proxy);
        super::set_current_cpu(CpuId::BOOT);
        MACHINE.set(self.previous);
    }
}

/// Locks `mutex`; a test that panicked while holding it does not hide its own message behind a second one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
