//! Making a [`Memory`]: where its arrays go, and handing everything else to the zones.

use arch::addr::Frame;
use arch::sync::atomic::{AtomicU32, AtomicU64};
use arch::sync::{Rank, SpinLock};
use crossbeam_utils::CachePadded;

use super::cache::Cache;
use super::meta::{FrameMeta, Kind};
use super::zone::{MAX_ORDER, Zone, ZoneLock};
use super::{Memory, SHARDS};
use crate::counters::Counters;
use crate::raw::{self, FreeRange, carve, frames_for};

/// Ranges that are considered; firmware maps have a few dozen entries.
const MAX_RANGES: usize = 128;
/// More zones than CPUs that refill at once do not help.
const MAX_ZONES: u64 = 8;
/// Smaller zones would fragment for nothing.
const MIN_ZONE_FRAMES: u64 = 16 << MAX_ORDER;

/// Takes the arrays from the front of the largest range that has room.
struct Carver {
    ranges: [Option<FreeRange>; MAX_RANGES],
}

impl Carver {
    fn take(&mut self, frames: u64) -> FreeRange {
        let slot = self.ranges.iter_mut().flatten().max_by_key(|range| range.frames());
        let range = slot.expect("memory has ranges");
        assert!(range.frames() > frames, "too little memory to describe memory");
        let (front, rest) = range.split_off_front(frames);
        *range = rest;
        front
    }

    fn array<T>(&mut self, count: usize, make: impl FnMut(usize) -> T) -> &'static [T] {
        carve(self.take(frames_for::<T>(count)), count, make)
    }
}

impl Memory {
    /// The memory of a machine with up to `cpus` CPUs. Everything lives in the ranges themselves.
    ///
    /// Ranges beyond the first 128 are left out, and so are those so far away that their records would not pay.
    ///
    /// # Panics
    /// When the ranges hold too little to describe them: less than about 1 MiB.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = FreeRange>, cpus: usize) -> &'static Self {
        let mut kept = [None; MAX_RANGES];
        let usable = ranges.into_iter().filter(|range| range.frames() > 0);
        kept.iter_mut().zip(usable).for_each(|(slot, range)| *slot = Some(range));
        let (base, end) = span(&mut kept);
        let mut carver = Carver { ranges: kept };
        let total = carver.ranges.iter().flatten().map(FreeRange::frames).sum::<u64>();
        let metas = carver.array((end - base) as usize, |_| FrameMeta::absent());
        let (zones, zone_frames) = make_zones(&mut carver, end - base, cpus);
        let shards =
            carver.array(SHARDS, |_| CachePadded::new(SpinLock::new(Rank::FRAME_SHARD, ())));
        let caches = carver
            .array(cpus, |_| CachePadded::new(SpinLock::new(Rank::FRAME_CACHE, Cache::new())));
        let counters = carver.array(cpus, |_| CachePadded::new(Counters::default()));
        let zero = carver.take(1).start();
        let home = carver.take(frames_for::<Self>(1));
        let user_floor = (total / 64).clamp(8, 4096);
        let memory = &carve(home, 1, |_| Self {
            base,
            window: raw::address(Frame::new(base)),
            metas,
            shards,
            zones,
            zone_frames,
            caches,
            counters,
            total,
            free: CachePadded::new(AtomicU64::new(0)),
            user_floor,
            kernel_floor: user_floor / 8,
            promised: AtomicU64::new(0),
            fail_after: AtomicU64::new(0),
            identities: CachePadded::new(AtomicU64::new(0)),
            huge_pages: AtomicU64::new(0),
            huge_policy: AtomicU32::new(super::HugePolicy::Madvise as u32),
            is_interrupted: spin::Once::new(),
            zero,
        })[0];
        memory.adopt_zero_frame();
        carver.ranges.iter().flatten().for_each(|range| memory.adopt(*range));
        memory
    }

    fn adopt_zero_frame(&self) {
        raw::zero(self.zero);
        let meta = self.meta(self.zero);
        meta.set_kind(Kind::Kernel);
        meta.count.make_immortal();
    }

    /// Gives a range to the zones in the largest aligned blocks.
    fn adopt(&self, range: FreeRange) {
        let first = range.start();
        let end = first.number() + range.frames();
        let mut number = first.number();
        while number < end {
            let aligned = number.trailing_zeros().min(MAX_ORDER);
            let fitting = (end - number).ilog2().min(MAX_ORDER);
            let order = aligned.min(fitting);
            self.zone_give(self.index(Frame::new(number)), order);
            number += 1 << order;
        }
    }
}

/// First and end frame number of the ranges, rounded to the largest block. Drops the highest ranges until the records of
/// the whole span fit into the largest range with room to spare.
fn span(ranges: &mut [Option<FreeRange>; MAX_RANGES]) -> (u64, u64) {
    loop {
        let all = || ranges.iter().flatten();
        let low = all().map(|range| range.start().number()).min().expect("there is memory");
        let end = all().map(|range| range.start().number() + range.frames()).max().unwrap_or(low);
        let block = 1 << MAX_ORDER;
        let (low, end) = (low / block * block, end.next_multiple_of(block));
        let largest = all().map(FreeRange::frames).max().unwrap_or(0);
        if frames_for::<FrameMeta>((end - low) as usize) <= largest / 2 || all().count() == 1 {
            return (low, end);
        }
        let highest = ranges.iter_mut().filter(|range| range.is_some());
        let highest = highest.max_by_key(|range| range.map(|range| range.start()));
        *highest.expect("there is more than one range") = None;
    }
}

fn make_zones(
    carver: &mut Carver,
    frames: u64,
    cpus: usize,
) -> (&'static [CachePadded<ZoneLock>], u64) {
    let wanted = (frames / MIN_ZONE_FRAMES).min(cpus as u64).clamp(1, MAX_ZONES);
    let zone_frames = frames.div_ceil(wanted).next_multiple_of(1 << MAX_ORDER);
    let count = frames.div_ceil(zone_frames) as usize;
    let zones = carver.array(count, |_| CachePadded::new(SpinLock::new(Rank::FRAMES, Zone::new())));
    (zones, zone_frames)
}
