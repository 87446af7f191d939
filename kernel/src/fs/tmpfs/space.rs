//! What an instance of tmpfs may use and uses: blocks, inodes, numbers.

use alloc::sync::Arc;
use core::fmt;

use arch::sync::atomic::{AtomicU64, Ordering};

use super::super::metadata::DeviceNumber;
use super::{BLOCK_SIZE, Options};
use crate::errno::{Errno, Result};

/// No limit, as `size=0` and `nr_inodes=0` say.
const UNLIMITED: u64 = 0;

/// The budget of one instance. All counters are relaxed: they guard nothing but themselves.
pub struct Space {
    device: DeviceNumber,
    block_limit: AtomicU64,
    blocks: AtomicU64,
    inode_limit: AtomicU64,
    inodes: AtomicU64,
    next_inode: AtomicU64,
}

impl Space {
    /// The budget that `options` give.
    pub fn new(device: DeviceNumber, options: &Options) -> Arc<Self> {
        Arc::new(Self {
            device,
            block_limit: AtomicU64::new(options.block_limit()),
            blocks: AtomicU64::new(0),
            inode_limit: AtomicU64::new(options.inode_limit()),
            inodes: AtomicU64::new(0),
            next_inode: AtomicU64::new(1),
        })
    }

    /// The device number of the instance.
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// Takes a new inode number and charges for it.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn take_inode(&self) -> Result<u64> {
        charge(&self.inodes, &self.inode_limit, 1)?;
        Ok(self.next_inode.fetch_add(1, Ordering::Relaxed))
    }

    /// An inode is gone.
    pub fn return_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// A file that had `before` blocks has `now`.
    pub fn adjust_blocks(&self, before: u64, now: u64) {
        // Wrapping: concurrent corrections may arrive in any order, and add up to the right sum.
        self.blocks.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Whether no block is left.
    pub fn is_full(&self) -> bool {
        self.block_limit() != UNLIMITED && self.free_blocks() == 0
    }

    /// The most blocks, or zero for no limit.
    pub fn block_limit(&self) -> u64 {
        self.block_limit.load(Ordering::Relaxed)
    }

    /// Blocks that are left.
    pub fn free_blocks(&self) -> u64 {
        self.block_limit().saturating_sub(self.blocks.load(Ordering::Relaxed))
    }

    /// The most inodes, or zero for no limit.
    pub fn inode_limit(&self) -> u64 {
        self.inode_limit.load(Ordering::Relaxed)
    }

    /// Inodes that are left.
    pub fn free_inodes(&self) -> u64 {
        self.inode_limit().saturating_sub(self.inodes.load(Ordering::Relaxed))
    }

    /// Changes the limits at a remount.
    ///
    /// # Errors
    /// `EINVAL` where more is in use than the new limits allow.
    pub fn reconfigure(&self, options: &Options) -> Result<()> {
        for (limit, used, wanted) in [
            (&self.block_limit, &self.blocks, options.blocks),
            (&self.inode_limit, &self.inodes, options.inodes),
        ] {
            let Some(wanted) = wanted else { continue };
            if wanted != UNLIMITED && used.load(Ordering::Relaxed) > wanted {
                return Err(Errno::EINVAL);
            }
            limit.store(wanted, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The limits as mount options.
    pub fn write_options(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        if self.block_limit() != UNLIMITED {
            write!(out, ",size={}k", self.block_limit() * BLOCK_SIZE / 1024)?;
        }
        if self.inode_limit() != UNLIMITED {
            write!(out, ",nr_inodes={}", self.inode_limit())?;
        }
        Ok(())
    }
}

/// Adds `amount` to `used` unless that exceeds `limit`.
fn charge(used: &AtomicU64, limit: &AtomicU64, amount: u64) -> Result<()> {
    let limit = limit.load(Ordering::Relaxed);
    let add = |now: u64| {
        let sum = now.checked_add(amount)?;
        (limit == UNLIMITED || sum <= limit).then_some(sum)
    };
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .map(|_| ())
        .map_err(|_| Errno::ENOSPC)
}
