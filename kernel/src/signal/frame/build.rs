//! Making a frame: where it goes, what is in it, and the registers with which the handler starts.

use arch::context::UserContext;

use super::extended::{self, Tags};
use super::{
    Back, CLEARED_FLAGS, CONTEXT, CONTEXT_EXTENDED, CONTEXT_FLAGS, ExtendedLayout, FRAME_SIZE,
    Front, INFO,
};
use crate::memory::user::Plain;
use crate::signal::action::{Action, ActionFlags, Handler};
use crate::signal::altstack::AlternateStack;
use crate::signal::info::SignalInfo;
use crate::signal::number::{Signal, SignalSet};

/// What the ABI lets a function use below its stack pointer (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// Alignment of the XSAVE image (Intel SDM vol. 1, 13.4).
const EXTENDED_ALIGNMENT: u64 = 64;
/// Selectors of 64-bit user code and of user data, as Linux's GDT has them.
const CODE_SELECTOR: u64 = 0x33;
const STACK_SELECTOR: u64 = 0x2b;

/// The last fault of a thread, which a frame shows to the handler.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultRecord {
    /// Exception vector.
    pub vector: u64,
    /// The processor's error code.
    pub error_code: u64,
    /// CR2.
    pub address: u64,
}

/// What a frame is made of.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The signal.
    pub signal: Signal,
    /// Its information.
    pub info: &'a SignalInfo,
    /// Its action, whose handler is an address.
    pub action: &'a Action,
    /// The mask that sigreturn restores.
    pub mask: SignalSet,
    /// The thread's alternate stack.
    pub stack: &'a AlternateStack,
    /// The registers that sigreturn restores.
    pub context: &'a UserContext,
    /// The format of the extended state that sigreturn restores.
    pub layout: ExtendedLayout,
    /// What marks an image of that format.
    pub tags: &'a Tags,
    /// The thread's last fault.
    pub fault: FaultRecord,
}

/// Where a frame is written to.
pub trait Destination {
    /// What may go wrong.
    type Error;

    /// Stores `value` at `address`.
    ///
    /// # Errors
    /// If it cannot be stored.
    fn put<T: Plain>(&mut self, address: u64, value: &T) -> Result<(), Self::Error>;

    /// Stores the parts of a [`Head`](super::Head) one after another, from `address` on.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn put_head(
        &mut self,
        address: u64,
        front: &Front,
        registers: &UserContext,
        back: &Back,
    ) -> Result<(), Self::Error> {
        let after_front = address + size_of::<Front>() as u64;
        self.put(address, front)?;
        self.put(after_front, registers)?;
        self.put(after_front + size_of::<UserContext>() as u64, back)
    }
}

/// A frame that has found its place on the user stack.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    request: &'a Request<'a>,
    /// The handler's address.
    handler: u64,
    address: u64,
    /// Where the extended registers are to be saved, once the rest is written.
    pub image_address: u64,
}

/// Finds the place of the frame for `request`.
///
/// `None` when there is no room for it on the alternate stack or below the stack pointer, or when the action has no
/// handler or no restorer: the signal cannot be delivered.
#[must_use]
pub fn build<'a>(request: &'a Request<'a>) -> Option<Frame<'a>> {
    let Handler::Catch(handler) = request.action.handler else { return None };
    if !request.action.flags.contains(ActionFlags::RESTORER) {
        return None;
    }
    let (address, image_address) = place(request)?;
    Some(Frame { request, handler, address, image_address })
}

impl Frame<'_> {
    /// Puts the frame into `memory`, but for the registers' image.
    ///
    /// # Errors
    /// Those of `memory`.
    #[inline]
    pub fn write<M: Destination>(&self, memory: &mut M) -> Result<(), M::Error> {
        if !self.request.layout.is_legacy() {
            self.request.tags.write(self.image_address, memory)?;
        }
        if self.request.action.flags.contains(ActionFlags::SIGINFO) {
            memory.put(self.address + INFO as u64, &self.request.info.to_bytes())?;
        }
        let (front, back) = self.around_registers();
        memory.put_head(self.address, &front, self.request.context, &back)
    }

    #[inline]
    fn around_registers(&self) -> (Front, Back) {
        let request = self.request;
        let extended = if request.layout.is_legacy() { 0 } else { CONTEXT_EXTENDED };
        let front = Front {
            restorer: request.action.restorer,
            flags: CONTEXT_FLAGS | extended,
            link: 0,
            stack: request.stack.saved().to_words(),
        };
        let back = Back {
            selectors: CODE_SELECTOR | STACK_SELECTOR << 48,
            error_code: request.fault.error_code,
            trap_number: request.fault.vector,
            old_mask: request.mask.bits(),
            fault_address: request.fault.address,
            image_address: self.image_address,
            reserved: [0; 8],
            mask: request.mask.bits(),
        };
        (front, back)
    }

    /// The registers with which the handler starts: `handler(signal, info, context)`, called with the frame as its stack.
    #[must_use]
    pub fn start(&self) -> Start {
        Start {
            signal: u64::from(self.request.signal.number()),
            handler: self.handler,
            address: self.address,
        }
    }
}

/// How a handler starts.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    signal: u64,
    handler: u64,
    address: u64,
}

impl Start {
    /// Makes the interrupted registers those of the handler.
    pub fn apply(self, context: &mut UserContext) {
        context.rdi = self.signal;
        context.rsi = self.address + INFO as u64;
        context.rdx = self.address + CONTEXT as u64;
        context.rax = 0;
        context.rip = self.handler;
        context.rsp = self.address;
        context.rflags &= !CLEARED_FLAGS;
    }
}

/// The addresses of the frame and of its extended state.
#[inline]
fn place(request: &Request<'_>) -> Option<(u64, u64)> {
    let stack_pointer = request.context.rsp;
    let wants_stack = request.action.flags.contains(ActionFlags::ON_STACK);
    let below = stack_pointer.wrapping_sub(RED_ZONE);
    let entry = if wants_stack { request.stack.entry(below) } else { None };
    let on_stack = entry.is_some() || request.stack.is_in_use(stack_pointer);
    let top = entry.unwrap_or(below);
    let image = top.checked_sub(extended::written_size(&request.layout) as u64)?;
    let image = image & !(EXTENDED_ALIGNMENT - 1);
    // As after a call: 8 below a multiple of 16, where the return address lies.
    let address = (image.checked_sub(FRAME_SIZE as u64)? & !15).checked_sub(8)?;
    (!on_stack || request.stack.contains(address)).then_some((address, image))
}
