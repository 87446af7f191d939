//! The lock over kinship: who is whose parent and child, and who belongs to which group and session.
//!
//! Fields that this one lock guards lie in the structs that they describe, inside a [`QCell`] which opens only
//! for the holder of the lock's [`FamilyGuard`]. So the compiler checks that they are touched under the lock, and a
//! step that concerns several processes (reparenting, leaving a group) is atomic.
//!
//! Lock: rank `PROCESS_TABLE`, interrupts off, held for a step whose length is bounded by the number of children,
//! group members or session members that it visits. What a process's *signals* do is under the process's own
//! signal lock, which is taken inside this one.

use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};

use arch::sync::{Irq, Rank, SpinGuard, SpinLock};
use qcell::{QCell, QCellOwner, QCellOwnerID};
use spin::Lazy;

use super::group::ProcessGroup;
use super::id::Pid;
use super::process::Process;
use super::table;

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

/// Whether nobody who could continue the process's group after a stop is there any more: no member has a parent in
/// another group of the same session (POSIX, "orphaned process group").
#[must_use]
pub fn is_in_orphaned_group(process: &Process, family: &FamilyGuard) -> bool {
    process.group(family).is_none_or(|group| is_orphaned(&group, None, family))
}

/// Whether `group` is orphaned, or will be once `leaving` is gone.
pub(super) fn is_orphaned(
    group: &ProcessGroup,
    leaving: Option<&Process>,
    family: &FamilyGuard,
) -> bool {
    let controls = |member: &Process| {
        let kin = family.ro(&member.kinship);
        let ended =
            kin.exit.is_some() || leaving.is_some_and(|leaving| core::ptr::eq(leaving, member));
        let Some(parent) = kin.parent.as_ref().filter(|parent| parent.pid() != Pid::INIT) else {
            return false;
        };
        let Some(other) = family.ro(&parent.kinship).group.as_ref() else { return false };
        !ended && other.id() != group.id() && Arc::ptr_eq(other.session(), group.session())
    };
    !group.members(family).any(controls)
}

/// Makes `child`, whose parent field is set, one of its parent's children and a member of its group.
pub(super) fn enter(child: &Arc<Process>, family: &mut FamilyGuard) {
    let kin = family.ro(&child.kinship);
    let (parent, group) = (kin.parent.clone(), kin.group.clone());
    if let Some(parent) = parent {
        family.rw(&parent.kinship).children.insert(child.clone());
    }
    if let Some(group) = group {
        group.add(child.clone(), family);
    }
}

/// Takes an ended process out of the tree and its group. What it held is returned, to be dropped without the lock.
#[must_use = "drop it without the lock"]
pub(super) fn leave(process: &Process, family: &mut FamilyGuard) -> impl Sized + use<> {
    let parent = process.replace_parent(None, family);
    let group = family.rw(&process.kinship).group.take();
    let from_parent = parent
        .as_ref()
        .and_then(|parent| family.rw(&parent.kinship).children.find_mut(&process.pid()).remove());
    let from_group = group.as_ref().and_then(|group| group.remove(process.pid(), family));
    (parent, group, from_parent, from_group)
}

/// Moves a process to another group of its session, or of a new one. Returns the former group.
#[must_use = "drop it without the lock"]
pub(super) fn move_to_group(
    process: &Arc<Process>,
    group: &Arc<ProcessGroup>,
    family: &mut FamilyGuard,
) -> Option<Arc<ProcessGroup>> {
    let former = family.rw(&process.kinship).group.replace(group.clone());
    if let Some(former) = &former {
        drop(former.remove(process.pid(), family));
    }
    group.add(process.clone(), family);
    former
}

/// Who adopts the children of `process`, which is ending: the nearest living ancestor that asked to (prctl(2),
/// `PR_SET_CHILD_SUBREAPER`), or the first process.
pub(super) fn adopter(process: &Process, family: &FamilyGuard) -> Option<Arc<Process>> {
    let mut ancestor = family.ro(&process.kinship).parent.clone();
    while let Some(candidate) = ancestor {
        let kin = family.ro(&candidate.kinship);
        let reaper = kin.is_subreaper || candidate.pid() == Pid::INIT;
        if reaper && kin.exit.is_none() && !kin.is_ending {
            return Some(candidate);
        }
        ancestor = kin.parent.clone();
    }
    // A process without ancestors is the first one, or the kernel started it for itself.
    let first = table::find_process(Pid::INIT).filter(|first| !core::ptr::eq(&**first, process))?;
    let kin = family.ro(&first.kinship);
    (kin.exit.is_none() && !kin.is_ending).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::group::Session;
    use crate::task::process::ProcessParts;
    use crate::task::testing;

    fn process(
        pid: u32,
        parent: Option<&Arc<Process>>,
        group: &Arc<ProcessGroup>,
        family: &mut FamilyGuard,
    ) -> Arc<Process> {
        let process = Process::new(ProcessParts {
            parent: parent.cloned(),
            group: Some(group.clone()),
            ..testing::parts(Pid::new(pid))
        });
        enter(&process, family);
        process
    }

    fn make<R>(build: impl FnOnce(&mut FamilyGuard) -> R) -> R {
        // The kernel's own process is made outside the lock, as at boot.
        let _kernel = Process::kernel();
        build(&mut lock())
    }

    #[test]
    fn a_group_is_orphaned_without_a_parent_in_another_group_of_its_session() {
        let (held, orphaned) = make(|family| {
            let session = Session::new(Pid::new(70_001), family);
            let shells = ProcessGroup::new(Pid::new(70_001), session.clone(), family);
            let jobs = ProcessGroup::new(Pid::new(70_002), session, family);
            let shell = process(70_001, None, &shells, family);
            let job = process(70_002, Some(&shell), &jobs, family);
            let before = is_in_orphaned_group(&job, family);
            let once_gone = is_orphaned(&jobs, Some(&job), family);
            let shell_is = is_in_orphaned_group(&shell, family);
            let held = (leave(&job, family), leave(&shell, family));
            (held, [before, once_gone, shell_is])
        });
        drop(held);
        assert_eq!(orphaned, [false, true, true]);
    }

    #[test]
    fn orphans_go_to_the_nearest_subreaper_that_lives() {
        let (held, found) = make(|family| {
            let session = Session::new(Pid::new(70_011), family);
            let group = ProcessGroup::new(Pid::new(70_011), session, family);
            let top = process(70_011, None, &group, family);
            let middle = process(70_012, Some(&top), &group, family);
            let bottom = process(70_013, Some(&middle), &group, family);
            family.rw(&top.kinship).is_subreaper = true;
            family.rw(&middle.kinship).is_subreaper = true;
            let nearest = adopter(&bottom, family).map(|p| p.pid());
            family.rw(&middle.kinship).is_ending = true;
            let next = adopter(&bottom, family).map(|p| p.pid());
            let held = [&bottom, &middle, &top].map(|process| leave(process, family));
            (held, [nearest, next])
        });
        drop(held);
        assert_eq!(found, [Some(Pid::new(70_012)), Some(Pid::new(70_011))]);
    }

    #[test]
    fn a_process_is_in_one_group_at_a_time() {
        let (held, counts) = make(|family| {
            let session = Session::new(Pid::new(70_021), family);
            let first = ProcessGroup::new(Pid::new(70_021), session.clone(), family);
            let second = ProcessGroup::new(Pid::new(70_022), session, family);
            let mover = process(70_022, None, &first, family);
            let left = move_to_group(&mover, &second, family);
            let counts = [first.members(family).count(), second.members(family).count()];
            let held = (leave(&mover, family), left, first);
            (held, counts)
        });
        drop(held);
        assert_eq!(counts, [0, 1]);
    }
}
