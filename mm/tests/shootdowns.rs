//! Whom a shootdown interrupts, and what process-context identifiers keep: the counters of a simulated machine, and what its
//! TLBs still translate.

mod common;

use std::sync::Arc;

use arch::addr::{UserAddr, VirtAddr};
use arch::cpu::CpuId;
use common::{Machine, PAGE};
use mm::space::{Advice, MapRequest, Remap, RemapTarget};
use mm::{AddressSpace, Limits, Protection};

const RW: Protection = Protection::READ.union(Protection::WRITE);
const BASE: u64 = 0x4000_0000;
/// More than the contexts that a CPU keeps side by side.
const MANY_SPACES: u64 = 9;

fn at(address: u64) -> UserAddr {
    UserAddr::try_new(address).expect("a user address")
}

/// A space with `pages` pages at [`BASE`].
fn space_with(machine: &Machine, pages: u64) -> Arc<AddressSpace> {
    let space = machine.space();
    let request = MapRequest::anonymous(pages * PAGE, RW).fixed_at(at(BASE));
    space.map(&request, &Limits::NONE).expect("mapped");
    space
}

/// What a program with one thread does to its memory, on CPU 0.
fn live_alone(machine: &Machine) {
    let space = space_with(machine, 600);
    let mut user = machine.enter(&space, 0);
    (0..600).for_each(|page| user.write(BASE + page * PAGE, 1).expect("writable"));
    let child = space.fork().expect("forked");
    user.write(BASE, 2).expect("writable");
    space.protect(at(BASE), 50 * PAGE, Protection::READ).expect("protected");
    space.advise(at(BASE + 50 * PAGE), 50 * PAGE, Advice::DontNeed).expect("advised");
    let remap = Remap {
        start: at(BASE + 100 * PAGE),
        old_length: 100 * PAGE,
        new_length: 100 * PAGE,
        target: RemapTarget::Fixed(at(BASE + 0x1000_0000)),
    };
    space.remap(&remap, &Limits::NONE).expect("moved");
    space.unmap(at(BASE + 300 * PAGE), 200 * PAGE).expect("unmapped");
    // The child runs on the same CPU, and ends.
    drop(user);
    let mut user = machine.enter(&child, 0);
    assert_eq!(user.read(BASE), Ok(1));
    user.write(BASE + PAGE, 3).expect("writable");
    drop((user, child));
    assert_eq!(machine.enter(&space, 0).read(BASE), Ok(2));
}

#[test]
fn one_thread_on_one_cpu_interrupts_nobody() {
    let machine = Machine::new(16 << 20);
    live_alone(&machine);
    assert!(machine.counter("shootdowns") > 5);
    assert_eq!(machine.counter("shootdown_targets"), 0);
    assert_eq!(machine.counter("shootdowns"), machine.counter("shootdowns_local"));
    machine.assert_all_free();
}

#[test]
fn one_thread_on_one_cpu_interrupts_nobody_with_identifiers() {
    let machine = Machine::new(16 << 20);
    arch::tlb::enable_pcids();
    live_alone(&machine);
    assert_eq!(machine.counter("shootdown_targets"), 0);
    machine.assert_all_free();
}

#[test]
fn an_operation_interrupts_each_cpu_once_however_much_it_changes() {
    let machine = Machine::new(16 << 20);
    let space = space_with(&machine, 512);
    let mut users: Vec<_> = (0..3).map(|cpu| machine.enter(&space, cpu)).collect();
    (0..512).for_each(|page| users[0].write(BASE + page * PAGE, 1).expect("writable"));
    let before = machine.counter("shootdown_targets");
    space.protect(at(BASE), 512 * PAGE, Protection::READ).expect("protected");
    assert_eq!(machine.counter("shootdown_targets") - before, 2);
    space.unmap(at(BASE), 512 * PAGE).expect("unmapped");
    assert_eq!(machine.counter("shootdown_targets") - before, 4);
}

#[test]
fn a_cpu_that_the_thread_has_left_is_interrupted_once_at_most() {
    let machine = Machine::new(16 << 20);
    let space = space_with(&machine, 8);
    // The thread ran on CPU 0, which idles with the space loaded; now it runs on CPU 1.
    machine.enter(&space, 0).write(BASE, 1).expect("writable");
    let mut user = machine.enter(&space, 1);
    (0..8).for_each(|page| user.write(BASE + page * PAGE, 1).expect("writable"));
    let skipped = machine.counter("shootdown_skipped");
    for _ in 0..4 {
        space.protect(at(BASE), PAGE, Protection::READ).expect("protected");
        space.protect(at(BASE), PAGE, RW).expect("protected");
    }
    assert_eq!(machine.counter("shootdown_targets"), 0, "tables stay, so a lazy CPU may keep them");
    assert!(machine.counter("shootdown_skipped") > skipped);
    // Tables go: now it must stop walking them, once.
    for _ in 0..3 {
        space.unmap(at(BASE), 8 * PAGE).expect("unmapped");
        let request = MapRequest::anonymous(8 * PAGE, RW).fixed_at(at(BASE));
        space.map(&request, &Limits::NONE).expect("mapped");
        user.write(BASE, 1).expect("writable");
    }
    assert_eq!(machine.counter("shootdown_targets"), 1);
}

#[test]
fn a_kernel_thread_in_between_costs_nothing() {
    let machine = Machine::new(16 << 20);
    let space = space_with(&machine, 1);
    machine.enter(&space, 0).write(BASE, 1).expect("writable");
    let address = VirtAddr::new_truncate(BASE);
    for _ in 0..3 {
        // A kernel thread runs: the translations stay, without any identifier.
        assert!(arch::mmu::peek(CpuId::new(0), address).is_some());
        assert_eq!(machine.enter(&space, 0).read(BASE), Ok(1));
    }
    assert_eq!(machine.counter("faults"), 1);
}

/// Whether CPU 0 reads the page without a walk.
fn is_cached(machine: &Machine, space: &Arc<AddressSpace>) -> bool {
    let walked = arch::mmu::walks(CpuId::new(0));
    assert_eq!(machine.enter(space, 0).read(BASE), Ok(1));
    arch::mmu::walks(CpuId::new(0)) == walked
}

#[test]
fn identifiers_keep_translations_over_other_spaces() {
    let machine = Machine::new(16 << 20);
    arch::tlb::enable_pcids();
    let (first, second) = (space_with(&machine, 1), space_with(&machine, 1));
    machine.enter(&first, 0).write(BASE, 1).expect("writable");
    machine.enter(&second, 0).write(BASE, 1).expect("writable");
    assert!(is_cached(&machine, &first), "switching back needs no walk");
    assert!(is_cached(&machine, &second));
    // A change while the space is loaded elsewhere, or nowhere, is found when it comes back.
    arch::set_current_cpu(CpuId::new(1));
    first.protect(at(BASE), PAGE, Protection::READ).expect("protected");
    assert!(!is_cached(&machine, &first));
    assert!(is_cached(&machine, &first));
}

#[test]
fn without_identifiers_a_switch_forgets() {
    let machine = Machine::new(16 << 20);
    let (first, second) = (space_with(&machine, 1), space_with(&machine, 1));
    machine.enter(&first, 0).write(BASE, 1).expect("writable");
    machine.enter(&second, 0).write(BASE, 1).expect("writable");
    assert!(!is_cached(&machine, &first));
}

#[test]
fn more_spaces_than_identifiers_never_see_each_other() {
    let machine = Machine::new(32 << 20);
    arch::tlb::enable_pcids();
    let spaces: Vec<_> = (0..MANY_SPACES).map(|_| space_with(&machine, 4)).collect();
    for round in 0..20_u64 {
        for (number, space) in spaces.iter().enumerate() {
            let value = (round as u8) ^ (number as u8) << 4;
            // Changed from a CPU that does not have it loaded, in some rounds.
            if (round + number as u64).is_multiple_of(3) {
                arch::set_current_cpu(CpuId::new(2));
                space.advise(at(BASE), PAGE, Advice::DontNeed).expect("advised");
                assert_eq!(machine.enter(space, 0).read(BASE), Ok(0), "round {round}");
            }
            let mut user = machine.enter(space, (number + round as usize) % 2);
            user.write(BASE, value).expect("writable");
            drop(user);
            assert_eq!(machine.enter(space, 0).read(BASE), Ok(value), "round {round}");
        }
    }
    drop(spaces);
    machine.assert_all_free();
}
