//! Stops the machine and reads the stacks of its processors.
//!
//! QEMU's monitor prints registers and memory as text; each answer takes a fraction of a
//! millisecond, so a stack is read as one piece from the stack pointer upwards.

use anyhow::Context;

use crate::qemu::Guest;

/// Words of a stack that are read at once: 4 KiB.
const WORDS: usize = 512;
/// Frames that a chain may have.
const LONGEST_CHAIN: usize = 64;
/// The kernel's half of the address space.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// What one processor was doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The addresses, innermost first: the instruction pointer, then return addresses.
    pub addresses: Vec<u64>,
    /// In which mode it was.
    pub level: Level,
}

/// Where a processor executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In the kernel.
    Kernel,
    /// In a program.
    User,
}

/// The registers of one processor that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Registers {
    rip: u64,
    rsp: u64,
    rbp: u64,
    level: u64,
    halted: bool,
}

/// Takes samples of a running machine.
pub struct Sampler<'guest> {
    guest: &'guest mut Guest,
    processors: u32,
}

impl<'guest> Sampler<'guest> {
    /// Samples a machine of so many processors.
    pub fn new(guest: &'guest mut Guest, processors: u32) -> Self {
        Self { guest, processors }
    }

    /// Stops the machine, looks, and lets it go on: one sample for each processor that executes something.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn take(&mut self) -> anyhow::Result<Vec<Sample>> {
        self.guest.command("stop")?;
        let text = self.guest.monitor("info registers -a")?;
        let mut samples = Vec::new();
        for (processor, registers) in parse_registers(&text).into_iter().enumerate() {
            if registers.halted || processor >= self.processors as usize {
                continue;
            }
            if registers.level != 0 {
                samples.push(Sample { addresses: vec![registers.rip], level: Level::User });
                continue;
            }
            let stack = self.read_words(processor, registers.rsp)?;
            let addresses = unwind(registers, &stack);
            samples.push(Sample { addresses, level: Level::Kernel });
        }
        self.guest.command("cont")?;
        Ok(samples)
    }

    /// Reads the memory behind a stack pointer, as far as it is mapped.
    fn read_words(&mut self, processor: usize, address: u64) -> anyhow::Result<Stack> {
        let command = format!("x/{WORDS}gx {address:#x}");
        let text = self
            .guest
            .monitor_of(processor, &command)
            .context("QEMU does not say what is in memory")?;
        Ok(Stack { address, words: parse_words(&text) })
    }
}

/// A piece of a stack.
#[derive(Debug, Default)]
struct Stack {
    address: u64,
    words: Vec<u64>,
}

impl Stack {
    /// The word at `address`, where it was read.
    fn word(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.address)?;
        if offset % 8 != 0 {
            return None;
        }
        self.words.get(usize::try_from(offset / 8).ok()?).copied()
    }
}

/// Follows the chain of frame pointers.
fn unwind(registers: Registers, stack: &Stack) -> Vec<u64> {
    let mut addresses = vec![registers.rip];
    let mut frame = registers.rbp;
    while addresses.len() < LONGEST_CHAIN {
        let (Some(next), Some(caller)) = (stack.word(frame), stack.word(frame.wrapping_add(8)))
        else {
            break;
        };
        if caller < KERNEL {
            break;
        }
        // A return address may stand behind the end of a function that never returns.
        addresses.push(caller - 1);
        if next <= frame {
            break;
        }
        frame = next;
    }
    addresses
}

/// Reads QEMU's register dump of all processors.
fn parse_registers(text: &str) -> Vec<Registers> {
    let mut all: Vec<Registers> = Vec::new();
    for word in text.split_whitespace() {
        if word.starts_with("CPU#") {
            all.push(Registers::default());
        }
        let (Some(registers), Some((name, value))) = (all.last_mut(), word.split_once('=')) else {
            continue;
        };
        let hexadecimal = || u64::from_str_radix(value, 16).unwrap_or(0);
        match name {
            "RIP" => registers.rip = hexadecimal(),
            "RSP" => registers.rsp = hexadecimal(),
            "RBP" => registers.rbp = hexadecimal(),
            "CPL" => registers.level = hexadecimal(),
            "HLT" => registers.halted = value == "1",
            _ => {}
        }
    }
    all
}

/// Reads what the monitor's command `x` prints: `address: 0xword 0xword`.
fn parse_words(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(_, words)| words.split_whitespace())
        .map_while(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_read_for_each_processor() {
        let text = "\r\nCPU#0\r\nRAX=01 RBX=02\r\nRSI=0 RDI=0 RBP=ffffffff80001000 \
                    RSP=ffffffff80000f00\r\nRIP=ffffffff80200010 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 \
                    SMM=0 HLT=0\r\nCPU#1\r\nRIP=0000000000400000 RFL=2 CPL=3 HLT=1\r\n";
        let all = parse_registers(text);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].rip, 0xffff_ffff_8020_0010);
        assert_eq!((all[0].rbp, all[0].level), (0xffff_ffff_8000_1000, 0));
        assert!(all[1].halted && all[1].level == 3);
    }

    #[test]
    fn the_chain_is_followed_until_it_leaves_the_kernel() {
        let base = 0xffff_c000_0000_0000;
        let text = "ffffc00000000000: 0xffffc00000000010 0xffffffff80200101\r\n\
                    ffffc00000000010: 0x0000000000000000 0xffffffff80200201\r\n";
        let stack = Stack { address: base, words: parse_words(text) };
        let registers = Registers { rip: 0xffff_ffff_8020_0001, rbp: base, ..Registers::default() };
        let expected = [0xffff_ffff_8020_0001, 0xffff_ffff_8020_0100, 0xffff_ffff_8020_0200];
        assert_eq!(unwind(registers, &stack), expected);
        let lost = Registers { rbp: 7, ..registers };
        assert_eq!(unwind(lost, &stack), expected[..1]);
    }
}
