//! Signal numbers and sets of them (signal(7)). Key types: [`Signal`], [`SignalSet`], [`DefaultAction`].

use core::fmt;

use linux_raw_sys::general as abi;

/// How many signals there are: 1 to 64.
pub const SIGNAL_COUNT: u32 = 64;
/// The first real-time signal as the kernel numbers them.
const FIRST_REAL_TIME: u8 = 32;

/// A signal, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:ident;)*) => {
        impl Signal {
            $(#[doc = concat!("`", stringify!($name), "` (signal(7)).")]
            pub const $name: Self = Self(abi::$number as u8);)*

            /// The name of a standard signal.
            fn standard_name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    SIGHUP = SIGHUP; SIGINT = SIGINT; SIGQUIT = SIGQUIT; SIGILL = SIGILL; SIGTRAP = SIGTRAP; SIGABRT = SIGABRT;
    SIGBUS = SIGBUS; SIGFPE = SIGFPE; SIGKILL = SIGKILL; SIGUSR1 = SIGUSR1; SIGSEGV = SIGSEGV; SIGUSR2 = SIGUSR2;
    SIGPIPE = SIGPIPE; SIGALRM = SIGALRM; SIGTERM = SIGTERM; SIGSTKFLT = SIGSTKFLT; SIGCHLD = SIGCHLD;
    SIGCONT = SIGCONT; SIGSTOP = SIGSTOP; SIGTSTP = SIGTSTP; SIGTTIN = SIGTTIN; SIGTTOU = SIGTTOU; SIGURG = SIGURG;
    SIGXCPU = SIGXCPU; SIGXFSZ = SIGXFSZ; SIGVTALRM = SIGVTALRM; SIGPROF = SIGPROF; SIGWINCH = SIGWINCH;
    SIGIO = SIGIO; SIGPWR = SIGPWR; SIGSYS = SIGSYS;
}

/// What happens to a process that set no handler (signal(7), "Standard signals").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// It ends.
    Terminate,
    /// It ends, and the status says that a core was wanted.
    Core,
    /// All its threads stop.
    Stop,
    /// All its threads go on if they are stopped; otherwise nothing.
    Continue,
}

impl Signal {
    /// The signal with this number, or `None` outside 1 to 64.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= SIGNAL_COUNT { Some(Self(number as u8)) } else { None }
    }

    /// The signal that a system-call argument names, or `None`.
    #[must_use]
    pub const fn from_argument(number: i32) -> Option<Self> {
        if number > 0 { Self::new(number as u32) } else { None }
    }

    /// The number, 1 to 64.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The number minus one, for tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether every occurrence is queued, with its information.
    #[must_use]
    pub const fn is_real_time(self) -> bool {
        self.0 >= FIRST_REAL_TIME
    }

    /// What happens without a handler.
    #[must_use]
    pub fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH => DefaultAction::Ignore,
            Self::SIGCONT => DefaultAction::Continue,
            signal if SignalSet::STOP.contains(signal) => DefaultAction::Stop,
            signal if SignalSet::CORE.contains(signal) => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }

    /// All signals in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=SIGNAL_COUNT as u8).map(Self)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standard_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "SIGRT_{}", self.0 - FIRST_REAL_TIME),
        }
    }
}

/// A set of signals, bit `n - 1` for signal `n`, as in `sigset_t`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(transparent)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// What can be neither blocked, caught nor ignored.
    pub const UNBLOCKABLE: Self = Self::of(&[Signal::SIGKILL, Signal::SIGSTOP]);
    /// What the processor raises for the instruction that ran: delivered before all else.
    pub const SYNCHRONOUS: Self = Self::of(&[
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGFPE,
        Signal::SIGSYS,
    ]);
    /// What stops a process by default.
    pub const STOP: Self =
        Self::of(&[Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    /// What stops a process by default unless its group is orphaned.
    pub const JOB_CONTROL_STOP: Self =
        Self::of(&[Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    /// What wants a core by default.
    pub const CORE: Self = Self::of(&[
        Signal::SIGQUIT,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGSEGV,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        Signal::SIGSYS,
    ]);

    /// The set of `signals`.
    #[must_use]
    pub const fn of(signals: &[Signal]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << signals[i].index();
            i += 1;
        }
        Self(bits)
    }

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `signal` is in the set.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << signal.index() != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `signal`.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    /// Removes `signal`.
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The signals of the set in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let signal = rest.lowest()?;
            rest.remove(signal);
            Some(signal)
        })
    }

    /// The lowest signal of the set.
    #[must_use]
    pub const fn lowest(self) -> Option<Signal> {
        Signal::new(self.0.trailing_zeros() + 1)
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Self::EMPTY;
        signals.into_iter().for_each(|signal| set.insert(signal));
        set
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_actions_are_those_of_signal_7() {
        let with = |action| Signal::all().filter(move |signal| signal.default_action() == action);
        assert_eq!(with(DefaultAction::Ignore).count(), 3);
        assert_eq!(with(DefaultAction::Stop).count(), 4);
        assert_eq!(with(DefaultAction::Core).count(), 10);
        assert_eq!(with(DefaultAction::Continue).next(), Some(Signal::SIGCONT));
        assert_eq!(Signal::SIGPIPE.default_action(), DefaultAction::Terminate);
        assert_eq!(Signal::new(40).map(Signal::default_action), Some(DefaultAction::Terminate));
    }

    #[test]
    fn sets_have_linux_s_bits() {
        assert_eq!(SignalSet::UNBLOCKABLE.bits(), 1 << 8 | 1 << 18);
        assert_eq!(SignalSet::EMPTY.lowest(), None);
        assert_eq!(SignalSet::ALL.lowest(), Some(Signal::SIGHUP));
        assert_eq!(SignalSet::from_bits(1 << 63).lowest(), Signal::new(64));
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
    }
}
