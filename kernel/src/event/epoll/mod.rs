//! epoll(7): a set of files that is kept between waits.
//!
//! An [`EventPoll`] has an [`Interest`] per watched file, which observes the file's wait queues and, when one is woken,
//! enters itself in the list of files that may be ready. A wait asks only those. Asking decides; being in the list
//! means no more than that something happened. A level-triggered file stays in the list while it is ready.
//!
//! A file that is closed for good takes no part any more: interests refer to files weakly, and dead ones are dropped
//! when they are met. An interest and the wait queues that it observes refer to each other, so whoever drops one from the set
//! retires it.
//!
//! Invariant: whoever takes an interest off the list asks its file afterwards, and a wake-up enters it again unless it
//! is in the list; both under the list's lock, so no event falls in between.
//!
//! Locks: `collecting` (sleeping mutex) comes first, held by whoever takes interests off the list, so that nobody else finds the list empty
//! meanwhile; `interests` (sleeping mutex) guards the set; `NESTING` (sleeping mutex, before it) changes that put one
//! instance into another; the list's lock has rank `LEAF` and interrupts off, because wake-ups come from anywhere.

mod calls;
mod interest;
mod nesting;

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::{Irq, Rank, SpinLock};
pub(super) use calls::SYSCALLS;
use interest::{Interest, Interests, Key, Settings, Trigger};
use intrusive_collections::LinkedList;

use crate::errno::{Errno, Result};
use crate::fs::{Fd, File, FileOperations, FileType, PollEvents, PollTable, Special};
use crate::held_late;
use crate::scheduling::{LateLink, Mutex, WaitQueue};

/// The set is searched for dead interests when it has grown to this, and to twice what was left.
const FIRST_SWEEP: usize = 64;

/// What a watched file takes: its interest, two registrations and a place in the set, roughly.
const INTEREST_BYTES: usize = 512;

/// An epoll instance.
pub struct EventPoll {
    interests: Mutex<Set>,
    /// Interests that may have something to report.
    ready: SpinLock<LinkedList<Interests>, Irq>,
    /// Held by the thread that collects events, or asks whether there are any: others find the list as that one leaves it.
    /// Instances cannot contain themselves, so the one of an inner instance may be taken with that of an outer one held.
    collecting: Mutex<()>,
    /// The instances that watch this one. Touched with the nesting mutex held.
    parents: Mutex<Vec<Weak<EventPoll>>>,
    /// Who waits for events; observed by instances that this one is nested in.
    waiters: WaitQueue,
    late: LateLink<EventPoll>,
}

held_late!(EventPoll, late);

/// The watched files.
struct Set {
    by_key: BTreeMap<Key, Arc<Interest>>,
    next_sweep: usize,
}

/// An open epoll descriptor.
struct EventPollFile(Arc<EventPoll>);

impl EventPoll {
    fn new() -> Arc<Self> {
        let set = Set { by_key: BTreeMap::new(), next_sweep: FIRST_SWEEP };
        Arc::new(Self {
            interests: Mutex::new(set),
            ready: SpinLock::new(Rank::LEAF, LinkedList::new(Interests::NEW)),
            collecting: Mutex::new(()),
            parents: Mutex::new(Vec::new()),
            waiters: WaitQueue::new(),
            late: LateLink::new(),
        })
    }

    /// EPOLL_CTL_ADD.
    ///
    /// # Errors
    /// `EEXIST`, `EPERM` for a file that is always ready, `ELOOP`, `ENOMEM`.
    fn add(self: &Arc<Self>, descriptor: Fd, file: &Arc<File>, settings: Settings) -> Result<()> {
        let is_device = file.inode().file_type() == FileType::CharacterDevice;
        if file.is_seekable() && !is_device {
            return Err(Errno::EPERM);
        }
        match file.operations().special() {
            Special::EventPoll(inner) => {
                let nesting = nesting::check(self, inner)?;
                let inserted = self.insert(descriptor, file, settings);
                drop(nesting);
                inserted.inspect_err(|_| nesting::forget(self, inner))
            }
            _ => self.insert(descriptor, file, settings),
        }
    }

    fn insert(
        self: &Arc<Self>,
        descriptor: Fd,
        file: &Arc<File>,
        settings: Settings,
    ) -> Result<()> {
        let mut set = self.interests.lock();
        let key = Key::new(descriptor, file);
        if set.by_key.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if set.by_key.len() >= set.next_sweep {
            set.sweep();
        }
        let interest = Interest::new(self, key, file, settings);
        let mut table = PollTable::new(interest.clone());
        let found = file.operations().poll(file, &mut table);
        interest.keep(table.into_registrations()?);
        set.by_key.insert(key, interest.clone());
        drop(set);
        if found.intersects(settings.wanted) {
            self.enter(&interest);
        }
        Ok(())
    }

    /// EPOLL_CTL_MOD.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` for an exclusive interest.
    fn modify(&self, descriptor: Fd, file: &Arc<File>, settings: Settings) -> Result<()> {
        let set = self.interests.lock();
        let interest = set.by_key.get(&Key::new(descriptor, file)).ok_or(Errno::ENOENT)?;
        interest.change(settings)?;
        let found = file.operations().poll(file, &mut PollTable::none());
        if found.intersects(settings.wanted) {
            self.enter(interest);
        }
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    ///
    /// # Errors
    /// `ENOENT`.
    fn remove(self: &Arc<Self>, descriptor: Fd, file: &Arc<File>) -> Result<()> {
        let removed = self.interests.lock().by_key.remove(&Key::new(descriptor, file));
        removed.ok_or(Errno::ENOENT)?.retire();
        if let Special::EventPoll(inner) = file.operations().special() {
            nesting::forget(self, inner);
        }
        Ok(())
    }

    /// Enters `interest` in the list of those that may be ready, and wakes a waiter. From any context.
    fn enter(&self, interest: &Arc<Interest>) {
        {
            let mut ready = self.ready.lock();
            if !interest.is_listed() {
                ready.push_back(interest.clone());
            }
        }
        self.waiters.wake_one();
    }

    /// Whether anything may be ready.
    fn may_be_ready(&self) -> bool {
        !self.ready.lock().is_empty()
    }

    /// Hands up to `max` events to `report`, in the order in which they came, one of each file. Returns how many.
    ///
    /// # Errors
    /// That of `report` if it fails for the first event; what it does not take is reported again later.
    fn collect(
        &self,
        max: usize,
        mut report: impl FnMut(usize, PollEvents, u64) -> Result<()>,
    ) -> Result {
        let collecting = self.collecting.lock();
        let mut count = 0;
        // What is entered from now on is for the next collector: a file that is woken while it is reported must not be reported
        // twice.
        let mut batch = self.ready.lock().take();
        // Level-triggered interests go back only after the last one was asked, or this would never end.
        let mut again = LinkedList::new(Interests::NEW);
        let mut failure = None;
        while count < max {
            let Some(interest) = self.pop(&mut batch) else { break };
            let Some((found, data)) = self.ask(&interest) else { continue };
            if let Err(error) = report(count, found, data) {
                self.defer(interest, &mut again);
                failure = Some(error);
                break;
            }
            count += 1;
            if interest.reported() == Trigger::Level {
                self.defer(interest, &mut again);
            }
        }
        self.put_back(batch, again);
        drop(collecting);
        match failure {
            Some(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    /// The next of those that this collector took. Under the list's lock, like every step that unlinks an interest.
    fn pop(&self, batch: &mut LinkedList<Interests>) -> Option<Arc<Interest>> {
        let _ready = self.ready.lock();
        batch.pop_front()
    }

    /// Keeps `interest` in `again` unless a wake-up has entered it in the list meanwhile. Under the list's lock, like
    /// every step that links an interest: the link of one that is in neither list must not be taken twice.
    fn defer(&self, interest: Arc<Interest>, again: &mut LinkedList<Interests>) {
        let ready = self.ready.lock();
        if !interest.is_listed() {
            again.push_back(interest);
        }
        drop(ready);
    }

    /// What the file of `interest` has to report, and the data that goes with it.
    fn ask(&self, interest: &Arc<Interest>) -> Option<(PollEvents, u64)> {
        let Some(file) = interest.file() else {
            let removed = self.interests.lock().by_key.remove(&interest.key());
            if let Some(removed) = removed {
                removed.retire();
            }
            return None;
        };
        let settings = interest.settings()?;
        let found = file.operations().poll(&file, &mut PollTable::none());
        let found = found.intersection(settings.wanted);
        (!found.is_empty()).then_some((found, settings.data))
    }

    /// Puts those that were not asked back at the front of the list and those that are asked again at its end. Others that
    /// wait find them there. None of them is in the list: a wake-up leaves alone what is linked somewhere.
    fn put_back(&self, rest: LinkedList<Interests>, again: LinkedList<Interests>) {
        let mut ready = self.ready.lock();
        ready.front_mut().splice_before(rest);
        ready.back_mut().splice_after(again);
        drop(ready);
        if self.may_be_ready() {
            self.waiters.wake_one();
        }
    }

    /// Whether a wait would find an event at once. Waits for the thread that collects events at present.
    fn is_ready(&self) -> bool {
        let _collecting = self.collecting.lock();
        loop {
            let Some(interest) = self.ready.lock().pop_front() else { return false };
            if self.ask(&interest).is_some() {
                let mut ready = self.ready.lock();
                if !interest.is_listed() {
                    ready.push_front(interest);
                }
                return true;
            }
        }
    }
}

impl Set {
    /// Drops interests in files that are closed.
    fn sweep(&mut self) {
        self.by_key.retain(|_, interest| {
            let is_open = interest.file().is_some();
            if !is_open {
                interest.retire();
            }
            is_open
        });
        self.next_sweep = (self.by_key.len() * 2).max(FIRST_SWEEP);
    }
}

impl Drop for EventPollFile {
    /// The instance is closed. Not in the instance's own destructor, which a wake-up from an interrupt handler may run.
    fn drop(&mut self) {
        let interests = core::mem::take(&mut self.0.interests.lock().by_key);
        interests.values().for_each(|interest| interest.retire());
    }
}

impl FileOperations for EventPollFile {
    fn special(&self) -> Special<'_> {
        Special::EventPoll(&self.0)
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(&self.0.waiters);
        if self.0.is_ready() { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn held_memory(&self, _file: &File) -> usize {
        // A set that is being changed is passed over: nobody waits here.
        self.0.interests.try_lock().map_or(0, |set| set.by_key.len() * INTEREST_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{AnonymousInode, AnonymousKind, OpenFlags};
    use crate::task::{Account, Credentials};

    /// A file that never has anything to report.
    #[derive(Default)]
    struct Silent(WaitQueue);

    impl FileOperations for Silent {
        fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
            table.watch(&self.0);
            PollEvents::empty()
        }
    }

    /// A file that always has something to report.
    #[derive(Default)]
    struct Ready(WaitQueue);

    impl FileOperations for Ready {
        fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
            table.watch(&self.0);
            PollEvents::READABLE
        }
    }

    fn open(operations: Arc<dyn FileOperations>) -> Arc<File> {
        let owner = Credentials::root(Account::of(0));
        let inode = AnonymousInode::new(AnonymousKind::Object("[test]"), &owner, None);
        inode.open_file(operations, OpenFlags::READ_WRITE).expect("an open file")
    }

    fn interest_in(poll: &Arc<EventPoll>, file: &Arc<File>) -> Weak<Interest> {
        let settings = Settings::new(linux_raw_sys::general::EPOLLIN, 0);
        poll.insert(Fd(3), file, settings).expect("memory");
        let set = poll.interests.lock();
        set.by_key.values().next().map(Arc::downgrade).expect("an interest")
    }

    #[test]
    fn closing_the_instance_frees_its_interests() {
        let poll = EventPoll::new();
        let file = open(Arc::new(Silent::default()));
        let interest = interest_in(&poll, &file);
        drop(EventPollFile(poll));
        assert!(interest.upgrade().is_none(), "the watched file keeps it");
    }

    #[test]
    fn an_interest_in_a_closed_file_is_freed_when_it_is_met() {
        let poll = EventPoll::new();
        let operations = Arc::new(Silent::default());
        let file = open(operations.clone());
        let interest = interest_in(&poll, &file);
        drop(file);
        operations.0.wake_all();
        assert_eq!(poll.collect(1, |_, _, _| Ok(())), Ok(0));
        assert!(interest.upgrade().is_none(), "it observes a queue that nobody wakes");
    }

    #[test]
    fn an_interest_in_a_closed_file_is_freed_when_it_is_asked() {
        let poll = EventPoll::new();
        let operations = Arc::new(Silent::default());
        let file = open(operations.clone());
        let interest = interest_in(&poll, &file);
        drop(file);
        operations.0.wake_all();
        assert!(!poll.is_ready());
        assert!(interest.upgrade().is_none(), "it observes a queue that nobody wakes");
    }

    #[test]
    fn an_interest_in_a_closed_file_is_freed_by_a_sweep() {
        let poll = EventPoll::new();
        let operations = Arc::new(Silent::default());
        let file = open(operations.clone());
        let interest = interest_in(&poll, &file);
        drop(file);
        poll.interests.lock().sweep();
        assert!(interest.upgrade().is_none(), "it is in the set");
    }

    #[test]
    fn those_that_were_not_asked_come_first_again() {
        let poll = EventPoll::new();
        let files: Vec<_> = (0..3).map(|_| open(Arc::new(Ready::default()))).collect();
        for (data, file) in files.iter().enumerate() {
            let settings = Settings::new(linux_raw_sys::general::EPOLLIN, data as u64);
            poll.insert(Fd(data as i32), file, settings).expect("memory");
        }
        let mut order = Vec::new();
        for _ in 0..3 {
            let collected = poll.collect(2, |_, _, data| {
                order.push(data);
                Ok(())
            });
            assert_eq!(collected, Ok(2));
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_file_that_is_woken_while_it_is_reported_is_reported_once() {
        let poll = EventPoll::new();
        let operations = Arc::new(Ready::default());
        let file = open(operations.clone());
        let _interest = interest_in(&poll, &file);
        for _ in 0..3 {
            let collected = poll.collect(8, |_, _, _| {
                operations.0.wake_all();
                Ok(())
            });
            assert_eq!(collected, Ok(1));
        }
    }
}
