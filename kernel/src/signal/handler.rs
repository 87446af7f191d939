//! Starting a handler and coming back from it: [`start`] and [`sigreturn`].
//!
//! The bytes are made and read in [`super::frame`]; here they are copied to and from the user stack, the extended
//! registers are saved to it, reset and loaded from it, and masks change. A frame that cannot be written is a SIGSEGV for
//! the process, and one for SIGSEGV itself its end; a frame that sigreturn cannot use is a SIGSEGV too.

use alloc::sync::Arc;

use arch::addr::{UserAddr, VirtAddr};
use arch::context::UserContext;
use arch::fpu;

use super::action::{Action, ActionFlags};
use super::altstack::AlternateStack;
use super::frame::build::{FaultRecord, Request, Start, build};
use super::frame::extended::{self, Extent, Software};
use super::frame::parse::restore;
use super::frame::{ExtendedLayout, Head};
use super::info::SignalInfo;
use super::number::{Signal, SignalSet};
use super::{mask, send};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserPtr};
use crate::task::Thread;

/// A signal that was taken for its handler, and what the frame shows of the thread that takes it.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The signal.
    pub signal: Signal,
    /// Its information.
    pub info: SignalInfo,
    /// Its action.
    pub action: Action,
    /// The mask that sigreturn restores.
    pub mask: SignalSet,
    /// The alternate stack.
    pub stack: AlternateStack,
    /// The last fault.
    pub fault: FaultRecord,
}

/// Makes `thread`, the calling one, run the handler for `delivery` when it goes to user mode.
pub(super) fn start(thread: &Arc<Thread>, context: &mut UserContext, delivery: &Delivery) {
    let Delivery { signal, action, .. } = delivery;
    match write_frame(context, delivery) {
        Ok(start) => start.apply(context),
        Err(_) if *signal == Signal::SIGSEGV => return send::force_fatal(thread, *signal),
        Err(_) => {
            let info = SignalInfo::kernel(Signal::SIGSEGV);
            return send::force(thread, Signal::SIGSEGV, info);
        }
    }
    let mut state = thread.process().signals();
    let own = state.of_mut(thread);
    own.restored = None;
    thread.set_restores_mask(false);
    let mut blocked = own.blocked.union(action.mask);
    if !action.flags.contains(ActionFlags::NO_DEFER) {
        blocked.insert(*signal);
    }
    if own.stack.disarms_itself() {
        own.stack = AlternateStack::NONE;
    }
    mask::set(&mut state, thread, blocked);
}

/// Writes the frame and returns how the handler starts; the extended registers are fresh then.
///
/// # Errors
/// `EFAULT`: the signal cannot be delivered.
fn write_frame(context: &UserContext, delivery: &Delivery) -> Result<Start> {
    let Delivery { signal, info, action, mask, stack, fault } = delivery;
    let request = Request {
        signal: *signal,
        info,
        action,
        mask: *mask,
        stack,
        context,
        layout: layout(),
        fault: *fault,
    };
    let frame = build(&request).ok_or(Errno::EFAULT)?;
    frame.write(|address, bytes| {
        user::write_bytes(UserAddr::try_new(address).ok_or(Errno::EFAULT)?, bytes)
    })?;
    let image = UserAddr::try_new(frame.image_address).ok_or(Errno::EFAULT)?;
    fpu::save_to_user(image).map_err(|_| Errno::EFAULT)?;
    fpu::reset();
    Ok(frame.start())
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
    let head = UserPtr::<Head>::new(address).read()?;
    let saved = restore(&head, context);
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

fn layout() -> ExtendedLayout {
    let fpu::Layout { size, features } = fpu::layout();
    ExtendedLayout { size, features }
}
