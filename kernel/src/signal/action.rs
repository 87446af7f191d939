//! What a process wants done with a signal (sigaction(2)). Key types: [`Action`], [`Handler`], [`SharedActions`].
//!
//! A table of actions lies in a shared cell behind a counted, copy-on-write pointer: fork shares the table, `CLONE_SIGHAND`
//! shares the cell, and sigaction copies the table when somebody else has it too.
//!
//! Lock: the cell's, rank `ACTIONS`, interrupts off, taken with or without the signal lock.

use alloc::sync::Arc;

use arch::sync::{Irq, Rank, SpinLock};
use linux_raw_sys::general as abi;

use super::number::{DefaultAction, SIGNAL_COUNT, Signal, SignalSet};

/// What is to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handler {
    /// The signal's default action.
    Default,
    /// Nothing.
    Ignore,
    /// Call the function at this address.
    Catch(u64),
}

impl Handler {
    /// Whether it discards `signal`.
    #[must_use]
    pub fn ignores(self, signal: Signal) -> bool {
        match self {
            Self::Default => signal.default_action() == DefaultAction::Ignore,
            Self::Ignore => true,
            Self::Catch(_) => false,
        }
    }
}

bitflags::bitflags! {
    /// `sa_flags`; what is not named here is not known and dropped, so programs can probe (sigaction(2)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ActionFlags: u64 {
        /// No SIGCHLD for children that stop or continue.
        const NO_CHILD_STOP = abi::SA_NOCLDSTOP as u64;
        /// Children are reaped as they end.
        const NO_CHILD_WAIT = abi::SA_NOCLDWAIT as u64;
        /// The handler wants the `siginfo_t`.
        const SIGINFO = abi::SA_SIGINFO as u64;
        /// Keep tag bits of fault addresses; without effect here, as on Linux for x86.
        const EXPOSE_TAG_BITS = abi::SA_EXPOSE_TAGBITS as u64;
        /// `sa_restorer` is valid.
        const RESTORER = abi::SA_RESTORER as u64;
        /// Run on the alternate stack.
        const ON_STACK = abi::SA_ONSTACK as u64;
        /// Restart the interrupted call.
        const RESTART = abi::SA_RESTART as u64;
        /// Do not block the signal during its own handler.
        const NO_DEFER = abi::SA_NODEFER as u64;
        /// Back to default when the handler starts.
        const RESET_HANDLER = abi::SA_RESETHAND as u64;
    }
}

/// The action for one signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// What is to happen.
    pub handler: Handler,
    /// How.
    pub flags: ActionFlags,
    /// Where the handler returns to.
    pub restorer: u64,
    /// What is blocked meanwhile.
    pub mask: SignalSet,
}

impl Action {
    /// The action of a process that never asked for one.
    pub const DEFAULT: Self = Self {
        handler: Handler::Default,
        flags: ActionFlags::empty(),
        restorer: 0,
        mask: SignalSet::EMPTY,
    };
    /// Size of the kernel's `struct sigaction` in bytes.
    pub const SIZE: usize = 32;

    /// Decodes the kernel's `struct sigaction`: handler, flags, restorer, mask, eight bytes each.
    #[must_use]
    pub fn from_words(words: [u64; 4]) -> Self {
        let handler = match words[0] {
            0 => Handler::Default,
            1 => Handler::Ignore,
            address => Handler::Catch(address),
        };
        let mask = SignalSet::from_bits(words[3]).difference(SignalSet::UNBLOCKABLE);
        let flags = ActionFlags::from_bits_truncate(words[1]);
        Self { handler, flags, restorer: words[2], mask }
    }

    /// The inverse of [`from_words`](Self::from_words).
    #[must_use]
    pub fn to_words(&self) -> [u64; 4] {
        let handler = match self.handler {
            Handler::Default => 0,
            Handler::Ignore => 1,
            Handler::Catch(address) => address,
        };
        [handler, self.flags.bits(), self.restorer, self.mask.bits()]
    }

    /// Whether this action discards `signal`.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        self.handler.ignores(signal)
    }
}

/// The actions for all signals.
#[derive(Clone, Debug)]
pub struct Actions([Action; SIGNAL_COUNT as usize]);

impl Actions {
    /// Every signal at its default.
    pub const DEFAULT: Self = Self([Action::DEFAULT; SIGNAL_COUNT as usize]);

    /// The action for `signal`.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Action {
        self.0[signal.index()]
    }

    /// Replaces the action for `signal` and returns the former one.
    pub fn replace(&mut self, signal: Signal, action: Action) -> Action {
        core::mem::replace(&mut self.0[signal.index()], action)
    }

    /// What execve leaves: handlers are gone, ignored signals stay ignored.
    pub fn reset_for_exec(&mut self) {
        for action in &mut self.0 {
            let handler = match action.handler {
                Handler::Ignore => Handler::Ignore,
                Handler::Default | Handler::Catch(_) => Handler::Default,
            };
            *action = Action { handler, ..Action::DEFAULT };
        }
    }

    /// The signals whose handler is what `wanted` says, for `/proc/PID/status`.
    #[must_use]
    pub fn with_handler(&self, wanted: fn(Handler) -> bool) -> SignalSet {
        let mut set = SignalSet::EMPTY;
        Signal::all()
            .filter(|&signal| wanted(self.get(signal).handler))
            .for_each(|s| set.insert(s));
        set
    }
}

/// A cell with a table of actions, shared by the threads of a process and by what `CLONE_SIGHAND` made.
#[derive(Clone, Debug)]
pub struct SharedActions(Arc<SpinLock<Arc<Actions>, Irq>>);

impl SharedActions {
    /// A cell with this table.
    #[must_use]
    pub fn new(actions: Arc<Actions>) -> Self {
        Self(Arc::new(SpinLock::new(Rank::ACTIONS, actions)))
    }

    /// A new cell that shares the table until either side changes it.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(self.snapshot())
    }

    /// The table as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Actions> {
        self.0.lock().clone()
    }

    /// The action for `signal`.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Action {
        self.0.lock().get(signal)
    }

    /// What is to happen on `signal`.
    #[must_use]
    pub fn handler(&self, signal: Signal) -> Handler {
        self.0.lock().0[signal.index()].handler
    }

    /// Replaces the action for `signal` and returns the former one.
    pub fn replace(&self, signal: Signal, action: Action) -> Action {
        Arc::make_mut(&mut self.0.lock()).replace(signal, action)
    }

    /// Puts `signal` back to its default handler and leaves the rest of its action (`SA_RESETHAND`).
    pub fn reset_handler(&self, signal: Signal) {
        let mut table = self.0.lock();
        let action = Action { handler: Handler::Default, ..table.get(signal) };
        Arc::make_mut(&mut table).replace(signal, action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_and_unblockable_signals_are_dropped() {
        let action = Action::from_words([0x1000, u64::MAX, 0x2000, u64::MAX]);
        assert_eq!(action.handler, Handler::Catch(0x1000));
        assert_eq!(action.flags, ActionFlags::all());
        assert!(!action.flags.bits() & 0x400 != 0, "SA_UNSUPPORTED reads back as zero");
        assert_eq!(action.mask, SignalSet::ALL.difference(SignalSet::UNBLOCKABLE));
        assert_eq!(Action::from_words(action.to_words()), action);
    }

    #[test]
    fn exec_keeps_ignores_and_drops_handlers() {
        let shared = SharedActions::new(Arc::new(Actions::DEFAULT));
        shared.replace(Signal::SIGINT, Action { handler: Handler::Ignore, ..Action::DEFAULT });
        shared.replace(Signal::SIGHUP, Action::from_words([0x1000, 4, 0, 1]));
        let mut table = Actions::clone(&shared.snapshot());
        table.reset_for_exec();
        assert_eq!(table.get(Signal::SIGINT).handler, Handler::Ignore);
        assert_eq!(table.get(Signal::SIGHUP), Action::DEFAULT);
    }

    #[test]
    fn a_forked_cell_changes_alone_and_a_cloned_one_together() {
        let parent = SharedActions::new(Arc::new(Actions::DEFAULT));
        let (child, twin) = (parent.fork(), parent.clone());
        let ignore = Action { handler: Handler::Ignore, ..Action::DEFAULT };
        parent.replace(Signal::SIGINT, ignore);
        assert_eq!(child.get(Signal::SIGINT), Action::DEFAULT);
        assert_eq!(twin.get(Signal::SIGINT), ignore);
    }
}
