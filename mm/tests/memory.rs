//! Frames, the heap, credit, and what happens when memory runs out.

mod common;

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::Arc;

use arch::memory::SimulatedMemory;
use common::{CPUS, Machine, PAGE};
use mm::heap::Heap;
use mm::memory::{Kind, MAX_ORDER};
use mm::object::{ObjectError, PagedObject};
use mm::space::{Advice, MapOptions, MapRequest, Source};
use mm::{
    Content, FaultError, FreeRange, Limits, Memory, MmError, ObjectRange, OutOfMemory, Protection,
    Urgency,
};
use proptest::prelude::*;

const RW: Protection = Protection::READ.union(Protection::WRITE);

#[test]
fn memory_with_holes_is_used_whole() {
    let block = Box::leak(Box::new(SimulatedMemory::new(64 << 20)));
    let piece = |start: u64, bytes| {
        // SAFETY: nobody else uses the block, and the pieces do not overlap.
        unsafe { FreeRange::new(block.start().offset(start), bytes) }
    };
    let ranges = [piece(0x1800, 0x9_e000), piece(1 << 20, 20 << 20), piece(30 << 20, 34 << 20)];
    let memory = Memory::new(ranges, CPUS);
    let stats = memory.stats();
    assert_eq!(stats.total, ranges.iter().map(FreeRange::frames).sum::<u64>());
    assert!(stats.free > stats.total * 98 / 100, "{stats:?}");
    let mut blocks = Vec::new();
    for order in (0..=MAX_ORDER).rev() {
        while let Ok(first) = memory.alloc_pages(order, Urgency::Critical) {
            blocks.push((first, 1 << order));
        }
    }
    assert_eq!(memory.stats().free, 0);
    let mut numbers: Vec<u64> =
        blocks.iter().flat_map(|(first, count)| first.number()..first.number() + count).collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "handed out twice");
    blocks.into_iter().for_each(|(first, count)| memory.free_pages(first, count));
    memory.drain_caches();
    assert_eq!(memory.stats(), stats);
    assert!(memory.alloc_pages(MAX_ORDER, Urgency::Kernel).is_ok(), "blocks have joined again");
}

#[test]
fn users_leave_the_reserve_to_the_kernel() {
    let machine = Machine::new(8 << 20);
    let memory = machine.memory();
    let mut frames = Vec::new();
    while let Ok(frame) = memory.alloc_frame(Kind::Anonymous, Content::Undefined) {
        frames.push(frame);
    }
    let left = memory.stats().free;
    assert!(left > 0);
    assert_eq!(memory.stats().available, 0);
    let credit = memory.credit(16).expect("the reserve covers it");
    let mut kernel = Vec::new();
    while let Ok(frame) = memory.alloc_frame_for(Kind::Kernel, Content::Undefined, Urgency::Kernel)
    {
        kernel.push(frame);
    }
    assert!(!kernel.is_empty());
    assert!(memory.credit(64).is_err());
    assert!(memory.alloc_frame_for(Kind::Kernel, Content::Undefined, Urgency::Critical).is_ok());
    drop((frames, kernel, credit));
    machine.assert_all_free();
    assert!(memory.credit(64).is_ok());
}

#[test]
fn the_failure_hook_fails_once() {
    let machine = Machine::new(8 << 20);
    let memory = machine.memory();
    memory.fail_nth(2);
    assert!(memory.credit(4).is_ok());
    assert_eq!(memory.credit(4).err(), Some(OutOfMemory));
    assert!(memory.credit(4).is_ok());
}

/// Every operation, with the n-th allocation failing, for each n until it succeeds: nothing leaks, nothing breaks.
#[test]
fn running_out_at_any_point_is_clean() {
    let machine = Machine::new(16 << 20);
    let memory = machine.memory();
    let request = MapRequest::anonymous(600 * PAGE, RW);
    for operation in 0..5 {
        for n in 1.. {
            let space = machine.space();
            let at = space.map(&request, &Limits::NONE).expect("mapped");
            let address = at.as_u64();
            machine.enter(&space, 0).write(address, 1).expect("writable");
            machine.enter(&space, 0).write(address + 599 * PAGE, 2).expect("writable");
            let child = space.fork().expect("forked");
            memory.fail_nth(n);
            let failed = match operation {
                0 => space.fork().is_err(),
                1 => machine.enter(&space, 0).write(address, 3) == Err(FaultError::NoMemory),
                2 => child.unmap(at, 300 * PAGE) == Err(MmError::NoMemory),
                3 => child.protect(at, 600 * PAGE, Protection::READ) == Err(MmError::NoMemory),
                _ => {
                    let remap = mm::space::Remap {
                        start: at,
                        old_length: 600 * PAGE,
                        new_length: 601 * PAGE,
                        target: mm::space::RemapTarget::Fixed(
                            arch::addr::UserAddr::try_new(0x5000_0000_3000).expect("in range"),
                        ),
                    };
                    child.remap(&remap, &Limits::NONE) == Err(MmError::NoMemory)
                }
            };
            memory.fail_nth(0);
            machine.audit(&[&space, &child]);
            if failed {
                assert_eq!(machine.enter(&child, 1).read(address), Ok(1));
                assert_eq!(machine.enter(&child, 1).read(address + 599 * PAGE), Ok(2));
                assert_eq!(machine.enter(&child, 1).write(address, 4), Ok(()));
            }
            assert_eq!(machine.enter(&space, 0).read(address + 599 * PAGE), Ok(2));
            machine.audit(&[&space, &child]);
            drop((space, child));
            machine.assert_all_free();
            if !failed {
                assert!(n > 1, "operation {operation} allocates nothing");
                break;
            }
        }
    }
}

/// Truncation while nothing is left, not even the reserve: the spaces that share tables are told of later.
#[test]
fn truncation_without_memory_is_made_up_for() {
    let machine = Machine::new(8 << 20);
    let memory = machine.memory();
    let object = Arc::new(PagedObject::new(memory, 4 * PAGE));
    let space = machine.space();
    let range = ObjectRange { object: object.clone(), offset: 0, file: None };
    let request =
        MapRequest { source: Source::Private(range), ..MapRequest::anonymous(4 * PAGE, RW) };
    let at = space.map(&request, &Limits::NONE).expect("mapped").as_u64();
    machine.enter(&space, 0).write(at, 1).expect("writable");
    machine.enter(&space, 0).read(at + 3 * PAGE).expect("readable");
    let child = space.fork().expect("forked");
    let mut taken = Vec::new();
    while let Ok(frame) =
        memory.alloc_frame_for(Kind::Kernel, Content::Undefined, Urgency::Critical)
    {
        taken.push(frame);
    }
    assert_eq!(object.resize(2 * PAGE), Err(ObjectError::OutOfMemory));
    assert_eq!(object.size(), 2 * PAGE);
    drop(taken);
    assert_eq!(object.resize(2 * PAGE), Ok(()));
    for space in [&space, &child] {
        assert_eq!(machine.enter(space, 0).read(at + 3 * PAGE), Err(FaultError::Bus));
        assert_eq!(machine.enter(space, 0).read(at), Ok(1));
    }
    drop((space, child, request, object));
    machine.assert_all_free();
}

/// A fork that fails in its last step takes the child's copies back.
#[test]
fn a_fork_that_fails_half_way_leaves_nothing() {
    let machine = Machine::new(8 << 20);
    let memory = machine.memory();
    for n in 1.. {
        let space = machine.space();
        let request = MapRequest::anonymous(600 * PAGE, RW);
        let at = space.map(&request, &Limits::NONE).expect("mapped");
        for page in 0..600 {
            machine.enter(&space, 0).write(at.as_u64() + page * PAGE, 1).expect("writable");
        }
        space.advise(at, 300 * PAGE, Advice::WipeOnFork).expect("private and anonymous");
        memory.fail_nth(n);
        let forked = space.fork();
        memory.fail_nth(0);
        let done = forked.is_ok();
        drop(forked);
        assert_eq!(machine.enter(&space, 0).read(at.as_u64()), Ok(1));
        machine.audit(&[&space]);
        drop(space);
        machine.assert_all_free();
        if done {
            assert!(n > 3, "the root and a path are copied");
            break;
        }
    }
}

#[test]
fn a_hog_gets_an_error_and_everything_comes_back() {
    let machine = Machine::new(8 << 20);
    let space = machine.space();
    let mut request = MapRequest::anonymous(1 << 30, RW);
    assert_eq!(space.map(&request, &Limits::NONE), Err(MmError::NoMemory));
    request.options = MapOptions::NO_RESERVE;
    let at = space.map(&request, &Limits::NONE).expect("mapped").as_u64();
    let mut user = machine.enter(&space, 0);
    let refused = (0..).map(|page| user.write(at + page * PAGE, 1)).find(Result::is_err);
    assert_eq!(refused, Some(Err(FaultError::NoMemory)));
    drop((user, space));
    machine.assert_all_free();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Objects do not overlap, are aligned, keep their content, and all memory comes back.
    #[test]
    fn the_heap_hands_out_what_it_promises(
        steps in prop::collection::vec((0usize..6000, 0u32..8, any::<bool>()), 1..400),
    ) {
        let machine = Machine::new(8 << 20);
        let heap = Heap::new(machine.memory(), CPUS);
        let mut live: BTreeMap<usize, (Layout, u8)> = BTreeMap::new();
        for (size, align, free) in steps {
            if let Some((address, (layout, byte))) = live.pop_first().filter(|_| free) {
                let object = std::ptr::with_exposed_provenance_mut::<u8>(address);
                // SAFETY: the object is live and has this layout.
                let bytes = unsafe { std::slice::from_raw_parts(object, layout.size()) };
                prop_assert!(bytes.iter().all(|found| *found == byte));
                heap.free(object, layout);
            }
            let layout = Layout::from_size_align(size.max(1), 1 << align).expect("valid");
            let object = heap.allocate(layout);
            prop_assert!(!object.is_null());
            let address = object.expose_provenance();
            prop_assert_eq!(address % layout.align(), 0);
            let below = live.range(..address).next_back();
            prop_assert!(below.is_none_or(|(start, (layout, _))| start + layout.size() <= address));
            let above = live.range(address..).next();
            prop_assert!(above.is_none_or(|(start, _)| address + layout.size() <= *start));
            let byte = (size % 251) as u8;
            // SAFETY: the object is ours, of this size.
            unsafe { object.write_bytes(byte, layout.size()) };
            live.insert(address, (layout, byte));
        }
        for (address, (layout, _)) in live {
            heap.free(std::ptr::with_exposed_provenance_mut(address), layout);
        }
    }
}
