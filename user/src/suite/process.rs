//! fork, exit, and who is whose child.

use std::sync::atomic::Ordering;

use super::support::*;
use crate::{fails, ok, sys};

super::area!("process":
    fork_tells_parent_and_child_apart,
    exit_status_is_eight_bits,
);

fn fork_tells_parent_and_child_apart() {
    let parent = ok!(SYS_getpid);
    let seen = Mapping::shared(1);
    let child = child(|| {
        assert_eq!(ok!(SYS_getppid), parent);
        seen.word(0).store(ok!(SYS_getpid) as u32, Ordering::SeqCst);
    });
    let pid = child.pid();
    assert_ne!(pid as usize, parent);
    child.success();
    assert_eq!(seen.word(0).load(Ordering::SeqCst), pid as u32);
    fails!(ECHILD: SYS_wait4, pid, 0, 0, 0);
}

fn exit_status_is_eight_bits() {
    for (given, seen) in [(0, 0), (1, 1), (255, 255), (256, 0), (-1, 255), (0x1234, 0x34)] {
        let child = child(|| exit_now(given));
        assert_eq!(child.status(), Status::Exited(seen));
    }
}
