//! What all processes of one user use together: threads and queued signals. Key type: [`Account`].
//!
//! `RLIMIT_NPROC` and `RLIMIT_SIGPENDING` count per real user id, not per process (getrlimit(2)).
//!
//! Locks: the map of accounts is guarded by a lock of rank `IDENTITY`, for making an account allocates; the counts are atomics that publish nothing else, so
//! they are relaxed.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicU64, Ordering};
use arch::sync::{Rank, SpinLock};

use crate::errno::{Errno, Result};

static ACCOUNTS: SpinLock<BTreeMap<u32, Weak<Account>>> =
    SpinLock::new(Rank::IDENTITY, BTreeMap::new());

/// The counts of one user id.
#[derive(Debug)]
pub struct Account {
    user: u32,
    threads: AtomicU64,
    signals: AtomicU64,
}

impl Account {
    /// The account of `user`, made if the user has no process yet.
    #[must_use]
    pub fn of(user: u32) -> Arc<Self> {
        let mut accounts = ACCOUNTS.lock();
        if let Some(account) = accounts.get(&user).and_then(Weak::upgrade) {
            return account;
        }
        accounts.retain(|_, account| account.strong_count() > 0);
        let account =
            Arc::new(Self { user, threads: AtomicU64::new(0), signals: AtomicU64::new(0) });
        accounts.insert(user, Arc::downgrade(&account));
        account
    }

    /// The user id.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }

    /// How many threads the user has.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.threads.load(Ordering::Relaxed)
    }

    /// How many signals are queued for the user's processes.
    #[must_use]
    pub fn signals(&self) -> u64 {
        self.signals.load(Ordering::Relaxed)
    }

    /// Counts a thread, unless the user has `limit` already.
    ///
    /// # Errors
    /// `EAGAIN` at the limit.
    pub fn add_thread(&self, limit: u64) -> Result<()> {
        add(&self.threads, limit)
    }

    /// Counts a thread without limit.
    pub fn move_thread_in(&self) {
        self.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a thread.
    pub fn remove_thread(&self) {
        self.threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a queued signal, unless the user has `limit` already.
    ///
    /// # Errors
    /// `EAGAIN` at the limit.
    pub fn add_signal(&self, limit: u64) -> Result<()> {
        add(&self.signals, limit)
    }

    /// Counts a queued signal without limit.
    #[inline]
    pub fn add_signal_past_limit(&self) {
        self.signals.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a queued signal.
    pub fn remove_signal(&self) {
        self.signals.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(count: &AtomicU64, limit: u64) -> Result<()> {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < limit).then_some(now + 1))
        .map(drop)
        .map_err(|_| Errno::EAGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_shared_while_in_use_and_enforces_limits() {
        let account = Account::of(4_000_001);
        assert!(Arc::ptr_eq(&account, &Account::of(4_000_001)));
        assert_eq!(account.add_thread(1), Ok(()));
        assert_eq!(account.add_thread(1), Err(Errno::EAGAIN));
        account.remove_thread();
        assert_eq!(account.threads(), 0);
        drop(account);
        assert_eq!(Account::of(4_000_001).signals(), 0);
    }
}
