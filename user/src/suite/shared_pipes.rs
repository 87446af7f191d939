//! Several threads that want the same pipe, or the same set of files: nobody sleeps while there is something for him.

use std::sync::atomic::{AtomicBool, Ordering};

use libc::{EPOLL_CTL_ADD, EPOLLIN, POLLIN, SIGKILL};

use super::support::{child, nap, pipe, until, until_sleeping, wait_for};
use crate::{fails, ok};

super::area!("shared_pipes":
    splice_that_waits_for_room_passes_its_wake_up_on,
    reader_that_faults_passes_its_wake_up_on,
    writer_that_faults_passes_its_wake_up_on,
    set_is_ready_while_its_events_are_collected,
);

/// An address in the page that nobody ever maps.
const NOWHERE: usize = 8;

/// Waits until the process `pid` sleeps.
fn asleep(pid: i32) {
    until_sleeping(pid);
    // It may have slept elsewhere, on its way.
    nap(20);
}

fn fill(writer: i32) {
    ok!(SYS_fcntl, writer, libc::F_SETFL, libc::O_NONBLOCK);
    while crate::sys!(SYS_write, writer, &[0_u8; 4096], 4096).is_ok() {}
    ok!(SYS_fcntl, writer, libc::F_SETFL, 0);
}

fn ended(pid: i32) -> bool {
    wait_for(pid, libc::WNOHANG).unwrap().0 == pid
}

/// A byte comes for two, of whom the first cannot take it: what it is spliced to is full.
fn splice_that_waits_for_room_passes_its_wake_up_on() {
    let (source_read, source_write) = pipe(0);
    let (_target_read, target_write) = pipe(0);
    fill(target_write);
    let splicer = child(|| {
        ok!(SYS_splice, source_read, 0, target_write, 0, 4096, 0);
    });
    asleep(splicer.pid());
    let reader = child(|| {
        assert_eq!(ok!(SYS_read, source_read, &mut [0_u8; 8], 8), 1);
    });
    asleep(reader.pid());
    assert_eq!(ok!(SYS_write, source_write, b"x", 1), 1);
    until("the reader has it", || ended(reader.pid()));
    reader.abandon();
    splicer.kill(SIGKILL);
    splicer.status();
}

/// A byte comes for two, of whom the first has nowhere to put it.
fn reader_that_faults_passes_its_wake_up_on() {
    let (read_end, write_end) = pipe(0);
    let faulty = child(|| {
        fails!(EFAULT: SYS_read, read_end, NOWHERE, 1);
    });
    asleep(faulty.pid());
    let reader = child(|| {
        assert_eq!(ok!(SYS_read, read_end, &mut [0_u8; 8], 8), 1);
    });
    asleep(reader.pid());
    assert_eq!(ok!(SYS_write, write_end, b"x", 1), 1);
    until("the reader has it", || ended(reader.pid()));
    reader.abandon();
    faulty.success();
}

/// A page becomes free for two, of whom the first has nothing to put there.
fn writer_that_faults_passes_its_wake_up_on() {
    let (read_end, write_end) = pipe(0);
    fill(write_end);
    let faulty = child(|| {
        fails!(EFAULT: SYS_write, write_end, NOWHERE, 1);
    });
    asleep(faulty.pid());
    let writer = child(|| {
        assert_eq!(ok!(SYS_write, write_end, b"x", 1), 1);
    });
    asleep(writer.pid());
    assert_eq!(ok!(SYS_read, read_end, &mut [0_u8; 4096], 4096), 4096);
    until("the writer was there", || ended(writer.pid()));
    writer.abandon();
    faulty.success();
}

/// One thread collects events all the time; for others the set is ready at every moment all the same.
fn set_is_ready_while_its_events_are_collected() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let set = ok!(SYS_epoll_create1, 0) as i32;
    let mut ends = Vec::new();
    for number in 0..16_u64 {
        let (reader, writer) = pipe(0);
        let event = [EPOLLIN as u32, number as u32, 0];
        ok!(SYS_epoll_ctl, set, EPOLL_CTL_ADD, reader, &event);
        ok!(SYS_write, writer, b"x", 1);
        ends.push((reader, writer));
    }
    let collector = std::thread::spawn(move || {
        while !IS_OVER.load(Ordering::SeqCst) {
            let mut events = [0_u32; 3 * 16];
            assert_eq!(ok!(SYS_epoll_wait, set, &mut events[..], 16, 0), 16);
        }
    });
    for round in 0..3000 {
        let mut asked = [set, i32::from(POLLIN)];
        assert_eq!(ok!(SYS_poll, &mut asked, 1, 0), 1, "round {round}");
    }
    IS_OVER.store(true, Ordering::SeqCst);
    collector.join().unwrap();
}
