//! Frames that Linux wrote, made again from the same registers, byte for byte.
//!
//! The files in `captured/` are what the user program `frames` printed; their first line names the kernel.

use core::convert::Infallible;
use core::mem::offset_of;

use arch::context::UserContext;
use arch::fpu;

use super::build::{Destination, FaultRecord, Request, build};
use super::extended::{SOFTWARE, Tags};
use super::*;
use crate::memory::user::{Plain, bytes_of};
use crate::signal::action::Action;
use crate::signal::altstack::AlternateStack;
use crate::signal::info::{Code, SignalInfo};
use crate::signal::number::{Signal, SignalSet};
use crate::task::Pid;

const CAPTURES: [&str; 2] =
    [include_str!("captured/linux-host.txt"), include_str!("captured/linux-6.1-qemu.txt")];

const REGISTERS: usize = offset_of!(Head, registers);
const EXTENDED_ADDRESS: usize = offset_of!(Head, back.image_address);
/// The eight reserved words of `sigcontext`, which Linux leaves as it finds them.
const UNWRITTEN: core::ops::Range<usize> =
    offset_of!(Head, back.reserved)..offset_of!(Head, back.reserved) + 64;

/// The bitmap of the components present in an XSAVE image: the first word of its header.
const PRESENT: usize = 512;
/// Where the header of an XSAVE image ends and the components start.
const XSAVE_HEADER_END: usize = 576;

fn get(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// What was printed of one case.
struct Case<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Case<'a> {
    fn all(text: &'a str) -> Vec<Self> {
        let mut cases: Vec<Self> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            if key == "case" {
                cases.push(Self(Vec::new()));
            }
            cases.last_mut().expect("a case comes first").0.push((key, value));
        }
        cases
    }

    fn text(&self, key: &str) -> &'a str {
        let found = self.0.iter().find(|(found, _)| *found == key);
        found.unwrap_or_else(|| panic!("no {key}")).1
    }

    fn number(&self, key: &str) -> u64 {
        u64::from_str_radix(self.text(key), 16).expect("hexadecimal")
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        let digits = self.text(key);
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    fn is_fault(&self) -> bool {
        self.text("case") == "fault"
    }

    /// The registers that the program had given values.
    fn context(&self) -> UserContext {
        let (rip, rflags) = (self.number("rip"), self.number("rflags"));
        let common = UserContext {
            rbx: 0x0b0b,
            rbp: 0x0505,
            rdx: 0x0d0d,
            r8: 0x0808,
            r9: 0x0909,
            r10: 0x1010,
            r12: 0x1212,
            r13: 0x1313,
            r14: 0x1414,
            r15: 0x1515,
            rip,
            rflags,
            rsp: self.number("rsp"),
            ..UserContext::default()
        };
        if self.is_fault() {
            // A processor sets the resume flag in what a fault pushes, an emulator may not: it is not the kernel's doing.
            const RESUME: u64 = 1 << 16;
            let resume = get(&self.bytes("head"), REGISTERS + 17 * 8) & RESUME;
            let (rdi, rsi, rcx, r11) = (0x0707, 0x0606, 0x0c0c, 0x1111);
            let rflags = rflags | resume;
            return UserContext { rdi, rsi, rcx, r11, rax: 0x40, rflags, ..common };
        }
        let (rdi, rsi) = (self.number("pid"), self.number("signal"));
        // The system call has returned 0, and left rip and the flags where `syscall` puts them.
        UserContext { rdi, rsi, rcx: rip, r11: rflags, rax: 0, ..common }
    }

    fn info(&self, signal: Signal) -> SignalInfo {
        if self.is_fault() {
            return SignalInfo::fault(signal, Code::SEGV_MAPERR, 0x40);
        }
        let user = self.number("user") as u32;
        SignalInfo::sent(signal, Code::SI_USER, Pid::new(self.number("pid") as u32), user)
    }

    fn fault(&self) -> FaultRecord {
        // A write by user code to a page that is not there (Intel SDM vol. 3A, 4.7).
        let write = FaultRecord { vector: 14, error_code: 6, address: 0x40 };
        if self.is_fault() { write } else { FaultRecord::default() }
    }
}

/// Head and image of a frame, apart from each other.
struct Parts<'a> {
    start: u64,
    head: &'a mut [u8],
    image_address: u64,
    extended: &'a mut [u8],
}

impl Destination for Parts<'_> {
    type Error = Infallible;

    fn put<T: Plain>(&mut self, address: u64, value: &T) -> Result<(), Infallible> {
        let (target, at) = match address.checked_sub(self.image_address) {
            Some(at) => (&mut *self.extended, at),
            None => (&mut *self.head, address - self.start),
        };
        let bytes = bytes_of(value);
        target[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// The pieces that `case` was made from, and what is made of them: head and image.
fn rebuild(case: &Case<'_>) -> (u64, Vec<u8>, Vec<u8>) {
    let image = case.bytes("image");
    let layout =
        ExtendedLayout { size: get_u32(&image, 464 + 16) as usize, features: get(&image, 464 + 8) };
    let signal = Signal::new(case.number("signal") as u32).expect("a signal");
    let words = ["handler", "flags", "restorer"].map(|key| case.number(key));
    let action = Action::from_words([words[0], words[1], words[2], 0x8000]);
    let mut stack = AlternateStack::default();
    let description = ["stack-base", "stack-flags", "stack-size"].map(|key| case.number(key));
    let description = crate::signal::altstack::StackDescription::from_words(description);
    assert!(stack.set(description, 0).is_ok());
    let (context, info) = (case.context(), case.info(signal));
    let request = Request {
        signal,
        info: &info,
        action: &action,
        mask: SignalSet::from_bits(0x5500_0000_0000),
        stack: &stack,
        context: &context,
        layout,
        tags: &Tags::new(&layout),
        fault: case.fault(),
    };
    let frame = build(&request).expect("there was room");
    let mut handler = context;
    frame.start().apply(&mut handler);
    let image_address = get(&case.bytes("head"), EXTENDED_ADDRESS);
    let (mut head, mut extended) = (vec![0; FRAME_SIZE], vec![0; case.bytes("image").len()]);
    let mut memory =
        Parts { image_address, start: handler.rsp, head: &mut head, extended: &mut extended };
    let Ok(()) = frame.write(&mut memory);
    save_extended(&mut extended, &image, &layout);
    (handler.rsp, head, extended)
}

/// What saving the registers of `image` does to the prepared `extended`: XSAVE leaves software's part alone, and of the
/// header it writes the bitmap only (Intel SDM vol. 1, 13.7).
fn save_extended(extended: &mut [u8], image: &[u8], layout: &ExtendedLayout) {
    extended[..SOFTWARE].copy_from_slice(&image[..SOFTWARE]);
    extended[XSAVE_HEADER_END..layout.size].copy_from_slice(&image[XSAVE_HEADER_END..layout.size]);
    // A bitmap without the legacy registers, as when they are in their initial state.
    let present = get(image, PRESENT) & !3;
    let shown = present | fpu::ALWAYS_PRESENT;
    extended[PRESENT..PRESENT + 8].copy_from_slice(&shown.to_ne_bytes());
}

#[test]
fn frames_are_those_of_linux() {
    for capture in CAPTURES {
        let cases = Case::all(capture);
        assert_eq!(cases.len(), 5);
        for case in &cases {
            let name = case.text("case");
            let (address, mut head, image) = rebuild(case);
            assert_eq!(address, case.number("frame"), "{name}: where the frame lies");
            let mut expected = case.bytes("head");
            if name == "plain" {
                // Linux writes no siginfo for a handler that does not ask for one.
                expected.truncate(INFO);
                head.truncate(INFO);
            }
            for frame in [&mut expected, &mut head] {
                frame[UNWRITTEN].fill(0);
            }
            for (at, (word, other)) in expected.chunks(8).zip(head.chunks(8)).enumerate() {
                assert_eq!(word, other, "{name}: byte {} of the frame", at * 8);
            }
            assert!(image == case.bytes("image"), "{name}: the extended state");
        }
    }
}
