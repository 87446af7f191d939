//! What the counters of `/proc/vmstat` say of a sequence whose every step is known.

mod common;

use std::collections::BTreeMap;

use arch::addr::UserAddr;
use arch::context::Access;
use common::{Machine, PAGE};
use mm::counters::DESCRIPTIONS;
use mm::space::{MapRequest, Resolved};
use mm::{Limits, Protection};

const BASE: u64 = 5 << 30;

/// Runs `act` and returns by how much each counter rose, without those that did not.
fn rises(machine: &Machine, act: impl FnOnce()) -> BTreeMap<&'static str, u64> {
    let before = machine.memory().counter_totals();
    act();
    let after = machine.memory().counter_totals();
    let names = DESCRIPTIONS.iter().map(|(name, _)| *name);
    let rises =
        names.zip(before.iter().zip(after)).map(|(name, (before, after))| (name, after - before));
    rises.filter(|(_, rise)| *rise > 0).collect()
}

#[track_caller]
fn expect(found: &BTreeMap<&'static str, u64>, expected: &[(&'static str, u64)]) {
    assert_eq!(*found, expected.iter().copied().collect());
}

#[test]
fn each_step_of_a_fork_is_counted_once() {
    let machine = Machine::new(32 << 20);
    let parent = machine.space();
    let start = UserAddr::try_new(BASE).expect("in range");
    let read_write = Protection::READ | Protection::WRITE;
    let request = MapRequest::anonymous(4 * PAGE, read_write).fixed_at(start);
    parent.map(&request, &Limits::NONE).expect("mapped");
    let mut user = machine.enter(&parent, 0);
    let touched = rises(&machine, || {
        (0..4).for_each(|page| user.write(BASE + page * PAGE, 1).expect("writable"))
    });
    expect(&touched, &[("faults", 4), ("zero_faults", 4)]);

    let mut child = None;
    let forked = rises(&machine, || child = Some(parent.fork().expect("memory")));
    expect(
        &forked,
        &[("forks", 1), ("shootdowns", 1), ("shootdowns_local", 1), ("shootdown_full", 1)],
    );

    let copied = rises(&machine, || user.write(BASE, 2).expect("writable"));
    let copy = [
        ("faults", 1),
        ("path_copies_level_3", 1),
        ("path_copies_level_2", 1),
        ("path_copies_level_1", 1),
        ("copied_frames", 1),
        ("shootdowns", 1),
        ("shootdowns_local", 1),
        ("shootdown_pages", 1),
    ];
    // The reference to the old table of the highest level is dropped, and the child still has that.
    expect(&copied, &[copy.as_slice(), &[("shared_drops", 3)]].concat());

    let dropped = rises(&machine, || drop(child.take()));
    assert_eq!(dropped.get("forks"), None);
    // The tables are the parent's own again, and so is each page.
    let regained = rises(&machine, || user.write(BASE + PAGE, 3).expect("writable"));
    expect(&regained, &[("faults", 1), ("sole_owner_pages", 1)]);
}

#[test]
fn other_cpus_are_counted_as_told_or_left_alone() {
    let machine = Machine::new(32 << 20);
    let space = machine.space();
    let start = UserAddr::try_new(BASE).expect("in range");
    let request =
        MapRequest::anonymous(4 * PAGE, Protection::READ | Protection::WRITE).fixed_at(start);
    space.map(&request, &Limits::NONE).expect("mapped");
    let mut busy = machine.enter(&space, 1);
    busy.write(BASE, 1).expect("writable");
    drop(machine.enter(&space, 2));
    let user = machine.enter(&space, 0);
    user.take_turn();
    let protected = rises(&machine, || {
        space.protect(start, PAGE, Protection::READ).expect("protected");
    });
    expect(
        &protected,
        &[
            ("shootdowns", 1),
            ("shootdown_targets", 1),
            ("shootdown_skipped", 1),
            ("shootdown_pages", 1),
        ],
    );
    // Another CPU has made the page writable already, which this one learns by a fault and no more.
    space.protect(start, PAGE, Protection::READ | Protection::WRITE).expect("protected");
    let mut user = user;
    let spurious = rises(&machine, || {
        busy.write(BASE, 2).expect("writable");
        user.write(BASE, 3).expect("writable");
    });
    assert_eq!(spurious.get("copied_frames"), None);
    assert_eq!(spurious.get("zero_faults"), None);
}

/// I7: setting write bits tells nobody, and what another CPU has restored is one fault that changes nothing.
#[test]
fn write_access_comes_back_without_a_shootdown() {
    let machine = Machine::new(32 << 20);
    let space = machine.space();
    let start = UserAddr::try_new(BASE).expect("in range");
    let read_write = Protection::READ | Protection::WRITE;
    let request = MapRequest::anonymous(2 * PAGE, read_write).fixed_at(start);
    space.map(&request, &Limits::NONE).expect("mapped");
    let (mut first, second) = (machine.enter(&space, 0), machine.enter(&space, 1));
    first.write(BASE, 1).expect("writable");
    first.write(BASE + PAGE, 1).expect("writable");
    first.take_turn();
    let child = space.fork().expect("memory");
    // Copies the tables, so that only the pages are shared.
    first.write(BASE + PAGE, 2).expect("writable");
    assert_eq!(first.read(BASE), Ok(1));
    drop(child);
    let restored = rises(&machine, || first.write(BASE, 2).expect("writable"));
    expect(&restored, &[("faults", 1), ("sole_owner_pages", 1)]);
    // The other CPU comes with a fault that its TLB was the reason for.
    let late = || {
        second.take_turn();
        let resolved = space.handle_fault(start.to_virt(), Access::Write, &Limits::NONE);
        assert_eq!(resolved, Ok(Resolved::Permitted));
    };
    expect(&rises(&machine, late), &[("faults", 1), ("spurious_faults", 1)]);
    // The same with tables: nobody has copied those when the child goes.
    first.take_turn();
    drop(space.fork().expect("memory"));
    let restored = rises(&machine, || first.write(BASE, 4).expect("writable"));
    expect(&restored, &[("faults", 1), ("sole_owner_tables", 1)]);
    expect(&rises(&machine, late), &[("faults", 1), ("spurious_faults", 1)]);
}
