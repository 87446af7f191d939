//! Process groups and sessions (credentials(7), setpgid(2), setsid(2)). Key types: [`ProcessGroup`], [`Session`].
//!
//! A group lives as long as a process is in it, a session as long as a group is. Membership is under the lock of
//! [`super::family`]; the session's controlling terminal under a lock of its own.

use alloc::sync::Arc;

use arch::sync::{Irq, Rank, SpinLock};
use intrusive_collections::{KeyAdapter, RBTree, RBTreeAtomicLink, intrusive_adapter};
use qcell::QCell;

use super::family::{self, FamilyGuard};
use super::id::Pid;
use super::process::Process;
use super::table;

intrusive_adapter!(pub(super) Members = Arc<Process>: Process { group_link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for Members {
    type Key = Pid;
    fn get_key(&self, process: &'a Process) -> Pid {
        process.pid()
    }
}

/// What a session needs of its controlling terminal.
pub trait ControllingTerminal: Send + Sync {
    /// The device number, as `/proc/PID/stat` shows it.
    fn device_number(&self) -> u64;

    /// The foreground process group.
    fn foreground(&self) -> Option<Pid>;

    /// The leader of `session` has exited: unless another session has taken the terminal meanwhile, it belongs to nobody now,
    /// and its foreground group is to receive SIGHUP and SIGCONT.
    fn leader_exited(&self, session: &Arc<Session>);
}

/// Processes that job control treats as one.
pub struct ProcessGroup {
    id: Pid,
    session: Arc<Session>,
    /// Guarded by the family lock.
    members: QCell<RBTree<Members>>,
}

impl ProcessGroup {
    /// A group without members in `session`, entered in the table. The caller holds the family lock.
    pub(super) fn new(id: Pid, session: Arc<Session>, _family: &FamilyGuard) -> Arc<Self> {
        let members = family::guarded(RBTree::new(Members::new()));
        let group = Arc::new(Self { id, session, members });
        table::enter_group(&group);
        group
    }

    /// The id, that of the process that founded it.
    #[must_use]
    pub fn id(&self) -> Pid {
        self.id
    }

    /// The session that the group is part of.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The processes of the group, zombies included, in ascending order of their ids.
    pub fn members<'a>(&'a self, family: &'a FamilyGuard) -> impl Iterator<Item = &'a Process> {
        family.ro(&self.members).iter()
    }

    pub(super) fn add(&self, process: Arc<Process>, family: &mut FamilyGuard) {
        family.rw(&self.members).insert(process);
    }

    pub(super) fn remove(&self, pid: Pid, family: &mut FamilyGuard) -> Option<Arc<Process>> {
        family.rw(&self.members).find_mut(&pid).remove()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        table::release_if_free(self.id.as_u32());
    }
}

/// Process groups that share a controlling terminal.
pub struct Session {
    id: Pid,
    terminal: SpinLock<Option<Arc<dyn ControllingTerminal>>, Irq>,
}

impl Session {
    /// A session without terminal, entered in the table. The caller holds the family lock.
    pub(super) fn new(id: Pid, _family: &FamilyGuard) -> Arc<Self> {
        let session = Arc::new(Self { id, terminal: SpinLock::new(Rank::THREAD, None) });
        table::enter_session(&session);
        session
    }

    /// The id, that of the process that founded it: the session's leader.
    #[must_use]
    pub fn id(&self) -> Pid {
        self.id
    }

    /// The controlling terminal.
    #[must_use]
    pub fn terminal(&self) -> Option<Arc<dyn ControllingTerminal>> {
        self.terminal.lock().clone()
    }

    /// Replaces the controlling terminal and returns the former one.
    pub fn set_terminal(
        &self,
        terminal: Option<Arc<dyn ControllingTerminal>>,
    ) -> Option<Arc<dyn ControllingTerminal>> {
        core::mem::replace(&mut *self.terminal.lock(), terminal)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        table::release_if_free(self.id.as_u32());
    }
}
