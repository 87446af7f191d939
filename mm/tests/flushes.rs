//! Each flush, and what goes wrong without it: two CPUs run in one space, one changes a mapping, and the other, which has
//! the old translation, must not use it. What a single look at the right moment shows; `make mutants` removes the flushes one by one.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arch::addr::UserAddr;
use common::watch::Watch;
use common::{Machine, PAGE, User};
use mm::object::PagedObject;
use mm::space::{Advice, MapRequest, Remap, RemapTarget, Source};
use mm::{AddressSpace, FaultError, Limits, MmError, ObjectRange, Protection, Urgency};

const RW: Protection = Protection::READ.union(Protection::WRITE);
/// Bytes that a level 1 table spans.
const SPAN: u64 = 2 << 20;
/// Where tests map: the start of a level 1 table, in the middle of a level 2 table.
const BASE: u64 = (1 << 30) + 8 * SPAN;

fn at(address: u64) -> UserAddr {
    UserAddr::try_new(address).expect("a user address")
}

/// Two users of one space on CPUs 0 and 1; `pages` pages at [`BASE`], all written by CPU 0 and read by both. Each
/// page holds its [`value`].
struct Pair {
    machine: Machine,
    space: Arc<AddressSpace>,
    first: User,
    second: User,
}

impl Pair {
    fn with_pages(pages: u64) -> Self {
        let machine = Machine::new(32 << 20);
        let space = machine.space();
        map(&space, BASE, pages);
        let (first, second) = (machine.enter(&space, 0), machine.enter(&space, 1));
        let mut pair = Self { machine, space, first, second };
        for page in 0..pages {
            pair.first.write(BASE + page * PAGE, value(page)).expect("writable");
            pair.first.read(BASE + page * PAGE).expect("readable");
            pair.second.read(BASE + page * PAGE).expect("readable");
        }
        pair
    }

    /// Runs `operation` on CPU 0.
    fn on_first<R>(&self, operation: impl FnOnce(&AddressSpace) -> R) -> R {
        self.first.take_turn();
        operation(&self.space)
    }

    /// Neither CPU can reach `address`, where nothing is mapped.
    #[track_caller]
    fn assert_gone(&mut self, address: u64) {
        assert_eq!(self.second.read(address), Err(FaultError::MapErr), "on the other CPU");
        assert_eq!(self.first.read(address), Err(FaultError::MapErr), "on the same CPU");
    }
}

/// What page number `page` holds at first.
fn value(page: u64) -> u8 {
    (page % 255) as u8 + 1
}

fn map(space: &AddressSpace, start: u64, pages: u64) {
    let request = MapRequest::anonymous(pages * PAGE, RW).fixed_at(at(start));
    space.map(&request, &Limits::NONE).expect("mapped");
}

#[test]
fn fork_takes_write_access_from_every_cpu() {
    let mut pair = Pair::with_pages(2);
    pair.second.write(BASE, 50).expect("writable");
    let child = pair.on_first(|space| space.fork()).expect("forked");
    pair.second.write(BASE, 60).expect("writable");
    pair.first.write(BASE + PAGE, 70).expect("writable");
    let mut user = pair.machine.enter(&child, 2);
    assert_eq!((user.read(BASE), user.read(BASE + PAGE)), (Ok(50), Ok(2)));
}

/// I6. CPU 1 knows the old page; CPU 2 knows nothing, and must not find the new page before CPU 1 has lost the old one.
#[test]
fn a_copied_page_is_gone_everywhere_before_the_copy_is_there() {
    let mut pair = Pair::with_pages(2);
    let third = pair.machine.enter(&pair.space, 2);
    let child = pair.on_first(|space| space.fork()).expect("forked");
    let watch = Watch::start(pair.machine.memory(), [BASE, BASE + PAGE]);
    (0..3).for_each(|cpu| watch.set(cpu, Some(0)));
    assert_eq!(pair.second.read(BASE), Ok(1));
    let before = pair.machine.counter("shootdown_targets");
    pair.first.write(BASE, 9).expect("writable");
    assert!(pair.machine.counter("shootdown_targets") > before, "nobody was interrupted");
    assert_eq!(pair.second.read(BASE), Ok(9));
    drop((third, child));
}

/// I18. The table's copy costs one flush on the other CPU; pages that it has not touched since cost none.
#[test]
fn a_page_in_no_tlb_is_copied_without_a_shootdown() {
    let mut pair = Pair::with_pages(3);
    let child = pair.on_first(|space| space.fork()).expect("forked");
    assert_eq!(pair.second.read(BASE + PAGE), Ok(2), "by the table that is shared");
    pair.first.write(BASE, 9).expect("writable");
    let (sent, spared) =
        (pair.machine.counter("shootdown_targets"), pair.machine.counter("shootdowns_spared"));
    pair.first.write(BASE + PAGE, 10).expect("writable");
    assert_eq!(pair.machine.counter("shootdown_targets"), sent, "somebody was interrupted");
    assert_eq!(pair.machine.counter("shootdowns_spared"), spared + 1);
    assert_eq!(
        pair.second.read(BASE + PAGE),
        Ok(10),
        "what was read by the shared table is forgotten"
    );
    drop(child);
}

/// I18. Who has read a page by the copied table is told when the page is copied.
#[test]
fn a_page_read_since_its_table_was_copied_is_gone_everywhere() {
    let mut pair = Pair::with_pages(3);
    let child = pair.on_first(|space| space.fork()).expect("forked");
    pair.first.write(BASE, 9).expect("writable");
    assert_eq!(pair.second.read(BASE + PAGE), Ok(2));
    let sent = pair.machine.counter("shootdown_targets");
    pair.first.write(BASE + PAGE, 10).expect("writable");
    assert!(pair.machine.counter("shootdown_targets") > sent, "nobody was interrupted");
    assert_eq!(pair.second.read(BASE + PAGE), Ok(10));
    drop(child);
}

#[test]
fn an_unmapped_page_is_gone_on_every_cpu() {
    let mut pair = Pair::with_pages(4);
    pair.on_first(|space| space.unmap(at(BASE + PAGE), 2 * PAGE)).expect("unmapped");
    pair.assert_gone(BASE + PAGE);
    pair.assert_gone(BASE + 2 * PAGE);
    assert_eq!(pair.second.read(BASE), Ok(1));
}

#[test]
fn an_unmapped_table_is_gone_on_every_cpu() {
    let mut pair = Pair::with_pages(SPAN / PAGE + 2);
    pair.on_first(|space| space.unmap(at(BASE), SPAN)).expect("unmapped");
    pair.assert_gone(BASE + 7 * PAGE);
    assert_eq!(pair.second.read(BASE + SPAN), Ok(value(SPAN / PAGE)));
}

/// A lazy CPU is left alone while tables stay, and told when one is freed.
#[test]
fn a_lazy_cpu_leaves_tables_that_are_freed() {
    let Pair { machine, space, mut first, second } = Pair::with_pages(1);
    map(&space, BASE + SPAN, 1);
    first.write(BASE + SPAN, 1).expect("writable");
    drop(second);
    first.take_turn();
    space.protect(at(BASE), PAGE, Protection::READ).expect("protected");
    arch::set_current_cpu(arch::cpu::CpuId::new(1));
    assert!(space.is_active_here(), "tables stayed, and still the lazy CPU was told");
    first.take_turn();
    space.unmap(at(BASE), PAGE).expect("unmapped");
    arch::set_current_cpu(arch::cpu::CpuId::new(1));
    assert!(!space.is_active_here(), "a lazy CPU walks a freed table");
    drop((first, machine));
}

#[test]
fn a_lazy_cpu_catches_up_when_it_comes_back() {
    let Pair { machine, space, first, mut second } = Pair::with_pages(2);
    second.write(BASE, 5).expect("writable");
    drop(second);
    first.take_turn();
    space.protect(at(BASE), PAGE, Protection::READ).expect("protected");
    let mut second = machine.enter(&space, 1);
    assert_eq!(second.write(BASE, 6), Err(FaultError::AccErr));
}

#[test]
fn translations_kept_under_an_identifier_are_found_stale() {
    let Pair { machine, space, first, second } = {
        arch::tlb::enable_pcids();
        Pair::with_pages(2)
    };
    let elsewhere = machine.space();
    drop(second);
    drop(machine.enter(&elsewhere, 1));
    first.take_turn();
    space.unmap(at(BASE), PAGE).expect("unmapped");
    let mut second = machine.enter(&space, 1);
    assert_eq!(second.read(BASE), Err(FaultError::MapErr));
    assert_eq!(second.read(BASE + PAGE), Ok(2));
}

#[test]
fn a_space_that_ends_is_loaded_nowhere() {
    let Pair { machine, space, first, second } = Pair::with_pages(1);
    drop((first, second));
    drop(space);
    for cpu in 0..2 {
        let seen = arch::mmu::peek(arch::cpu::CpuId::new(cpu), at(BASE).to_virt());
        assert_eq!(seen, None, "CPU {cpu} walks freed tables");
    }
    machine.assert_all_free();
}

#[test]
fn lost_permissions_are_lost_on_every_cpu() {
    let mut pair = Pair::with_pages(2);
    pair.second.write(BASE, 3).expect("writable");
    pair.on_first(|space| space.protect(at(BASE), PAGE, Protection::READ)).expect("protected");
    assert_eq!(pair.second.write(BASE, 4), Err(FaultError::AccErr));
    assert_eq!(pair.first.write(BASE, 4), Err(FaultError::AccErr));
    assert_eq!(pair.second.read(BASE), Ok(3));
    let none = Protection::empty();
    pair.on_first(|space| space.protect(at(BASE), PAGE, none)).expect("protected");
    assert_eq!(pair.second.read(BASE), Err(FaultError::AccErr));
    let code = Protection::READ | Protection::EXECUTE;
    pair.on_first(|space| space.protect(at(BASE), PAGE, code)).expect("protected");
    assert_eq!(pair.second.fetch(BASE), Ok(3));
    pair.on_first(|space| space.protect(at(BASE), PAGE, Protection::READ)).expect("protected");
    assert_eq!(pair.second.fetch(BASE), Err(FaultError::AccErr));
}

#[test]
fn a_moved_page_is_gone_from_its_old_place() {
    let mut pair = Pair::with_pages(4);
    let target = BASE + SPAN + 3 * PAGE;
    pair.on_first(|space| move_to(space, BASE + PAGE, PAGE, target));
    pair.assert_gone(BASE + PAGE);
    assert_eq!(pair.second.read(target), Ok(2));
}

#[test]
fn a_moved_table_is_gone_from_its_old_place() {
    let mut pair = Pair::with_pages(SPAN / PAGE + 1);
    let target = BASE + 8 * SPAN;
    pair.on_first(|space| move_to(space, BASE, SPAN, target));
    pair.assert_gone(BASE + PAGE);
    assert_eq!(pair.second.read(target + PAGE), Ok(2));
    assert_eq!(pair.second.read(BASE + SPAN), Ok(value(SPAN / PAGE)), "the next table stays");
}

/// As in I6, for a huge page of which a part is unmapped: CPU 2, which knows nothing, finds nothing either when CPU 1 is told
/// to forget the whole.
#[test]
fn a_huge_page_is_gone_everywhere_before_its_parts_are_there() {
    let machine = Machine::new(32 << 20);
    let space = machine.space();
    map(&space, BASE, SPAN / PAGE);
    space.advise(at(BASE), SPAN, Advice::HugePages).expect("advised");
    let mut users = [0, 1, 2].map(|cpu| machine.enter(&space, cpu));
    users[0].write(BASE, 1).expect("writable");
    users[1].read(BASE).expect("readable");
    let interrupts = Arc::new(AtomicUsize::new(0));
    let seen = interrupts.clone();
    arch::simulation::Machine::current().observe_interrupts(move || {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            let found = arch::mmu::peek(arch::cpu::CpuId::new(2), at(BASE + PAGE).to_virt());
            assert_eq!(found, None, "two sizes of one page");
        }
    });
    users[0].take_turn();
    space.unmap(at(BASE), PAGE).expect("unmapped");
    assert!(interrupts.load(Ordering::SeqCst) > 0, "nobody was interrupted");
    assert_eq!(users[1].read(BASE), Err(FaultError::MapErr));
    assert_eq!(users[1].read(BASE + PAGE), Ok(0));
    drop(users);
    machine.audit(&[&space]);
}

/// The pages at the target go before others come, as in I6.
#[test]
fn what_is_at_the_target_of_a_move_goes_first() {
    let mut pair = Pair::with_pages(4);
    let third = pair.machine.enter(&pair.space, 2);
    let watch = Watch::start(pair.machine.memory(), (0..4).map(|page| BASE + page * PAGE));
    (0..3).for_each(|cpu| watch.set(cpu, Some(0)));
    pair.on_first(|space| move_to(space, BASE, PAGE, BASE + 2 * PAGE));
    assert_eq!(pair.second.read(BASE + 2 * PAGE), Ok(1));
    pair.assert_gone(BASE);
    drop(third);
}

fn move_to(space: &AddressSpace, start: u64, bytes: u64, target: u64) {
    let remap = Remap {
        start: at(start),
        old_length: bytes,
        new_length: bytes,
        target: RemapTarget::Fixed(at(target)),
    };
    assert_eq!(space.remap(&remap, &Limits::NONE), Ok(at(target)));
}

/// An empty table at the target of a move, which a CPU may have cached without having been asked, is not walked any more.
#[test]
fn an_empty_table_that_a_move_replaces_is_forgotten() {
    let mut pair = Pair::with_pages(SPAN / PAGE + 2);
    let target = BASE + 8 * SPAN;
    // A move of two pages that runs out of memory with one of two tables made leaves that behind.
    let remap = Remap {
        start: at(BASE + SPAN),
        old_length: 2 * PAGE,
        new_length: 2 * PAGE,
        target: RemapTarget::Fixed(at(target + SPAN - PAGE)),
    };
    pair.machine.memory().fail_nth(2);
    let failed = pair.on_first(|space| space.remap(&remap, &Limits::NONE));
    pair.machine.memory().fail_nth(0);
    assert_eq!(failed, Err(MmError::NoMemory));
    pair.second.speculate(target + 9 * PAGE);
    let watch = Watch::start(pair.machine.memory(), [target + 9 * PAGE]);
    (0..2).for_each(|cpu| watch.set(cpu, Some(0)));
    pair.on_first(|space| move_to(space, BASE, SPAN, target));
    pair.second.speculate(target + 9 * PAGE);
    let seen = arch::mmu::peek(arch::cpu::CpuId::new(1), at(target + 9 * PAGE).to_virt());
    assert!(seen.is_some(), "the other CPU walks the table that was there before");
}

#[test]
fn a_discarded_page_is_gone_on_every_cpu() {
    let mut pair = Pair::with_pages(2);
    pair.on_first(|space| space.advise(at(BASE), PAGE, Advice::DontNeed)).expect("discarded");
    assert_eq!((pair.second.read(BASE), pair.first.read(BASE)), (Ok(0), Ok(0)));
}

#[test]
fn a_truncated_page_is_gone_on_every_cpu() {
    let mut pair = Pair::with_pages(1);
    let object = Arc::new(PagedObject::new(pair.machine.memory(), 2 * PAGE));
    let range = ObjectRange { object: object.clone(), offset: 0, file: None };
    let source = Source::Shared { range, allowed: Protection::all() };
    let place = BASE + 4 * PAGE;
    let request = MapRequest { source, ..MapRequest::anonymous(2 * PAGE, RW).fixed_at(at(place)) };
    pair.space.map(&request, &Limits::NONE).expect("mapped");
    pair.second.write(place + PAGE, 1).expect("writable");
    let child = pair.on_first(|space| space.fork()).expect("forked");
    let mut inherited = pair.machine.enter(&child, 2);
    assert_eq!((pair.second.read(place + PAGE), inherited.read(place + PAGE)), (Ok(1), Ok(1)));
    pair.first.take_turn();
    object.resize(PAGE).expect("a valid size");
    assert_eq!(pair.second.read(place + PAGE), Err(FaultError::Bus));
    assert_eq!(inherited.read(place + PAGE), Err(FaultError::Bus));
}

/// I4 for tables. CPU 1 has cached the shared tables; after CPU 0 has replaced them by copies, they belong to the child
/// alone, which writes into them.
#[test]
fn a_copied_table_is_not_walked_any_more() {
    let mut pair = Pair::with_pages(2);
    map(&pair.space, BASE + 2 * PAGE, 1);
    let child = pair.on_first(|space| space.fork()).expect("forked");
    pair.second.read(BASE).expect("readable");
    pair.first.write(BASE + 2 * PAGE, 3).expect("a fresh page below shared tables");
    pair.machine.enter(&child, 2).write(BASE + PAGE, 99).expect("writable");
    assert_eq!(pair.second.read(BASE + PAGE), Ok(2), "the other CPU walks the child's table");
}

/// When there is no memory to note what is to be freed, it is flushed and freed on the spot, in this order.
#[test]
fn without_room_for_references_pages_are_flushed_before_they_are_freed() {
    let mut pair = Pair::with_pages(40);
    let watch = Watch::start(pair.machine.memory(), (0..40).map(|page| BASE + page * PAGE));
    (0..2).for_each(|cpu| watch.set(cpu, Some(0)));
    let memory = pair.machine.memory();
    let rest: Vec<_> =
        std::iter::from_fn(|| memory.alloc_pages(0, Urgency::Critical).ok()).collect();
    pair.on_first(|space| space.unmap(at(BASE), 38 * PAGE)).expect("unmapped");
    rest.into_iter().for_each(|frame| memory.free_pages(frame, 1));
    pair.assert_gone(BASE + 30 * PAGE);
    assert_eq!(pair.second.read(BASE + 39 * PAGE), Ok(40));
}

/// I12: an operation on a part of a shared table changes nothing for those who share it.
#[test]
fn a_change_to_a_part_of_a_shared_table_stays_with_its_space() {
    let changes: [fn(&AddressSpace); 4] = [
        |space| space.unmap(at(BASE), PAGE).expect("unmapped"),
        |space| space.protect(at(BASE), PAGE, Protection::empty()).expect("protected"),
        |space| space.advise(at(BASE), PAGE, Advice::DontNeed).expect("discarded"),
        |space| move_to(space, BASE, PAGE, BASE + SPAN),
    ];
    for change in changes {
        let mut pair = Pair::with_pages(3);
        let child = pair.on_first(|space| space.fork()).expect("forked");
        let mut user = pair.machine.enter(&child, 2);
        pair.on_first(change);
        for page in 0..3 {
            assert_eq!(user.read(BASE + page * PAGE), Ok(value(page)));
            assert_eq!(user.write(BASE + page * PAGE, 77), Ok(()));
        }
        assert_eq!(pair.first.read(BASE + PAGE), Ok(value(1)));
        pair.machine.audit(&[&pair.space, &child]);
    }
}

/// I8: permission to write comes back by the area, and only for pages that nobody shares.
#[test]
fn protect_gives_no_write_access_to_what_is_shared() {
    let mut pair = Pair::with_pages(2);
    let space = pair.space.clone();
    space.protect(at(BASE), 2 * PAGE, Protection::READ).expect("protected");
    let child = pair.on_first(|space| space.fork()).expect("forked");
    child.protect(at(BASE), 2 * PAGE, RW).expect("protected");
    pair.machine.enter(&child, 2).write(BASE, 9).expect("writable");
    assert_eq!(pair.first.read(BASE), Ok(1));
    space.protect(at(BASE), 2 * PAGE, RW).expect("protected");
    pair.second.write(BASE + PAGE, 9).expect("writable");
    assert_eq!(pair.machine.enter(&child, 2).read(BASE + PAGE), Ok(2));
    pair.machine.audit(&[&space, &child]);
}

/// The frame of zeros, an object's page, and a page below a restored path: a first write to each is the writer's alone.
#[test]
fn a_first_write_changes_nothing_for_others() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let object = Arc::new(PagedObject::new(machine.memory(), PAGE));
    let range = ObjectRange { object: object.clone(), offset: 0, file: None };
    let request = MapRequest {
        source: Source::Private(range),
        ..MapRequest::anonymous(PAGE, RW).fixed_at(at(BASE))
    };
    space.map(&request, &Limits::NONE).expect("mapped");
    map(&space, BASE + PAGE, 2);
    let mut user = machine.enter(&space, 0);
    for page in 0..3 {
        assert_eq!(user.read(BASE + page * PAGE), Ok(0));
    }
    user.write(BASE, 1).expect("writable");
    user.write(BASE + PAGE, 1).expect("writable");
    let mut byte = [0xff];
    assert_eq!((object.read_at(0, &mut byte), byte), (1, [0]));
    assert_eq!(user.read(BASE + 2 * PAGE), Ok(0));
}
