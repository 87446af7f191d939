//! The changeable metadata of an inode that lives in memory: [`AttributeCell`].

use arch::sync::{Rank, SpinLock};

use super::metadata::{AttributeChanges, Timestamp};

/// Permissions, owner and times at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Permission bits, `0o7777`.
    pub permissions: u16,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of content.
    pub modified: Timestamp,
    /// Last change of content or metadata.
    pub changed: Timestamp,
    /// Creation.
    pub created: Timestamp,
}

/// Attributes behind a spin lock of rank `INODE`, held for a copy.
pub struct AttributeCell(SpinLock<Attributes>);

impl AttributeCell {
    /// The attributes of an inode that is made now.
    #[must_use]
    pub fn new(permissions: u16, user: u32, group: u32) -> Self {
        let now = Timestamp::now();
        Self(SpinLock::new(
            Rank::INODE,
            Attributes {
                permissions,
                user,
                group,
                accessed: now,
                modified: now,
                changed: now,
                created: now,
            },
        ))
    }

    /// The attributes now.
    #[must_use]
    pub fn get(&self) -> Attributes {
        *self.0.lock()
    }

    /// Changes what is `Some`.
    pub fn apply(&self, changes: &AttributeChanges) {
        fn set<T: Copy>(value: &mut T, change: Option<T>) {
            *value = change.unwrap_or(*value);
        }
        let mut now = self.0.lock();
        set(&mut now.permissions, changes.permissions);
        set(&mut now.user, changes.user);
        set(&mut now.group, changes.group);
        set(&mut now.accessed, changes.accessed);
        set(&mut now.modified, changes.modified);
        set(&mut now.changed, changes.changed);
    }
}
