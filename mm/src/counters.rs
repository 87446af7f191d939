//! What the memory manager counts. One table; per CPU, always on; read through `/proc/vmstat`.

use arch::sync::atomic::{AtomicU64, Ordering};

use crate::memory::Memory;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// One CPU's counters. Any CPU may read them; sums are exact once everything is quiet.
        #[derive(Debug)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: AtomicU64,)*
        }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($name: AtomicU64::new(0),)* }
            }
        }

        /// Each counter's name and sentence, in the order of [`Memory::counter_totals`].
        pub const DESCRIPTIONS: &[(&str, &str)] =
            &[$((stringify!($name), concat!($($doc),*)),)*];

        impl Counters {
            fn values(&self) -> [u64; DESCRIPTIONS.len()] {
                [$(self.$name.load(Ordering::Relaxed),)*]
            }
        }
    };
}

counters! {
    /// Address spaces forked.
    forks,
    /// Page faults handled, of every sort.
    faults,
    /// Faults on pages that were permitted already: another CPU was first, or the TLB was stale.
    spurious_faults,
    /// Pages of zeros supplied on first touch.
    zero_faults,
    /// Pages of objects mapped on first touch.
    object_faults,
    /// Huge pages supplied on first touch.
    huge_faults,
    /// Huge pages that were split into single pages, because a part of one was written, unmapped, protected or moved.
    huge_splits,
    /// Faults in which the write bit of a sole owner's huge page came back without a copy.
    sole_owner_huge_pages,
    /// Frames copied because a shared page was written.
    copied_frames,
    /// Tables of level 1 copied on the way to a write.
    path_copies_level_1,
    /// Tables of level 2 copied on the way to a write.
    path_copies_level_2,
    /// Tables of level 3 copied on the way to a write.
    path_copies_level_3,
    /// Faults in which the write bit of a sole owner's table came back, with everything below it.
    sole_owner_tables,
    /// Faults in which the write bit of a sole owner's page came back without a copy.
    sole_owner_pages,
    /// Subtrees dropped by a single decrement because others still share them.
    shared_drops,
    /// Shootdowns: changes that made translations invalid.
    shootdowns,
    /// Shootdowns that needed no other CPU.
    shootdowns_local,
    /// CPUs interrupted for shootdowns.
    shootdown_targets,
    /// Lazy CPUs that a shootdown left alone.
    shootdown_skipped,
    /// Pages that shootdowns flushed one by one.
    shootdown_pages,
    /// Shootdowns that flushed whole address spaces.
    shootdown_full,
    /// Copied pages that no TLB held, so that no CPU was interrupted for them.
    shootdowns_spared,
    /// Stack mappings grown by a fault.
    stack_growths,
    /// Faults that failed for want of memory.
    faults_out_of_memory,
}

/// Adds to one counter of the current CPU.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    // Relaxed: a statistic that orders nothing.
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Memory {
    /// The sums over all CPUs, in the order of [`DESCRIPTIONS`].
    #[must_use]
    pub fn counter_totals(&self) -> [u64; DESCRIPTIONS.len()] {
        let mut totals = [0; DESCRIPTIONS.len()];
        for counters in self.all_counters() {
            for (total, value) in totals.iter_mut().zip(counters.values()) {
                *total += value;
            }
        }
        totals
    }
}
