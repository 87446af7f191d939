//! membarrier(2): which commands there are, who may use them, and that they order memory.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, compiler_fence};

use nix::errno::Errno;

use super::support::{Mapping, child, helper_output, needs_cpus, skip, until};
use crate::sys::SysResult;
use crate::{ok, sys};

super::area!("membarrier":
    query_names_the_commands,
    arguments_are_checked,
    private_barriers_take_a_registration_each,
    global_barriers_take_none,
    registrations_are_shared_by_threads_and_inherited_by_fork,
    registrations_end_with_exec,
    private_barriers_order_threads,
    global_barriers_order_registered_processes,
    global_barriers_order_all_processes,
    new_code_is_run_after_cores_are_synchronised,
);

const QUERY: i32 = 0;
const GLOBAL: i32 = 1;
const GLOBAL_EXPEDITED: i32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: i32 = 1 << 2;
const PRIVATE_EXPEDITED: i32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
const SYNC_CORE: i32 = 1 << 5;
const REGISTER_SYNC_CORE: i32 = 1 << 6;
pub(super) const RSEQ: i32 = 1 << 7;
pub(super) const REGISTER_RSEQ: i32 = 1 << 8;
/// What Linux 6.1 knows; later ones know more.
const ALL: usize = 0x1ff;
const FLAG_CPU: u32 = 1;

pub(super) fn membarrier(command: i32, flags: u32, cpu: i32) -> SysResult {
    sys!(SYS_membarrier, command, flags, cpu)
}

/// Runs `command`, which must succeed.
#[track_caller]
fn run(command: i32) {
    assert_eq!(membarrier(command, 0, 0), Ok(0), "command {command}");
}

/// Skips the case where the kernel leaves commands out (without CONFIG_RSEQ, or with `nohz_full=`).
fn needs(command: i32) {
    match membarrier(QUERY, 0, 0) {
        Ok(known) if known & command as usize != 0 => {}
        answer => skip(&format!("this kernel has no command {command}: {answer:?}")),
    }
}

fn query_names_the_commands() {
    needs(GLOBAL);
    needs(RSEQ);
    assert_eq!(membarrier(QUERY, 0, 0).map(|known| known & ALL), Ok(ALL));
}

fn arguments_are_checked() {
    needs(RSEQ);
    for command in [-1, 3, GLOBAL | PRIVATE_EXPEDITED, 1 << 20, i32::MIN] {
        assert_eq!(membarrier(command, 0, 0), Err(Errno::EINVAL), "command {command}");
    }
    for command in [QUERY, GLOBAL, GLOBAL_EXPEDITED, PRIVATE_EXPEDITED, REGISTER_RSEQ] {
        assert_eq!(membarrier(command, FLAG_CPU, 0), Err(Errno::EINVAL), "command {command}");
    }
    run(REGISTER_RSEQ);
    assert_eq!(membarrier(RSEQ, 2, 0), Err(Errno::EINVAL));
    for cpu in [0, 1 << 20, -1] {
        assert_eq!(membarrier(RSEQ, FLAG_CPU, cpu), Ok(0), "CPU {cpu}");
    }
}

fn private_barriers_take_a_registration_each() {
    needs(RSEQ);
    let kinds = [
        (REGISTER_SYNC_CORE, SYNC_CORE),
        (REGISTER_RSEQ, RSEQ),
        (REGISTER_PRIVATE_EXPEDITED, PRIVATE_EXPEDITED),
    ];
    for (index, (register, command)) in kinds.into_iter().enumerate() {
        for (_, later) in &kinds[index..] {
            assert_eq!(membarrier(*later, 0, 0), Err(Errno::EPERM), "command {later}");
        }
        run(register);
        run(register);
        run(command);
    }
}

fn global_barriers_take_none() {
    needs(GLOBAL);
    run(GLOBAL);
    run(GLOBAL_EXPEDITED);
    run(REGISTER_GLOBAL_EXPEDITED);
    run(GLOBAL_EXPEDITED);
    assert_eq!(membarrier(PRIVATE_EXPEDITED, 0, 0), Err(Errno::EPERM));
}

fn registrations_are_shared_by_threads_and_inherited_by_fork() {
    needs(PRIVATE_EXPEDITED);
    std::thread::spawn(|| run(REGISTER_PRIVATE_EXPEDITED)).join().unwrap();
    run(PRIVATE_EXPEDITED);
    child(|| {
        run(PRIVATE_EXPEDITED);
        // What a child registers is its own.
        run(REGISTER_SYNC_CORE);
        run(SYNC_CORE);
    })
    .success();
    assert_eq!(membarrier(SYNC_CORE, 0, 0), Err(Errno::EPERM));
}

/// What the suite's helper `membarrier` does: says whether it has its parent's registration.
pub(super) fn helper() {
    println!("{:?}", membarrier(PRIVATE_EXPEDITED, 0, 0).err());
}

fn registrations_end_with_exec() {
    needs(PRIVATE_EXPEDITED);
    let output = helper_output("membarrier", &[], || run(REGISTER_PRIVATE_EXPEDITED));
    assert_eq!(output, "Some(EPERM)\n");
}

const ROUNDS: u32 = 300;

/// One side of Dekker's algorithm, whose fence between its store and its load is `fence`. Both sides meet before and after each round. Returns
/// what it read in each.
fn side(words: &Mapping, own: usize, fence: impl Fn()) -> Vec<u32> {
    let meet = |place: usize, round: u32| {
        words.word(place).fetch_add(1, SeqCst);
        while words.word(place).load(SeqCst) < 2 * round {
            std::hint::spin_loop();
        }
    };
    let flag = |which: usize| -> &AtomicU32 { words.word(64 * which) };
    (1..=ROUNDS)
        .map(|round| {
            meet(256, round);
            flag(own).store(round, Relaxed);
            fence();
            let seen = flag(1 - own).load(Relaxed);
            meet(320, round);
            seen
        })
        .collect()
}

/// In each round one of the two has seen the other's store.
fn assert_ordered(fast: &[u32], slow: &[u32]) {
    for (round, (fast, slow)) in (1_u32..).zip(fast.iter().zip(slow)) {
        assert!(*fast == round || *slow == round, "round {round}: {fast} {slow}");
    }
}

/// Runs the side that has no fence but the compiler's.
fn fast_side(words: &Mapping) -> Vec<u32> {
    side(words, 0, || compiler_fence(SeqCst))
}

fn private_barriers_order_threads() {
    needs_cpus(2);
    needs(PRIVATE_EXPEDITED);
    run(REGISTER_PRIVATE_EXPEDITED);
    let words = Mapping::shared(1);
    std::thread::scope(|scope| {
        let fast = scope.spawn(|| fast_side(&words));
        let slow = side(&words, 1, || run(PRIVATE_EXPEDITED));
        assert_ordered(&fast.join().unwrap(), &slow);
    });
}

fn order_processes(command: i32, prepare: impl FnOnce()) {
    needs_cpus(2);
    needs(command);
    let words = Mapping::shared(5);
    let result = |round: usize| words.word(4096 + 4 * round);
    let fast = child(|| {
        prepare();
        for (round, seen) in fast_side(&words).into_iter().enumerate() {
            result(round).store(seen, SeqCst);
        }
    });
    let slow = side(&words, 1, || run(command));
    fast.success();
    let seen: Vec<u32> = (0..ROUNDS as usize).map(|round| result(round).load(SeqCst)).collect();
    assert_ordered(&seen, &slow);
}

fn global_barriers_order_registered_processes() {
    order_processes(GLOBAL_EXPEDITED, || run(REGISTER_GLOBAL_EXPEDITED));
}

fn global_barriers_order_all_processes() {
    needs_cpus(2);
    needs(GLOBAL);
    // Linux takes milliseconds for each.
    let words = Mapping::shared(1);
    let busy = child(|| {
        while words.word(0).load(Relaxed) == 0 {
            words.word(4).fetch_add(1, Relaxed);
        }
    });
    until("the child runs", || words.word(4).load(SeqCst) > 0);
    for _ in 0..5 {
        run(GLOBAL);
    }
    words.word(0).store(1, SeqCst);
    busy.success();
}

fn new_code_is_run_after_cores_are_synchronised() {
    needs_cpus(2);
    needs(SYNC_CORE);
    run(REGISTER_SYNC_CORE);
    const ROUNDS: u32 = 40;
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let code = ok!(SYS_mmap, 0, 4096, protection, flags, -1, 0);
    // mov eax, imm32; ret
    let write = |value: u32| {
        let mut bytes = [0xb8, 0, 0, 0, 0, 0xc3];
        bytes[1..5].copy_from_slice(&value.to_le_bytes());
        // SAFETY: the mapping is writable, and nobody runs it between the two meetings below.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), code as *mut u8, bytes.len()) };
    };
    let (asked, done) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                while asked.load(Relaxed) < round {
                    std::hint::spin_loop();
                }
                // SAFETY: the code written for this round: it returns a number.
                let run: extern "C" fn() -> u32 = unsafe { std::mem::transmute(code) };
                assert_eq!(run(), round);
                done.store(round, SeqCst);
            }
        });
        for round in 1..=ROUNDS {
            write(round);
            run(SYNC_CORE);
            asked.store(round, SeqCst);
            until("the thread has run the code", || done.load(SeqCst) == round);
        }
    });
}
