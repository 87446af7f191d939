//! Changing what areas permit and are, without moving them.
//!
//! A node that nobody else has is changed in place, so that a change takes no memory at all while the map is not shared. What
//! fork or a reader shares is copied, once: the nodes on the way, and the area. Only cutting and joining rebuild anything.

use alloc::sync::Arc;
use core::cmp::Ordering;

use super::{Link, Tree, compare};
use crate::error::MmError;
use crate::vma::{Protection, Vma, VmaFlags};

/// What an operation makes of areas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// They get this protection.
    Protect(Protection),
    /// They lose and get these flags.
    Flags {
        /// What they get.
        set: VmaFlags,
        /// What they lose.
        clear: VmaFlags,
    },
}

impl Change {
    /// `vma`, changed.
    #[must_use]
    pub fn applied(self, vma: Vma) -> Vma {
        match self {
            Self::Protect(protection) => Vma { protection, ..vma },
            Self::Flags { set, clear } => Vma { flags: (vma.flags - clear) | set, ..vma },
        }
    }

    /// Whether `vma` is as the change would have it.
    #[must_use]
    pub fn is_done(self, vma: &Vma) -> bool {
        match self {
            Self::Protect(protection) => vma.protection == protection,
            Self::Flags { set, clear } => (vma.flags - clear) | set == vma.flags,
        }
    }

    /// Whether `vma` may be changed so.
    ///
    /// # Errors
    /// [`MmError::AccessDenied`] for a protection that its file does not permit.
    pub fn check(self, vma: &Vma) -> Result<(), MmError> {
        match self {
            Self::Protect(protection) if !vma.allowed.contains(protection) => {
                Err(MmError::AccessDenied)
            }
            _ => Ok(()),
        }
    }

    /// What a hole in the range means.
    ///
    /// # Errors
    /// [`MmError::NoMemory`] if the operation ends there.
    pub fn check_hole(self) -> Result<(), MmError> {
        match self {
            Self::Protect(_) => Err(MmError::NoMemory),
            Self::Flags { .. } => Ok(()),
        }
    }
}

impl Tree {
    /// Puts `changed` in place of the part of an area that it covers and differs from in protection and flags alone. What of
    /// the area lies outside stays as it is; neighbours that differ in nothing any more become one.
    pub fn replace(&mut self, changed: Vma) {
        let Some(old) = self.find(changed.start()) else {
            debug_assert!(false, "nothing is there to be replaced");
            return;
        };
        if old.range == changed.range && self.joins(&changed).is_none() {
            return alter(&mut self.0, &changed);
        }
        drop(self.remove(changed.range));
        self.insert(changed);
    }

    /// How many areas there will be after [`replace`](Self::replace).
    #[must_use]
    pub fn len_after(&self, changed: &Vma) -> usize {
        let cuts = self.find(changed.start()).map_or(0, |old| {
            usize::from(old.start() < changed.start()) + usize::from(old.end() > changed.end())
        });
        (self.len() + cuts).saturating_sub(self.joins(changed).map_or(0, usize::from))
    }

    /// With how many neighbours `changed` becomes one area, if with any.
    fn joins(&self, changed: &Vma) -> Option<u8> {
        let below = self.below(changed.start()).is_some_and(|below| below.continues(changed));
        let above = self.at_or_above(changed.end());
        let above = above.is_some_and(|above| changed.continues(above));
        (below || above).then_some(u8::from(below) + u8::from(above))
    }
}

/// Changes the area at the start of `changed`, whose range stays, on a path that is copied where others have it.
fn alter(link: &mut Link, changed: &Vma) {
    let Some(node) = link.as_mut().map(Arc::make_mut) else { return };
    match compare(&node.vma.range, changed.start()) {
        Ordering::Less => alter(&mut node.right, changed),
        Ordering::Greater => alter(&mut node.left, changed),
        Ordering::Equal => {
            let vma = Arc::make_mut(&mut node.vma);
            (vma.protection, vma.flags) = (changed.protection, changed.flags);
        }
    }
    let of = |link: &Link| link.as_ref().map_or(VmaFlags::empty(), |node| node.flags);
    node.flags = node.vma.flags | of(&node.left) | of(&node.right);
}
