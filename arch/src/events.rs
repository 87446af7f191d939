//! What the machine tells the kernel and asks it for, and what one CPU tells another.
//!
//! [`Handlers`] is the kernel's half of the border: the entry code calls it for events that arrive in kernel
//! mode. Events in user mode come back from `enter_user` as a value instead.

use core::fmt;

use crate::addr::{Frame, VirtAddr};
use crate::context::Access;
use crate::tlb::Sent;

/// A maskable interrupt, acknowledged by the machine layer. TLB shootdowns never get this far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// The one-shot timer armed by `clock::set_timer`. It may come early, when the deadline is further away than
    /// the hardware counts: look at the clock and arm it again.
    Timer,
    /// Another CPU asks this one to look at its run queue.
    Reschedule,
    /// Another CPU asks this one to run what it queued.
    Call,
    /// A device on this ISA interrupt line.
    Device(u8),
}

/// Something below the kernel proper that its trace shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MachineEvent {
    /// A TLB shootdown was completed.
    Shootdown(Sent),
    /// A shared page table of this level was copied.
    PathCopy {
        /// 1 for a table whose entries map pages.
        level: u32,
    },
    /// A shared page was copied because it was written.
    FrameCopy {
        /// Where it is mapped.
        address: VirtAddr,
    },
    /// A fault gave write access back without a copy, because nobody shares any more.
    SoleOwner {
        /// Where it was.
        address: VirtAddr,
        /// Tables on the way there that are shared no more; 0 if it is the page alone.
        tables: u32,
    },
    /// An address space was forked.
    SpaceFork {
        /// Entries of the root that both spaces have now.
        entries: u32,
        /// Pages below them.
        pages: u64,
    },
}

/// The functions that the machine layer calls. Registered once, by `arch::init`.
#[derive(Clone, Copy, Debug)]
pub struct Handlers {
    /// An interrupt arrived. Interrupts are off; must not sleep or switch: it requests preemption instead.
    pub interrupt: fn(Interrupt),
    /// Preemption was requested and nothing holds it off. Called with interrupts off at the end of an interrupt
    /// in kernel mode, and with interrupts on from `preempt::enable`; leaves the interrupt flag as it was.
    pub preempt: fn(),
    /// Kernel code touched user memory in a user-copy routine. Says whether the access can be repeated; if not, the
    /// routine reports how much is left. Interrupts are as they were at the access.
    pub page_fault: fn(VirtAddr, Access) -> bool,
    /// A line for the kernel's log.
    pub log: fn(fmt::Arguments<'_>),
    /// Something happened that a trace should show. Anywhere; takes no lock.
    pub trace: fn(MachineEvent),
}

/// A message from one CPU to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ipi {
    /// Serve the TLB mailbox.
    TlbShootdown,
    /// Look at the run queue.
    Reschedule,
    /// Run what was queued for this CPU.
    Call,
}

/// Interrupts of one vector since boot, on every CPU that is online.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterruptCount {
    /// The vector, or 0 to 31 for exceptions counted here.
    pub vector: u8,
    /// What the vector is for, as a row label: `4` for an ISA line, `LOC` for the local timer.
    pub label: alloc::string::String,
    /// What raises it, in words.
    pub name: &'static str,
    /// The count of each online CPU, in CPU order.
    pub counts: alloc::vec::Vec<u64>,
}

/// Where the machine layer has frames from, for kernel page tables and stacks.
#[derive(Clone, Copy, Debug)]
pub struct FrameSource {
    /// A frame, if there is one.
    pub take: fn() -> Option<Frame>,
    /// Takes a frame back that `take` has handed out and that was not needed. One that was used never comes back.
    pub give_back: fn(Frame),
}
