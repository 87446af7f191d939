//! A simulated MMU per CPU: page walks, a TLB, and paging-structure caches, none of which follow the tables by themselves.
//!
//! Nothing is ever evicted: a translation stays until it is invalidated or a fault at its address discards it (Intel
//! SDM vol. 3A, 4.10). So whoever forgets a flush sees old memory, which is what the tests are after.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::memory::window;
use super::simulation::Machine;
use crate::addr::{Frame, PAGE_SHIFT, PhysAddr, VirtAddr};
use crate::context::Access;
use crate::cpu::CpuId;
use crate::paging::{Entry, EntryFlags, LEVELS};

/// What a walk has permitted so far: the AND of the flags on the way (for no-execute, the OR).
#[derive(Clone, Copy, Debug)]
struct Permission {
    writable: bool,
    user: bool,
    executable: bool,
}

impl Permission {
    const FULL: Self = Self { writable: true, user: true, executable: true };

    fn through(self, entry: Entry) -> Self {
        Self {
            writable: self.writable && entry.is_writable(),
            user: self.user && entry.flags().contains(EntryFlags::USER),
            executable: self.executable && !entry.flags().contains(EntryFlags::NO_EXECUTE),
        }
    }

    fn allows(self, access: Access) -> bool {
        self.user
            && match access {
                Access::Read => true,
                Access::Write => self.writable,
                Access::Execute => self.executable,
            }
    }
}

/// A cached translation of a page.
#[derive(Clone, Copy, Debug)]
struct Translation {
    frame: Frame,
    permission: Permission,
    dirty: bool,
}

/// A cached pointer to a table: reached by the upper bits of an address.
#[derive(Clone, Copy, Debug)]
struct Structure {
    table: Frame,
    permission: Permission,
}

/// The MMU of one CPU.
#[derive(Default, Debug)]
pub struct Mmu {
    root: Option<Frame>,
    pcid: u16,
    /// By PCID and page number.
    pages: HashMap<(u16, u64), Translation>,
    /// Walks made because no translation was cached.
    walks: u64,
    /// By PCID, level of the table, and the address bits that led to it.
    structures: HashMap<(u16, u32, u64), Structure>,
}

/// The entry `index` of the table in `table`.
pub(super) fn entry(table: Frame, index: usize) -> &'static AtomicU64 {
    let pointer = window(table.start()).cast::<AtomicU64>().wrapping_add(index);
    // SAFETY: tables lie in simulated memory, which outlives the walk; all access to them is atomic.
    unsafe { &*pointer }
}

impl Mmu {
    fn translate(&mut self, address: u64, access: Access) -> Option<Frame> {
        let page = address >> PAGE_SHIFT;
        let cached = self.pages.get(&(self.pcid, page)).filter(|cached| {
            cached.permission.allows(access) && (access != Access::Write || cached.dirty)
        });
        if let Some(cached) = cached {
            return Some(cached.frame);
        }
        self.walks += 1;
        let found = self.walk(address, access).filter(|found| found.permission.allows(access));
        let Some(found) = found else {
            self.forget(address);
            return None;
        };
        self.pages.insert((self.pcid, page), found);
        Some(found.frame)
    }

    /// A fault discards what is cached for its address (SDM 4.10.4.1).
    fn forget(&mut self, address: u64) {
        self.pages.remove(&(self.pcid, address >> PAGE_SHIFT));
        for level in 1..LEVELS {
            self.structures.remove(&(self.pcid, level, prefix(address, level)));
        }
    }

    /// The lowest table on the way to `address` that is cached, or the root.
    fn nearest_table(&self, address: u64) -> Option<(u32, Structure)> {
        let cached = (1..LEVELS).find_map(|level| {
            let found = self.structures.get(&(self.pcid, level, prefix(address, level)))?;
            Some((level, *found))
        });
        let top = || Some((LEVELS, Structure { table: self.root?, permission: Permission::FULL }));
        cached.or_else(top)
    }

    /// The frame that a load at `address` would reach. Changes nothing, here or in the tables.
    fn peek(&self, address: u64) -> Option<Frame> {
        if let Some(cached) = self.pages.get(&(self.pcid, address >> PAGE_SHIFT)) {
            return Some(cached.frame);
        }
        let (mut level, mut at) = self.nearest_table(address)?;
        loop {
            let slot = entry(at.table, (address >> shift(level)) as usize & 511);
            let value = Entry::from_bits(slot.load(Ordering::SeqCst));
            let permission = at.permission.through(value);
            if !value.is_present() || !permission.allows(Access::Read) {
                return None;
            }
            if level == 1 || value.is_huge() {
                let inside = (address >> PAGE_SHIFT) & ((1 << (9 * (level - 1))) - 1);
                return Some(value.frame().offset(inside));
            }
            level -= 1;
            at = Structure { table: value.frame(), permission };
        }
    }

    /// Walks from the lowest cached table, sets accessed and dirty bits, and caches the tables on the way.
    fn walk(&mut self, address: u64, access: Access) -> Option<Translation> {
        let (mut level, mut at) = self.nearest_table(address)?;
        loop {
            let slot = entry(at.table, (address >> shift(level)) as usize & 511);
            let value = Entry::from_bits(slot.load(Ordering::SeqCst));
            if !value.is_present() {
                return None;
            }
            let permission = at.permission.through(value);
            if level == 1 || value.is_huge() {
                if !permission.allows(access) {
                    return None;
                }
                let dirty = access == Access::Write;
                let mut marks = EntryFlags::ACCESSED;
                marks.set(EntryFlags::DIRTY, dirty);
                // A processor checks that the entry is still what it walked when it sets the bits.
                let marked = value.bits() | marks.bits();
                if slot
                    .compare_exchange(value.bits(), marked, Ordering::SeqCst, Ordering::SeqCst)
                    .is_err()
                {
                    continue;
                }
                let inside = (address >> PAGE_SHIFT) & ((1 << (9 * (level - 1))) - 1);
                return Some(Translation {
                    frame: value.frame().offset(inside),
                    permission,
                    dirty,
                });
            }
            slot.fetch_or(EntryFlags::ACCESSED.bits(), Ordering::SeqCst);
            level -= 1;
            at = Structure { table: value.frame(), permission };
            self.structures.insert((self.pcid, level, prefix(address, level)), at);
        }
    }
}

/// Bits of an address below those that index the table at `level`.
fn shift(level: u32) -> u32 {
    PAGE_SHIFT + 9 * (level - 1)
}

/// The bits of an address that lead to the table at `level`.
fn prefix(address: u64, level: u32) -> u64 {
    address >> shift(level + 1)
}

/// Loads the root table `root` under the process-context identifier `pcid` (`None`: identifier 0). Unless `keep`
/// is set, what is cached under that identifier is dropped (SDM vol. 2, MOV to CR3, bit 63).
pub fn load_root(root: Frame, pcid: Option<u16>, keep: bool) {
    let machine = Machine::current();
    let mut mmu = machine.mmu(super::current_cpu());
    mmu.root = (root != super::memory::kernel_root()).then_some(root);
    mmu.pcid = pcid.unwrap_or(0);
    if !keep {
        drop_pcid(&mut mmu);
    }
}

fn drop_pcid(mmu: &mut Mmu) {
    let pcid = mmu.pcid;
    mmu.pages.retain(|key, _| key.0 != pcid);
    mmu.structures.retain(|key, _| key.0 != pcid);
}

/// Drops the translation of one page, and all paging-structure caches of the current identifier (INVLPG).
pub fn invalidate_page(address: VirtAddr) {
    let machine = Machine::current();
    let mut mmu = machine.mmu(super::current_cpu());
    let pcid = mmu.pcid;
    mmu.pages.remove(&(pcid, address.as_u64() >> PAGE_SHIFT));
    mmu.structures.retain(|key, _| key.0 != pcid);
}

/// Drops everything cached under the current identifier.
pub fn invalidate_all() {
    drop_pcid(&mut Machine::current().mmu(super::current_cpu()));
}

/// A simulated user-mode load of one byte; `None` is a page fault.
#[must_use]
pub fn load(address: VirtAddr) -> Option<u8> {
    touch(address, Access::Read, |byte| byte.load(Ordering::SeqCst))
}

/// A simulated user-mode store of one byte; `None` is a page fault.
#[must_use]
pub fn store(address: VirtAddr, value: u8) -> Option<()> {
    touch(address, Access::Write, |byte| byte.store(value, Ordering::SeqCst))
}

/// A simulated instruction fetch; `None` is a page fault.
#[must_use]
pub fn fetch(address: VirtAddr) -> Option<u8> {
    touch(address, Access::Execute, |byte| byte.load(Ordering::SeqCst))
}

/// What a processor may do at any moment without having been asked: it walks towards `address` and keeps what it finds,
/// tables and page. A walk that ends nowhere is no fault, so it discards nothing.
pub fn speculate(address: VirtAddr) {
    let machine = Machine::current();
    machine.poll();
    let mut mmu = machine.mmu(super::current_cpu());
    let found = mmu.walk(address.as_u64(), Access::Read);
    if let Some(found) = found.filter(|found| found.permission.allows(Access::Read)) {
        let key = (mmu.pcid, address.as_u64() >> PAGE_SHIFT);
        mmu.pages.entry(key).or_insert(found);
    }
}

/// The table at which a walk to `address` on `cpu` would begin at this instant; `None` if that is the root.
#[must_use]
pub fn peek_table(cpu: CpuId, address: VirtAddr) -> Option<Frame> {
    let machine = Machine::current();
    let mmu = machine.mmu(cpu);
    let (level, nearest) = mmu.nearest_table(address.as_u64())?;
    (level < LEVELS).then_some(nearest.table)
}

/// The frame that a load at `address` on `cpu` would reach at this instant, by its TLB or by the tables. Leaves no trace.
#[must_use]
pub fn peek(cpu: CpuId, address: VirtAddr) -> Option<Frame> {
    Machine::current().mmu(cpu).peek(address.as_u64())
}

/// How many accesses on `cpu` had to walk the tables, because its TLB had no translation that permits them.
#[must_use]
pub fn walks(cpu: CpuId) -> u64 {
    Machine::current().mmu(cpu).walks
}

fn touch<R>(address: VirtAddr, access: Access, act: impl FnOnce(&AtomicU8) -> R) -> Option<R> {
    let machine = Machine::current();
    machine.poll();
    let mut mmu = machine.mmu(super::current_cpu());
    let frame = mmu.translate(address.as_u64(), access)?;
    let place: PhysAddr = frame.start().offset(address.page_offset() as u64);
    // SAFETY: the address lies in simulated memory; user bytes are only touched atomically while mapped writable.
    Some(act(unsafe { &*window(place).cast::<AtomicU8>() }))
}
