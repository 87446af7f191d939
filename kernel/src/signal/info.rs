//! What a signal carries: `siginfo_t` (sigaction(2)). Key types: [`SignalInfo`], [`Code`].
//!
//! The kernel's part of a `siginfo_t` is its first 48 bytes; the other 80 are zero. Kept as the bytes that user mode
//! sees, because rt_sigqueueinfo(2) lets a program fill them as it likes.

use linux_raw_sys::general as abi;

use super::number::Signal;
use crate::task::Pid;

/// Size of a `siginfo_t` in bytes.
pub const INFO_SIZE: usize = 128;
/// How much of it is ever not zero.
const USED: usize = 48;

/// `si_code`: where a signal comes from.
pub struct Code;

macro_rules! codes {
    ($($name:ident = $value:expr;)*) => {
        impl Code {
            $(#[doc = concat!("`", stringify!($name), "` (sigaction(2)).")] pub const $name: i32 = $value as i32;)*
        }
    };
}

codes! {
    SI_USER = abi::SI_USER; SI_KERNEL = abi::SI_KERNEL; SI_QUEUE = abi::SI_QUEUE; SI_TIMER = abi::SI_TIMER;
    SI_TKILL = abi::SI_TKILL; SI_SIGIO = abi::SI_SIGIO;
    SEGV_MAPERR = abi::SEGV_MAPERR; SEGV_ACCERR = abi::SEGV_ACCERR;
    BUS_ADRALN = abi::BUS_ADRALN; BUS_ADRERR = abi::BUS_ADRERR;
    FPE_INTDIV = abi::FPE_INTDIV; FPE_FLTDIV = abi::FPE_FLTDIV; FPE_FLTOVF = abi::FPE_FLTOVF;
    FPE_FLTUND = abi::FPE_FLTUND; FPE_FLTRES = abi::FPE_FLTRES; FPE_FLTINV = abi::FPE_FLTINV;
    ILL_ILLOPN = abi::ILL_ILLOPN; TRAP_BRKPT = abi::TRAP_BRKPT; TRAP_TRACE = abi::TRAP_TRACE;
    CLD_EXITED = abi::CLD_EXITED; CLD_KILLED = abi::CLD_KILLED; CLD_DUMPED = abi::CLD_DUMPED;
    CLD_STOPPED = abi::CLD_STOPPED; CLD_CONTINUED = abi::CLD_CONTINUED;
}

/// What a SIGCHLD tells about a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChildNews {
    /// `CLD_*`.
    pub code: i32,
    /// The child.
    pub pid: Pid,
    /// Its real user id.
    pub user: u32,
    /// Its exit status, or the signal that ended, stopped or continued it.
    pub status: i32,
    /// User CPU time in clock ticks.
    pub user_ticks: i64,
    /// System CPU time in clock ticks.
    pub system_ticks: i64,
}

/// The information that goes with one occurrence of a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo([u8; USED]);

impl SignalInfo {
    fn new(signal: Signal, code: i32) -> Self {
        let mut info = Self([0; USED]);
        info.put(0, &i32::from(signal.number()).to_ne_bytes());
        info.put(8, &code.to_ne_bytes());
        info
    }

    /// From the kernel itself, without a fault address.
    #[must_use]
    pub fn kernel(signal: Signal) -> Self {
        Self::new(signal, Code::SI_KERNEL)
    }

    /// From kill(2), tkill(2) or tgkill(2), by `code`.
    #[must_use]
    pub fn sent(signal: Signal, code: i32, sender: Pid, user: u32) -> Self {
        let mut info = Self::new(signal, code);
        info.put(16, &sender.as_u32().to_ne_bytes());
        info.put(20, &user.to_ne_bytes());
        info
    }

    /// From the processor, for the instruction at or the access to `address`.
    #[must_use]
    pub fn fault(signal: Signal, code: i32, address: u64) -> Self {
        let mut info = Self::new(signal, code);
        info.put(16, &address.to_ne_bytes());
        info
    }

    /// For a parent about its child.
    #[must_use]
    pub fn child(signal: Signal, news: &ChildNews) -> Self {
        let mut info = Self::sent(signal, news.code, news.pid, news.user);
        info.put(24, &news.status.to_ne_bytes());
        info.put(32, &news.user_ticks.to_ne_bytes());
        info.put(40, &news.system_ticks.to_ne_bytes());
        info
    }

    /// From POSIX timer number `timer`, which carries `value` (timer_create(2)).
    #[must_use]
    pub fn timer(signal: Signal, timer: i32, value: u64) -> Self {
        let mut info = Self::new(signal, Code::SI_TIMER);
        info.put(16, &timer.to_ne_bytes());
        info.put(24, &value.to_ne_bytes());
        info
    }

    /// From descriptor `descriptor` with poll events `band` (fcntl(2), `F_SETSIG`).
    #[must_use]
    pub fn poll(signal: Signal, code: i32, band: i64, descriptor: i32) -> Self {
        let mut info = Self::new(signal, code);
        info.put(16, &band.to_ne_bytes());
        info.put(24, &descriptor.to_ne_bytes());
        info
    }

    /// What a program passed to rt_sigqueueinfo(2) for `signal`.
    #[must_use]
    pub fn from_user(signal: Signal, bytes: &[u8; INFO_SIZE]) -> Self {
        let mut info = Self([0; USED]);
        info.put(0, &bytes[..USED]);
        info.put(0, &i32::from(signal.number()).to_ne_bytes());
        info
    }

    /// The `siginfo_t` as user mode sees it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; INFO_SIZE] {
        let mut bytes = [0; INFO_SIZE];
        bytes[..USED].copy_from_slice(&self.0);
        bytes
    }

    /// The `signalfd_siginfo` that a signalfd reads (signalfd(2)).
    #[must_use]
    pub fn to_signalfd(&self) -> [u8; INFO_SIZE] {
        let mut out = [0; INFO_SIZE];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.0[0..4]);
        put(4, &self.0[4..8]);
        put(8, &self.0[8..12]);
        match self.layout() {
            Layout::Timer => {
                put(24, &self.0[16..20]); // ssi_tid
                put(32, &self.0[20..24]); // ssi_overrun
                put(44, &self.0[24..28]); // ssi_int
                put(48, &self.0[24..32]); // ssi_ptr
            }
            Layout::Poll => {
                put(28, &self.0[16..20]); // ssi_band
                put(20, &self.0[24..28]); // ssi_fd
            }
            Layout::Fault => put(72, &self.0[16..24]), // ssi_addr
            Layout::Child => {
                put(12, &self.0[16..24]); // ssi_pid, ssi_uid
                put(40, &self.0[24..28]); // ssi_status
                put(56, &self.0[32..48]); // ssi_utime, ssi_stime
            }
            Layout::Sent => {
                put(12, &self.0[16..24]); // ssi_pid, ssi_uid
                put(44, &self.0[24..28]); // ssi_int
                put(48, &self.0[24..32]); // ssi_ptr
            }
        }
        out
    }

    /// `si_code`.
    #[must_use]
    pub fn code(&self) -> i32 {
        i32::from_ne_bytes(self.word(8))
    }

    /// Whether the kernel, not a program, raised it for a fault.
    #[must_use]
    pub fn is_from_kernel(&self) -> bool {
        self.code() > Code::SI_USER
    }

    /// `si_pid`, in those that have a sender.
    #[must_use]
    pub fn sender(&self) -> u32 {
        u32::from_ne_bytes(self.word(16))
    }

    /// `si_signo`
    #[must_use]
    pub fn signal_number(&self) -> u32 {
        u32::from_ne_bytes(self.word(0))
    }

    /// `si_timerid`, in those from a POSIX timer.
    #[must_use]
    pub fn timer_id(&self) -> Option<i32> {
        (self.code() == Code::SI_TIMER).then(|| i32::from_ne_bytes(self.word(16)))
    }

    /// Sets `si_overrun`, in those from a POSIX timer.
    pub fn set_overrun(&mut self, overrun: i32) {
        self.put(20, &overrun.to_ne_bytes());
    }

    fn layout(&self) -> Layout {
        let signal = u32::from_ne_bytes(self.word(0));
        let code = self.code();
        if code == Code::SI_TIMER {
            return Layout::Timer;
        }
        if code <= Code::SI_USER || code == Code::SI_KERNEL {
            return Layout::Sent;
        }
        match signal {
            abi::SIGILL | abi::SIGFPE | abi::SIGSEGV | abi::SIGBUS | abi::SIGTRAP => Layout::Fault,
            abi::SIGCHLD => Layout::Child,
            abi::SIGIO => Layout::Poll,
            _ => Layout::Sent,
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word(&self, at: usize) -> [u8; 4] {
        [self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]]
    }
}

/// Which member of the `siginfo_t` union is meant, by signal and code.
enum Layout {
    Sent,
    Timer,
    Poll,
    Fault,
    Child,
}

impl core::fmt::Debug for SignalInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SignalInfo(signal {}, code {})", u32::from_ne_bytes(self.word(0)), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    #[test]
    fn fields_lie_where_the_abi_puts_them() {
        let news = ChildNews {
            code: Code::CLD_EXITED,
            pid: Pid::new(77),
            user: 1000,
            status: 3,
            user_ticks: 5,
            system_ticks: 6,
        };
        let bytes = SignalInfo::child(Signal::SIGCHLD, &news).to_bytes();
        assert_eq!(u32_at(&bytes, 0), 17);
        assert_eq!(u32_at(&bytes, 8), 1);
        assert_eq!((u32_at(&bytes, 16), u32_at(&bytes, 20), u32_at(&bytes, 24)), (77, 1000, 3));
        assert_eq!((bytes[32], bytes[40]), (5, 6));
    }

    #[test]
    fn a_signalfd_record_takes_its_fields_by_code() {
        let fault = SignalInfo::fault(Signal::SIGSEGV, Code::SEGV_MAPERR, 0x1234).to_signalfd();
        assert_eq!(u32_at(&fault, 72), 0x1234);
        let sent = SignalInfo::sent(Signal::SIGUSR1, Code::SI_USER, Pid::new(9), 8).to_signalfd();
        assert_eq!((u32_at(&sent, 12), u32_at(&sent, 16)), (9, 8));
    }

    #[test]
    fn a_queued_info_keeps_the_sender_s_bytes_but_not_its_signal_number() {
        let mut bytes = [7; INFO_SIZE];
        bytes[8..12].copy_from_slice(&Code::SI_QUEUE.to_ne_bytes());
        let info = SignalInfo::from_user(Signal::SIGUSR2, &bytes);
        assert_eq!(info.code(), Code::SI_QUEUE);
        assert_eq!(u32_at(&info.to_bytes(), 0), 12);
        assert_eq!(info.to_bytes()[20], 7);
        assert_eq!(info.to_bytes()[48..], [0; 80]);
    }
}
