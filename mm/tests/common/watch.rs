//! What must be true of all TLBs at every moment, looked at when it is hardest: while interrupts are under way, so that the
//! tables are new and the other CPUs' TLBs old.

use std::sync::{Arc, Mutex, PoisonError};

use arch::addr::{Frame, VirtAddr};
use arch::cpu::CpuId;
use mm::Memory;
use mm::memory::Kind;

use super::CPUS;

/// Which group of CPUs each CPU belongs to: those that run the same space. `None`: it runs none.
pub type Groups = [Option<usize>; CPUS];

/// Checks translations of some addresses.
#[derive(Clone)]
pub struct Watch {
    memory: &'static Memory,
    addresses: Arc<[u64]>,
    groups: Arc<Mutex<Groups>>,
}

impl Watch {
    /// Watches `addresses` on the current simulated machine, whenever interrupts are under way there.
    pub fn start(memory: &'static Memory, addresses: impl IntoIterator<Item = u64>) -> Self {
        let addresses = addresses.into_iter().collect();
        let watch = Self { memory, addresses, groups: Arc::default() };
        let observer = watch.clone();
        arch::simulation::Machine::current().observe_interrupts(move || observer.check());
        watch
    }

    /// From now on `cpu` runs the space that the number `group` stands for.
    pub fn set(&self, cpu: usize, group: Option<usize>) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)[cpu] = group;
    }

    /// Checks that no CPU reaches memory, or walks tables, that are free (I4), and that those that run the same space do not reach different
    /// frames at one address (I6).
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(&self) {
        let groups = *self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for address in self.addresses.iter() {
            let mut reached: [Option<(usize, Frame)>; CPUS] = [None; CPUS];
            for (cpu, group) in groups.iter().enumerate() {
                let Some(group) = *group else { continue };
                let (id, place) = (CpuId::new(cpu), VirtAddr::new_truncate(*address));
                if let Some(table) = arch::mmu::peek_table(id, place) {
                    self.assert_kind(table, &[Kind::Table], cpu, *address);
                }
                let Some(frame) = arch::mmu::peek(id, place) else { continue };
                let pages = [Kind::Anonymous, Kind::Object, Kind::Kernel];
                self.assert_kind(frame, &pages, cpu, *address);
                let (first, known) = *reached[group].get_or_insert((cpu, frame));
                assert_eq!(known, frame, "CPUs {first} and {cpu} disagree about {address:#x}");
            }
        }
    }

    fn assert_kind(&self, frame: Frame, expected: &[Kind], cpu: usize, address: u64) {
        let kind = self.memory.meta(frame).kind();
        let fits = expected.contains(&kind);
        assert!(fits, "CPU {cpu} uses {frame:?} on the way to {address:#x}, which is {kind:?}");
    }
}
