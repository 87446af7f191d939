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
use super::frame::build::{Request, build};
use super::frame::extended::{self, Extent};
use super::frame::parse::{Saved, parse};
use super::frame::{ExtendedLayout, INFO};
use super::info::SignalInfo;
use super::number::Signal;
use super::{mask, send};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::task::Thread;

/// Makes `thread`, the calling one, run the handler of `action` for `signal` when it goes to user mode.
pub(super) fn start(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    signal: Signal,
    info: &SignalInfo,
    action: &Action,
) {
    match write_frame(thread, context, signal, info, action) {
        Ok(handler) => *context = handler,
        Err(_) if signal == Signal::SIGSEGV => return send::force_fatal(thread, signal),
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
        blocked.insert(signal);
    }
    if own.stack.disarms_itself() {
        own.stack = AlternateStack::NONE;
    }
    mask::set(&mut state, thread, blocked);
}

/// Writes the frame and returns the handler's registers; the extended registers are fresh then.
///
/// # Errors
/// `EFAULT` or `ENOMEM`: the signal cannot be delivered.
fn write_frame(
    thread: &Thread,
    context: &UserContext,
    signal: Signal,
    info: &SignalInfo,
    action: &Action,
) -> Result<UserContext> {
    let (stack, mask, fault) = {
        let mut state = thread.process().signals();
        let own = state.of_mut(thread);
        (own.stack, own.restored.unwrap_or(own.blocked), own.fault)
    };
    let request =
        Request { signal, info, action, mask, stack: &stack, context, layout: layout(), fault };
    let Some((frame, handler)) = build(&request) else { return Err(Errno::EFAULT) };
    for (address, bytes) in frame.pieces() {
        user::write_bytes(UserAddr::try_new(address).ok_or(Errno::EFAULT)?, bytes)?;
    }
    save_extended(frame.image_address, &request.layout)?;
    fpu::reset();
    Ok(handler)
}

/// Saves the extended registers around the tags that are in the frame already.
fn save_extended(image_address: u64, layout: &ExtendedLayout) -> Result<()> {
    let image = UserAddr::try_new(image_address).ok_or(Errno::EFAULT)?;
    fpu::save_to_user(image).map_err(|_| Errno::EFAULT)?;
    if layout.is_legacy() {
        return Ok(());
    }
    let present = image.checked_add(extended::PRESENT as u64).ok_or(Errno::EFAULT)?;
    let present = user::UserPtr::<u64>::new(present);
    present.write(&extended::shown(present.read()?))
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
    let mut head = [0; INFO];
    user::read_bytes(address, &mut head)?;
    let saved = parse(&head, context);
    let mut state = thread.process().signals();
    mask::set(&mut state, thread, saved.mask);
    drop(state);
    restore_extended(saved.image_address)?;
    restore_stack(thread, &saved);
    *context = saved.context;
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
    let mut software = [0; extended::SOFTWARE_SIZE];
    user::read_bytes(at(extended::SOFTWARE)?, &mut software)?;
    let extent = extended::extent(&software, &layout());
    if let Extent::Full { size, .. } = extent {
        let mut magic = [0; 4];
        user::read_bytes(at(size)?, &mut magic)?;
        if !extended::is_second_magic(magic) {
            return Ok(Extent::Legacy);
        }
    }
    Ok(extent)
}

/// Puts the alternate stack back. As on Linux, one that cannot be set is no reason to fail.
fn restore_stack(thread: &Thread, saved: &Saved) {
    let mut state = thread.process().signals();
    let _refused = state.of_mut(thread).stack.set(saved.stack, saved.context.rsp);
}

fn layout() -> ExtendedLayout {
    let fpu::Layout { size, features } = fpu::layout();
    ExtendedLayout { size, features }
}
