//! Restartable sequences (rseq(2), `linux/rseq.h`), as Linux 6.1 has them.
//!
//! A thread registers an area of its memory ([`Registration`]). The kernel keeps the number of the thread's CPU in it, and looks there for a
//! critical section: if the thread was put off its CPU, interrupted or had a fault inside of one, or runs a handler, it goes on at the section's
//! abort address instead ([`section`]). An area that cannot be used is a SIGSEGV.
//!
//! - `task::run` calls [`note_trap`] when something other than a system call ended user mode, and [`catch_up`] before it enters user mode if
//!   [`is_due`]; there interrupts are off, so nothing can come between the last look and the entry.
//! - `signal::deliver` calls [`before_handler`], so that a handler's frame shows the abort address.
//!
//! Linux restarts for less: not after an interrupt or fault that led to no switch. A section cannot tell, as both may switch; and so that
//! membarrier(2) can rely on it, every interrupt counts here.
//!
//! A thread without an area costs one test of a word that the way to user mode looks at anyway ([`Thread::chores`]).

pub mod section;

use alloc::sync::Arc;

use arch::addr::UserAddr;
use arch::context::UserContext;
use arch::cpu::CpuId;
use arch::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use self::section::{Position, SECTION_WORDS, Section};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::signal::{Signal, SignalInfo, send};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::{Chores, Thread};

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] =
    &[syscall!(334, rseq(area: u64, length: u32, flags: i32, signature: u32))];

/// Bytes and alignment of `struct rseq`.
const AREA_SIZE: u64 = 32;
/// `RSEQ_FLAG_UNREGISTER`
const UNREGISTER: i32 = 1;
/// Where the fields of `struct rseq` lie.
const CPU_ID_START: u64 = 0;
const CPU_ID: u64 = 4;
const SECTION: u64 = 8;
const FLAGS: u64 = 16;
/// `RSEQ_CPU_ID_UNINITIALIZED`
const UNINITIALIZED: u32 = u32::MAX;
/// What no switch is stamped with: the area has to be brought up to date.
const NEVER: u64 = u64::MAX;

/// What a thread has registered. Touched by the thread itself alone; relaxed.
#[derive(Debug)]
pub struct Registration {
    /// The area; 0 for none.
    area: AtomicU64,
    /// What stands before the abort address of each of its sections.
    signature: AtomicU32,
    /// When the thread was put on its CPU for the stretch that the area has been brought up to date for.
    seen: AtomicU64,
}

impl Registration {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self { area: AtomicU64::new(0), signature: AtomicU32::new(0), seen: AtomicU64::new(NEVER) }
    }

    fn set(&self, area: u64, signature: u32) {
        self.area.store(area, Ordering::Relaxed);
        self.signature.store(signature, Ordering::Relaxed);
        self.seen.store(NEVER, Ordering::Relaxed);
    }

    /// A field of the area.
    fn field<T>(&self, offset: u64) -> Result<UserPtr<T>> {
        let area = self.area.load(Ordering::Relaxed);
        UserAddr::try_new(area + offset).map(UserPtr::new).ok_or(Errno::EFAULT)
    }
}

/// Registers an area for the calling thread, or forgets it.
fn rseq(caller: &mut Caller<'_>, area: u64, length: u32, flags: i32, signature: u32) -> Result {
    let thread = caller.thread;
    let own = &thread.rseq;
    let (current, current_signature) =
        (own.area.load(Ordering::Relaxed), own.signature.load(Ordering::Relaxed));
    let has_right_size = u64::from(length) == AREA_SIZE;
    if flags & !UNREGISTER != 0 {
        return Err(Errno::EINVAL);
    }
    if flags == UNREGISTER {
        return match (current == area && current != 0 && has_right_size, signature) {
            (false, _) => Err(Errno::EINVAL),
            (true, signature) if signature != current_signature => Err(Errno::EPERM),
            (true, _) => unregister(thread),
        };
    }
    if current != 0 {
        return Err(match (current == area && has_right_size, signature) {
            (false, _) => Errno::EINVAL,
            (true, signature) if signature != current_signature => Errno::EPERM,
            (true, _) => Errno::EBUSY,
        });
    }
    if !has_right_size || !area.is_multiple_of(AREA_SIZE) {
        return Err(Errno::EINVAL);
    }
    UserAddr::try_new(area).and_then(|area| area.checked_add(AREA_SIZE)).ok_or(Errno::EFAULT)?;
    own.set(area, signature);
    thread.set_chore(Chores::RSEQ, area != 0);
    Ok(0)
}

/// The area shows that it is not used any more, and is forgotten.
fn unregister(thread: &Thread) -> Result {
    thread.rseq.field::<u32>(CPU_ID_START)?.write(&0)?;
    thread.rseq.field::<u32>(CPU_ID)?.write(&UNINITIALIZED)?;
    forget(thread);
    Ok(0)
}

/// `thread`, the calling one, has no area any more: execve(2).
pub(crate) fn forget(thread: &Thread) {
    thread.rseq.set(0, 0);
    thread.set_chore(Chores::RSEQ, false);
}

/// `child`, which has a copy of the memory of `parent`, the calling thread, has its area there as well: fork(2).
pub(crate) fn inherit(parent: &Thread, child: &Thread) {
    if parent.chores().contains(Chores::RSEQ) {
        let own = &parent.rseq;
        child.rseq.set(own.area.load(Ordering::Relaxed), own.signature.load(Ordering::Relaxed));
        child.set_chore(Chores::RSEQ, true);
    }
}

/// An interrupt or an exception ended user mode: a section that it was in is restarted.
#[inline]
pub(crate) fn note_trap(thread: &Thread) {
    if thread.chores().contains(Chores::RSEQ) {
        thread.rseq.seen.store(NEVER, Ordering::Relaxed);
    }
}

/// A stretch of time that a thread spends on one CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// When it was put there.
    since: u64,
    cpu: CpuId,
}

/// The stretch for which the area of `thread`, the calling one, has to be brought up to date, if it has. Interrupts are off.
pub(crate) fn is_due(thread: &Thread) -> Option<Stretch> {
    let since = thread.scheduling.task.started_at().0;
    let is_seen = thread.rseq.seen.load(Ordering::Relaxed) == since;
    let has_area = thread.chores().contains(Chores::RSEQ);
    (has_area && !is_seen).then(|| Stretch { since, cpu: arch::current_cpu() })
}

/// Brings the area of `thread`, the calling one, up to date for `stretch`, and restarts the section that `context` is in. May sleep; should the
/// thread be switched meanwhile, it is due again.
pub(crate) fn catch_up(thread: &Arc<Thread>, context: &mut UserContext, stretch: Stretch) {
    thread.rseq.seen.store(stretch.since, Ordering::Relaxed);
    if update(thread, context, stretch.cpu).is_err() {
        send::force(thread, Signal::SIGSEGV, SignalInfo::kernel(Signal::SIGSEGV));
    }
}

/// A handler for `signal` is about to interrupt `context`: the section that it is in is restarted, so that sigreturn goes to the abort
/// address.
#[inline]
pub(crate) fn before_handler(thread: &Arc<Thread>, context: &mut UserContext, signal: Signal) {
    if thread.chores().contains(Chores::RSEQ) {
        interrupt(thread, context, signal);
    }
}

#[cold]
fn interrupt(thread: &Arc<Thread>, context: &mut UserContext, signal: Signal) {
    // The number is right, or the thread is due again before it gets to user mode.
    if update(thread, context, arch::current_cpu()).is_ok() {
        return;
    }
    if signal == Signal::SIGSEGV {
        send::force_fatal(thread, signal);
    } else {
        send::force(thread, Signal::SIGSEGV, SignalInfo::kernel(Signal::SIGSEGV));
    }
}

/// # Errors
/// `EFAULT` and `EINVAL` for an area or a section that cannot be used.
fn update(thread: &Thread, context: &mut UserContext, cpu: CpuId) -> Result<()> {
    restart_section(&thread.rseq, context)?;
    let number = cpu.index() as u32;
    thread.rseq.field::<u32>(CPU_ID_START)?.write(&number)?;
    thread.rseq.field::<u32>(CPU_ID)?.write(&number)
}

fn restart_section(own: &Registration, context: &mut UserContext) -> Result<()> {
    let pointer = own.field::<u64>(SECTION)?;
    let address = pointer.read()?;
    if address == 0 {
        return Ok(());
    }
    let address = UserAddr::try_new(address).filter(|&a| a < UserAddr::END).ok_or(Errno::EINVAL)?;
    let words = UserPtr::<[u64; SECTION_WORDS]>::new(address).read()?;
    let section = Section::from_words(words)?;
    let signature = UserPtr::<u32>::new(section.signature_address()?).read()?;
    if signature != own.signature.load(Ordering::Relaxed) {
        return Err(Errno::EINVAL);
    }
    if section.position(context.rip) == Position::Inside {
        let flags = own.field::<u32>(FLAGS)?.read()?;
        section.check_flags(flags)?;
        pointer.write(&0)?;
        context.rip = section.abort;
        return Ok(());
    }
    pointer.write(&0)
}
