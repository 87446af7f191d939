//! The lock over kinship: who is whose parent and child, and who belongs to which group and session.
//!
//! Fields that this one lock guards lie in the structs that they describe, inside a [`QCell`] which opens only
//! for the holder of the lock's [`FamilyGuard`]. So the compiler checks that they are touched under the lock, and a
//! step that concerns several processes (reparenting, leaving a group) is atomic.
//!
//! Lock: rank `PROCESS_TABLE`, interrupts off, held for a step whose length is bounded by the number of children,
//! group members or session members that it visits. What a process's *signals* do is under the process's own
//! signal lock, which is taken inside this one.

use core::ops::{Deref, DerefMut};

use arch::sync::{Irq, Rank, SpinGuard, SpinLock};
use qcell::{QCell, QCellOwner, QCellOwnerID};
use spin::Lazy;

static FAMILY: Lazy<Family> = Lazy::new(|| {
    let owner = QCellOwner::new();
    Family { id: owner.id(), lock: SpinLock::new(Rank::PROCESS_TABLE, owner) }
});

struct Family {
    id: QCellOwnerID,
    lock: SpinLock<QCellOwner, Irq>,
}

/// The right to read and change kinship.
pub struct FamilyGuard(SpinGuard<'static, QCellOwner, Irq>);

impl Deref for FamilyGuard {
    type Target = QCellOwner;
    fn deref(&self) -> &QCellOwner {
        &self.0
    }
}

impl DerefMut for FamilyGuard {
    fn deref_mut(&mut self) -> &mut QCellOwner {
        &mut self.0
    }
}

/// Takes the lock over kinship.
pub fn lock() -> FamilyGuard {
    FamilyGuard(FAMILY.lock.lock())
}

/// A value that only the holder of the lock may touch.
pub(super) fn guarded<T>(value: T) -> QCell<T> {
    FAMILY.id.cell(value)
}
