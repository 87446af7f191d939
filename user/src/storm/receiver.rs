//! What a receiver does until the storm is over.

use std::cell::Cell;
use std::ffi::CString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use super::shared::{FIRST, SIGNALS, Shared, THREADS, Way};
use super::{actions, leave};
use crate::random::Random;
use crate::sys::Errno;
use crate::{ok, sys};

/// The books, for handlers.
static BOOKS: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// Which receiver the thread is, for handlers.
    static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// All counted signals, as the kernel's set.
const COUNTED: u64 = ((1 << SIGNALS) - 1) << (FIRST - 1);

/// Those that are not.
const PLAIN: u64 = 1 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGUSR2 - 1);

extern "C" fn take(signal: i32, info: *const [u64; 16], _context: usize) {
    let receiver = OWN.get();
    if receiver == usize::MAX {
        return;
    }
    // SAFETY: set before any handler, to memory that is never unmapped; the kernel passes a siginfo_t.
    let (shared, info) = unsafe { (&*BOOKS.load(SeqCst), &*info) };
    shared.enter(receiver, signal, info[3], Way::Handler);
}

extern "C" fn take_plain(_: i32, _: usize, _: usize) {}

fn install(signal: i32, handler: usize, mask: u64) {
    // SAFETY: the handlers make atomic changes and system calls only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        (&raw mut action.sa_mask).cast::<u64>().write(mask);
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Installs the handlers of a process. While one runs, no other counted signal interrupts it: the order of entries is that of delivery.
pub(super) fn prepare(shared: &'static Shared) {
    BOOKS.store(std::ptr::from_ref(shared).cast_mut(), SeqCst);
    for signal in FIRST..FIRST + SIGNALS as i32 {
        install(signal, take as *const () as usize, COUNTED);
    }
    for signal in [libc::SIGUSR1, libc::SIGUSR2] {
        install(signal, take_plain as *const () as usize, 0);
    }
}

pub(super) fn block_counted() {
    ok!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &COUNTED, 0, 8);
}

fn unblock_counted() {
    ok!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &COUNTED, 0, 8);
}

/// A receiver at work.
struct Worker {
    shared: &'static Shared,
    books: i32,
    receiver: usize,
    program: CString,
    random: Random,
    signalfd: i32,
}

/// A resident process: one receiver for each of its threads, from `first` on.
pub(super) fn resident(
    shared: &'static Shared,
    books: i32,
    first: usize,
    seed: u64,
    program: &CString,
) -> ! {
    block_counted();
    prepare(shared);
    let threads: Vec<_> = (first..first + THREADS)
        .map(|receiver| {
            let program = program.clone();
            std::thread::spawn(move || Worker::new(shared, books, receiver, seed, program).work())
        })
        .collect();
    let failed = threads.into_iter().filter_map(|thread| thread.join().err()).count();
    leave(i32::from(failed > 0))
}

/// A pilgrim, from its first execution on. Counted signals are blocked while it is executed, so none is lost.
pub(super) fn pilgrim(shared: &'static Shared, receiver: usize, seed: u64) -> ExitCode {
    prepare(shared);
    ok!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &PLAIN, 0, 8);
    let Some(program) = std::env::args().next().and_then(|path| CString::new(path).ok()) else {
        return ExitCode::FAILURE;
    };
    let books = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(-1);
    Worker::new(shared, books, receiver, seed, program).work();
    leave(0)
}

impl Worker {
    fn new(
        shared: &'static Shared,
        books: i32,
        receiver: usize,
        seed: u64,
        program: CString,
    ) -> Self {
        let signalfd = ok!(SYS_signalfd4, -1, &COUNTED, 8, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
        let random = Random::new(seed ^ (receiver as u64) << 32);
        Self { shared, books, receiver, program, random, signalfd: signalfd as i32 }
    }

    /// Until everything has arrived. Begins and ends with counted signals blocked.
    fn work(mut self) {
        OWN.set(self.receiver);
        let own = &self.shared.receivers[self.receiver];
        own.tid.store(ok!(SYS_gettid) as i32, SeqCst);
        own.pid.store(ok!(SYS_getpid) as i32, SeqCst);
        while self.shared.calm.load(SeqCst) == 0 {
            self.step();
        }
        self.shared.calmed.fetch_add(1, SeqCst);
        while self.shared.over.load(SeqCst) == 0 {
            self.receive();
        }
        ok!(SYS_close, self.signalfd);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..45 => {
                for _ in 0..=self.random.below(8) {
                    actions::send_numbered(self.shared, self.receiver, &mut self.random);
                }
            }
            45..60 => actions::send_to_process(self.shared, &mut self.random),
            60..65 => actions::send_plain(self.shared, &mut self.random),
            65..68 => {
                actions::make_child(self.shared, self.books, &self.program, &mut self.random);
            }
            68 if Shared::is_pilgrim(self.receiver) => self.execute(),
            _ => self.receive(),
        }
    }

    /// Takes what there is, in one of several ways.
    fn receive(&mut self) {
        match self.random.below(6) {
            0 => {
                unblock_counted();
                ok!(SYS_sched_yield);
                block_counted();
            }
            1 => {
                unblock_counted();
                let _interrupted = sys!(SYS_nanosleep, &[0_u64, 200_000], 0);
                block_counted();
            }
            2 => {
                // A mask of its own: what comes is taken by handlers before the call returns.
                let _interrupted = sys!(SYS_ppoll, 0, 0, &[0_u64, 300_000], &0_u64, 8);
            }
            3 => {
                for _ in 0..8 {
                    self.take_by_wait(0);
                }
            }
            4 => self.take_by_wait(500_000),
            _ => self.take_by_descriptor(),
        }
    }

    fn take_by_wait(&mut self, patience_ns: u64) {
        let mut info = [0_u64; 16];
        match sys!(SYS_rt_sigtimedwait, &COUNTED, &mut info, &[0, patience_ns], 8) {
            Ok(signal) => self.shared.enter(self.receiver, signal as i32, info[3], Way::Wait),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.shared.complain("sigtimedwait fails", self.receiver, 0, 0),
        }
    }

    fn take_by_descriptor(&mut self) {
        let mut records = [[0_u64; 16]; 4];
        let length = size_of_val(&records);
        let Ok(bytes) = sys!(SYS_read, self.signalfd, &mut records, length) else { return };
        for record in &records[..bytes / size_of::<[u64; 16]>()] {
            // ssi_signo, ssi_ptr
            self.shared.enter(self.receiver, record[0] as u32 as i32, record[6], Way::Descriptor);
        }
    }

    /// Becomes this program anew, with all that is pending.
    fn execute(&mut self) -> ! {
        // Without their handlers they would be deadly.
        ok!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &PLAIN, 0, 8);
        self.shared.executions.fetch_add(1, SeqCst);
        let seed = self.random.bits() >> 1;
        let receiver = self.receiver.to_string();
        let arguments = ["--pilgrim".into(), self.books.to_string(), receiver, seed.to_string()];
        actions::execute(&self.program, &arguments)
    }
}
