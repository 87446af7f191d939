//! Frames built and taken apart again, and frames that lie.
#![allow(unsafe_code, reason = "makes heads of frames out of any bytes")]

use core::convert::Infallible;

use arch::context::UserContext;
use proptest::prelude::*;

use super::build::{Destination, FaultRecord, Request, build};
use super::extended::{Extent, SOFTWARE, Software, Tags, extent, is_second_magic};
use super::parse::restore;
use super::*;
use crate::memory::user::{Plain, bytes_of};
use crate::signal::action::Action;
use crate::signal::altstack::{AlternateStack, StackDescription};
use crate::signal::info::{Code, SignalInfo};
use crate::signal::number::{Signal, SignalSet};

const LAYOUT: ExtendedLayout = ExtendedLayout { size: 832, features: 7 };
/// The header of an XSAVE image.
const HEADER: u64 = 512;
const TOP: u64 = 0x7000_0000;
const SIZE: usize = 0x4000;

/// User memory below [`TOP`], to write frames to.
struct Memory(Vec<u8>);

impl Memory {
    fn new() -> Self {
        Self(vec![0xaa; SIZE])
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let at = self.at(address);
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let at = self.at(address);
        self.0[at..at + N].try_into().expect("inside")
    }

    fn at(&self, address: u64) -> usize {
        SIZE - usize::try_from(TOP - address).expect("below the top")
    }
}

impl Destination for Memory {
    type Error = Infallible;

    fn put<T: Plain>(&mut self, address: u64, value: &T) -> Result<(), Infallible> {
        self.write(address, bytes_of(value));
        Ok(())
    }
}

/// The head that these bytes are.
fn head(bytes: [u8; INFO]) -> Head {
    // SAFETY: a head is plain words.
    unsafe { core::mem::transmute(bytes) }
}

/// Software's part of an image that these bytes are.
fn software(bytes: [u8; size_of::<Software>()]) -> Software {
    // SAFETY: it is plain words.
    unsafe { core::mem::transmute(bytes) }
}

fn context(rsp: u64) -> UserContext {
    UserContext {
        rip: 0x40_1000,
        rsp,
        rax: 1,
        rbx: 2,
        r15: 15,
        rflags: 0x646,
        ..Default::default()
    }
}

fn action(flags: u64) -> Action {
    Action::from_words([0x40_2000, flags | 0x0400_0000, 0x40_3000, 0])
}

fn request<'a>(
    context: &'a UserContext,
    action: &'a Action,
    stack: &'a AlternateStack,
    info: &'a SignalInfo,
) -> Request<'a> {
    Request {
        signal: Signal::SIGSEGV,
        info,
        action,
        mask: SignalSet::from_bits(0x55),
        stack,
        context,
        layout: LAYOUT,
        tags: Box::leak(Box::new(Tags::new(&LAYOUT))),
        fault: FaultRecord { vector: 14, error_code: 6, address: 0xdead },
    }
}

#[test]
fn a_frame_comes_back_as_it_was_built() {
    let (before, action, stack) = (context(TOP - 64), action(4), AlternateStack::default());
    let info = SignalInfo::fault(Signal::SIGSEGV, Code::SEGV_MAPERR, 0xdead);
    let request = request(&before, &action, &stack, &info);
    let frame = build(&request).expect("there is room");
    let mut memory = Memory::new();
    let Ok(()) = frame.write(&mut memory);
    let mut handler = before;
    frame.start().apply(&mut handler);

    assert_eq!((handler.rip, handler.rdi, handler.rax), (0x40_2000, 11, 0));
    assert_eq!(handler.rsp % 16, 8, "as after a call");
    assert!(handler.rsp + FRAME_SIZE as u64 <= before.rsp - 128, "the red zone is untouched");
    assert_eq!(handler.rflags & 0x400, 0, "the direction flag is clear");
    assert_eq!(memory.read::<128>(handler.rsi), info.to_bytes());
    assert_eq!(memory.read::<8>(handler.rsp), 0x40_3000u64.to_ne_bytes());

    let saved = restore(&head(memory.read(handler.rsp)), &mut handler);
    assert_eq!(handler, before);
    assert_eq!(saved.mask.bits(), 0x55);
    assert_eq!(saved.image_address % 64, 0);
    assert_eq!(saved.image_address, frame.image_address);
    let software = software(memory.read(saved.image_address + SOFTWARE as u64));
    let size = LAYOUT.size;
    assert_eq!(extent(&software, &LAYOUT), Extent::Full { size, features: LAYOUT.features });
    let second = u32::from_ne_bytes(memory.read(saved.image_address + size as u64));
    assert!(is_second_magic(second));
    assert_eq!(memory.read::<64>(saved.image_address + HEADER), [0; 64], "for XSAVE");
    assert_eq!(memory.read::<4>(saved.image_address), [0xaa; 4], "the registers come later");
}

#[test]
fn an_alternate_stack_is_used_from_its_end_and_never_past_its_base() {
    let mut stack = AlternateStack::default();
    let describe = |size| StackDescription { base: 0x1000_0000, flags: 0, size };
    let info = SignalInfo::kernel(Signal::SIGSEGV);
    let (outside, on_stack) = (context(TOP), action(0x0800_0000));
    assert!(stack.set(describe(0x2000), 0).is_ok());
    let built = request(&outside, &on_stack, &stack, &info);
    let mut handler = outside;
    build(&built).expect("8 KiB hold a frame").start().apply(&mut handler);
    assert!((0x1000_0000..0x1000_2000).contains(&handler.rsp));
    let deep = context(0x1000_0000 + 600);
    assert!(build(&request(&deep, &on_stack, &stack, &info)).is_none(), "overflow");
    assert!(build(&request(&deep, &action(0), &stack, &info)).is_none(), "also unasked");
}

#[test]
fn a_stack_pointer_near_zero_leaves_no_room() {
    let info = SignalInfo::kernel(Signal::SIGSEGV);
    let (low, action, stack) = (context(300), action(0), AlternateStack::default());
    assert!(build(&request(&low, &action, &stack, &info)).is_none());
}

#[test]
fn broken_sizes_fall_back_to_the_legacy_area() {
    assert_eq!(extent(&Software::default(), &LAYOUT), Extent::Legacy);
}

proptest! {
    #[test]
    fn no_frame_changes_what_user_mode_may_not(bytes in prop::collection::vec(any::<u8>(), INFO)) {
        let now = UserContext { rflags: 0x202, ..Default::default() };
        let mut context = now;
        let saved = restore(&head(bytes.try_into().expect("the right length")), &mut context);
        prop_assert_eq!(context.rflags & !RESTORED_FLAGS, 0x202 & !RESTORED_FLAGS);
        prop_assert!(saved.mask.intersection(SignalSet::UNBLOCKABLE).is_empty());
    }

    #[test]
    fn an_image_counts_whole_or_as_the_legacy_area(
        magic in any::<bool>(),
        (extended_size, features, size) in (any::<u32>(), any::<u64>(), 0u32..2000),
    ) {
        let mut bytes = [0; size_of::<Software>()];
        if magic {
            bytes[..4].copy_from_slice(&FP_XSTATE_MAGIC1.to_ne_bytes());
        }
        bytes[4..8].copy_from_slice(&extended_size.to_ne_bytes());
        bytes[8..16].copy_from_slice(&features.to_ne_bytes());
        bytes[16..20].copy_from_slice(&size.to_ne_bytes());
        match extent(&software(bytes), &LAYOUT) {
            Extent::Legacy => (),
            Extent::Full { size, features: found } => {
                prop_assert!(magic);
                prop_assert!((576..=LAYOUT.size).contains(&size));
                prop_assert_eq!(found, features);
            }
        }
    }
}
