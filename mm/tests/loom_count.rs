//! Models of the reference count: `RUSTFLAGS="--cfg loom" cargo test -p mm --release --test 'loom_*'`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use mm::count::{Count, LIMIT, Released, Saturated};

/// Of several holders exactly one drops the last reference, and it sees all that the others did before.
#[test]
fn one_release_is_the_last_and_sees_all() {
    loom::model(|| {
        let shared = Arc::new((Count::new(3), [(); 2].map(|()| UnsafeCell::new(0))));
        let holders: Vec<_> = (0..2)
            .map(|index| {
                let shared = shared.clone();
                thread::spawn(move || {
                    // SAFETY: each holder writes its own cell; it is read only after every release.
                    shared.1[index].with_mut(|cell| unsafe { *cell = 1 });
                    finish(&shared.0, &shared.1)
                })
            })
            .collect();
        let mut last = u32::from(finish(&shared.0, &shared.1));
        last += holders
            .into_iter()
            .map(|holder| u32::from(holder.join().expect("joined")))
            .sum::<u32>();
        assert_eq!(last, 1);
    });
}

fn finish(count: &Count, cells: &[UnsafeCell<u32>; 2]) -> bool {
    if count.release() == Released::Shared {
        return false;
    }
    for cell in cells {
        // SAFETY: the last holder is alone; loom checks that.
        assert_eq!(cell.with(|cell| unsafe { *cell }), 1);
    }
    true
}

/// Whoever finds itself alone sees what the former holder did (I3b rests on this).
#[test]
fn exclusivity_carries_what_former_holders_did() {
    loom::model(|| {
        let shared = Arc::new((Count::new(2), UnsafeCell::new(0)));
        let other = shared.clone();
        let former = thread::spawn(move || {
            // SAFETY: read only by who is alone.
            other.1.with_mut(|cell| unsafe { *cell = 1 });
            assert_eq!(other.0.release(), Released::Shared);
        });
        if shared.0.is_exclusive() {
            // SAFETY: alone, by the count.
            assert_eq!(shared.1.with(|cell| unsafe { *cell }), 1);
        }
        former.join().expect("joined");
        assert!(shared.0.is_exclusive());
    });
}

/// Two that race for the last place below the limit: one gets it, the count does not pass the limit for good.
#[test]
fn a_full_count_lets_nobody_in() {
    loom::model(|| {
        let count = Arc::new(Count::new(LIMIT - 1));
        let other = count.clone();
        let rival = thread::spawn(move || other.acquire());
        let mine = count.acquire();
        let theirs = rival.join().expect("joined");
        // Both may lose: an attempt that fails is visible for a moment.
        assert!(mine == Err(Saturated) || theirs == Err(Saturated));
        let winners = u32::from(mine.is_ok()) + u32::from(theirs.is_ok());
        assert_eq!(count.get(), LIMIT - 1 + winners);
    });
}
