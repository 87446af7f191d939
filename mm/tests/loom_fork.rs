//! A model of fork against a fault and a write in the same space (I5, I14): from the moment that fork returns, nobody changes what
//! the child sees.
#![cfg(loom)]

mod models;

use arch::addr::{Frame, VirtAddr};
use arch::cpu::{CpuId, CpuMask};
use arch::paging::{Entry, EntryFlags};
use arch::tlb::{Context, Processor, Range, Shootdowns, Tables};
use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use mm::count::Count;
use mm::raw::Table;
use mm::table::node::share_entry;

/// A space with one page, which its root leads to at once. Its lock is a flag in place of the kernel's lock, which loom cannot see
/// into; with one thread that faults it need not be shared.
struct Space {
    shootdowns: Shootdowns,
    context: Context,
    locked: AtomicBool,
    root: Table,
    count: Count,
    page: AtomicU32,
    /// The parent's page after copy-on-write.
    copy: AtomicU32,
    forked: AtomicBool,
}

impl Space {
    fn new(flags: EntryFlags) -> Arc<Self> {
        let shootdowns = Shootdowns::new();
        let context = Context::new_in(&shootdowns);
        let root = Table::empty();
        root.store(0, Entry::new(Frame::new(0), flags | EntryFlags::PRESENT | EntryFlags::USER));
        Arc::new(Self {
            shootdowns,
            context,
            locked: AtomicBool::new(false),
            root,
            count: Count::new(1),
            page: AtomicU32::new(0),
            copy: AtomicU32::new(0),
            forked: AtomicBool::new(false),
        })
    }

    /// Waiting with interrupts off, a CPU answers shootdowns.
    fn lock(&self, cpu: &Cpu) {
        let (free, taken) = (Ordering::Acquire, Ordering::Relaxed);
        while self.locked.compare_exchange(false, true, free, taken).is_err() {
            self.shootdowns.serve(cpu);
            thread::yield_now();
        }
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
    }

    /// As `AddressSpace::fork`: lock, share, flush, unlock.
    fn fork(&self, cpu: &Cpu) {
        self.lock(cpu);
        self.count.acquire().expect("the count is low");
        let shared = share_entry(&self.root, 0, self.root.load(0));
        assert!(!shared.is_writable());
        let _ = self.shootdowns.flush(cpu, &self.context, Range::All, Tables::Kept);
        self.unlock();
    }

    /// A program's write of `value`, with as many faults as it takes.
    fn write(&self, cpu: &Cpu, value: u32) {
        loop {
            if cpu.writable.get() {
                return self.page.store(value, Ordering::Relaxed);
            }
            if self.root.load(0).is_writable() {
                cpu.writable.set(true);
                continue;
            }
            if self.fault(cpu) {
                return self.copy.store(value, Ordering::Relaxed);
            }
        }
    }

    /// Gives write access back if nobody shares the page; says whether it was copied instead.
    fn fault(&self, cpu: &Cpu) -> bool {
        self.lock(cpu);
        let is_copied = !self.count.is_exclusive();
        if !is_copied {
            self.root.set(0, EntryFlags::WRITABLE);
        }
        self.unlock();
        is_copied
    }
}

/// A CPU whose TLB holds the page's translation, writable or not.
struct Cpu {
    id: usize,
    writable: Cell<bool>,
}

impl Processor for Cpu {
    fn current(&self) -> CpuId {
        CpuId::new(self.id)
    }
    fn load_root(&self, _root: Frame, _pcid: Option<u16>, _keep: bool) {
        self.writable.set(false);
    }
    fn load_kernel_root(&self) {
        self.writable.set(false);
    }
    fn invalidate_page(&self, _address: VirtAddr) {
        self.writable.set(false);
    }
    fn invalidate_all(&self) {
        self.writable.set(false);
    }
    fn interrupt(&self, _targets: &CpuMask) {}
    fn relax(&self) {
        thread::yield_now();
    }
}

fn check(name: &str, flags: EntryFlags) {
    models::check(name, move || {
        let space = Space::new(flags);
        let other = space.clone();
        let writer = thread::spawn(move || {
            let cpu = Cpu { id: 1, writable: Cell::new(false) };
            other.shootdowns.activate(&cpu, &other.context, Frame::new(1));
            other.write(&cpu, 1);
            while !other.forked.load(Ordering::Acquire) {
                other.shootdowns.serve(&cpu);
                thread::yield_now();
            }
            other.write(&cpu, 2);
        });
        space.fork(&Cpu { id: 0, writable: Cell::new(false) });
        let child_sees = space.page.load(Ordering::Relaxed);
        space.forked.store(true, Ordering::Release);
        writer.join().expect("joined");
        assert_eq!(space.page.load(Ordering::Relaxed), child_sees, "the child's page was written");
        assert_eq!(space.copy.load(Ordering::Relaxed), 2);
    });
}

/// The other CPU writes through what it has, or gets, in its TLB.
#[test]
fn a_write_comes_before_the_fork_or_goes_to_a_copy() {
    check("a write against a fork", EntryFlags::WRITABLE);
}

/// The other CPU's fault gives it write access back, or comes after the fork and does not.
#[test]
fn a_fault_comes_before_the_fork_or_finds_the_page_shared() {
    check("a fault against a fork", EntryFlags::empty());
}
