//! What takes long is done in steps: how many there are, what a step allocates, and what is left when the thread is to end.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use arch::addr::UserAddr;
use common::{Machine, PAGE};
use mm::space::{Advice, LockMode, MapOptions, MapRequest};
use mm::vma::tree::MAX_AREAS;
use mm::{AddressSpace, FaultError, Limits, MmError, Protection, Range, VmaFlags};

const RW: Protection = Protection::READ.union(Protection::WRITE);
const BASE: u64 = 0x10_0000_0000;

thread_local! {
    /// How often this thread was asked whether to go on.
    static ASKED: Cell<u64> = const { Cell::new(0) };
    /// After how many times it is to end.
    static ENDS_AFTER: Cell<u64> = const { Cell::new(u64::MAX) };
    /// Bytes that this thread has from the heap, and the most it had.
    static HEAP: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Counts what each thread has.
struct Counting;

fn note(bytes: isize) {
    let (now, most) = HEAP.get();
    HEAP.set((now + bytes, most.max(now + bytes)));
}

// SAFETY: the system's allocator does the work; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much more `act` has from the heap at any one time than before.
fn extra_heap(act: impl FnOnce()) -> isize {
    let (before, _) = HEAP.get();
    HEAP.set((before, before));
    act();
    HEAP.get().1 - before
}

/// How many looks at whether to go on `act` takes.
fn looks(act: impl FnOnce()) -> u64 {
    let before = ASKED.get();
    act();
    ASKED.get() - before
}

fn machine(bytes: usize) -> Machine {
    let machine = Machine::new(bytes);
    machine.memory().ask_for_interruption(|| {
        ASKED.set(ASKED.get() + 1);
        let left = ENDS_AFTER.get();
        ENDS_AFTER.set(left.saturating_sub(1));
        left == 0
    });
    machine
}

/// Runs `act` in a thread that is to end when it was asked `looks` times.
fn ending_after<T>(looks: u64, act: impl FnOnce() -> T) -> T {
    ENDS_AFTER.set(looks);
    let result = act();
    ENDS_AFTER.set(u64::MAX);
    result
}

fn at(address: u64) -> UserAddr {
    UserAddr::try_new(address).expect("a user address")
}

/// A space with `count` areas from `BASE` on, every other one writable, a page each.
fn with_areas(machine: &Machine, count: u64) -> Arc<AddressSpace> {
    let space = machine.space();
    for index in 0..count {
        let protection = if index % 2 == 0 { RW } else { Protection::READ };
        let request = MapRequest::anonymous(PAGE, protection).fixed_at(at(BASE + index * PAGE));
        space.map(&request, &Limits::NONE).expect("mapped");
    }
    assert_eq!(space.usage().areas as u64, count);
    space
}

fn flags_at(space: &AddressSpace, index: u64) -> VmaFlags {
    space.find_area(at(BASE + index * PAGE)).expect("mapped").flags
}

#[test]
fn areas_are_changed_a_few_at_a_time() {
    const COUNT: u64 = 3000;
    let machine = machine(16 << 20);
    let space = with_areas(&machine, COUNT);
    let bytes = COUNT * PAGE;
    let asked = |act: &dyn Fn() -> Result<(), MmError>| {
        let looks = looks(|| act().expect("done"));
        assert!((COUNT / 200..COUNT / 10).contains(&looks), "{looks} looks");
    };
    asked(&|| space.advise(at(BASE), bytes, Advice::Random));
    asked(&|| space.advise(at(BASE), bytes, Advice::DontNeed));
    asked(&|| space.lock_range(at(BASE), bytes, LockMode::OnFault, &Limits::NONE));
    assert_eq!(space.usage().locked, bytes);
    asked(&|| space.unlock_all());
    assert_eq!(space.usage().locked, 0);
    asked(&|| space.protect(at(BASE), bytes, RW));
    assert_eq!(space.usage().areas, 1, "neighbours that differ in nothing are one");
    assert!(flags_at(&space, COUNT - 1).contains(VmaFlags::RANDOM));
    assert_eq!(space.usage().data, bytes);
}

#[test]
fn changing_areas_in_place_takes_no_memory() {
    const COUNT: u64 = 20_000;
    let machine = machine(16 << 20);
    let space = with_areas(&machine, COUNT);
    let advise = |space: &AddressSpace, advice| {
        space.advise(at(BASE), COUNT * PAGE, advice).expect("advised");
    };
    let alone = extra_heap(|| advise(&space, Advice::Random));
    assert!(alone < 16 << 10, "{alone} bytes");
    let child = space.fork().expect("forked");
    let shared = extra_heap(|| advise(&child, Advice::Normal));
    let own = child.usage().area_bytes() as isize;
    assert!(shared < own + (64 << 10), "{shared} bytes for a copy of {own}");
    assert_eq!((flags_at(&space, 7), flags_at(&child, 7)), (VmaFlags::RANDOM, VmaFlags::empty()));
    let again = extra_heap(|| advise(&child, Advice::Sequential));
    assert!(again < 16 << 10, "{again} bytes");
}

#[test]
fn each_step_needs_credit() {
    let machine = machine(16 << 20);
    let space = with_areas(&machine, 1000);
    machine.memory().fail_nth(3);
    let outcome = space.advise(at(BASE), 1000 * PAGE, Advice::Random);
    machine.memory().fail_nth(0);
    assert_eq!(outcome, Err(MmError::TryAgain));
    assert!(flags_at(&space, 0).contains(VmaFlags::RANDOM), "what is done stays done");
    assert!(!flags_at(&space, 999).contains(VmaFlags::RANDOM));
}

#[test]
fn a_thread_that_is_to_end_stops_half_way() {
    let machine = machine(32 << 20);
    let space = with_areas(&machine, 1000);
    let bytes = 1000 * PAGE;
    let outcome = ending_after(2, || space.advise(at(BASE), bytes, Advice::DontDump));
    assert_eq!(outcome, Err(MmError::Interrupted));
    let outcome = ending_after(2, || space.protect(at(BASE), bytes, Protection::READ));
    assert_eq!(outcome, Err(MmError::Interrupted));
    let outcome = ending_after(2, || space.advise(at(BASE), bytes, Advice::DontNeed));
    assert_eq!(outcome, Err(MmError::Interrupted));
    machine.audit(&[&space]);
    let mut request = MapRequest::anonymous(4096 * PAGE, RW);
    request.options = MapOptions::POPULATE;
    let start = ending_after(3, || space.map(&request, &Limits::NONE)).expect("mapped, if empty");
    let resident = space.usage().resident;
    assert!((1..1024).contains(&resident), "{resident} pages");
    let advise = |advice| ending_after(3, || space.advise(start, 4096 * PAGE, advice));
    assert_eq!(advise(Advice::PopulateWrite), Err(MmError::Interrupted));
    let lock = || space.lock_range(start, 4096 * PAGE, LockMode::Now, &Limits::NONE);
    assert_eq!(ending_after(3, lock), Err(MmError::Interrupted));
    assert_eq!(lock(), Ok(()));
    assert_eq!(space.usage().resident, 4096);
    machine.audit(&[&space]);
    drop(space);
    machine.assert_all_free();
}

#[test]
fn a_step_ends_by_the_work_and_not_by_the_addresses() {
    const VAST: u64 = 100 << 40;
    let machine = machine(64 << 20);
    let space = machine.space();
    let mut request = MapRequest::anonymous(VAST, Protection::READ).fixed_at(at(BASE));
    request.options = MapOptions::NO_RESERVE;
    space.map(&request, &Limits::NONE).expect("mapped");
    let places = [BASE, BASE + (1 << 40) + PAGE, BASE + VAST - PAGE];
    let mut user = machine.enter(&space, 0);
    places.iter().for_each(|place| assert_eq!(user.read(*place), Ok(0)));
    let steps = looks(|| space.protect(at(BASE), VAST, Protection::empty()).expect("protected"));
    assert!(steps < 4, "{steps} steps for three pages");
    places.iter().for_each(|place| assert_eq!(user.read(*place), Err(FaultError::AccErr)));
    assert_eq!(space.usage().areas, 1);
    space.protect(at(BASE), VAST, RW).expect("protected");
    places.iter().for_each(|place| assert_eq!(user.write(*place, 1), Ok(())));
    // A table for each 2 MiB: now there is work.
    for table in 0..1024 {
        assert_eq!(user.read(BASE + (table << 21)), Ok(if table == 0 { 1 } else { 0 }));
    }
    let steps = looks(|| space.protect(at(BASE), VAST, Protection::READ).expect("protected"));
    assert!((10..100).contains(&steps), "{steps} steps for 1024 tables");
    assert_eq!((space.usage().areas, user.write(BASE, 1)), (1, Err(FaultError::AccErr)));
    drop(user);
    machine.audit(&[&space]);
    assert_eq!(space.table_frames(), machine.memory().census().tables);
    let whole = Range::of_length(at(BASE), VAST).expect("a range");
    assert_eq!(space.breakdown(whole).resident, space.usage().resident);
}

#[test]
fn at_the_limit_only_cuts_are_refused() {
    let machine = machine(16 << 20);
    let space = machine.space();
    let spare = at(BASE - (1 << 30));
    let request = MapRequest::anonymous(4 * PAGE, RW).fixed_at(spare);
    space.map(&request, &Limits::NONE).expect("mapped");
    let pages = MAX_AREAS as u64 + 10;
    let request = MapRequest::anonymous(pages * PAGE, Protection::READ).fixed_at(at(BASE));
    space.map(&request, &Limits::NONE).expect("mapped");
    // Each call cuts what is left in two.
    let cut = |page: u64| {
        let even = page.is_multiple_of(2);
        let protection = if even { Protection::READ } else { Protection::EXECUTE };
        space.protect(at(BASE + page * PAGE), (pages - page) * PAGE, protection)
    };
    let refused = (1..pages).find_map(|page| cut(page).err());
    assert_eq!((refused, space.usage().areas), (Some(MmError::NoMemory), MAX_AREAS));
    let inner = spare.checked_add(PAGE).expect("in range");
    let refused = |outcome: Result<(), MmError>| assert_eq!(outcome, Err(MmError::NoMemory));
    refused(space.protect(inner, PAGE, Protection::READ));
    refused(space.protect(spare, PAGE, Protection::READ));
    refused(space.lock_range(inner, PAGE, LockMode::OnFault, &Limits::NONE));
    refused(space.unmap(inner, PAGE));
    assert_eq!(space.find_area(spare).expect("there").range.bytes(), 4 * PAGE, "nothing was cut");
    let allowed = |outcome: Result<(), MmError>| assert_eq!(outcome, Ok(()));
    allowed(space.protect(spare, 4 * PAGE, Protection::READ));
    allowed(space.lock_range(spare, 4 * PAGE, LockMode::Now, &Limits::NONE));
    allowed(space.unlock_range(spare, 4 * PAGE));
    allowed(space.advise(spare, 4 * PAGE, Advice::DontFork));
    // From one area to its neighbour.
    allowed(space.protect(at(BASE + PAGE), PAGE, Protection::READ));
    assert_eq!(space.usage().areas, MAX_AREAS - 2);
}

#[test]
fn a_child_is_emptied_a_few_areas_at_a_time() {
    const COUNT: u64 = 1000;
    let machine = machine(64 << 20);
    let space = with_areas(&machine, COUNT);
    let mut user = machine.enter(&space, 0);
    (0..COUNT).step_by(2).for_each(|index| {
        user.write(BASE + index * PAGE, 1).expect("writable");
    });
    drop(user);
    space.lock_range(at(BASE), COUNT * PAGE, LockMode::OnFault, &Limits::NONE).expect("locked");
    let third = COUNT / 3 * PAGE;
    space.advise(at(BASE), third, Advice::DontFork).expect("advised");
    space.advise(at(BASE + third), third, Advice::WipeOnFork).expect("advised");
    let child = space.fork().expect("forked");
    machine.audit(&[&space, &child]);
    let usage = child.usage();
    assert_eq!((usage.locked, usage.mapped), (0, COUNT * PAGE - third));
    assert_eq!((space.usage().locked, space.usage().mapped), (COUNT * PAGE, COUNT * PAGE));
    let mut user = machine.enter(&child, 1);
    let second = COUNT / 3 + COUNT / 3 % 2;
    assert_eq!(user.read(BASE), Err(FaultError::MapErr));
    assert_eq!(user.read(BASE + (second + 2) * PAGE), Ok(0));
    assert_eq!(user.read(BASE + (COUNT - 2) * PAGE), Ok(1));
    drop(user);
    // Without memory for one of the steps there is no child, and the parent is as it was.
    for failing in 1..20 {
        machine.memory().fail_nth(failing);
        let outcome = space.fork();
        machine.memory().fail_nth(0);
        machine.audit(&[&space, &child]);
        assert!(outcome.is_err() || failing > 16, "allocation {failing}");
    }
    assert_eq!(machine.enter(&space, 0).read(BASE), Ok(1));
    drop((space, child));
    machine.assert_all_free();
}
