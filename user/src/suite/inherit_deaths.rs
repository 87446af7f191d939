//! Priority-inheritance futexes whose owners die: the lock has one heir, whatever the others do before he runs.

use std::sync::atomic::Ordering::SeqCst;

use libc::{
    CLOCK_REALTIME, FUTEX_LOCK_PI, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_TRYLOCK_PI,
    FUTEX_UNLOCK_PI, FUTEX_WAITERS, timespec,
};

use super::support::{
    Mapping, child, needs_cpus, needs_root, pin, state_of, until, until_sleeping,
};
use crate::sys::Errno;
use crate::{ok, sys};

super::area!("inherit_deaths":
    an_heir_that_has_not_run_keeps_the_lock,
);

/// Where the lock's word is, in a page whose robust list names it.
const WORD: usize = 96;
/// Where the heir and the last one who asks say how far they are.
const HEIR: usize = 128;

/// A robust list at the page's start, with one entry: the lock, marked as one with priority inheritance.
fn make_robust_list(page: &Mapping) {
    let entry = page.address() as u64 + 64;
    page.long(0).store(entry | 1, SeqCst);
    page.long(8).store(WORD as u64 - 64, SeqCst);
    page.long(16).store(0, SeqCst);
    page.long(64).store(page.address() as u64, SeqCst);
    ok!(SYS_set_robust_list, page.address(), 24);
}

fn tid() -> u32 {
    ok!(SYS_gettid) as u32
}

/// The owner of a robust lock dies. Its heir is kept from running by a more urgent thread; another who waited gives up; a
/// third asks for the lock. Nobody but the heir gets it.
fn an_heir_that_has_not_run_keeps_the_lock() {
    needs_root();
    needs_cpus(2);
    let page = Mapping::shared(1);
    let (word, go) = (page.word(WORD), page.word(160));
    pin(0, 1);
    let owner = child(|| {
        make_robust_list(&page);
        ok!(SYS_futex, word, FUTEX_LOCK_PI, 0, 0);
        until("the owner may end", || go.load(SeqCst) == 1);
    });
    until("it has the lock", || word.load(SeqCst) & FUTEX_TID_MASK != 0);
    let heir = child(|| {
        pin(0, 0);
        ok!(SYS_futex, word, FUTEX_LOCK_PI, 0, 0);
        page.word(HEIR).store(word.load(SeqCst), SeqCst);
        assert_eq!(word.load(SeqCst) & FUTEX_TID_MASK, tid());
        ok!(SYS_futex, word, FUTEX_UNLOCK_PI);
    });
    until("the heir waits", || word.load(SeqCst) & FUTEX_WAITERS != 0);
    until_sleeping(heir.pid());
    let impatient = child(|| {
        let mut deadline = timespec { tv_sec: 0, tv_nsec: 0 };
        ok!(SYS_clock_gettime, CLOCK_REALTIME, &mut deadline);
        deadline.tv_nsec += 400_000_000;
        deadline.tv_sec += deadline.tv_nsec / 1_000_000_000;
        deadline.tv_nsec %= 1_000_000_000;
        match sys!(SYS_futex, word, FUTEX_LOCK_PI, 0, &deadline) {
            Ok(_) => {
                assert_ne!(page.word(HEIR).load(SeqCst), 0, "it got the lock before the heir");
                ok!(SYS_futex, word, FUTEX_UNLOCK_PI);
            }
            Err(error) => assert_eq!(error, Errno::ETIMEDOUT),
        }
    });
    // On a slow machine it may have given up before anybody saw it sleep.
    until("the impatient one waits", || matches!(state_of(impatient.pid()), 'S' | 'Z'));
    // It takes the heir's CPU away from him.
    let bully = child(|| {
        pin(0, 0);
        ok!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &50_i32);
        go.store(1, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    });
    until("the bully is there", || go.load(SeqCst) == 1);
    owner.success();
    impatient.success();
    let asked = sys!(SYS_futex, word, FUTEX_TRYLOCK_PI);
    // On a slow machine the heir may have had his turn by now.
    let has_run = page.word(HEIR).load(SeqCst) != 0;
    assert!(asked.is_err() || has_run, "the lock has two owners: {:#x}", word.load(SeqCst));
    if asked.is_ok() {
        ok!(SYS_futex, word, FUTEX_UNLOCK_PI);
    }
    bully.finish();
    heir.success();
    assert_ne!(page.word(HEIR).load(SeqCst) & FUTEX_OWNER_DIED, 0);
}
