//! The signal state of a process and of its threads. Key types: [`ProcessSignals`], [`ThreadSignals`].
//!
//! Lock: one per process, rank `SIGNAL`, interrupts off. It guards both; a thread's part lies in the thread and
//! opens with the key that the process's part holds.

use intrusive_collections::RBTree;
use qcell::{QCellOwner, QCellOwnerID};

use super::number::SignalSet;
use crate::task::Threads;

/// What a thread has of its own.
#[derive(Debug, Default)]
pub struct ThreadSignals {
    /// What waits until it is unblocked.
    pub blocked: SignalSet,
}

/// What the threads of a process share.
pub struct ProcessSignals {
    /// Opens the threads' [`ThreadSignals`].
    pub(crate) key: QCellOwner,
    /// The live threads.
    pub(crate) threads: RBTree<Threads>,
}

impl ProcessSignals {
    /// The state of a process without threads.
    #[must_use]
    pub fn new() -> Self {
        Self { key: QCellOwner::new(), threads: RBTree::new(Threads::new()) }
    }

    /// Which key opens the threads' parts.
    #[must_use]
    pub fn owner_id(&self) -> QCellOwnerID {
        self.key.id()
    }
}

impl Default for ProcessSignals {
    fn default() -> Self {
        Self::new()
    }
}
