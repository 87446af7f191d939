//! Several CPUs at once, each played by a host thread, in one space.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::cpu::CpuId;
use arch::simulation::Machine as Simulation;
use mm::AddressSpace;

use super::{CPUS, Machine};

/// A small generator with a seed (xorshift; Marsaglia 2003): reproducible, and no two threads alike.
pub struct Random(u64);

impl Random {
    /// That of thread `thread` in the run from `seed`.
    pub fn new(seed: u64, thread: usize) -> Self {
        Self(seed * CPUS as u64 + thread as u64 + 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Counts a thread as finished when dropped, also when it panics: the others wait for it, answering shootdowns.
pub struct Finished<'a>(pub &'a AtomicUsize);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Has every CPU do `work`, which gets its number, in a space that `prepare` has set up; then audits the space, and all memory when it
/// is gone.
pub fn in_one_space(
    machine: &Machine,
    simulation: &'static Simulation,
    prepare: impl FnOnce(&AddressSpace),
    work: impl Fn(usize, Arc<AddressSpace>) + Sync,
) {
    let creator = simulation.join(CpuId::new(0));
    let space = machine.space();
    prepare(&space);
    drop(creator);
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..CPUS {
            let (space, finished, work) = (space.clone(), &finished, &work);
            scope.spawn(move || {
                let _cpu = simulation.join(CpuId::new(thread));
                let done = Finished(finished);
                work(thread, space);
                drop(done);
                while finished.load(Ordering::SeqCst) < CPUS {
                    arch::relax();
                }
            });
        }
    });
    let _cpu = simulation.join(CpuId::new(0));
    machine.audit(&[&space]);
    drop(space);
    machine.assert_all_free();
}
