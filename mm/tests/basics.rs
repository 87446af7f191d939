//! What each operation does, on a simulated machine whose TLBs go stale.

mod common;

use std::sync::Arc;

use arch::addr::UserAddr;
use common::{Machine, PAGE};
use mm::object::PagedObject;
use mm::space::{Advice, LockMode, MapOptions, MapRequest, Remap, RemapTarget, Source};
use mm::{FaultError, Limits, MmError, ObjectRange, Protection, VmaFlags};

const RW: Protection = Protection::READ.union(Protection::WRITE);

fn at(address: u64) -> UserAddr {
    UserAddr::try_new(address).expect("a user address")
}

#[test]
fn memory_reads_as_zero_and_keeps_what_is_written() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let start = space.map(&MapRequest::anonymous(3 * PAGE, RW), &Limits::NONE).expect("mapped");
    let mut user = machine.enter(&space, 0);
    assert_eq!(user.read(start.as_u64()), Ok(0));
    assert_eq!(user.write(start.as_u64() + PAGE, 7), Ok(()));
    assert_eq!(user.read(start.as_u64() + PAGE), Ok(7));
    assert_eq!(user.read(start.as_u64() + 3 * PAGE), Err(FaultError::MapErr));
    assert_eq!(space.usage().resident, 1, "the zero page does not count");
    drop(user);
    machine.audit(&[&space]);
    drop(space);
    machine.assert_all_free();
}

#[test]
fn fork_shares_until_either_side_writes() {
    let machine = Machine::new(16 << 20);
    let parent = machine.space();
    let start = parent.map(&MapRequest::anonymous(4 * PAGE, RW), &Limits::NONE).expect("mapped");
    let start = start.as_u64();
    machine.enter(&parent, 0).write(start, 1).expect("writable");
    machine.enter(&parent, 0).write(start + PAGE, 2).expect("writable");
    let child = parent.fork().expect("forked");
    machine.audit(&[&parent, &child]);
    assert_eq!(machine.enter(&child, 1).write(start, 11), Ok(()));
    assert_eq!(machine.enter(&parent, 0).read(start), Ok(1));
    assert_eq!(machine.enter(&parent, 0).write(start + PAGE, 12), Ok(()));
    assert_eq!(machine.enter(&child, 1).read(start + PAGE), Ok(2));
    machine.audit(&[&parent, &child]);
    let grandchild = child.fork().expect("forked");
    assert_eq!(machine.enter(&grandchild, 2).read(start), Ok(11));
    drop(child);
    assert_eq!(machine.enter(&grandchild, 2).write(start, 111), Ok(()));
    machine.audit(&[&parent, &grandchild]);
    drop((parent, grandchild));
    machine.assert_all_free();
}

#[test]
fn a_sole_owner_gets_its_region_back_in_one_fault() {
    let machine = Machine::new(16 << 20);
    let parent = machine.space();
    let start = parent.map(&MapRequest::anonymous(64 * PAGE, RW), &Limits::NONE).expect("mapped");
    let start = start.as_u64();
    for page in 0..64 {
        machine.enter(&parent, 0).write(start + page * PAGE, page as u8).expect("writable");
    }
    drop(parent.fork().expect("forked"));
    let before = machine.counter("faults");
    for page in 0..64 {
        machine.enter(&parent, 0).write(start + page * PAGE, 9).expect("writable");
    }
    assert_eq!(machine.counter("faults") - before, 1);
    assert_eq!(machine.counter("copied_frames"), 0);
}

#[test]
fn unmapping_and_protecting_flush_other_cpus() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let start = space.map(&MapRequest::anonymous(8 * PAGE, RW), &Limits::NONE).expect("mapped");
    let a = start.as_u64();
    machine.enter(&space, 0).write(a, 1).expect("writable");
    machine.enter(&space, 1).write(a + PAGE, 1).expect("writable");
    space.protect(start, PAGE, Protection::READ).expect("protected");
    assert_eq!(machine.enter(&space, 1).write(a, 2), Err(FaultError::AccErr));
    assert_eq!(machine.enter(&space, 0).write(a, 2), Err(FaultError::AccErr));
    space.protect(start, PAGE, Protection::empty()).expect("protected");
    assert_eq!(machine.enter(&space, 1).read(a), Err(FaultError::AccErr));
    space.protect(start, PAGE, RW).expect("protected");
    assert_eq!(machine.enter(&space, 1).read(a), Ok(1));
    space.unmap(start, 2 * PAGE).expect("unmapped");
    assert_eq!(machine.enter(&space, 0).read(a), Err(FaultError::MapErr));
    assert_eq!(machine.enter(&space, 1).read(a + PAGE), Err(FaultError::MapErr));
    machine.audit(&[&space]);
}

#[test]
fn remapping_moves_pages_and_whole_tables() {
    let machine = Machine::new(32 << 20);
    let space = machine.space();
    let length = 5 << 20;
    let start = space.map(&MapRequest::anonymous(length, RW), &Limits::NONE).expect("mapped");
    for page in 0..length / PAGE {
        machine.enter(&space, 0).write(start.as_u64() + page * PAGE, page as u8).expect("writable");
    }
    for target in [0x1_0000_0000_u64, 0x2_0000_3000] {
        let old = space.maps().next().expect("one area").vma.start();
        let remap = Remap {
            start: old,
            old_length: length,
            new_length: length + PAGE,
            target: RemapTarget::Fixed(at(target)),
        };
        let child = space.fork().expect("forked");
        let moved = space.remap(&remap, &Limits::NONE).expect("moved");
        assert_eq!(moved.as_u64(), target);
        for page in 0..length / PAGE {
            let address = target + page * PAGE;
            assert_eq!(machine.enter(&space, 0).read(address), Ok(page as u8), "{address:#x}");
        }
        assert_eq!(machine.enter(&space, 0).read(old.as_u64()), Err(FaultError::MapErr));
        assert_eq!(machine.enter(&child, 1).read(old.as_u64() + PAGE), Ok(1));
        machine.audit(&[&space, &child]);
        space.unmap(at(target + length), PAGE).expect("unmapped");
    }
    let shrink = |new_length| Remap {
        start: at(0x2_0000_3000),
        old_length: length,
        new_length,
        target: RemapTarget::InPlace,
    };
    assert!(space.remap(&shrink(PAGE), &Limits::NONE).is_ok());
    assert_eq!(space.usage().resident, 1);
    assert_eq!(space.usage().mapped, PAGE);
    drop(space);
    machine.assert_all_free();
}

#[test]
fn a_locked_area_that_is_left_hands_its_lock_on() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let start = space.map(&MapRequest::anonymous(4 * PAGE, RW), &Limits::NONE).expect("mapped");
    let tight = Limits { locked: 4 * PAGE, ..Limits::NONE };
    space.lock_range(start, 4 * PAGE, LockMode::Now, &tight).expect("locked");
    for target in [
        RemapTarget::LeaveOld(UserAddr::NULL),
        RemapTarget::LeaveOld(at(0x5000_0000)),
        RemapTarget::FixedLeaveOld(at(0x6000_0000)),
    ] {
        let remap = Remap { start, old_length: 4 * PAGE, new_length: 4 * PAGE, target };
        space.lock_range(start, 4 * PAGE, LockMode::Now, &tight).expect("locked");
        let moved = space.remap(&remap, &tight).expect("moved");
        match target {
            RemapTarget::LeaveOld(UserAddr::NULL) => assert_ne!(moved, start),
            RemapTarget::LeaveOld(place) | RemapTarget::FixedLeaveOld(place) => {
                assert_eq!(moved, place);
            }
            _ => unreachable!("another target"),
        }
        assert_eq!(space.usage().locked, 4 * PAGE);
        let unlocked = space.find_area(start).expect("left").flags;
        assert!(!unlocked.contains(VmaFlags::LOCKED));
        machine.audit(&[&space]);
        space.unmap(moved, 4 * PAGE).expect("unmapped");
    }
}

#[test]
fn the_heap_and_the_stack_grow() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let (heap, _) = space.heap();
    let end = heap.checked_add(5000).expect("in range");
    assert_eq!(space.brk(end, &Limits::NONE, 0), end);
    assert_eq!(machine.enter(&space, 0).write(heap.as_u64() + 8191, 1), Ok(()));
    assert_eq!(space.brk(heap, &Limits::NONE, 0), heap);
    assert!(machine.enter(&space, 0).read(heap.as_u64()).is_err());
    let top = space.layout().stack_top;
    let base = at(top.as_u64() - PAGE);
    let mut stack = MapRequest::anonymous(PAGE, RW).fixed_at(base);
    stack.options = MapOptions::GROWS_DOWN;
    space.map(&stack, &Limits::NONE).expect("mapped");
    assert_eq!(machine.enter(&space, 0).write(base.as_u64() - 5 * PAGE, 1), Ok(()));
    assert_eq!(space.usage().stack, 6 * PAGE);
    let tight = Limits { stack: 6 * PAGE, ..Limits::NONE };
    let below = at(base.as_u64() - 6 * PAGE).to_virt();
    let grown = space.handle_fault(below, arch::context::Access::Write, &tight);
    assert_eq!(grown, Err(FaultError::MapErr));
}

#[test]
fn a_file_mapping_that_grows_down_shows_earlier_bytes() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), 4 * PAGE));
    (0..4).for_each(|page| {
        object.write_at(page * PAGE, &[10 + page as u8]).expect("written");
    });
    let space = machine.space();
    let range = ObjectRange { object, offset: 2 * PAGE, file: None };
    let mut request = MapRequest {
        source: Source::Private(range),
        ..MapRequest::anonymous(PAGE, RW).fixed_at(at(0x1000_0000))
    };
    request.options = MapOptions::GROWS_DOWN;
    space.map(&request, &Limits::NONE).expect("mapped");
    let mut user = machine.enter(&space, 0);
    assert_eq!(user.read(0x1000_0000), Ok(12));
    assert_eq!(user.read(0x1000_0000 - PAGE), Ok(11));
    assert_eq!(user.read(0x1000_0000), Ok(12));
    assert_eq!(user.read(0x1000_0000 - 3 * PAGE), Err(FaultError::MapErr), "before the file");
    assert_eq!(user.read(0x1000_0000 - 2 * PAGE), Ok(10));
}

#[test]
fn placement_follows_hints_and_refuses_overlap() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let fixed = MapRequest::anonymous(PAGE, RW).fixed_at(at(0x10_0000));
    assert_eq!(space.map(&fixed, &Limits::NONE), Ok(at(0x10_0000)));
    let careful = MapRequest { placement: mm::space::Placement::FixedNoReplace, ..fixed.clone() };
    assert_eq!(space.map(&careful, &Limits::NONE), Err(MmError::Exists));
    let hint = MapRequest { placement: mm::space::Placement::Hint, ..fixed.clone() };
    assert_ne!(space.map(&hint, &Limits::NONE), Ok(at(0x10_0000)));
    let zero = MapRequest::anonymous(0, RW);
    assert_eq!(space.map(&zero, &Limits::NONE), Err(MmError::InvalidArgument));
    let huge = MapRequest::anonymous(1 << 47, RW);
    assert_eq!(space.map(&huge, &Limits::NONE), Err(MmError::NoMemory));
    let limited = Limits { address_space: 2 * PAGE, ..Limits::NONE };
    let two = MapRequest::anonymous(2 * PAGE, RW);
    assert_eq!(space.map(&two, &limited), Err(MmError::NoMemory));
}

#[test]
fn discarded_pages_read_as_zero_again() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let start = space.map(&MapRequest::anonymous(4 * PAGE, RW), &Limits::NONE).expect("mapped");
    machine.enter(&space, 0).write(start.as_u64(), 5).expect("writable");
    machine.enter(&space, 1).read(start.as_u64()).expect("readable");
    let child = space.fork().expect("forked");
    space.advise(start, 4 * PAGE, Advice::DontNeed).expect("discarded");
    assert_eq!(machine.enter(&space, 1).read(start.as_u64()), Ok(0));
    assert_eq!(machine.enter(&child, 0).read(start.as_u64()), Ok(5));
    machine.audit(&[&space, &child]);
}

#[test]
fn advice_for_fork_is_followed() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let start = space.map(&MapRequest::anonymous(4 * PAGE, RW), &Limits::NONE).expect("mapped");
    let a = start.as_u64();
    for page in 0..4 {
        machine.enter(&space, 0).write(a + page * PAGE, 5).expect("writable");
    }
    space.advise(start, PAGE, Advice::DontFork).expect("advised");
    space.advise(at(a + PAGE), PAGE, Advice::WipeOnFork).expect("advised");
    let child = space.fork().expect("forked");
    assert_eq!(machine.enter(&child, 1).read(a), Err(FaultError::MapErr));
    assert_eq!(machine.enter(&child, 1).read(a + PAGE), Ok(0));
    assert_eq!(machine.enter(&child, 1).read(a + 2 * PAGE), Ok(5));
    assert_eq!(machine.enter(&space, 1).read(a), Ok(5));
    machine.audit(&[&space, &child]);
}
