//! How memory is used, for `/proc/meminfo` and the tests' audits.

use super::Memory;
use super::meta::Kind;

/// Frames by use. Not one instant: other CPUs go on while this is taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MemoryStats {
    /// Frames that the machine has for us (`MemTotal`).
    pub total: u64,
    /// Free frames, in zones and caches (`MemFree`).
    pub free: u64,
    /// Of the free frames, those that user pages may still take (`MemAvailable`).
    pub available: u64,
}

/// Frames in use, by kind. Takes time in proportion to memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FrameCensus {
    /// Page tables (`PageTables`).
    pub tables: u64,
    /// Private pages of processes (`AnonPages`).
    pub anonymous: u64,
    /// Pages of memory objects (`Cached`, `Shmem`).
    pub object: u64,
    /// The kernel's own: heap, stacks.
    pub kernel: u64,
}

impl Memory {
    /// Totals. Takes each zone's and each cache's lock for a moment.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        let zones: u64 = self.zones.iter().map(|zone| zone.lock().free()).sum();
        let caches: u64 = self.caches.iter().map(|cache| u64::from(cache.lock().count())).sum();
        let free = zones + caches;
        let available = free.saturating_sub(self.user_floor);
        MemoryStats { total: self.total, free, available }
    }

    /// Counts every frame by kind, without locks.
    #[must_use]
    pub fn census(&self) -> FrameCensus {
        let mut census = FrameCensus::default();
        for meta in self.metas {
            match meta.kind() {
                Kind::Table => census.tables += 1,
                Kind::Anonymous => census.anonymous += 1,
                Kind::Object => census.object += 1,
                Kind::Kernel => census.kernel += 1,
                Kind::Absent | Kind::Free | Kind::FreeTail | Kind::Cached => {}
            }
        }
        census
    }

    /// Free frames in zones, from one relaxed read: for deciding, not for reporting.
    #[must_use]
    pub fn free_hint(&self) -> u64 {
        self.free.load(arch::sync::atomic::Ordering::Relaxed)
    }
}
