//! One file in an epoll instance's set: what is wanted of it, and how the instance learns of changes.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::{Rank, SpinLock};
use intrusive_collections::{LinkedListAtomicLink, intrusive_adapter};
use linux_raw_sys::general as abi;

use super::EventPoll;
use crate::errno::{Errno, Result};
use crate::fs::{Fd, File, PollEvents};
use crate::held_late;
use crate::scheduling::{Late, LateLink, Registration, Wake};

/// What names an interest: a descriptor number *and* the file that it referred to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    descriptor: i32,
    file: usize,
}

impl Key {
    pub(super) fn new(descriptor: Fd, file: &Arc<File>) -> Self {
        // An interest's weak reference keeps the address from being used again.
        Self { descriptor: descriptor.0, file: Arc::as_ptr(file).addr() }
    }
}

/// When an event is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trigger {
    /// While it lasts.
    Level,
    /// When it begins (EPOLLET).
    Edge,
    /// Once, until the interest is modified (EPOLLONESHOT).
    Once,
}

/// What a program wants of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    /// The events; errors and hang-ups are always among them.
    pub wanted: PollEvents,
    pub trigger: Trigger,
    /// EPOLLEXCLUSIVE. Wake-ups reach every instance, which the flag permits; it only restricts what may be asked.
    pub exclusive: bool,
    /// What is reported along with the events.
    pub data: u64,
}

impl Settings {
    /// The settings in the `events` of a `struct epoll_event`.
    pub(super) fn new(events: u32, data: u64) -> Self {
        let trigger = if events & abi::EPOLLONESHOT != 0 {
            Trigger::Once
        } else if events & abi::EPOLLET != 0 {
            Trigger::Edge
        } else {
            Trigger::Level
        };
        let wanted =
            PollEvents::from_bits_truncate(events) | PollEvents::ERROR | PollEvents::HANG_UP;
        Self { wanted, trigger, exclusive: events & abi::EPOLLEXCLUSIVE != 0, data }
    }
}

/// Whether an interest reports anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Active,
    /// EPOLLONESHOT reported its event.
    Spent,
    /// EPOLL_CTL_DEL.
    Removed,
}

struct Inner {
    settings: Settings,
    state: State,
    registrations: Vec<Registration>,
}

/// A watched file.
pub(super) struct Interest {
    this: Weak<Interest>,
    owner: Weak<EventPoll>,
    key: Key,
    file: Weak<File>,
    link: LinkedListAtomicLink,
    inner: SpinLock<Inner>,
    late: LateLink<Interest>,
}

held_late!(Interest, late);

intrusive_adapter!(pub(super) Interests = Arc<Interest>: Interest { link => LinkedListAtomicLink });

impl Interest {
    pub(super) fn new(
        owner: &Arc<EventPoll>,
        key: Key,
        file: &Arc<File>,
        settings: Settings,
    ) -> Arc<Self> {
        let inner = Inner { settings, state: State::Active, registrations: Vec::new() };
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            owner: Arc::downgrade(owner),
            key,
            file: Arc::downgrade(file),
            link: LinkedListAtomicLink::new(),
            inner: SpinLock::new(Rank::EPOLL, inner),
            late: LateLink::new(),
        })
    }

    /// Keeps what makes the file's wait queues tell this interest of wake-ups.
    pub(super) fn keep(&self, registrations: Vec<Registration>) {
        let former = core::mem::replace(&mut self.inner.lock().registrations, registrations);
        drop(former);
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// The file, unless it is closed.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.upgrade()
    }

    /// What is wanted, unless the interest reports nothing at present.
    pub(super) fn settings(&self) -> Option<Settings> {
        let inner = self.inner.lock();
        (inner.state == State::Active).then_some(inner.settings)
    }

    /// Wants something else from now on.
    ///
    /// # Errors
    /// `EINVAL` if the interest is exclusive.
    pub(super) fn change(&self, settings: Settings) -> Result<()> {
        let mut inner = self.inner.lock();
        if inner.settings.exclusive {
            return Err(Errno::EINVAL);
        }
        inner.settings = settings;
        inner.state = State::Active;
        Ok(())
    }

    /// An event was reported: one that is reported once is spent. Returns how the interest triggers.
    pub(super) fn reported(&self) -> Trigger {
        let mut inner = self.inner.lock();
        if inner.settings.trigger == Trigger::Once {
            inner.state = State::Spent;
        }
        inner.settings.trigger
    }

    /// Reports nothing any more, and hears of nothing.
    pub(super) fn retire(&self) {
        let registrations = {
            let mut inner = self.inner.lock();
            inner.state = State::Removed;
            core::mem::take(&mut inner.registrations)
        };
        drop(registrations);
    }

    /// Whether the interest is in a list of those that may be ready.
    pub(super) fn is_listed(&self) -> bool {
        self.link.is_linked()
    }
}

impl Wake for Interest {
    fn wake(&self) {
        // Either may have been given up by everybody else when this returns, and this may be an interrupt handler.
        let (owner, this) = (self.owner.upgrade(), self.this.upgrade());
        if let (Some(owner), Some(this)) = (owner.map(Late::new), this.map(Late::new)) {
            owner.enter(&this);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_hang_ups_are_always_wanted() {
        let settings = Settings::new(abi::EPOLLIN | abi::EPOLLET, 7);
        assert_eq!(settings.trigger, Trigger::Edge);
        assert!(settings.wanted.contains(PollEvents::IN | PollEvents::ERROR | PollEvents::HANG_UP));
        assert!(!settings.wanted.contains(PollEvents::OUT));
    }

    #[test]
    fn once_beats_edge() {
        let settings = Settings::new(abi::EPOLLET | abi::EPOLLONESHOT, 0);
        assert_eq!(settings.trigger, Trigger::Once);
    }
}
