//! Page faults: making one page accessible, if the area map permits it.
//!
//! The lock is held shared, so faults of one space run in parallel. Each table on the way is changed under its shard
//! lock, from the top down (I14); the page's entry under the lock of its table. What a step needs (a frame, an object's
//! page) is fetched before that lock, and the entry is looked at again under it.

use arch::addr::{Frame, PAGE_SIZE, UserAddr, VirtAddr};
use arch::context::Access;
use arch::events::MachineEvent;
use arch::paging::{Entry, EntryFlags};

use super::fault_huge::{Huge, Want};
use super::{AddressSpace, Limits, STACK_GUARD_GAP};
use crate::counters::add;
use crate::error::FaultError;
use crate::memory::{Content, FrameRef, Kind, Memory, Residency};
use crate::object::ObjectError;
use crate::raw::{self, table};
use crate::table::cursor::{Cursor, Missing, Path, page_range};
use crate::table::entry::{Writes, index, is_empty, page_entry, residency_of};
use crate::table::gather::Gather;
use crate::table::marks;
use crate::vma::{Protection, Vma, VmaFlags};

/// What replacing one area may allocate: the nodes of two paths in the area map.
const GROWTH_CREDIT_KIB: u32 = 16;

/// How a fault was resolved. Repeat the access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// Memory was supplied or copied.
    Supplied,
    /// The access was permitted already, or became so by setting write bits: a minor fault that took no memory.
    Permitted,
}

impl From<ObjectError> for FaultError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::PastEnd | ObjectError::Io => Self::Bus,
            ObjectError::OutOfMemory => Self::NoMemory,
        }
    }
}

/// What is to be done about an entry, with what it takes.
enum Step {
    /// Nothing: the access is permitted.
    Permitted,
    /// Let writes through: the page is the process's own, or shared.
    AllowWrites,
    /// Map this page where nothing is.
    Install(Page),
    /// Replace the page by a copy in this frame.
    Copy(FrameRef),
}

/// A page to be mapped.
enum Page {
    /// The frame of zeros.
    Zeros,
    /// A frame of its own.
    Private(FrameRef),
    /// An object's.
    Object(FrameRef, Writes),
}

impl AddressSpace {
    /// Makes `address` accessible for `access`. For page faults of user mode and of the kernel's copies to and from
    /// user memory; also directly, where the kernel wants a page to be there.
    ///
    /// Takes the lock shared (exclusively to grow a stack); waits for other CPUs when a copied page or table was in
    /// use there. `limits` bound the growth of stacks.
    ///
    /// # Errors
    /// [`FaultError`]; each variant says which signal it stands for.
    pub fn handle_fault(
        &self,
        address: VirtAddr,
        access: Access,
        limits: &Limits,
    ) -> Result<Resolved, FaultError> {
        let address = address.to_user().filter(|address| *address < UserAddr::END);
        let address = address.ok_or(FaultError::MapErr)?;
        add(&self.memory.count().faults, 1);
        let mut want = Want::Huge;
        loop {
            let mut gather = self.gather();
            let state = self.state.read();
            let Some(vma) = state.areas.find(address) else {
                drop(state);
                self.grow_stack(address, limits)?;
                continue;
            };
            if !permits(vma.protection, access) {
                return Err(FaultError::AccErr);
            }
            let outcome = self.resolve(vma, address, access, want, &mut gather);
            let stale = gather.flush();
            drop(state);
            // Freeing what the copied tables led to may take long.
            drop(stale);
            match outcome {
                Ok(Some(resolved)) => return Ok(resolved),
                Ok(None) => match self.supply_huge(address, access) {
                    Some(resolved) => return Ok(resolved),
                    None => want = Want::Small,
                },
                Err(error) => {
                    let out_of_memory = error == FaultError::NoMemory;
                    add(&self.memory.count().faults_out_of_memory, u64::from(out_of_memory));
                    return Err(error);
                }
            }
        }
    }

    /// Resolves the fault, or says by `None` that it is to be resolved by a fresh huge page, which is not made under the lock.
    fn resolve(
        &self,
        vma: &Vma,
        address: UserAddr,
        access: Access,
        want: Want,
        gather: &mut Gather<'_>,
    ) -> Result<Option<Resolved>, FaultError> {
        let mut cursor = Cursor::new(self.memory, self.root, gather).marking(&self.used);
        if self.may_be_huge(vma) {
            match self.resolve_huge(&mut cursor, vma, address, access)? {
                Huge::Resolved(resolved) => return Ok(Some(resolved)),
                Huge::Fits if want == Want::Huge => return Ok(None),
                Huge::Fits | Huge::Unfit => {}
            }
        }
        let Some(path) = cursor.own_path(address, Missing::Create)? else {
            return Err(FaultError::NoMemory);
        };
        if cursor.restored > 0 {
            add(&self.memory.count().sole_owner_tables, 1);
            let tables = cursor.restored;
            arch::trace(MachineEvent::SoleOwner { address: address.to_virt(), tables });
        }
        let at = index(address, 1);
        loop {
            // The table is ours while the space lock is held, so looking without its lock is safe, if not final.
            let seen = table(path.leaf()).load(at);
            let step = self.plan(vma, address, access, seen)?;
            if let Some(resolved) = self.commit(&mut cursor, &path, vma, address, seen, step) {
                return Ok(Some(resolved));
            }
        }
    }

    /// Decides what the entry `seen` needs, and fetches it. Holds no table's lock.
    fn plan(
        &self,
        vma: &Vma,
        address: UserAddr,
        access: Access,
        seen: Entry,
    ) -> Result<Step, FaultError> {
        if is_empty(seen) {
            return self.plan_page(vma, address, access).map(Step::Install);
        }
        if access != Access::Write || seen.is_writable() {
            return Ok(Step::Permitted);
        }
        if vma.is_shared() {
            note_dirty(vma, address);
            return Ok(Step::AllowWrites);
        }
        let meta = self.memory.meta(seen.frame());
        if meta.kind() == Kind::Anonymous && meta.count.is_exclusive() {
            return Ok(Step::AllowWrites);
        }
        Ok(Step::Copy(self.memory.alloc_frame(Kind::Anonymous, Content::Undefined)?))
    }

    /// The page for an address where nothing is mapped yet.
    fn plan_page(&self, vma: &Vma, address: UserAddr, access: Access) -> Result<Page, FaultError> {
        let Some((object, offset)) = vma.object_at(address) else {
            if access != Access::Write {
                return Ok(Page::Zeros);
            }
            let frame = self.memory.alloc_frame(Kind::Anonymous, Content::Zeroed)?;
            return Ok(Page::Private(frame));
        };
        let source = object.frame_at(offset / PAGE_SIZE as u64)?;
        if access != Access::Write {
            return Ok(Page::Object(source, Writes::Fault));
        }
        if vma.is_shared() {
            note_dirty(vma, address);
            return Ok(Page::Object(source, Writes::Direct));
        }
        let copy = self.memory.alloc_frame(Kind::Anonymous, Content::Undefined)?;
        raw::copy(source.frame(), copy.frame());
        Ok(Page::Private(copy))
    }

    /// Does `step` if the entry is still `seen`; `None` if it is not.
    fn commit(
        &self,
        cursor: &mut Cursor<'_, '_>,
        path: &Path,
        vma: &Vma,
        address: UserAddr,
        seen: Entry,
        step: Step,
    ) -> Option<Resolved> {
        let (leaf, at) = (path.leaf(), index(address, 1));
        let _node = self.memory.lock_node(leaf);
        let entry = table(leaf).load(at);
        if !same_mapping(entry, seen) {
            return None;
        }
        match step {
            Step::Permitted => {
                add(&self.memory.count().spurious_faults, u64::from(cursor.restored == 0));
                Some(Resolved::Permitted)
            }
            Step::AllowWrites => {
                // Relaxing: others need not know (I7). The path is exclusive, and so is the page, or it is shared on purpose.
                table(leaf).set(at, EntryFlags::WRITABLE);
                if !vma.is_shared() {
                    add(&self.memory.count().sole_owner_pages, 1);
                    let address = address.to_virt();
                    arch::trace(MachineEvent::SoleOwner { address, tables: 0 });
                }
                Some(Resolved::Permitted)
            }
            Step::Install(page) => {
                let counters = self.memory.count();
                let anonymous = !matches!(page, Page::Object(..));
                add(if anonymous { &counters.zero_faults } else { &counters.object_faults }, 1);
                let (entry, delta) = install_entry(self.memory, page, vma.protection);
                table(leaf).store(at, entry);
                self.memory.meta(leaf).add_present(1);
                cursor.account(path, delta);
                Some(Resolved::Supplied)
            }
            Step::Copy(copy) => {
                self.replace(cursor, path, address, copy, vma.protection);
                Some(Resolved::Supplied)
            }
        }
    }

    /// Copies a shared page to `copy` and maps that instead, breaking before making (I6): between the two moments nobody may
    /// read the old page while somebody else writes the new one. The table's lock is held.
    fn replace(
        &self,
        cursor: &mut Cursor<'_, '_>,
        path: &Path,
        address: UserAddr,
        copy: FrameRef,
        protection: Protection,
    ) {
        let (leaf, at) = (path.leaf(), index(address, 1));
        let old = table(leaf).swap(at, Entry::EMPTY);
        let source: Frame = old.frame();
        let delta = residency_of(copy.meta()) - residency_of(self.memory.meta(source));
        if marks::is_in_no_tlb(self.memory.meta(leaf), old) {
            cursor.gather.untouched_page(old);
        } else {
            cursor.gather.page(page_range(address), old);
        }
        // Covers the tables that were copied on the way, too.
        cursor.gather.flush_now();
        raw::copy(source, copy.frame());
        table(leaf).store(at, page_entry(copy.into_entry(), protection, Writes::Direct));
        cursor.account(path, delta);
        add(&self.memory.count().copied_frames, 1);
        arch::trace(MachineEvent::FrameCopy { address: address.to_virt() });
    }

    /// Extends the stack above `address` down to it.
    fn grow_stack(&self, address: UserAddr, limits: &Limits) -> Result<(), FaultError> {
        let mut state = self.lock();
        if state.areas.find(address).is_some() {
            // Another thread was first.
            return Ok(());
        }
        let above = state.areas.at_or_above(address);
        let stack = above.filter(|vma| vma.flags.contains(VmaFlags::GROWS_DOWN)).cloned();
        let stack = stack.ok_or(FaultError::MapErr)?;
        let start = address.page_start();
        let grown = stack.grown_down_to(start).ok_or(FaultError::MapErr)?;
        let added = stack.start().as_u64() - start.as_u64();
        let below_end = state.areas.below(start).map_or(0, |vma| vma.end().as_u64());
        let too_close = start.as_u64() < below_end + STACK_GUARD_GAP;
        let too_large = grown.range.bytes() > limits.stack
            || state.totals.mapped + added > limits.address_space
            || start.as_u64() < super::MIN_ADDRESS;
        if too_close || too_large {
            return Err(FaultError::MapErr);
        }
        // For the nodes of the area map.
        let _credit = self.memory.credit(GROWTH_CREDIT_KIB)?;
        let old = state.areas.remove(stack.range);
        state.totals.subtract(&old);
        state.totals.add(&grown);
        state.areas.insert(grown);
        add(&self.memory.count().stack_growths, 1);
        drop(state);
        drop(old);
        Ok(())
    }
}

/// Whether `protection` permits `access`. The processor cannot permit writing or executing without reading.
pub(super) fn permits(protection: Protection, access: Access) -> bool {
    match access {
        Access::Read => !protection.is_empty(),
        Access::Write => protection.contains(Protection::WRITE),
        Access::Execute => protection.contains(Protection::EXECUTE),
    }
}

/// Whether two looks at an entry saw the same mapping; the processor's marks do not matter.
fn same_mapping(a: Entry, b: Entry) -> bool {
    let marks = EntryFlags::ACCESSED | EntryFlags::DIRTY;
    a.frame() == b.frame() && a.flags() - marks == b.flags() - marks
}

/// Dirty state is recorded when a write is let through, not read from the tables later (I9).
fn note_dirty(vma: &Vma, address: UserAddr) {
    if let Some((object, offset)) = vma.object_at(address) {
        object.mark_dirty(offset / PAGE_SIZE as u64);
    }
}

/// The entry for a page to be mapped, and what it adds to the resident set.
fn install_entry(memory: &Memory, page: Page, protection: Protection) -> (Entry, Residency) {
    match page {
        Page::Zeros => {
            let entry = page_entry(memory.zero_frame(), protection, Writes::Fault);
            (entry, Residency::default())
        }
        Page::Private(frame) => {
            let entry = page_entry(frame.into_entry(), protection, Writes::Direct);
            (entry, Residency::ANONYMOUS)
        }
        Page::Object(frame, writes) => {
            (page_entry(frame.into_entry(), protection, writes), Residency::OBJECT)
        }
    }
}
