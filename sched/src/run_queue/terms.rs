//! On what terms a task competes: [`Terms`], what a queue needs of a task's parameters.
//!
//! They are read when the task is queued and hold until it leaves the queue, also while it runs there, or until the task's
//! [version](TaskCore::version) says that they have changed: most switches are between tasks whose parameters nobody has
//! touched for ages.

use super::Class;
use crate::parameters::Discipline;
use crate::task::TaskCore;
use crate::urgency::Urgency;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Which parameters they were made from.
    version: u32,
    pub(crate) discipline: Discipline,
    /// The class that the task competes in.
    pub(crate) class: Class,
    /// How urgent the task is, with what it was lent.
    pub(crate) urgency: Urgency,
    /// What it was lent.
    pub(crate) lent: Urgency,
}

impl Terms {
    /// The terms of `core` now.
    pub(crate) fn of(core: &TaskCore) -> Self {
        // First the version: if the parameters change meanwhile, the terms are out of date and not wrong for ever.
        let version = core.version();
        let (discipline, lent) = (core.discipline(), core.lent());
        let urgency = if discipline.is_urgent() || lent > Urgency::FAIR {
            Urgency::of(&core.parameters(), core.server()).max(lent)
        } else {
            Urgency::FAIR
        };
        Self { version, discipline, class: urgency.class(), urgency, lent }
    }

    /// Whether the task belongs to a class above the fair one, by itself or by what it was lent.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgency > Urgency::FAIR
    }

    /// Whether nothing has changed since they were read.
    #[inline]
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
}
