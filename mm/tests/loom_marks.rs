//! A model of the accessed marks (I18): a page that is found without a mark is replaced without a flush, while the table that
//! its entry is in has just been copied, and another CPU goes on reading the page.
//!
//! A flush is what `loom_shootdown` shows it to be: when it is over, the CPU has forgotten, between two of its instructions.
#![cfg(loom)]

mod models;

use arch::addr::Frame;
use arch::paging::{Entry, EntryFlags};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use mm::count::Count;
use mm::memory::FrameMeta;
use mm::raw::Table;
use mm::table::{marks, node};

/// The page that is shared, and the copy in its place.
const OLD: u64 = 1;
const NEW: u64 = 2;

/// What the reading CPU has cached: one translation, and one pointer to a table.
#[derive(Default)]
struct Tlb {
    page: Option<u64>,
    table: Option<usize>,
}

/// A table that another space shares, its copy, the edge that leads to one of them, and the CPU that reads.
struct World {
    tlb: Mutex<Tlb>,
    tables: [Table; 2],
    edge: AtomicUsize,
    record: FrameMeta,
    page_count: Count,
    /// The copy of the page is mapped, and has been written.
    written: AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        let tables = [Table::empty(), Table::empty()];
        // Marked long ago, before the fork whose flush has made every TLB forget the page.
        let flags = EntryFlags::PRESENT | EntryFlags::USER | EntryFlags::ACCESSED;
        tables[0].store(0, Entry::new(Frame::new(OLD), flags));
        Arc::new(Self {
            tlb: Mutex::new(Tlb::default()),
            tables,
            edge: AtomicUsize::new(0),
            record: FrameMeta::absent(),
            page_count: Count::new(1),
            written: AtomicBool::new(false),
        })
    }

    fn flush(&self) {
        *self.tlb.lock().expect("no panic") = Tlb::default();
    }

    /// A fault elsewhere in the table: copies it, installs the copy, flushes.
    fn copy_table(&self) {
        let [source, copy] = &self.tables;
        node::share_children(source, copy, |_| &self.page_count).expect("counts are low");
        marks::clear(copy);
        self.edge.store(1, Ordering::Release);
        marks::complete(&self.record, || self.flush());
    }

    /// A write to the page, once its table is copied: break, copy, make.
    fn copy_page(&self) {
        if self.edge.load(Ordering::Acquire) == 0 {
            return;
        }
        let table = &self.tables[1];
        let old = table.swap(0, Entry::EMPTY);
        if !marks::is_in_no_tlb(&self.record, old) {
            self.flush();
        }
        let flags = EntryFlags::PRESENT | EntryFlags::USER | EntryFlags::WRITABLE;
        table.store(0, Entry::new(Frame::new(NEW), flags));
        self.written.store(true, Ordering::Release);
    }

    /// Reads the page, unless it is just not mapped. Who has seen that it was written sees what was written.
    fn read(&self) {
        let written = self.written.load(Ordering::Acquire);
        if let Some(frame) = self.translate() {
            assert!(!written || frame == NEW, "an old page is read after the new one was written");
        }
    }

    /// One access of the reading CPU, by its caches if they have something.
    fn translate(&self) -> Option<u64> {
        let mut tlb = self.tlb.lock().expect("no panic");
        if let Some(frame) = tlb.page {
            return Some(frame);
        }
        let at = *tlb.table.get_or_insert_with(|| self.edge.load(Ordering::Acquire));
        let entry = self.tables[at].load(0);
        let marked = entry.with_flags(entry.flags() | EntryFlags::ACCESSED);
        if !entry.is_present() || entry != marked && !self.tables[at].replace(0, entry, marked) {
            // A fault forgets.
            *tlb = Tlb::default();
            return None;
        }
        tlb.page = Some(entry.frame().number());
        tlb.page
    }
}

/// One CPU copies the table, one the page, one reads.
#[test]
fn a_page_without_a_mark_is_in_no_tlb() {
    models::check("accessed marks", || {
        let world = World::new();
        let (copier, writer) = (world.clone(), world.clone());
        let copier = thread::spawn(move || copier.copy_table());
        let writer = thread::spawn(move || writer.copy_page());
        for _ in 0..3 {
            world.read();
        }
        copier.join().expect("joined");
        writer.join().expect("joined");
        world.read();
    });
}
