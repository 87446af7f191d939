//! Making a frame: where it goes, what is in it, and the registers with which the handler starts.

use arch::context::UserContext;

use super::extended::{self, Tags};
use super::{
    CLEARED_FLAGS, CONTEXT, CONTEXT_EXTENDED, CONTEXT_FLAGS, CONTEXT_LINK, ERROR_CODE,
    EXTENDED_ADDRESS, ExtendedLayout, FAULT_ADDRESS, FRAME_SIZE, INFO, MASK, OLD_MASK, REGISTERS,
    SELECTORS, STACK, TRAP_NUMBER, put,
};
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
    /// The thread's last fault.
    pub fault: FaultRecord,
}

/// A frame to be written to the user stack, around an image of the extended registers.
#[derive(Debug)]
pub struct Frame {
    address: u64,
    /// Where the extended registers are to be saved, once the pieces are written.
    pub image_address: u64,
    head: [u8; FRAME_SIZE],
    head_length: usize,
    tags: Option<Tags>,
}

impl Frame {
    /// The pieces of the frame: addresses, and what to write there.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let head = (self.address, &self.head[..self.head_length]);
        self.tags.iter().flat_map(Tags::pieces).chain([head])
    }
}

/// The frame for `request` and the registers with which its handler starts.
///
/// `None` when there is no room for it on the alternate stack or below the stack pointer, or when the action has no
/// handler or no restorer: the signal cannot be delivered.
#[must_use]
pub fn build(request: &Request<'_>) -> Option<(Frame, UserContext)> {
    let Handler::Catch(handler) = request.action.handler else { return None };
    if !request.action.flags.contains(ActionFlags::RESTORER) {
        return None;
    }
    let (address, image_address) = place(request)?;
    let mut head = [0; FRAME_SIZE];
    put(&mut head, 0, request.action.restorer);
    fill_context(&mut head, request, image_address);
    head[INFO..].copy_from_slice(&request.info.to_bytes());
    let wants_info = request.action.flags.contains(ActionFlags::SIGINFO);
    let head_length = if wants_info { FRAME_SIZE } else { INFO };
    let tags = Tags::new(image_address, &request.layout);
    let frame = Frame { address, image_address, head, head_length, tags };
    Some((frame, start_of_handler(request, handler, address)))
}

/// The addresses of the frame and of its extended state.
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

fn fill_context(head: &mut [u8; FRAME_SIZE], request: &Request<'_>, image_address: u64) {
    let extended = if request.layout.is_legacy() { 0 } else { CONTEXT_EXTENDED };
    put(head, CONTEXT, CONTEXT_FLAGS | extended);
    put(head, CONTEXT_LINK, 0);
    for (i, word) in request.stack.saved().to_words().into_iter().enumerate() {
        put(head, STACK + i * 8, word);
    }
    for (i, register) in registers(request.context).into_iter().enumerate() {
        put(head, REGISTERS + i * 8, register);
    }
    put(head, SELECTORS, CODE_SELECTOR | STACK_SELECTOR << 48);
    put(head, ERROR_CODE, request.fault.error_code);
    put(head, TRAP_NUMBER, request.fault.vector);
    put(head, OLD_MASK, request.mask.bits());
    put(head, FAULT_ADDRESS, request.fault.address);
    put(head, EXTENDED_ADDRESS, image_address);
    put(head, MASK, request.mask.bits());
}

/// The registers in the order of `struct sigcontext_64`.
fn registers(context: &UserContext) -> [u64; super::REGISTER_COUNT] {
    let c = context;
    [
        c.r8, c.r9, c.r10, c.r11, c.r12, c.r13, c.r14, c.r15, c.rdi, c.rsi, c.rbp, c.rbx, c.rdx,
        c.rax, c.rcx, c.rsp, c.rip, c.rflags,
    ]
}

/// `handler(signal, info, context)`, called with the frame as its stack.
fn start_of_handler(request: &Request<'_>, handler: u64, address: u64) -> UserContext {
    UserContext {
        rdi: u64::from(request.signal.number()),
        rsi: address + INFO as u64,
        rdx: address + CONTEXT as u64,
        rax: 0,
        rip: handler,
        rsp: address,
        rflags: request.context.rflags & !CLEARED_FLAGS,
        ..*request.context
    }
}
