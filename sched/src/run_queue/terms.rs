//! On what terms a task competes: [`Terms`], what a queue needs of a task's parameters.
//!
//! They are read when the task becomes runnable and go with it through queues and CPUs until it sleeps, or until the
//! task's [version](TaskCore::version) says that they have changed: most switches are between tasks whose parameters
//! nobody has touched for ages.

use arch::time::Nanos;

use super::Class;
use crate::parameters::Discipline;
use crate::policy::TaskView;
use crate::task::TaskCore;
use crate::urgency::Urgency;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Which parameters they were made from.
    version: u32,
    pub(crate) discipline: Discipline,
    /// How urgent the task is, with what it was lent.
    pub(crate) urgency: Urgency,
    /// What it was lent.
    pub(crate) lent: Urgency,
    /// The class that the task competes in.
    pub(crate) class: Class,
    weight: u32,
    slice: Nanos,
}

impl Terms {
    /// The terms of `core` now.
    pub(crate) fn of(core: &TaskCore) -> Self {
        // First the version: if the parameters change meanwhile, the terms are out of date and not wrong for ever.
        let version = core.version();
        let (parameters, lent) = (core.parameters(), core.lent());
        let urgency = Urgency::of(&parameters, core.server()).max(lent);
        Self {
            version,
            discipline: parameters.discipline,
            urgency,
            lent,
            class: urgency.class(),
            weight: parameters.weight().max(1),
            slice: parameters.slice,
        }
    }

    /// These terms, or new ones if those of `core` have changed.
    pub(crate) fn renewed(self, core: &TaskCore) -> Self {
        if self.are_those_of(core) { self } else { Self::of(core) }
    }

    /// Whether nothing has changed since they were read.
    pub(crate) fn are_those_of(&self, core: &TaskCore) -> bool {
        self.version == core.version()
    }

    /// Brings the urgency of a deadline task up to date, whose deadline moves on without a change of its parameters.
    pub(crate) fn follow_server(&mut self, core: &TaskCore) {
        if self.discipline == Discipline::Deadline {
            self.urgency = Urgency::deadline(core.server().deadline).max(self.lent);
            self.class = self.urgency.class();
        }
    }

    /// What a policy sees of the task.
    pub(crate) fn view(&self, core: &TaskCore, slot: u32) -> TaskView {
        TaskView {
            id: core.id(),
            slot,
            weight: self.weight,
            batch: matches!(self.discipline, Discipline::Batch | Discipline::Idle),
            slice: self.slice,
            memory: core.memory(),
        }
    }
}
