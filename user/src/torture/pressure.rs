//! Forking while memory runs out. What cannot be had is refused or ends in the out-of-memory killer, nothing else happens, and
//! when all is over all memory is back.

use std::fmt;
use std::sync::OnceLock;

use nix::errno::Errno;

use super::ledger::Ledger;
use super::process::{self, Ended, fail};
use crate::random::Random;
use crate::{ok, sys};

const PAGE: usize = 4096;
/// Memory is taken in pieces of this size.
const STEP: usize = 1 << 20;
/// Children that rewrite what they inherit.
const WRITERS: usize = 12;
/// Processes that only exist, at most.
const SLEEPERS: usize = 4000;
/// What happened.
pub(super) struct Pressure {
    before: i64,
    after: i64,
    /// Pages that more kernel stacks take than the first time.
    stacks: i64,
    killed: usize,
    refused: usize,
}

impl fmt::Display for Pressure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, stacks, killed, refused } = self;
        write!(
            out,
            "out of memory: {killed} processes killed, {refused} forks refused; free before {before} kB, after {after} kB, \
             {stacks} pages more for kernel stacks"
        )
    }
}

/// Uses all memory up several times over, in three ways.
pub(super) fn run(seed: u64) -> Pressure {
    // Once for nothing: what the kernel keeps from its first time is not lost.
    warm_up();
    static BEFORE: OnceLock<Ledger> = OnceLock::new();
    let before = BEFORE.get_or_init(Ledger::settled);
    let mut killed = 0;
    killed += writers(seed);
    if killed == 0 {
        fail("memory never ran out under writers");
    }
    killed += sharers();
    let (more, refused) = sleepers();
    if more == 0 && refused == 0 {
        fail("memory never ran out under sleepers");
    }
    killed += more;
    let after = Ledger::settled_against(before);
    // Against the very first round, so that a loss that is small each time adds up.
    let missing = after.missing_since(before);
    if !missing.is_empty() {
        fail(&format!("memory is lost: {}", missing.join("; ")));
    }
    let stacks = after.stacks_since(before);
    Pressure { before: before.free, after: after.free, stacks, killed, refused }
}

fn warm_up() {
    static WARM: std::sync::Once = std::sync::Once::new();
    WARM.call_once(|| {
        writers(0);
        sharers();
        sleepers();
    });
}

/// A line of `/proc/meminfo`, in kB.
fn meminfo(name: &str) -> u64 {
    let text = match std::fs::read_to_string("/proc/meminfo") {
        Ok(text) => text,
        Err(error) => fail(&format!("/proc/meminfo: {error}")),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| fail(&format!("no {name} in /proc/meminfo")))
}

/// How readily the kernel kills this process and its children when memory is out: 1000 first, -1000 never.
fn adjust(score: &str) {
    // Where that is not permitted the kernel's own choice must do.
    let _ = std::fs::write("/proc/self/oom_score_adj", score);
}

fn start(body: impl FnOnce()) {
    if let Err(error) = process::fork(body) {
        fail(&format!("fork: {error}"));
    }
}

/// Memory of its own for this process; `length` in bytes. There is address space for it, whatever memory there is.
fn map(length: usize) -> usize {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    match sys!(SYS_mmap, 0, length, protection, flags, -1, 0) {
        Ok(address) => address,
        Err(error) => fail(&format!("mmap of {length} bytes: {error:?}")),
    }
}

fn store(address: usize, value: u64) {
    // SAFETY: volatile, aligned, inside a mapping that only the caller knows.
    unsafe { std::ptr::with_exposed_provenance_mut::<u64>(address).write_volatile(value) }
}

fn load(address: usize) -> u64 {
    // SAFETY: as in `store`.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

/// Children inherit much memory, check it, and rewrite it until there is none left. Returns how many were killed.
fn writers(seed: u64) -> usize {
    let length = (meminfo("MemAvailable") as usize * 1024 / 2) & !(PAGE - 1);
    let deaths = Pipe::new();
    start(|| {
        adjust("1000");
        let start = map(length);
        let pages = move || (start..start + length).step_by(PAGE);
        pages().for_each(|page| store(page, page as u64));
        for number in 0..WRITERS as u64 {
            let child = process::fork(|| {
                let mut random = Random::new(seed.wrapping_add(number));
                for page in pages() {
                    if random.below(4) > 0 {
                        expect(page, page as u64);
                        store(page, !(page as u64) ^ number);
                        expect(page, !(page as u64) ^ number);
                    }
                }
            });
            match child {
                Ok(_) | Err(Errno::ENOMEM | Errno::EAGAIN) => {}
                Err(error) => fail(&format!("fork without memory: {error}")),
            }
        }
        while let Some((pid, ended)) = process::wait_for_any() {
            judge(pid, ended);
            if ended == Ended::Killed(libc::SIGKILL) {
                ok!(SYS_write, deaths.write, &[0_u8], 1);
            }
        }
        pages().for_each(|page| expect(page, page as u64));
    });
    ok!(SYS_close, deaths.write);
    // The parent lives on where its children were killed one after another, and only it hears of that.
    let killed = reap();
    let mut told = [0_u8; WRITERS];
    let told = ok!(SYS_read, deaths.read, &mut told, WRITERS);
    ok!(SYS_close, deaths.read);
    killed + told
}

fn expect(address: usize, value: u64) {
    let found = load(address);
    if found != value {
        fail(&format!("{found:#x} and not {value:#x} at {address:#x}, without memory"));
    }
}

/// Two processes in one address space, of which one uses all memory up: both are killed for it, as it does not come back before
/// both have ended. Returns how many that are.
fn sharers() -> usize {
    const STACK: usize = 64 << 10;
    extern "C" fn idle(_: *mut libc::c_void) -> libc::c_int {
        loop {
            let _ = sys!(SYS_pause);
        }
    }
    start(|| {
        adjust("1000");
        let stack = map(STACK);
        let top = std::ptr::with_exposed_provenance_mut(stack + STACK);
        // SAFETY: the stack is the other process's alone, which only makes a system call over and over.
        let other =
            unsafe { libc::clone(idle, top, libc::CLONE_VM | libc::SIGCHLD, std::ptr::null_mut()) };
        if other < 0 {
            fail(&format!("clone: {}", Errno::last()));
        }
        loop {
            let start = map(STEP);
            (start..start + STEP).step_by(PAGE).for_each(|page| store(page, 1));
        }
    });
    let killed = reap();
    if killed != 2 {
        fail(&format!("{killed} processes were killed, and not the two that share their memory"));
    }
    killed
}

/// With little memory left, makes processes until the kernel refuses. Returns how many were killed and how many refused.
fn sleepers() -> (usize, usize) {
    let (hold, ready, result) = (Pipe::new(), Pipe::new(), Pipe::new());
    start(|| {
        // The memory is not to come back by itself.
        adjust("-1000");
        ok!(SYS_close, hold.write);
        ok!(SYS_close, result.write);
        fill_up();
        ok!(SYS_close, ready.write);
        hold.wait_for_end();
    });
    ok!(SYS_close, ready.write);
    ready.wait_for_end();
    start(|| {
        adjust("1000");
        ok!(SYS_close, hold.write);
        let refused = multiply(&hold, &result);
        ok!(SYS_write, result.write, &[refused], 1);
    });
    ok!(SYS_close, result.write);
    let mut refused = [0_u8; 1];
    // Nothing comes if that process was killed.
    ok!(SYS_read, result.read, &mut refused, 1);
    ok!(SYS_close, hold.write);
    let killed = reap();
    for end in [hold.read, ready.read, result.read] {
        ok!(SYS_close, end);
    }
    (killed, usize::from(refused[0]))
}

/// Makes processes that sleep until `hold` ends; returns how often the kernel refused.
fn multiply(hold: &Pipe, result: &Pipe) -> u8 {
    let mut refused = 0;
    for _ in 0..SLEEPERS {
        match sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
            Ok(0) => {
                ok!(SYS_close, result.write);
                hold.wait_for_end();
                process::exit(0);
            }
            Ok(_) => {}
            Err(Errno::ENOMEM | Errno::EAGAIN) => {
                refused += 1;
                if refused == 10 {
                    break;
                }
            }
            Err(error) => fail(&format!("fork without memory: {error}")),
        }
    }
    refused
}

/// The two ends of a pipe.
struct Pipe {
    read: i32,
    write: i32,
}

impl Pipe {
    fn new() -> Self {
        let mut ends = [0_i32; 2];
        ok!(SYS_pipe2, &mut ends, 0);
        let [read, write] = ends;
        Self { read, write }
    }

    /// Waits until nobody has the writing end any more.
    fn wait_for_end(&self) {
        ok!(SYS_read, self.read, &mut [0_u8; 1], 1);
    }
}

/// Takes memory until a few MiB are left.
fn fill_up() {
    while meminfo("MemAvailable") > 6 << 10 {
        let start = map(STEP);
        (start..start + STEP).step_by(PAGE).for_each(|page| store(page, 1));
    }
}

/// Waits for every descendant; returns how many were killed.
fn reap() -> usize {
    let mut killed = 0;
    while let Some((pid, ended)) = process::wait_for_any() {
        judge(pid, ended);
        killed += usize::from(ended == Ended::Killed(libc::SIGKILL));
    }
    killed
}

/// Nothing but success and the out-of-memory killer may end a process here.
fn judge(pid: i32, ended: Ended) {
    if !matches!(ended, Ended::Exited(0) | Ended::Killed(libc::SIGKILL)) {
        fail(&format!("process {pid} without memory: {ended:?}"));
    }
}
