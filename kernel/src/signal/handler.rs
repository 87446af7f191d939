//! Starting a handler and coming back from it: [`start`] and [`sigreturn`].
//!
//! The bytes are made and read in [`super::frame`]; here they are copied to and from the user stack, the extended
//! registers are saved, reset and loaded, and masks change. A frame that cannot be written is a SIGSEGV for
//! the process, and one for SIGSEGV itself its end; a frame that sigreturn cannot use is a SIGSEGV too.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::{UserAddr, VirtAddr};
use arch::context::UserContext;
use arch::fpu::{self, ExtendedState};

use super::action::{Action, ActionFlags};
use super::altstack::AlternateStack;
use super::frame::build::{Request, build};
use super::frame::extended::{self, Extent, LEGACY_SIZE};
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
    let image = extended_image(thread)?;
    let (stack, mask, fault) = {
        let mut state = thread.process().signals();
        let own = state.of_mut(thread);
        (own.stack, own.restored.unwrap_or(own.blocked), own.fault)
    };
    let request = Request {
        signal,
        info,
        action,
        mask,
        stack: &stack,
        context,
        image: &image,
        layout: layout(),
        fault,
    };
    let (frame, handler) = build(&request).ok_or(Errno::EFAULT)?;
    for (address, bytes) in frame.pieces() {
        user::write_bytes(UserAddr::try_new(address).ok_or(Errno::EFAULT)?, bytes)?;
    }
    thread.scheduling.with_extended_state(ExtendedState::reset);
    Ok(handler)
}

/// A copy of the thread's extended registers, for user memory is not to be touched while they are held in place.
fn extended_image(thread: &Thread) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    image.try_reserve_exact(layout().size).map_err(|_| Errno::ENOMEM)?;
    thread.scheduling.with_extended_state(|state| image.extend_from_slice(state.bytes()));
    Ok(image)
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
    restore_extended(thread, saved.image_address)?;
    restore_stack(thread, &saved);
    *context = saved.context;
    Ok(())
}

/// Loads the extended registers from a user's image; none at all means fresh ones.
fn restore_extended(thread: &Thread, image_address: u64) -> Result<()> {
    if image_address == 0 {
        thread.scheduling.with_extended_state(ExtendedState::reset);
        return Ok(());
    }
    let image = read_image(image_address)?;
    let loaded = thread.scheduling.with_extended_state(|state| state.load_bytes(&image));
    loaded.map_err(|_| Errno::EFAULT)
}

fn read_image(image_address: u64) -> Result<Vec<u8>> {
    /// What the load instructions demand: FXRSTOR and XRSTOR (Intel SDM vol. 2).
    const LEGACY_ALIGNMENT: u64 = 16;
    const FULL_ALIGNMENT: u64 = 64;
    let layout = layout();
    let address = UserAddr::try_new(image_address).ok_or(Errno::EFAULT)?;
    let mut legacy = [0; LEGACY_SIZE];
    user::read_bytes(address, &mut legacy)?;
    let mut extent = extended::extent(&legacy, &layout);
    if let Extent::Full { size, .. } = extent {
        let mut magic = [0; 4];
        let end = address.checked_add(size as u64).ok_or(Errno::EFAULT)?;
        user::read_bytes(end, &mut magic)?;
        if !extended::is_second_magic(magic) {
            extent = Extent::Legacy;
        }
    }
    let (size, alignment) = match extent {
        Extent::Legacy => (LEGACY_SIZE, LEGACY_ALIGNMENT),
        Extent::Full { size, .. } => (size, FULL_ALIGNMENT),
    };
    if !image_address.is_multiple_of(alignment) {
        return Err(Errno::EFAULT);
    }
    let mut image = Vec::new();
    image.try_reserve_exact(layout.size).map_err(|_| Errno::ENOMEM)?;
    image.resize(layout.size, 0);
    user::read_bytes(address, &mut image[..size])?;
    extended::accept(image, extent, &layout).ok_or(Errno::EFAULT)
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
