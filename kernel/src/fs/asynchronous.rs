//! Signals that say that a file is ready (`O_ASYNC`, `F_SETOWN`, `F_SETSIG`; fcntl(2)).
//!
//! A file with `O_ASYNC` has a [`Notifier`], which observes the wait queues that a poll(2) of the file would watch. A wake-up
//! may come with spin locks held and from interrupt handlers, where no signal can be sent and the file cannot be asked: the notifier
//! enters a list, and [`deliver`] does the rest: at the end of every system call, when a thread's files are closed, and when the
//! console has taken in what was typed. So who writes to a pipe has sent the signal when write(2) returns, as on Linux.
//!
//! Locks: the list, rank `LEAF`, interrupts off; a file's notifier, rank `FILE`.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use arch::sync::{Irq, Rank, SpinLock};
use intrusive_collections::{LinkedList, LinkedListAtomicLink, intrusive_adapter};
use linux_raw_sys::general as abi;

use super::file::File;
use super::flags::OpenFlags;
use super::operations::Special;
use super::poll::{PollEvents, PollTable};
use crate::errno::{Errno, Result};
use crate::scheduling::{Registration, Wake};
use crate::signal::{Code, Signal, SignalInfo, send};
use crate::syscall::Fd;
use crate::task::group::ProcessGroup;
use crate::task::{Credentials, Process, Thread, family, table};

/// Who is told.
#[derive(Clone, Default)]
pub enum Recipient {
    /// Nobody.
    #[default]
    Nobody,
    /// One thread (`F_OWNER_TID`).
    Thread(Weak<Thread>),
    /// A process (`F_OWNER_PID`).
    Process(Weak<Process>),
    /// A process group (`F_OWNER_PGRP`).
    Group(Weak<ProcessGroup>),
}

impl Recipient {
    /// The id; zero for nobody, or when it is gone.
    #[must_use]
    pub fn id(&self) -> i32 {
        let id = match self {
            Self::Nobody => None,
            Self::Thread(thread) => thread.upgrade().and_then(|thread| {
                let found = table::find_thread(thread.tid());
                found
                    .is_some_and(|found| Arc::ptr_eq(&found, &thread))
                    .then(|| thread.tid().as_u32())
            }),
            Self::Process(process) => {
                let process = process.upgrade().filter(|process| !process.has_been_reaped());
                process.map(|process| process.pid().as_u32())
            }
            Self::Group(group) => group.upgrade().map(|group| group.id().as_u32()),
        };
        id.map_or(0, |id| id as i32)
    }
}

/// Who gets which signal when a file is ready (`F_SETOWN`, `F_SETSIG`).
#[derive(Clone, Default)]
pub struct SignalOwner {
    /// `F_OWNER_TID`, `F_OWNER_PID` or `F_OWNER_PGRP`.
    pub kind: i32,
    /// Who that is.
    pub recipient: Recipient,
    /// The signal instead of SIGIO; zero for SIGIO.
    pub signal: i32,
    /// Real and effective user of who chose the recipient: what counts for the permission to send.
    pub sender: [u32; 2],
}

impl SignalOwner {
    /// Whether who chose the recipient may send it signals (`sigio_perm`).
    fn may_signal(&self, target: &Credentials) -> bool {
        let targets = [target.user.saved, target.user.real];
        self.sender[1] == 0 || self.sender.iter().any(|user| targets.contains(user))
    }
}

/// Tells a file's owner that it is ready.
pub struct Notifier {
    this: Weak<Notifier>,
    link: LinkedListAtomicLink,
    file: Weak<File>,
    /// `si_fd`: the descriptor by which `O_ASYNC` was set.
    descriptor: Fd,
    /// It is in the list. Written under the list's lock.
    is_queued: AtomicBool,
    /// What the file had to report when it was last asked.
    last: AtomicU32,
}

intrusive_adapter!(Notifiers = Arc<Notifier>: Notifier { link => LinkedListAtomicLink });

static WOKEN: SpinLock<LinkedList<Notifiers>, Irq> =
    SpinLock::new(Rank::LEAF, LinkedList::new(Notifiers::NEW));
/// Whether the list may have something in it.
static ANY_WOKEN: AtomicBool = AtomicBool::new(false);

impl Wake for Notifier {
    fn wake(&self) {
        let Some(this) = self.this.upgrade() else { return };
        let mut woken = WOKEN.lock();
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            woken.push_back(this);
        }
        drop(woken);
        // Seen by this thread at the end of its call; by others sooner or later.
        ANY_WOKEN.store(true, Ordering::Release);
    }
}

/// Sends the signals that wake-ups have asked for. Holding no lock; costs one load when there are none.
pub fn deliver() {
    if ANY_WOKEN.load(Ordering::Relaxed) {
        deliver_all();
    }
}

#[cold]
fn deliver_all() {
    // Acquire and release: what is entered after the swap sets the mark again.
    ANY_WOKEN.swap(false, Ordering::AcqRel);
    loop {
        let mut woken = WOKEN.lock();
        let Some(notifier) = woken.pop_front() else { return };
        notifier.is_queued.store(false, Ordering::Relaxed);
        drop(woken);
        notifier.tell();
    }
}

/// What a file with `O_ASYNC` keeps.
pub struct Watching {
    _notifier: Arc<Notifier>,
    _registrations: Vec<Registration>,
}

/// Begins or ends telling `file`'s owner, as its flags say now; `descriptor` is the one by which they were changed.
///
/// # Errors
/// `ENOTTY` for a file that has nothing to tell; `ENOMEM`.
pub fn update(file: &Arc<File>, descriptor: Fd) -> Result<()> {
    let Some(owner) = file.operations().default_signal_owner() else { return Err(Errno::ENOTTY) };
    if !file.status().contains(OpenFlags::ASYNC) {
        drop(file.watch_with(None));
        return Ok(());
    }
    let notifier = Arc::new_cyclic(|this| Notifier {
        this: this.clone(),
        link: LinkedListAtomicLink::new(),
        file: Arc::downgrade(file),
        descriptor,
        is_queued: AtomicBool::new(false),
        last: AtomicU32::new(0),
    });
    let mut table = PollTable::new(notifier.clone());
    let events = file.poll(&mut table);
    notifier.last.store(events.bits(), Ordering::Relaxed);
    let watching = Watching { _notifier: notifier, _registrations: table.into_registrations()? };
    drop(file.watch_with(Some(watching)));
    if matches!(file.signal_owner().recipient, Recipient::Nobody) {
        file.set_signal_owner(SignalOwner { signal: file.signal_owner().signal, ..owner });
    }
    Ok(())
}

impl Notifier {
    /// Asks the file what there is to report, and reports it.
    fn tell(&self) {
        let Some(file) = self.file.upgrade() else { return };
        let events = file.poll(&mut PollTable::none());
        let last = self.last.swap(events.bits(), Ordering::Relaxed);
        let is_socket = matches!(file.operations().special(), Special::Socket(_));
        let last = PollEvents::from_bits_retain(last);
        let kind = Kind { is_socket, is_readable: file.access().can_read() };
        if let Some(reason) = reason(events, last, kind) {
            self.send(&file, reason);
        }
    }

    fn send(&self, file: &File, reason: Reason) {
        let owner = file.signal_owner();
        match &owner.recipient {
            Recipient::Nobody => {}
            Recipient::Thread(thread) => {
                if let Some(thread) = thread.upgrade()
                    && owner.may_signal(&thread.credentials())
                {
                    self.post(&owner, reason, |signal, info| {
                        send::to_thread(&thread, signal, info)
                    });
                }
            }
            Recipient::Process(process) => {
                if let Some(process) = process.upgrade() {
                    self.send_to_process(&owner, reason, &process);
                }
            }
            Recipient::Group(group) => {
                let Some(group) = group.upgrade() else { return };
                let family = family::lock();
                for process in group.members(&family) {
                    self.send_to_process(&owner, reason, process);
                }
            }
        }
    }

    fn send_to_process(&self, owner: &SignalOwner, reason: Reason, process: &Process) {
        if owner.may_signal(&process.credentials()) {
            self.post(owner, reason, |signal, info| send::to_process(process, signal, info));
        }
    }

    /// Sends the chosen signal with what it is about; where its queue is full, or none is chosen, a SIGIO that tells nothing.
    fn post(
        &self,
        owner: &SignalOwner,
        reason: Reason,
        send: impl Fn(Signal, SignalInfo) -> Result<()>,
    ) {
        if let Some(signal) = Signal::new(owner.signal as u32) {
            let (code, band) = reason.describe(signal);
            let info = SignalInfo::poll(signal, code, band, self.descriptor.0);
            if send(signal, info).is_ok() {
                return;
            }
        }
        // A standard signal of the kernel's is never refused.
        let _sent = send(Signal::SIGIO, SignalInfo::kernel(Signal::SIGIO));
    }
}

/// Why a file's owner is told: `si_code`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
enum Reason {
    Input = abi::POLL_IN,
    Output = abi::POLL_OUT,
    HungUp = abi::POLL_HUP,
}

impl Reason {
    /// `si_code` and `si_band` under `signal`. A signal that has codes of its own shows where this one is from instead.
    fn describe(self, signal: Signal) -> (i32, i64) {
        const WITH_CODES: [Signal; 7] = [
            Signal::SIGILL,
            Signal::SIGFPE,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGTRAP,
            Signal::SIGCHLD,
            Signal::SIGSYS,
        ];
        let code = if WITH_CODES.contains(&signal) { Code::SI_SIGIO } else { self as i32 };
        let band = match self {
            Self::Input => PollEvents::READABLE,
            Self::Output => PollEvents::WRITABLE | PollEvents::WRITE_BAND,
            Self::HungUp => PollEvents::HANG_UP | PollEvents::ERROR,
        };
        (code, i64::from(band.bits()))
    }
}

/// What matters about a file here.
#[derive(Clone, Copy)]
struct Kind {
    is_socket: bool,
    is_readable: bool,
}

/// What is worth telling of a file that was woken and reports `events`, and reported `last` before. Room to write is told where
/// there is nothing else to tell, and where there was none before.
fn reason(events: PollEvents, last: PollEvents, kind: Kind) -> Option<Reason> {
    if kind.is_socket && events.contains(PollEvents::HANG_UP) {
        return Some(Reason::HungUp);
    }
    let input = PollEvents::IN | PollEvents::HANG_UP | PollEvents::PRIORITY;
    if kind.is_readable && events.intersects(input) {
        return Some(Reason::Input);
    }
    let had_room = kind.is_readable && last.contains(PollEvents::OUT);
    let has_room = events.intersects(PollEvents::OUT | PollEvents::ERROR);
    (has_room && !had_room).then_some(Reason::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_follow_the_kind_of_file() {
        let end = |is_readable| Kind { is_socket: false, is_readable };
        let none = PollEvents::empty();
        assert_eq!(reason(PollEvents::READABLE, none, end(true)), Some(Reason::Input));
        assert_eq!(reason(PollEvents::HANG_UP, none, end(true)), Some(Reason::Input));
        let room = PollEvents::WRITABLE;
        assert_eq!(reason(room, room, end(false)), Some(Reason::Output), "a pipe's end, each time");
        assert_eq!(reason(room, room, end(true)), None);
        assert_eq!(reason(room, none, end(true)), Some(Reason::Output));
        let socket = Kind { is_socket: true, is_readable: true };
        let closed = PollEvents::READABLE | PollEvents::HANG_UP;
        assert_eq!(reason(closed, none, socket), Some(Reason::HungUp));
    }

    #[test]
    fn signals_with_codes_of_their_own_show_the_source() {
        let real_time = Signal::new(40).expect("a real-time signal");
        assert_eq!(Reason::Input.describe(real_time), (1, 0x41));
        assert_eq!(Reason::Output.describe(Signal::SIGIO), (2, 0x304));
        assert_eq!(Reason::HungUp.describe(Signal::SIGCHLD), (Code::SI_SIGIO, 0x18));
    }
}
