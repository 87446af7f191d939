//! Every interleaving of a ring's writer on its own CPU with a reader elsewhere, on the very code of [`records::Ring`].
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p records --release --test 'loom_*'`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use records::{Record, Ring};

/// A record that is known by its time.
fn record(time: u64) -> Record {
    Record { time, head: time * 3, first: time * 5, second: time * 7 }
}

/// A ring of two slots.
fn ring() -> Arc<Ring> {
    let ring = Ring::new(1).expect("memory");
    assert_eq!(ring.capacity(), 2);
    Arc::new(ring)
}

#[test]
fn a_record_is_read_whole_or_not_at_all() {
    loom::model(|| {
        let ring = ring();
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.push(record(1)))
        };
        for position in ring.readable() {
            if let Some(found) = ring.get(position) {
                assert_eq!(found, record(1));
            }
        }
        writer.join().unwrap();
        assert_eq!(ring.get(0), Some(record(1)));
    });
}

#[test]
fn a_record_that_is_overwritten_meanwhile_is_read_whole_or_not_at_all() {
    loom::model(|| {
        let ring = ring();
        ring.push(record(1));
        ring.push(record(2));
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.push(record(3)))
        };
        // The slot of the first record becomes that of the third.
        if let Some(found) = ring.get(0) {
            assert!(found == record(1) || found == record(3), "{found:?}");
        }
        assert_eq!(ring.get(1), Some(record(2)), "nobody writes there");
        writer.join().unwrap();
        assert_eq!(ring.readable(), 1..3);
        assert_eq!(ring.get(2), Some(record(3)));
    });
}

#[test]
fn what_was_dropped_is_not_readable_beside_a_writer() {
    loom::model(|| {
        let ring = ring();
        ring.push(record(1));
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.push(record(2)))
        };
        ring.clear();
        let range = ring.readable();
        assert!(range.start >= 1 && range.end <= 2, "{range:?}");
        for found in range.filter_map(|position| ring.get(position)) {
            assert_eq!(found, record(2));
        }
        writer.join().unwrap();
        assert!(ring.lost() <= 1);
    });
}
