//! Signals that say that a file is ready (`O_ASYNC`, `F_SETOWN`, `F_SETSIG`; fcntl(2)).
//!
//! A file with `O_ASYNC` has a [`Notifier`], which observes the wait queues that a poll(2) of the file would watch. A wake-up
//! may come with spin locks held, where no signal can be sent and the file cannot be asked: the notifier is put down with the thread
//! that causes the wake-up ([`Woken`]), and that thread's [`deliver`] does the rest. So who writes to a pipe has sent the
//! signal when write(2) returns, as on Linux.
//!
//! Locks: changes of `O_ASYNC` take turns under a sleeping mutex; a file's owner and its notifier, rank `FILE`.

mod reason;
mod woken;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use intrusive_collections::LinkedListAtomicLink;
use reason::{Kind, Reason, reason};
pub use woken::{Woken, deliver};

use super::file::File;
use super::flags::OpenFlags;
use super::operations::Special;
use super::poll::{PollEvents, PollTable};
use crate::errno::{Errno, Result};
use crate::held_late;
use crate::scheduling::{LateLink, Mutex, Registration};
use crate::signal::{Signal, SignalInfo, send};
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
    /// It is in the list that threads share. Written under the list's lock.
    is_queued: AtomicBool,
    /// What the file had to report when it was last asked.
    last: AtomicU32,
    late: LateLink<Notifier>,
}

held_late!(Notifier, late);

/// What a file with `O_ASYNC` keeps.
pub struct Watching {
    _notifier: Arc<Notifier>,
    _registrations: Vec<Registration>,
}

/// Whether a file's owner is told that it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Telling {
    /// It is: `O_ASYNC` is set.
    On,
    /// It is not.
    Off,
}

impl Telling {
    /// What `flags` say.
    #[must_use]
    pub fn of(flags: OpenFlags) -> Self {
        if flags.contains(OpenFlags::ASYNC) { Self::On } else { Self::Off }
    }
}

/// Held while `O_ASYNC` of a file changes, so that flag and notifier agree.
static CHANGING: Mutex<()> = Mutex::new(());

/// Makes `telling` true of `file` and its flag; `descriptor` is the one by which that is asked.
///
/// # Errors
/// `ENOTTY` if that is a change, and the file has nothing to tell; `ENOMEM`. The flag is what it was then.
pub fn change(file: &Arc<File>, descriptor: Fd, telling: Telling) -> Result<()> {
    let changing = CHANGING.lock();
    if Telling::of(file.status()) == telling {
        return Ok(());
    }
    let owner = file.operations().default_signal_owner().ok_or(Errno::ENOTTY)?;
    let former = match telling {
        Telling::Off => file.watch_with(None),
        Telling::On => file.watch_with(Some(watch(file, descriptor)?)),
    };
    set_flag(file, telling);
    drop(changing);
    drop(former);
    if telling == Telling::On {
        file.update_signal_owner(|current| {
            if matches!(current.recipient, Recipient::Nobody) {
                let signal = current.signal;
                *current = SignalOwner { signal, ..owner };
            }
        });
    }
    Ok(())
}

fn set_flag(file: &File, telling: Telling) {
    let flags = match telling {
        Telling::On => OpenFlags::ASYNC,
        Telling::Off => OpenFlags::empty(),
    };
    file.set_status(flags, OpenFlags::ASYNC);
}

/// A notifier that observes `file`.
fn watch(file: &Arc<File>, descriptor: Fd) -> Result<Watching> {
    let notifier = Arc::new_cyclic(|this| Notifier {
        this: this.clone(),
        link: LinkedListAtomicLink::new(),
        file: Arc::downgrade(file),
        descriptor,
        is_queued: AtomicBool::new(false),
        last: AtomicU32::new(0),
        late: LateLink::new(),
    });
    let mut table = PollTable::new(notifier.clone());
    let events = file.poll(&mut table);
    notifier.last.store(events.bits(), Ordering::Relaxed);
    Ok(Watching { _notifier: notifier, _registrations: table.into_registrations()? })
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
