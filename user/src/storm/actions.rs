//! Single actions: sending, and children that do not last.

use std::ffi::CString;
use std::sync::atomic::Ordering::SeqCst;

use super::shared::{self, FIRST, RECEIVERS, SIGNALS, Shared};
use super::{fork, leave, reap};
use crate::random::Random;
use crate::sys::Errno;
use crate::{ok, pthread, sys};

/// The signals that are not counted.
const PLAIN: [i32; 2] = [libc::SIGUSR1, libc::SIGUSR2];

/// A `siginfo_t` as sigqueue(3) makes it.
fn queued_info(signal: i32, value: u64) -> [u64; 16] {
    let mut info = [0_u64; 16];
    info[0] = signal as u64;
    // si_code: SI_QUEUE.
    info[1] = u64::from(-1_i32 as u32);
    info[2] = ok!(SYS_getpid) as u64;
    info[3] = value;
    info
}

/// Sends the next signal of `sender`'s stream to a random receiver.
pub(super) fn send_numbered(shared: &Shared, sender: usize, random: &mut Random) {
    let target = random.below(RECEIVERS);
    let books = &shared.receivers[target];
    let (pid, tid) = (books.pid.load(SeqCst), books.tid.load(SeqCst));
    if pid == 0 || target == sender {
        return;
    }
    let index = random.below(SIGNALS);
    let signal = FIRST + index as i32;
    let sent = &books.sent[sender][index];
    // The sender alone writes this word.
    let number = sent.load(SeqCst) + 1;
    let info = queued_info(signal, shared::encode(sender, number));
    // One stream keeps to one queue: those of a thread and of its process have no order between them.
    match sys!(SYS_rt_tgsigqueueinfo, pid, tid, signal, &info) {
        Ok(_) => sent.store(number, SeqCst),
        Err(Errno::EAGAIN) => refused(shared),
        Err(_) => shared.complain("cannot send to", target, number, 0),
    }
}

/// Sends a signal to a random process, for any of its threads.
pub(super) fn send_to_process(shared: &Shared, random: &mut Random) {
    let process = Shared::process_of(random.below(RECEIVERS));
    let pid = shared.receivers[process].pid.load(SeqCst);
    if pid == 0 {
        return;
    }
    let value = random.bits() >> 1;
    let signal = FIRST + random.below(SIGNALS) as i32;
    match sys!(SYS_rt_sigqueueinfo, pid, signal, &queued_info(signal, value)) {
        Ok(_) => {
            let ledger = &shared.processes[process];
            ledger.sent_sum.fetch_add(value, SeqCst);
            ledger.sent.fetch_add(1, SeqCst);
        }
        Err(Errno::EAGAIN) => refused(shared),
        Err(_) => shared.complain("cannot send to the process of", process, value, 0),
    }
}

fn refused(shared: &Shared) {
    shared.refused.fetch_add(1, SeqCst);
    ok!(SYS_sched_yield);
}

/// Sends a signal that may merge with others of its number.
pub(super) fn send_plain(shared: &Shared, random: &mut Random) {
    let target = &shared.receivers[random.below(RECEIVERS)];
    let pid = target.pid.load(SeqCst);
    if pid != 0 {
        let _sent = sys!(SYS_kill, pid, PLAIN[random.below(PLAIN.len())]);
        shared.plain.fetch_add(1, SeqCst);
    }
}

/// Makes a child that sends something, and lets it end in one of several ways.
pub(super) fn make_child(shared: &Shared, books: i32, program: &CString, random: &mut Random) {
    let mut own = Random::new(random.bits());
    shared.children.fetch_add(1, SeqCst);
    let pid = fork();
    if pid == 0 {
        live(shared, books, program, &mut own);
    }
    // The child may be stopped, killed, or left in peace.
    match random.below(6) {
        0 => {
            let _killed = sys!(SYS_kill, pid, libc::SIGKILL);
        }
        1 => {
            let _stopped = sys!(SYS_kill, pid, libc::SIGSTOP);
            ok!(SYS_sched_yield);
            let _continued = sys!(SYS_kill, pid, libc::SIGCONT);
        }
        2 => {
            let _stopped = sys!(SYS_kill, pid, libc::SIGSTOP);
            let _killed = sys!(SYS_kill, pid, libc::SIGKILL);
        }
        3 => {
            let _ended = sys!(SYS_kill, pid, libc::SIGTERM);
        }
        _ => {}
    }
    reap(pid);
}

/// What a child does. A SIGKILL may cut it off between a send and its entry in the books, so it sends only what needs none.
fn live(shared: &Shared, books: i32, program: &CString, random: &mut Random) -> ! {
    for _ in 0..random.below(4) {
        send_plain(shared, random);
    }
    match random.below(5) {
        0 => leave(0),
        1 => {
            ok!(SYS_kill, ok!(SYS_getpid), libc::SIGKILL);
        }
        2 => {
            // A thread that ends while its process does.
            let ended = pthread::beside(|| leave(0), || ok!(SYS_exit, 0));
            assert!(ended.is_ok(), "{ended:?}");
        }
        3 => {
            let grandchild = fork();
            if grandchild == 0 {
                leave(0);
            }
            reap(grandchild);
        }
        _ => {
            shared.executions.fetch_add(1, SeqCst);
            execute(program, &["--visitor".into(), books.to_string(), random.bits().to_string()]);
        }
    }
    leave(0)
}

/// What a child does that has executed this program.
pub(super) fn visit(shared: &Shared, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..random.below(3) {
        send_plain(shared, &mut random);
    }
}

/// Executes this program anew.
pub(super) fn execute(program: &CString, arguments: &[String]) -> ! {
    let strings: Vec<CString> = std::iter::once(program.clone())
        .chain(arguments.iter().filter_map(|text| CString::new(text.as_str()).ok()))
        .collect();
    let mut pointers: Vec<*const libc::c_char> = strings.iter().map(|text| text.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let error = sys!(SYS_execve, program.as_c_str(), &pointers[..], &[0_usize]);
    eprintln!("storm: cannot execute itself: {error:?}");
    leave(3)
}
