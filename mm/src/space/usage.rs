//! How much an address space uses, for `/proc/PID/{stat,statm,status}` and for limits.

use arch::addr::UserAddr;

use super::AddressSpace;
use crate::table::survey::{Leaves, survey};
use crate::vma::tree::{AREA_BYTES, Tree};
use crate::vma::{Protection, Range, Vma, VmaFlags};

/// Entries that are looked at under one hold of the lock.
const LOOKS: u64 = 16_384;

/// Sums over the areas, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Totals {
    pub mapped: u64,
    pub data: u64,
    pub stack: u64,
    pub locked: u64,
    pub executable: u64,
    pub peak_mapped: u64,
    /// Largest resident set seen whenever it was about to shrink, in pages.
    pub peak_resident: u64,
}

impl Totals {
    pub(super) fn add(&mut self, vma: &Vma) {
        self.each(vma, |total, bytes| *total += bytes);
        self.peak_mapped = self.peak_mapped.max(self.mapped);
    }

    pub(super) fn subtract(&mut self, areas: &Tree) {
        areas.visit(|vma| self.remove(vma));
    }

    pub(super) fn remove(&mut self, vma: &Vma) {
        self.each(vma, |total, bytes| *total -= bytes);
    }

    fn each(&mut self, vma: &Vma, change: impl Fn(&mut u64, u64)) {
        let bytes = vma.range.bytes();
        change(&mut self.mapped, bytes);
        if vma.is_data() {
            change(&mut self.data, bytes);
        }
        if vma.flags.contains(VmaFlags::GROWS_DOWN) {
            change(&mut self.stack, bytes);
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            change(&mut self.locked, bytes);
        }
        if vma.protection.contains(Protection::EXECUTE) {
            change(&mut self.executable, bytes);
        }
    }
}

/// What a space uses. Sizes in bytes, resident sets in pages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Mapped address space (`VmSize`), in bytes.
    pub mapped: u64,
    /// Its peak (`VmPeak`), in bytes.
    pub peak_mapped: u64,
    /// Private writable mappings (`VmData`), in bytes.
    pub data: u64,
    /// Stacks (`VmStk`), in bytes.
    pub stack: u64,
    /// Locked mappings (`VmLck`), in bytes.
    pub locked: u64,
    /// Executable mappings (`VmExe` and `VmLib`), in bytes.
    pub executable: u64,
    /// Pages mapped (`VmRSS`). A page that fork shares counts in each space.
    pub resident: u64,
    /// Of these, pages of objects (`RssFile` and `RssShmem`).
    pub shared: u64,
    /// Largest resident set so far (`VmHWM`), in pages.
    pub peak_resident: u64,
    /// Number of areas.
    pub areas: usize,
}

impl Usage {
    /// Kernel memory that the areas take, in bytes. What fork shares counts in each space.
    #[must_use]
    pub fn area_bytes(&self) -> usize {
        self.areas * AREA_BYTES
    }
}

impl AddressSpace {
    /// What the space uses, exactly, in constant time: the root's record holds the sums of the tree. Takes the lock shared.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.state.read();
        let totals = state.totals;
        let residency = self.memory.meta(self.root).residency();
        let resident = residency.pages as u64;
        Usage {
            mapped: totals.mapped,
            peak_mapped: totals.peak_mapped,
            data: totals.data,
            stack: totals.stack,
            locked: totals.locked,
            executable: totals.executable,
            resident,
            shared: residency.shared as u64,
            peak_resident: totals.peak_resident.max(resident),
            areas: state.areas.len(),
        }
    }

    /// Frames that the page tables of this space take. A table that fork shares counts in each space. Takes the lock
    /// exclusively, again and again for a short time; what changes meanwhile may count or not.
    #[must_use]
    pub fn table_frames(&self) -> u64 {
        let mut frames = 1;
        let mut rest = Range::new(UserAddr::NULL, UserAddr::END);
        while let Some(range) = rest {
            let _state = self.lock();
            let walked = survey(self.root, range, LOOKS, Leaves::Count);
            frames += walked.tables;
            rest = Range::new(walked.range.end(), range.end());
        }
        frames
    }

    /// Notes the resident set before it shrinks.
    pub(super) fn note_peak(&self, totals: &mut Totals) {
        let resident = self.memory.meta(self.root).residency().pages as u64;
        totals.peak_resident = totals.peak_resident.max(resident);
    }
}
