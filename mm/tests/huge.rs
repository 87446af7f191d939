//! Huge pages: what each operation makes of them, and random operations on spaces that share them, against a plain model.

mod common;

use std::sync::Arc;

use arch::addr::UserAddr;
use common::{CPUS, Machine, PAGE, User};
use mm::memory::HugePolicy;
use mm::space::{Advice, MapRequest, Remap, RemapTarget};
use mm::{AddressSpace, FaultError, Limits, Protection};
use proptest::prelude::*;

const RW: Protection = Protection::READ.union(Protection::WRITE);
const HUGE: u64 = 2 << 20;
/// Pages of a huge page.
const FRAMES: u64 = HUGE / PAGE;
/// Where the mappings of the tests lie.
const BASE: u64 = 0x4000_0000;

fn at(address: u64) -> UserAddr {
    UserAddr::try_new(address).expect("a user address")
}

/// A space with `pages` pages from [`BASE`] on that may be huge.
fn with_huge_area(machine: &Machine, pages: u64) -> Arc<AddressSpace> {
    let space = machine.space();
    let request = MapRequest::anonymous(pages * PAGE, RW).fixed_at(at(BASE));
    space.map(&request, &Limits::NONE).expect("mapped");
    space.advise(at(BASE), pages * PAGE, Advice::HugePages).expect("advised");
    space
}

#[test]
fn one_touch_supplies_an_aligned_range() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, 2 * FRAMES + 5);
    let mut user = machine.enter(&space, 0);
    assert_eq!(user.write(BASE + 7 * PAGE, 1), Ok(()));
    assert_eq!(space.usage().resident, FRAMES);
    assert_eq!(user.read(BASE + 100 * PAGE), Ok(0));
    assert_eq!(user.write(BASE + 2 * HUGE, 1), Ok(()), "the rest does not fill a huge page");
    assert_eq!(space.usage().resident, FRAMES + 1);
    assert_eq!(machine.memory().huge_pages(), 1);
    assert_eq!(machine.counter("huge_faults"), 1);
    machine.audit(&[&space]);
    drop((user, space));
    machine.assert_all_free();
}

#[test]
fn the_policy_decides_who_gets_them() {
    let machine = Machine::new(32 << 20);
    let memory = machine.memory();
    let resident_after_touch = |policy, advice: Option<Advice>| {
        memory.set_huge_policy(policy);
        let space = machine.space();
        let request = MapRequest::anonymous(HUGE, RW).fixed_at(at(BASE));
        space.map(&request, &Limits::NONE).expect("mapped");
        if let Some(advice) = advice {
            space.advise(at(BASE), HUGE, advice).expect("advised");
        }
        machine.enter(&space, 0).write(BASE, 1).expect("writable");
        space.usage().resident
    };
    assert_eq!(memory.huge_policy(), HugePolicy::Madvise);
    assert_eq!(resident_after_touch(HugePolicy::Madvise, None), 1);
    assert_eq!(resident_after_touch(HugePolicy::Madvise, Some(Advice::HugePages)), FRAMES);
    assert_eq!(resident_after_touch(HugePolicy::Always, None), FRAMES);
    assert_eq!(resident_after_touch(HugePolicy::Always, Some(Advice::NoHugePages)), 1);
    assert_eq!(resident_after_touch(HugePolicy::Never, Some(Advice::HugePages)), 1);
    machine.assert_all_free();
}

#[test]
fn without_a_free_block_single_pages_do() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, FRAMES);
    let mut blocks = Vec::new();
    while let Ok(block) = machine.memory().alloc_pages(9, mm::Urgency::Kernel) {
        blocks.push(block);
    }
    let small = blocks.pop().expect("there was memory");
    machine.memory().free_pages(small, FRAMES - 1);
    assert_eq!(machine.enter(&space, 0).write(BASE, 1), Ok(()));
    assert_eq!(space.usage().resident, 1);
    machine.memory().free_pages(small.offset(FRAMES - 1), 1);
    blocks.into_iter().for_each(|block| machine.memory().free_pages(block, FRAMES));
    drop(space);
    machine.assert_all_free();
}

#[test]
fn a_write_after_fork_copies_one_page() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, FRAMES);
    machine.enter(&space, 0).write(BASE + PAGE, 1).expect("writable");
    let child = space.fork().expect("forked");
    assert_eq!(machine.enter(&child, 1).write(BASE + PAGE, 2), Ok(()));
    assert_eq!(machine.counter("copied_frames"), 1);
    assert_eq!(machine.counter("huge_splits"), 1);
    machine.audit(&[&space, &child]);
    assert_eq!(machine.enter(&space, 0).read(BASE + PAGE), Ok(1));
    // The parent maps the whole, but the child still has frames of it: the parent must not write to these in place.
    assert_eq!(machine.enter(&space, 0).write(BASE + 2 * PAGE, 3), Ok(()));
    assert_eq!(machine.enter(&child, 1).read(BASE + 2 * PAGE), Ok(0));
    machine.audit(&[&space, &child]);
    assert_eq!(space.usage().resident, FRAMES);
    assert_eq!(child.usage().resident, FRAMES);
    drop((space, child));
    machine.assert_all_free();
}

#[test]
fn a_sole_owner_gets_all_of_it_back_at_once() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, 2 * FRAMES);
    machine.enter(&space, 0).write(BASE, 1).expect("writable");
    machine.enter(&space, 0).write(BASE + HUGE, 1).expect("writable");
    let child = space.fork().expect("forked");
    // The write to the second copies the table that has both.
    assert_eq!(machine.enter(&child, 1).write(BASE + HUGE, 2), Ok(()));
    drop(child);
    let before = machine.counter("faults");
    let mut user = machine.enter(&space, 0);
    (0..2 * FRAMES).for_each(|page| user.write(BASE + page * PAGE, 2).expect("writable"));
    assert_eq!(machine.counter("faults") - before, 2);
    assert_eq!(machine.counter("sole_owner_huge_pages"), 2);
    assert_eq!(machine.memory().huge_pages(), 2);
    drop((user, space));
    machine.assert_all_free();
}

#[test]
fn a_breakdown_tells_huge_and_shared_from_the_rest() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, FRAMES + 1);
    machine.enter(&space, 0).write(BASE, 1).expect("writable");
    machine.enter(&space, 0).write(BASE + HUGE, 1).expect("writable");
    let range = mm::Range::of_length(at(BASE), HUGE + PAGE).expect("in range");
    let alone = space.breakdown(range);
    assert_eq!((alone.resident, alone.huge, alone.anonymous), (FRAMES + 1, FRAMES, FRAMES + 1));
    assert_eq!((alone.private_dirty, alone.shared_dirty), (FRAMES + 1, 0));
    let child = space.fork().expect("forked");
    let shared = child.breakdown(range);
    assert_eq!((shared.private_dirty, shared.shared_dirty), (0, FRAMES + 1));
    assert_eq!(shared.proportional * 2, alone.proportional);
    machine.enter(&child, 1).write(BASE + HUGE, 1).expect("writable");
    assert_eq!(child.breakdown(range).private_dirty, 1);
}

#[test]
fn a_sharer_that_only_reads_keeps_frames_of_a_page_that_is_gone() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, FRAMES);
    machine.enter(&space, 0).write(BASE + 9 * PAGE, 9).expect("writable");
    let child = space.fork().expect("forked");
    // Split in the child, then gone in the parent: each frame is the child's own, and written in place.
    machine.enter(&child, 1).write(BASE, 1).expect("writable");
    drop(space);
    let copies = machine.counter("copied_frames");
    let mut user = machine.enter(&child, 1);
    (0..FRAMES).for_each(|page| user.write(BASE + page * PAGE, 5).expect("writable"));
    assert_eq!(machine.counter("copied_frames"), copies);
    assert_eq!(machine.memory().huge_pages(), 0);
    machine.audit(&[&child]);
    drop((user, child));
    machine.assert_all_free();
}

#[test]
fn a_change_of_a_part_splits_and_of_the_whole_does_not() {
    let machine = Machine::new(64 << 20);
    let space = with_huge_area(&machine, 4 * FRAMES);
    let mut user = machine.enter(&space, 0);
    (0..4).for_each(|page| user.write(BASE + page * HUGE + PAGE, 1).expect("writable"));
    assert_eq!(machine.memory().huge_pages(), 4);
    space.protect(at(BASE), HUGE, Protection::READ).expect("protected");
    assert_eq!(user.write(BASE, 1), Err(FaultError::AccErr));
    space.protect(at(BASE), HUGE, Protection::empty()).expect("protected");
    assert_eq!(user.read(BASE + PAGE), Err(FaultError::AccErr));
    space.protect(at(BASE), HUGE, RW).expect("protected");
    assert_eq!(user.read(BASE + PAGE), Ok(1));
    assert_eq!(machine.memory().huge_pages(), 4);
    space.protect(at(BASE + HUGE), 3 * PAGE, Protection::READ).expect("protected");
    assert_eq!(machine.memory().huge_pages(), 3);
    assert_eq!(user.write(BASE + HUGE + 3 * PAGE, 1), Ok(()));
    assert_eq!(user.write(BASE + HUGE + PAGE, 1), Err(FaultError::AccErr));
    space.unmap(at(BASE + 2 * HUGE), PAGE).expect("unmapped");
    assert_eq!(user.read(BASE + 2 * HUGE + PAGE), Ok(1));
    assert_eq!(space.usage().resident, 4 * FRAMES - 1);
    space.advise(at(BASE + 3 * HUGE), HUGE, Advice::DontNeed).expect("advised");
    assert_eq!(space.usage().resident, 3 * FRAMES - 1);
    assert_eq!(machine.memory().huge_pages(), 1);
    let mut present = [0; FRAMES as usize];
    space.resident(at(BASE), &mut present).expect("mapped");
    assert!(present.iter().all(|byte| *byte == 1));
    machine.audit(&[&space]);
    drop((user, space));
    machine.assert_all_free();
}

#[test]
fn another_process_reads_and_writes_parts() {
    let machine = Machine::new(32 << 20);
    let space = with_huge_area(&machine, FRAMES);
    machine.enter(&space, 0).write(BASE + 5 * PAGE + 3, 7).expect("writable");
    let mut bytes = [0; 3];
    assert_eq!(space.read_remote(at(BASE + 5 * PAGE + 2), &mut bytes), Ok(3));
    assert_eq!(bytes, [0, 7, 0]);
    assert_eq!(machine.memory().huge_pages(), 1);
    assert_eq!(space.write_remote(at(BASE + 6 * PAGE - 1), &[1, 2]), Ok(2));
    assert_eq!(machine.enter(&space, 0).read(BASE + 6 * PAGE), Ok(2));
    machine.audit(&[&space]);
    drop(space);
    machine.assert_all_free();
}

/// Splitting needs a frame for a table; without one the operation fails and nothing has changed.
#[test]
fn a_split_that_fails_leaves_the_page_whole() {
    let machine = Machine::new(32 << 20);
    let memory = machine.memory();
    for n in 1.. {
        let space = with_huge_area(&machine, FRAMES);
        machine.enter(&space, 0).write(BASE, 1).expect("writable");
        let child = space.fork().expect("forked");
        memory.fail_nth(n);
        let failed = child.unmap(at(BASE), PAGE).is_err();
        memory.fail_nth(0);
        machine.audit(&[&space, &child]);
        assert_eq!(machine.enter(&child, 0).read(BASE).is_ok(), failed);
        assert_eq!(machine.enter(&space, 0).read(BASE), Ok(1));
        drop((space, child));
        machine.assert_all_free();
        if !failed {
            assert_eq!(n, 4, "two tables are copied and one is made");
            break;
        }
    }
}

/// Pages of the model: three huge ranges and a bit, at two places.
const PAGES: u64 = 2 * REGION;
const REGION: u64 = 3 * FRAMES + 40;
const PROCESSES: usize = 4;

fn address(page: u64) -> u64 {
    BASE + page / REGION * (64 * HUGE) + page % REGION * PAGE
}

#[derive(Clone, Debug)]
enum Step {
    Map { process: usize, page: u64, count: u64, huge: bool },
    Read { process: usize, cpu: usize, page: u64 },
    Write { process: usize, cpu: usize, page: u64, value: u8 },
    Fork { process: usize },
    Exit { process: usize },
    Unmap { process: usize, page: u64, count: u64 },
    Protect { process: usize, page: u64, count: u64, protection: usize },
    Discard { process: usize, page: u64, count: u64 },
    Move { process: usize, page: u64, count: u64, target: u64 },
    Policy { policy: HugePolicy },
}

/// A page, more often than not one where something begins or ends.
fn page() -> impl Strategy<Value = u64> {
    let edge = (0..PAGES / 128).prop_map(|granule| granule * 128);
    let near = (0..PAGES / FRAMES, 0u64..3).prop_map(|(huge, offset)| huge * FRAMES + offset);
    prop_oneof![3 => edge, 2 => near, 1 => 0..PAGES].prop_map(|page| page.min(PAGES - 1))
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(128), Just(FRAMES), Just(2 * FRAMES), 1..REGION]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = || 0..PROCESSES;
    let cpu = || 0..CPUS;
    let policy = prop_oneof![
        1 => Just(HugePolicy::Always),
        2 => Just(HugePolicy::Madvise),
        1 => Just(HugePolicy::Never)
    ];
    let step = prop_oneof![
        4 => (process(), page(), count(), any::<bool>())
            .prop_map(|(process, page, count, huge)| Step::Map { process, page, count, huge }),
        6 => (process(), cpu(), page()).prop_map(|(process, cpu, page)| Step::Read { process, cpu, page }),
        10 => (process(), cpu(), page(), any::<u8>())
            .prop_map(|(process, cpu, page, value)| Step::Write { process, cpu, page, value }),
        3 => process().prop_map(|process| Step::Fork { process }),
        2 => process().prop_map(|process| Step::Exit { process }),
        2 => (process(), page(), count())
            .prop_map(|(process, page, count)| Step::Unmap { process, page, count }),
        2 => (process(), page(), count(), 0usize..3)
            .prop_map(|(process, page, count, protection)| Step::Protect { process, page, count, protection }),
        2 => (process(), page(), count())
            .prop_map(|(process, page, count)| Step::Discard { process, page, count }),
        2 => (process(), page(), count(), page())
            .prop_map(|(process, page, count, target)| Step::Move { process, page, count, target }),
        1 => policy.prop_map(|policy| Step::Policy { policy }),
    ];
    prop::collection::vec(step, 1..40)
}

/// For each page, if it is mapped: what may be done with it and what it holds.
#[derive(Clone)]
struct Model(Vec<Option<(Protection, u8)>>);

struct World<'a> {
    machine: &'a Machine,
    spaces: Vec<Option<(Arc<AddressSpace>, Model)>>,
    running: [Option<(usize, User)>; CPUS],
}

impl World<'_> {
    fn on_cpu(&mut self, process: usize, cpu: usize) -> Option<&mut User> {
        let (space, _) = self.spaces[process].as_ref()?;
        if self.running[cpu].as_ref().is_none_or(|(running, _)| *running != process) {
            self.running[cpu] = None;
            self.running[cpu] = Some((process, self.machine.enter(space, cpu)));
        }
        self.running[cpu].as_mut().map(|(_, user)| user)
    }

    /// Runs `act` on a process that exists, with `count` cut at the end of the region.
    fn with<R>(
        &mut self,
        process: usize,
        page: u64,
        count: u64,
        act: impl FnOnce(&Arc<AddressSpace>, &mut [Option<(Protection, u8)>], u64) -> R,
    ) -> Option<R> {
        let (space, model) = self.spaces[process].as_mut()?;
        let count = count.min(REGION - page % REGION);
        let range = page as usize..(page + count) as usize;
        Some(act(space, &mut model.0[range], count * PAGE))
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Map { process, page, count, huge } => {
                self.with(process, page, count, |space, model, bytes| {
                    let request = MapRequest::anonymous(bytes, RW).fixed_at(at(address(page)));
                    space.map(&request, &Limits::NONE).expect("mapped");
                    let advice = if huge { Advice::HugePages } else { Advice::NoHugePages };
                    space.advise(at(address(page)), bytes, advice).expect("advised");
                    model.fill(Some((RW, 0)));
                });
            }
            Step::Read { process, cpu, page } => self.read(process, cpu, page),
            Step::Write { process, cpu, page, value } => {
                let Some(user) = self.on_cpu(process, cpu) else { return };
                let written = user.write(address(page), value).is_ok();
                let (_, model) = self.spaces[process].as_mut().expect("it runs");
                let slot = model.0[page as usize].as_mut();
                let slot = slot.filter(|(protection, _)| protection.contains(Protection::WRITE));
                assert_eq!(written, slot.is_some(), "process {process} page {page}");
                if let Some((_, byte)) = slot {
                    *byte = value;
                }
            }
            Step::Fork { process } => {
                let Some(free) = self.spaces.iter().position(Option::is_none) else { return };
                let Some((space, model)) = self.spaces[process].as_ref() else { return };
                self.spaces[free] = Some((space.fork().expect("memory"), model.clone()));
            }
            Step::Exit { process } => {
                for slot in &mut self.running {
                    if slot.as_ref().is_some_and(|(running, _)| *running == process) {
                        *slot = None;
                    }
                }
                self.spaces[process] = None;
                if self.spaces.iter().all(Option::is_none) {
                    self.spaces[0] = Some((self.machine.space(), empty()));
                }
            }
            Step::Unmap { process, page, count } => {
                self.with(process, page, count, |space, model, bytes| {
                    space.unmap(at(address(page)), bytes).expect("memory for the edges");
                    model.fill(None);
                });
            }
            Step::Protect { process, page, count, protection } => {
                let protection = [Protection::empty(), Protection::READ, RW][protection];
                self.with(process, page, count, |space, model, bytes| {
                    let outcome = space.protect(at(address(page)), bytes, protection);
                    let mapped = model.iter_mut().map_while(Option::as_mut);
                    let reached = mapped.map(|slot| slot.0 = protection).count();
                    assert_eq!(outcome.is_ok(), reached == model.len());
                });
            }
            Step::Discard { process, page, count } => {
                self.with(process, page, count, |space, model, bytes| {
                    let outcome = space.advise(at(address(page)), bytes, Advice::DontNeed);
                    assert_eq!(outcome.is_ok(), model.iter().all(Option::is_some));
                    model.iter_mut().flatten().for_each(|slot| slot.1 = 0);
                });
            }
            Step::Move { process, page, count, target } => {
                self.relocate(process, page, count, target);
            }
            Step::Policy { policy } => self.machine.memory().set_huge_policy(policy),
        }
    }

    fn read(&mut self, process: usize, cpu: usize, page: u64) {
        let Some((_, model)) = self.spaces[process].as_ref() else { return };
        let expected = model.0[page as usize].filter(|(protection, _)| !protection.is_empty());
        let user = self.on_cpu(process, cpu).expect("it exists");
        let byte = user.read(address(page)).ok();
        assert_eq!(byte, expected.map(|(_, byte)| byte), "process {process} page {page}");
    }

    fn relocate(&mut self, process: usize, page: u64, count: u64, target: u64) {
        let count = count.min(REGION - target % REGION).min(REGION - page % REGION);
        let Some((space, model)) = self.spaces[process].as_mut() else { return };
        let remap = Remap {
            start: at(address(page)),
            old_length: count * PAGE,
            new_length: count * PAGE,
            target: RemapTarget::Fixed(at(address(target))),
        };
        if space.remap(&remap, &Limits::NONE).is_ok() {
            for index in 0..count {
                let slot = model.0[(page + index) as usize].take();
                assert!(slot.is_some(), "a hole was moved");
                model.0[(target + index) as usize] = slot;
            }
        }
    }

    fn audit(&self) {
        let spaces: Vec<_> = self.spaces.iter().flatten().map(|(space, _)| space).collect();
        self.machine.audit(&spaces);
    }
}

fn empty() -> Model {
    Model(vec![None; PAGES as usize])
}

fn run(machine: &Machine, steps: Vec<Step>) {
    let mut spaces: Vec<_> = (0..PROCESSES).map(|_| None).collect();
    spaces[0] = Some((machine.space(), empty()));
    let mut world = World { machine, spaces, running: [const { None }; CPUS] };
    for step in steps {
        world.apply(step);
        world.audit();
    }
    for process in 0..PROCESSES {
        (0..PAGES).for_each(|page| world.read(process, page as usize % CPUS, page));
    }
    world.audit();
    drop(world);
    machine.memory().set_huge_policy(HugePolicy::Madvise);
    machine.assert_all_free();
}

/// Cases per test; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(200), max_shrink_iters: 2000, ..Default::default() }
}

#[test]
fn huge_pages_behave_like_small_ones() {
    let machine = Machine::new(96 << 20);
    proptest!(config(), |(steps in steps())| run(&machine, steps));
}

#[test]
fn huge_pages_behave_like_small_ones_with_pcids() {
    let machine = Machine::new(96 << 20);
    arch::tlb::enable_pcids();
    proptest!(config(), |(steps in steps())| run(&machine, steps));
}
