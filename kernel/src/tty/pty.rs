//! Pseudo-terminals (pty(7)): a terminal whose line leads to a program, the one that has the master open.
//!
//! Opening /dev/ptmx makes a pair: a [`Terminal`] with number 136:N, which appears as `/dev/pts/N`, and its
//! [`Master`]. The slave's output queue is what the master reads; what the master writes, the slave receives. The
//! [`Link`] between them is the slave's driver.
//!
//! The master's last close hangs the slave up. The slave's last close makes reads of the master fail with `EIO` once
//! everything is read, until the slave is opened again.
//!
//! Locks: `PAIRS`, rank `FILE`, for a look-up; a link has atomics only.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use arch::sync::{Rank, SpinLock};
use linux_raw_sys::general as abi;

use super::master::Master;
use super::terminal::{Driver, Terminal};
use crate::byte_ring::ByteRing;
use crate::errno::{Errno, Result};
use crate::fs::{AttributeCell, DeviceNumber};
use crate::scheduling::{Mutex, WaitQueue};

/// TIOCPKT_FLUSHREAD.
pub(super) const STATUS_FLUSH_READ: u8 = abi::TIOCPKT_FLUSHREAD as u8;
/// TIOCPKT_FLUSHWRITE.
pub(super) const STATUS_FLUSH_WRITE: u8 = abi::TIOCPKT_FLUSHWRITE as u8;
/// TIOCPKT_STOP.
pub(super) const STATUS_STOP: u8 = abi::TIOCPKT_STOP as u8;
/// TIOCPKT_START.
pub(super) const STATUS_START: u8 = abi::TIOCPKT_START as u8;
/// TIOCPKT_NOSTOP.
pub(super) const STATUS_NO_STOP: u8 = abi::TIOCPKT_NOSTOP as u8;
/// TIOCPKT_DOSTOP.
pub(super) const STATUS_DO_STOP: u8 = abi::TIOCPKT_DOSTOP as u8;

/// The major number of the slaves.
pub const SLAVE_MAJOR: u32 = 136;
/// The permission bits of a new slave's node.
const NODE_PERMISSIONS: u16 = 0o600;
/// How many pseudo-terminals there can be (`/proc/sys/kernel/pty/max`).
const PAIRS_MAX: u32 = 4096;

/// The pairs by number. A number is free again when its master is closed and its slave gone.
static PAIRS: SpinLock<BTreeMap<u32, Pair>> = SpinLock::new(Rank::FILE, BTreeMap::new());

/// A pseudo-terminal, as the file system shows it.
#[derive(Clone)]
pub(super) struct Pair {
    slave: Weak<Terminal>,
    link: Arc<Link>,
    /// Owner and permissions of the slave's node.
    pub attributes: Arc<AttributeCell>,
}

/// What master and slave share. Every field stands alone; loads acquire what stores release.
pub(super) struct Link {
    /// Readers and pollers of the master.
    pub(super) readable: WaitQueue,
    /// Writers and pollers of the master.
    pub(super) writable: WaitQueue,
    /// TIOCPKT.
    pub(super) packet_mode: AtomicBool,
    /// What happened since the master last looked, in packet mode.
    pub(super) status: AtomicU8,
    pub(super) master_closed: AtomicBool,
    /// The slave was opened, and its last open file closed.
    pub(super) slave_closed: AtomicBool,
    /// TIOCSPTLCK: the slave cannot be opened.
    pub(super) locked: AtomicBool,
}

impl Link {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            packet_mode: AtomicBool::new(false),
            status: AtomicU8::new(0),
            master_closed: AtomicBool::new(false),
            slave_closed: AtomicBool::new(false),
            locked: AtomicBool::new(true),
        })
    }
}

/// The link as the slave's driver.
struct SlaveDriver(Arc<Link>);

impl Driver for SlaveDriver {
    fn transmit(&self, queue: &mut ByteRing) {
        if !queue.is_empty() {
            self.0.readable.wake_all();
        }
    }

    fn input_drained(&self) {
        self.0.writable.wake_all();
    }

    fn is_closed(&self) -> bool {
        self.0.master_closed.load(Ordering::Acquire)
    }

    fn opened(&self) {
        self.0.slave_closed.store(false, Ordering::Release);
    }

    fn last_closed(&self) {
        self.0.slave_closed.store(true, Ordering::Release);
        self.0.readable.wake_all();
        self.0.writable.wake_all();
    }

    fn is_pseudo(&self) -> bool {
        true
    }

    fn notify_master(&self, status: u8) {
        if !self.0.packet_mode.load(Ordering::Acquire) {
            return;
        }
        let opposite = match status {
            STATUS_STOP => STATUS_START,
            STATUS_START => STATUS_STOP,
            STATUS_NO_STOP => STATUS_DO_STOP,
            STATUS_DO_STOP => STATUS_NO_STOP,
            _ => 0,
        };
        self.0.status.fetch_and(!opposite, Ordering::AcqRel);
        self.0.status.fetch_or(status, Ordering::AcqRel);
        self.0.readable.wake_all();
    }
}

/// Opens a new pair for `user` and `group`, and returns its master.
///
/// # Errors
/// `ENOSPC` if there are too many, `ENOMEM`.
pub fn open_master(user: u32, group: u32) -> Result<Master> {
    let (number, slave, link) = create(user, group)?;
    Ok(Master::new(number, slave, link))
}

/// The slave of pair `number`, to be opened.
///
/// # Errors
/// `ENXIO` if there is no such pair, `EIO` while it is locked.
pub fn slave(number: u32) -> Result<Arc<Terminal>> {
    find(number).ok_or(Errno::ENXIO)?.slave()
}

/// A new pair: its number, its slave, and the link.
///
/// # Errors
/// `ENOSPC` if there are too many, `ENOMEM`.
pub(super) fn create(user: u32, group: u32) -> Result<(u32, Arc<Terminal>, Arc<Link>)> {
    let link = Link::new();
    // Numbers are taken one creation at a time, because the terminal is made with its number outside the lock.
    static CREATION: Mutex<()> = Mutex::new(());
    let _turn = CREATION.lock();
    let number = free_number()?;
    let device = DeviceNumber::new(SLAVE_MAJOR, number);
    let slave = Terminal::pseudo(device, Box::new(SlaveDriver(link.clone())))?;
    let attributes = Arc::new(AttributeCell::new(NODE_PERMISSIONS, user, group));
    let pair = Pair { slave: Arc::downgrade(&slave), link: link.clone(), attributes };
    let former = PAIRS.lock().insert(number, pair);
    drop(former);
    Ok((number, slave, link))
}

fn free_number() -> Result<u32> {
    let pairs = PAIRS.lock();
    let is_free = |number: &u32| {
        pairs.get(number).is_none_or(|pair| {
            pair.link.master_closed.load(Ordering::Acquire) && pair.slave.strong_count() == 0
        })
    };
    (0..PAIRS_MAX).find(is_free).ok_or(Errno::ENOSPC)
}

/// The pair `number`, while its master is open.
pub(super) fn find(number: u32) -> Option<Pair> {
    let pairs = PAIRS.lock();
    let pair = pairs.get(&number)?;
    (!pair.link.master_closed.load(Ordering::Acquire)).then(|| pair.clone())
}

/// The number of the first pair from `number` on whose master is open.
pub(super) fn next_from(number: u32) -> Option<u32> {
    let pairs = PAIRS.lock();
    let mut open =
        pairs.range(number..).filter(|(_, pair)| !pair.link.master_closed.load(Ordering::Acquire));
    open.next().map(|(&number, _)| number)
}

impl Pair {
    /// Whether both are the same pair, not just the same number.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
    }

    /// The slave, to be opened.
    ///
    /// # Errors
    /// `EIO` while it is locked, or when it is gone.
    pub(super) fn slave(&self) -> Result<Arc<Terminal>> {
        if self.link.locked.load(Ordering::Acquire) {
            return Err(Errno::EIO);
        }
        self.slave.upgrade().ok_or(Errno::EIO)
    }
}
