//! Starting a handler and coming back from it: [`Interruption`] and [`sigreturn`].
//!
//! The bytes are made and read in [`super::frame`]; here they are copied to and from the user stack, the extended
//! registers are saved to it, reset and loaded from it, and masks change. A frame that cannot be written is a SIGSEGV for
//! the process, and one for SIGSEGV itself its end; a frame that sigreturn cannot use is a SIGSEGV too.

use alloc::sync::Arc;
use core::mem::MaybeUninit;

use arch::addr::{UserAddr, VirtAddr};
use arch::context::UserContext;
use arch::fpu;
use spin::Lazy;

use super::action::{Action, ActionFlags};
use super::altstack::AlternateStack;
use super::frame::build::{Destination, FaultRecord, Request, Start, build};
use super::frame::extended::{self, Extent, Software, Tags};
use super::frame::parse::restore;
use super::frame::{Back, ExtendedLayout, Front, Head};
use super::info::SignalInfo;
use super::number::{Signal, SignalSet};
use super::state::ProcessSignals;
use super::{mask, send};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, Plain, UserPtr};
use crate::task::Thread;

/// What the start of a handler changes of its thread, as it was: what the frame holds for sigreturn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interruption {
    /// The mask that sigreturn restores.
    mask: SignalSet,
    blocked: SignalSet,
    restored: Option<SignalSet>,
    stack: AlternateStack,
    fault: FaultRecord,
}

impl Interruption {
    /// Makes mask and alternate stack of `thread`, the calling one, those of the handler of `action` for `signal`, under
    /// the lock under which the signal was taken.
    pub fn begin(
        state: &mut ProcessSignals,
        thread: &Thread,
        signal: Signal,
        action: &Action,
    ) -> Self {
        let own = state.of_mut(thread);
        let restored = own.restored.take();
        thread.set_restores_mask(false);
        let (blocked, stack, fault) = (own.blocked, own.stack, own.fault);
        if stack.disarms_itself() {
            own.stack = AlternateStack::NONE;
        }
        let mut during = blocked.union(action.mask);
        if !action.flags.contains(ActionFlags::NO_DEFER) {
            during.insert(signal);
        }
        mask::set(state, thread, during);
        Self { mask: restored.unwrap_or(blocked), blocked, restored, stack, fault }
    }

    /// Makes `thread` run the handler when it goes to user mode. If that cannot be, the thread is as it was, and takes a
    /// SIGSEGV instead.
    pub fn start(
        &self,
        thread: &Arc<Thread>,
        context: &mut UserContext,
        signal: Signal,
        info: &SignalInfo,
        action: &Action,
    ) {
        let request = Request {
            signal,
            info,
            action,
            mask: self.mask,
            stack: &self.stack,
            context,
            layout: layout(),
            tags: &TAGS,
            fault: self.fault,
        };
        match write_frame(&request) {
            Ok(start) => start.apply(context),
            Err(_) => {
                self.take_back(thread);
                if signal == Signal::SIGSEGV {
                    send::force_fatal(thread, signal);
                } else {
                    let info = SignalInfo::kernel(Signal::SIGSEGV);
                    send::force(thread, Signal::SIGSEGV, info);
                }
            }
        }
    }

    #[cold]
    fn take_back(&self, thread: &Thread) {
        let mut state = thread.process().signals();
        let own = state.of_mut(thread);
        own.stack = self.stack;
        own.restored = self.restored;
        thread.set_restores_mask(self.restored.is_some());
        mask::set(&mut state, thread, self.blocked);
    }
}

/// Writes the frame and returns how the handler starts; the extended registers are fresh then.
///
/// # Errors
/// `EFAULT`: the signal cannot be delivered.
fn write_frame(request: &Request<'_>) -> Result<Start> {
    let frame = build(request).ok_or(Errno::EFAULT)?;
    frame.write(&mut UserStack)?;
    let image = UserAddr::try_new(frame.image_address).ok_or(Errno::EFAULT)?;
    fpu::save_to_user(image).map_err(|_| Errno::EFAULT)?;
    fpu::reset();
    Ok(frame.start())
}

/// The stack of the calling thread.
struct UserStack;

impl Destination for UserStack {
    type Error = Errno;

    #[inline]
    fn put<T: Plain>(&mut self, address: u64, value: &T) -> Result<()> {
        UserPtr::new(UserAddr::try_new(address).ok_or(Errno::EFAULT)?).write(value)
    }

    #[inline]
    fn put_head(
        &mut self,
        address: u64,
        front: &Front,
        registers: &UserContext,
        back: &Back,
    ) -> Result<()> {
        let address = UserAddr::try_new(address).ok_or(Errno::EFAULT)?;
        user::write_around_registers(address, front, registers, back)
    }
}

/// rt_sigreturn(2): takes back what the frame at the stack pointer holds. The value is what `rax` gets.
pub(super) fn sigreturn(thread: &Arc<Thread>, context: &mut UserContext) -> u64 {
    if restore_frame(thread, context).is_err() {
        send::force(thread, Signal::SIGSEGV, SignalInfo::kernel(Signal::SIGSEGV));
        return 0;
    }
    if VirtAddr::try_new(context.rip).is_none() {
        // The processor would fault on the way out, in kernel mode.
        send::force(thread, Signal::SIGSEGV, SignalInfo::kernel(Signal::SIGSEGV));
    }
    context.rax
}

fn restore_frame(thread: &Thread, context: &mut UserContext) -> Result<()> {
    // The handler's `ret` has taken the return address off the stack.
    let address = context.rsp.checked_sub(8).and_then(UserAddr::try_new).ok_or(Errno::EFAULT)?;
    let mut head = MaybeUninit::uninit();
    let head = UserPtr::<Head>::new(address).read_to(&mut head)?;
    let saved = restore(head, context);
    let restored = restore_extended(saved.image_address);
    let mut state = thread.process().signals();
    mask::set(&mut state, thread, saved.mask);
    restored?;
    // As on Linux, an alternate stack that cannot be set is no reason to fail.
    let _refused = state.of_mut(thread).stack.set(saved.stack, context.rsp);
    Ok(())
}

/// Loads the extended registers from a user's image; none at all means fresh ones.
fn restore_extended(image_address: u64) -> Result<()> {
    if image_address == 0 {
        fpu::reset();
        return Ok(());
    }
    let image = UserAddr::try_new(image_address).ok_or(Errno::EFAULT)?;
    let loaded = match extent_of(image)? {
        Extent::Legacy => fpu::load_legacy_from_user(image),
        Extent::Full { features, .. } => fpu::load_from_user(image, features),
    };
    loaded.map_err(|_| {
        fpu::reset();
        Errno::EFAULT
    })
}

/// How much of a user's image counts.
fn extent_of(image: UserAddr) -> Result<Extent> {
    let at = |offset: usize| image.checked_add(offset as u64).ok_or(Errno::EFAULT);
    let software = UserPtr::<Software>::new(at(extended::SOFTWARE)?).read()?;
    let extent = extended::extent(&software, &layout());
    match extent {
        Extent::Full { size, .. }
            if !extended::is_second_magic(UserPtr::<u32>::new(at(size)?).read()?) =>
        {
            Ok(Extent::Legacy)
        }
        _ => Ok(extent),
    }
}

/// The same for all images, as their format is.
static TAGS: Lazy<Tags> = Lazy::new(|| Tags::new(&layout()));

fn layout() -> ExtendedLayout {
    let fpu::Layout { size, features } = fpu::layout();
    ExtendedLayout { size, features }
}
