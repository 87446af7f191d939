//! fork and copy-on-write: nobody sees what another wrote, and everybody sees what is shared.

use std::sync::atomic::Ordering::SeqCst;

use libc::{MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, PROT_WRITE};

use super::support::{
    Child, Mapping, PAGE, Status, child, exec_helper, in_child, nap, pipe, until, wait_for,
};
use crate::ok;

super::area!("cow":
    child_writes_stay_with_child,
    parent_writes_stay_with_parent,
    untouched_page_of_parent_is_zero_in_child,
    grandchildren_are_separate_too,
    fork_of_fork_before_writing,
    sole_owner_after_child_exit,
    shared_anonymous_stays_shared,
    shared_beside_private,
    private_file_mapping_is_copied,
    shared_file_mapping_is_not,
    fork_with_many_mappings,
    many_children_write_the_same_page,
    chain_of_forks_keeps_each_generation,
    threads_write_while_forking,
    threads_in_child_write,
    exit_order_does_not_matter,
    parent_dies_first,
    large_memory_forks_often,
    alternating_writes,
    stack_is_copied,
    fork_then_exec_leaves_parent_alone,
    fault_storm_on_one_page,
);

fn child_writes_stay_with_child() {
    let mapping = Mapping::private(4);
    mapping.stamp(1);
    in_child(|| {
        assert!(mapping.has_stamp(1));
        mapping.stamp(100);
        assert!(mapping.has_stamp(100));
    });
    assert!(mapping.has_stamp(1));
}

/// Forks a child that waits for `release`, then checks with `check`, while the parent does `change` in between.
#[track_caller]
pub(super) fn while_child_waits(change: impl FnOnce(), check: impl FnOnce()) {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
        check();
    });
    change();
    ok!(SYS_write, write_end, b"g", 1);
    child.success();
    ok!(SYS_close, read_end);
    ok!(SYS_close, write_end);
}

fn parent_writes_stay_with_parent() {
    let mapping = Mapping::private(4);
    mapping.stamp(1);
    while_child_waits(|| mapping.stamp(50), || assert!(mapping.has_stamp(1)));
    assert!(mapping.has_stamp(50));
}

fn untouched_page_of_parent_is_zero_in_child() {
    let mapping = Mapping::private(4);
    while_child_waits(|| mapping.fill(3), || assert!(mapping.is_all(0)));
    assert!(mapping.is_all(3));
    let read_only_touched = Mapping::private(4);
    assert!(read_only_touched.is_all(0));
    in_child(|| read_only_touched.fill(9));
    assert!(read_only_touched.is_all(0), "the zero page is not written");
}

fn grandchildren_are_separate_too() {
    let mapping = Mapping::private(2);
    mapping.fill(1);
    in_child(|| {
        mapping.fill(2);
        in_child(|| {
            assert!(mapping.is_all(2));
            mapping.fill(3);
            in_child(|| {
                assert!(mapping.is_all(3));
                mapping.fill(4);
            });
            assert!(mapping.is_all(3));
        });
        assert!(mapping.is_all(2));
    });
    assert!(mapping.is_all(1));
}

fn fork_of_fork_before_writing() {
    let mapping = Mapping::private(2);
    mapping.fill(1);
    in_child(|| {
        in_child(|| {
            in_child(|| mapping.fill(9));
            assert!(mapping.is_all(1));
            mapping.fill(8);
        });
        assert!(mapping.is_all(1), "intent to write is not the hardware's bit");
        mapping.fill(7);
    });
    assert!(mapping.is_all(1));
    mapping.fill(2);
}

fn sole_owner_after_child_exit() {
    let mapping = Mapping::private(16);
    for round in 0..20_u8 {
        mapping.stamp(round);
        in_child(|| assert!(mapping.has_stamp(round)));
        assert!(mapping.has_stamp(round));
    }
}

fn shared_anonymous_stays_shared() {
    let mapping = Mapping::shared(4);
    in_child(|| {
        mapping.stamp(1);
        in_child(|| mapping.set(PAGE, 77));
    });
    assert_eq!((mapping.get(0), mapping.get(PAGE), mapping.get(2 * PAGE)), (1, 77, 3));
}

fn shared_beside_private() {
    // In one table: private, shared, private.
    let private = Mapping::private(3);
    private.fill(1);
    let flags = MAP_SHARED | MAP_ANONYMOUS | libc::MAP_FIXED;
    ok!(SYS_mmap, private.page(1), PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    in_child(|| private.fill(5));
    assert_eq!(private.get(0), 1);
    assert_eq!(private.get(PAGE), 5);
    assert_eq!(private.get(2 * PAGE), 1);
    while_child_waits(
        || private.fill(6),
        || {
            assert_eq!((private.get(0), private.get(PAGE), private.get(2 * PAGE)), (1, 6, 1));
        },
    );
}

pub(super) fn file(content: &[u8]) -> i32 {
    std::fs::write("file", content).unwrap();
    ok!(SYS_open, c"file", libc::O_RDWR) as i32
}

fn private_file_mapping_is_copied() {
    let mapping = Mapping::file(file(&[1; 2 * PAGE]), 2 * PAGE, MAP_PRIVATE);
    mapping.set(0, 2);
    in_child(|| {
        assert_eq!((mapping.get(0), mapping.get(PAGE)), (2, 1));
        mapping.fill(3);
    });
    assert_eq!((mapping.get(0), mapping.get(1), mapping.get(PAGE)), (2, 1, 1));
    assert!(std::fs::read("file").unwrap().iter().all(|byte| *byte == 1));
}

fn shared_file_mapping_is_not() {
    let mapping = Mapping::file(file(&[1; 2 * PAGE]), 2 * PAGE, MAP_SHARED);
    in_child(|| mapping.fill(3));
    assert!(mapping.is_all(3));
    assert!(std::fs::read("file").unwrap().iter().all(|byte| *byte == 3));
}

fn fork_with_many_mappings() {
    let mappings: Vec<Mapping> = (0..200)
        .map(|index| {
            let mapping = Mapping::private(2);
            // Different rights keep the kernel from merging neighbours.
            mapping.set(0, index as u8);
            mapping.protect(1, 1, PROT_NONE);
            mapping
        })
        .collect();
    in_child(|| {
        for (index, mapping) in mappings.iter().enumerate() {
            assert_eq!(mapping.get(0), index as u8);
            mapping.set(0, !(index as u8));
        }
    });
    assert!(mappings.iter().enumerate().all(|(index, mapping)| mapping.get(0) == index as u8));
}

fn many_children_write_the_same_page() {
    let mapping = Mapping::private(1);
    mapping.fill(0xff);
    let children: Vec<Child> = (0..16_u8)
        .map(|number| {
            child(|| {
                for round in 0..50 {
                    mapping.fill(number);
                    if round % 10 == 0 {
                        ok!(SYS_sched_yield);
                    }
                    assert!(mapping.is_all(number));
                }
            })
        })
        .collect();
    for child in children {
        child.success();
    }
    assert!(mapping.is_all(0xff));
}

fn chain_of_forks_keeps_each_generation() {
    fn generation(mapping: &Mapping, number: u8) {
        mapping.set(usize::from(number) * PAGE, number);
        if number < 12 {
            in_child(|| generation(mapping, number + 1));
        }
        for index in 0..16_u8 {
            let expected = if index <= number { index } else { 0 };
            assert_eq!(mapping.get(usize::from(index) * PAGE), expected);
        }
    }
    generation(&Mapping::private(16), 1);
}

fn threads_write_while_forking() {
    let mapping = Mapping::private(8);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2_usize {
            let (mapping, stop) = (&mapping, &stop);
            scope.spawn(move || {
                // Each thread keeps its counters on all pages in step: never more than one apart.
                let mut value = 0_u32;
                while !stop.load(SeqCst) {
                    value += 1;
                    for page in 0..8 {
                        mapping.word(page * PAGE + thread * 64).store(value, SeqCst);
                    }
                }
            });
        }
        for _ in 0..40 {
            let mapping = &mapping;
            in_child(move || {
                // A snapshot: it stands still and is consistent.
                for thread in 0..2_usize {
                    let word = |page| mapping.word(page * PAGE + thread * 64).load(SeqCst);
                    let first = word(0);
                    let values: Vec<u32> = (0..8).map(word).collect();
                    assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{values:?}");
                    assert!(first - values[7] <= 1, "{values:?}");
                    for page in 0..8 {
                        mapping.word(page * PAGE + thread * 64).store(0, SeqCst);
                    }
                }
            });
        }
        stop.store(true, SeqCst);
    });
}

fn threads_in_child_write() {
    let mapping = Mapping::private(64);
    mapping.stamp(1);
    in_child(|| {
        std::thread::scope(|scope| {
            for thread in 1..5 {
                let mapping = &mapping;
                scope.spawn(move || {
                    for index in 0..64 {
                        mapping.set(index * PAGE + thread, thread as u8);
                    }
                });
            }
        });
        assert!(mapping.has_stamp(1));
        for index in 0..64 {
            assert!((1..5).all(|thread| mapping.get(index * PAGE + thread) == thread as u8));
        }
    });
    assert!(mapping.has_stamp(1));
    assert!((0..64).all(|index| mapping.get(index * PAGE + 1) == 0));
}

fn exit_order_does_not_matter() {
    let mapping = Mapping::private(8);
    mapping.stamp(1);
    for last in 0..4_u64 {
        let children: Vec<Child> = (0..4_u64)
            .map(|number| {
                child(|| {
                    mapping.set(PAGE, number as u8);
                    nap((number + last) % 4 * 5);
                    assert_eq!(mapping.get(PAGE), number as u8);
                    assert_eq!(mapping.get(2 * PAGE), 3);
                })
            })
            .collect();
        for child in children {
            child.success();
        }
        assert!(mapping.has_stamp(1));
    }
}

fn parent_dies_first() {
    ok!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    let mapping = Mapping::private(8);
    mapping.stamp(1);
    in_child(|| {
        mapping.stamp(2);
        let middle = ok!(SYS_getpid);
        let grandchild = child(|| {
            until("the parent was gone", || ok!(SYS_getppid) != middle);
            assert!(mapping.has_stamp(2));
            mapping.stamp(3);
            assert!(mapping.has_stamp(3));
        });
        grandchild.abandon();
    });
    assert_eq!(wait_for(-1, 0).unwrap().1, Status::Exited(0));
    assert!(mapping.has_stamp(1));
}

fn large_memory_forks_often() {
    let mapping = Mapping::private(4096);
    mapping.stamp(1);
    for round in 0..10 {
        in_child(|| {
            let page = round * 400;
            assert_eq!(mapping.get(page * PAGE), 1_u8.wrapping_add(page as u8));
            mapping.set(page * PAGE, 0);
        });
    }
    assert!(mapping.has_stamp(1));
}

fn alternating_writes() {
    let mapping = Mapping::private(1);
    let turn = Mapping::shared(1);
    let wait_for_turn = |value| until("it was our turn", || turn.word(0).load(SeqCst) == value);
    let child =
        child(|| {
            for round in 0..10 {
                wait_for_turn(round * 2 + 1);
                mapping.set(round as usize, 200);
                assert!((0..10).all(
                    |index| mapping.get(index) == if index <= round as usize { 200 } else { 0 }
                ));
                turn.word(0).store(round * 2 + 2, SeqCst);
            }
        });
    for round in 0..10 {
        wait_for_turn(round * 2);
        mapping.set(round as usize, 100);
        turn.word(0).store(round * 2 + 1, SeqCst);
    }
    child.success();
    assert!((0..10).all(|index| mapping.get(index) == 100));
}

fn stack_is_copied() {
    let mut local = std::hint::black_box([1_u8; 3 * PAGE]);
    in_child(|| {
        local.fill(2);
        assert!(std::hint::black_box(&local).iter().all(|byte| *byte == 2));
    });
    assert!(std::hint::black_box(&local).iter().all(|byte| *byte == 1));
}

fn fork_then_exec_leaves_parent_alone() {
    let mapping = Mapping::private(64);
    mapping.stamp(1);
    for _ in 0..3 {
        let child = child(|| {
            mapping.stamp(2);
            exec_helper("exit", &[c"9"]);
        });
        mapping.set(1, 1);
        assert_eq!(child.status(), Status::Exited(9));
        assert!(mapping.has_stamp(1));
    }
}

fn fault_storm_on_one_page() {
    let mapping = Mapping::private(1);
    for round in 0..20_u8 {
        mapping.fill(round);
        let child = child(|| {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let mapping = &mapping;
                    // All at once, on the same page.
                    scope.spawn(move || mapping.set(thread, 255));
                }
            });
            assert!((0..4).all(|thread| mapping.get(thread) == 255));
            assert!((4..PAGE).all(|offset| mapping.get(offset) == round));
        });
        mapping.set(PAGE - 1, round);
        child.success();
        assert!(mapping.is_all(round));
    }
}
