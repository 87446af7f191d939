//! The descriptor table against a simple model, and what fork shares.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn any_file() -> Arc<File> {
    World::new().open("/", OpenFlags::DIRECTORY).expect("opened")
}

#[test]
fn the_lowest_free_number_is_taken() {
    let table = FileTable::new();
    let file = any_file();
    let insert = || table.insert(file.clone(), 200, CloseOnExec::No);
    for expected in 0..130 {
        assert_eq!(insert(), Ok(Fd(expected)));
    }
    table.close(Fd(64)).expect("open");
    table.close(Fd(3)).expect("open");
    assert_eq!(insert(), Ok(Fd(3)));
    assert_eq!(insert(), Ok(Fd(64)));
    assert_eq!(insert(), Ok(Fd(130)));
    assert_eq!(table.close(Fd(131)), Err(Errno::EBADF));
    assert_eq!(table.close(Fd(-1)), Err(Errno::EBADF));
    assert_eq!(table.insert(file.clone(), 131, CloseOnExec::No), Err(Errno::EMFILE));
    assert_eq!(table.reserve(150, 200).expect("free").descriptor(), Fd(150));
}

#[test]
fn reservations_keep_others_out() {
    let table = FileTable::new();
    let file = any_file();
    let first = table.reserve(0, 10).expect("free");
    let second = table.reserve(0, 10).expect("free");
    assert_eq!((first.descriptor(), second.descriptor()), (Fd(0), Fd(1)));
    assert!(table.get(Fd(0)).is_err());
    assert_eq!(table.replace(Fd(1), file.clone(), 10, CloseOnExec::No), Err(Errno::EBUSY));
    drop(first);
    assert_eq!(second.install(file.clone(), CloseOnExec::No), Ok(Fd(1)));
    assert_eq!(table.insert(file, 10, CloseOnExec::No), Ok(Fd(0)));
}

#[test]
fn fork_shares_until_somebody_changes() {
    let parent = FileTable::new();
    let file = any_file();
    for _ in 0..100 {
        parent.insert(file.clone(), 200, CloseOnExec::No).expect("free");
    }
    parent.set_close_on_exec(Fd(70), CloseOnExec::Yes).expect("open");
    let references = Arc::strong_count(&file);
    let child = parent.fork();
    assert_eq!(Arc::strong_count(&file), references);
    child.close(Fd(5)).expect("open");
    assert!(parent.get(Fd(5)).is_ok());
    parent.close(Fd(99)).expect("open");
    assert!(child.get(Fd(99)).is_ok());
    child.close_on_exec().expect("memory");
    assert!(child.get(Fd(70)).is_err());
    assert!(parent.get(Fd(70)).is_ok());
    child.close_range(10, 1000).expect("memory");
    assert_eq!(child.next_open(10).map(|(descriptor, _)| descriptor), None);
    drop(child);
    drop(parent);
    assert_eq!(Arc::strong_count(&file), 1);
}

proptest! {
    #[test]
    fn tables_behave_like_a_map(
        steps in prop::collection::vec((0..5_u8, 0..140_i32), 1..120)
    ) {
        let file = any_file();
        let limit = 140;
        let mut tables = std::vec![(FileTable::new(), BTreeMap::<i32, bool>::new())];
        for (action, number) in steps {
            let which = number as usize % tables.len();
            if action == 4 && tables.len() < 4 {
                let copy = (tables[which].0.fork(), tables[which].1.clone());
                tables.push(copy);
                continue;
            }
            let (table, model) = &mut tables[which];
            match action {
                0 => {
                    let free = (0..limit as i32).find(|n| !model.contains_key(n));
                    let got = table.insert(file.clone(), limit, CloseOnExec::No).ok().map(|fd| fd.0);
                    prop_assert_eq!(got, free);
                    model.extend(free.map(|n| (n, false)));
                }
                1 => {
                    let closed = table.close(Fd(number)).is_ok();
                    prop_assert_eq!(closed, model.remove(&number).is_some());
                }
                2 => {
                    prop_assert!(table.replace(Fd(number), file.clone(), limit, CloseOnExec::Yes).is_ok());
                    model.insert(number, true);
                }
                _ => {
                    let flag = table.is_close_on_exec(Fd(number)).ok();
                    prop_assert_eq!(flag.map(|flag| flag == CloseOnExec::Yes), model.get(&number).copied());
                }
            }
            for (table, model) in &tables {
                let mut open = std::vec::Vec::new();
                let mut from = 0;
                while let Some((fd, _)) = table.next_open(from) {
                    open.push(fd.0);
                    from = fd.0 as usize + 1;
                }
                prop_assert!(open.iter().eq(model.keys()));
            }
        }
    }
}
