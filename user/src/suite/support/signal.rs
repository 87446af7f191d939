//! Signal handlers that record what they saw, and signal sets.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::ok;

/// The fields of a `siginfo_t` that cases look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::suite) struct Info {
    pub(in crate::suite) signal: i32,
    pub(in crate::suite) code: i32,
    /// The sender, where the code says that there is one.
    pub(in crate::suite) pid: i32,
    /// The sender's user.
    pub(in crate::suite) uid: u32,
    /// `si_status` of SIGCHLD, or the low half of `si_value`.
    pub(in crate::suite) status: i32,
    /// `si_addr` of a fault.
    pub(in crate::suite) address: u64,
}

impl Info {
    /// Reads the fields from the 128 bytes that the kernel wrote (layout: `siginfo_t` on x86-64).
    pub(in crate::suite) fn decode(words: &[u32; 32]) -> Self {
        Self {
            signal: words[0] as i32,
            code: words[2] as i32,
            pid: words[4] as i32,
            uid: words[5],
            status: words[6] as i32,
            address: u64::from(words[4]) | u64::from(words[5]) << 32,
        }
    }
}

static COUNTS: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];
static LAST: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];
static LAST_ADDRESS: AtomicU64 = AtomicU64::new(0);
static LAST_STATUS: AtomicI32 = AtomicI32::new(0);

extern "C" fn recorder(signal: i32, info: *const [u32; 32], _context: usize) {
    // SAFETY: the kernel passes a siginfo_t, which is 128 bytes, to SA_SIGINFO handlers.
    let info = Info::decode(unsafe { &*info });
    LAST[0].store(info.signal, Ordering::Relaxed);
    LAST[1].store(info.code, Ordering::Relaxed);
    LAST[2].store(info.uid as i32, Ordering::Relaxed);
    LAST_ADDRESS.store(info.address, Ordering::Relaxed);
    LAST_STATUS.store(info.status, Ordering::Relaxed);
    // SeqCst: the count is what the case waits for; it pairs with `caught`.
    COUNTS[signal as usize].fetch_add(1, Ordering::SeqCst);
}

/// Installs any SA_SIGINFO handler, with more flags and an empty mask.
pub(in crate::suite) fn install(signal: i32, handler: usize, flags: i32) {
    // SAFETY: a zeroed sigaction is valid; the handler's signature is the caller's promise.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags | libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Counts `signal` from now on, and remembers its siginfo.
pub(in crate::suite) fn record(signal: i32, flags: i32) {
    install(signal, recorder as *const () as usize, flags);
}

/// How often a recorded signal has arrived.
pub(in crate::suite) fn caught(signal: i32) -> u32 {
    COUNTS[signal as usize].load(Ordering::SeqCst)
}

/// The siginfo of the last recorded signal.
pub(in crate::suite) fn last_info() -> Info {
    let address = LAST_ADDRESS.load(Ordering::Relaxed);
    Info {
        signal: LAST[0].load(Ordering::Relaxed),
        code: LAST[1].load(Ordering::Relaxed),
        pid: address as i32,
        uid: LAST[2].load(Ordering::Relaxed) as u32,
        status: LAST_STATUS.load(Ordering::Relaxed),
        address,
    }
}

/// Sets a signal to SIG_IGN.
pub(in crate::suite) fn ignore(signal: i32) {
    simple(signal, libc::SIG_IGN);
}

/// Sets a signal to SIG_DFL.
pub(in crate::suite) fn default_action(signal: i32) {
    simple(signal, libc::SIG_DFL);
}

fn simple(signal: i32, action: libc::sighandler_t) {
    // SAFETY: SIG_IGN and SIG_DFL run no code of ours.
    unsafe { libc::signal(signal, action) };
}

/// The kernel's signal set: bit `n - 1` for signal `n`.
pub(in crate::suite) fn set_of(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |set, signal| set | 1 << (signal - 1))
}

/// Blocks signals in this thread.
pub(in crate::suite) fn block(signals: &[i32]) {
    ok!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &set_of(signals), 0, 8);
}

/// Unblocks signals in this thread.
pub(in crate::suite) fn unblock(signals: &[i32]) {
    ok!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &set_of(signals), 0, 8);
}
