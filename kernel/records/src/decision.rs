//! What a scheduling policy was told and what it answered, as words of a record: [`Head`].
//!
//! A word of the conversation is one record of [`Event::Decision`], for `enqueue` two. The kernel writes them
//! (`kernel/src/trace/decisions.rs`), and the laboratory has them decided again (`xtask/lab/src/replay.rs`).

use crate::Event;

/// Bits of a CPU's number in [`Head::queue`].
pub const CPU_BITS: u32 = 9;
/// Bits above those, of a number that each change of the policy raises.
const GENERATION_BITS: u32 = 7;

/// The kinds of words. Flag, first and second are of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A new instance begins; `first` is the seed.
    Begin,
    /// The second half of what is told of a task: its memory, both words.
    Memory,
    /// `enqueue`, the flag being the policy's event: `first` is weight (low half) and batch (bit 32), `second` the slice.
    Enqueue,
    /// `pick` answered the task (or none: flag 0) and the slice `first`; it was told the time `second`.
    Pick,
    /// `tick` was told `first` and answered: flag 0 go on for `second`, 1 reschedule.
    Tick,
    /// `preempts` answered the flag.
    Preempts,
    /// `leave` was told the event and answered the memory.
    Leave,
    /// `remove` was asked for the task and had it (flag 1) or not.
    Remove,
    /// `steal` gave the task up (flag 1) or none.
    Steal,
    /// `drain` gave the task up (flag 1) or none.
    Drain,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Begin,
        Self::Memory,
        Self::Enqueue,
        Self::Pick,
        Self::Tick,
        Self::Preempts,
        Self::Leave,
        Self::Remove,
        Self::Steal,
        Self::Drain,
    ];
}

/// The head word of a decision's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What kind of word.
    pub kind: Kind,
    /// Four bits more: the policy's event, or a flag.
    pub flag: u8,
    /// The queue: its CPU in the low [`CPU_BITS`] bits, and above which policy's instance of it.
    pub queue: u16,
    /// The low half of the task's number.
    pub task: u32,
}

impl Head {
    /// The word: the event, the kind (4 bits), the flag (4 bits), the queue, the task.
    #[must_use]
    pub fn to_word(self) -> u64 {
        let Self { kind, flag, queue, task } = self;
        let extra = kind as u64 | u64::from(flag) << 4 | u64::from(queue) << 8;
        Event::Decision as u64 | extra << 8 | u64::from(task) << 32
    }

    /// Reads the word; `None` for a kind that there is not.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let kind = *Kind::ALL.get((word >> 8 & 0xf) as usize)?;
        let (flag, queue) = ((word >> 12 & 0xf) as u8, (word >> 16) as u16);
        Some(Self { kind, flag, queue, task: (word >> 32) as u32 })
    }

    /// The queue of CPU number `cpu` with the policy's instance `generation`, of which the low bits are kept.
    #[must_use]
    pub fn queue_of(cpu: usize, generation: u64) -> u16 {
        let generation = (generation & ((1 << GENERATION_BITS) - 1)) as u16;
        cpu as u16 & ((1 << CPU_BITS) - 1) | generation << CPU_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written() {
        for kind in Kind::ALL {
            let head = Head { kind, flag: 9, queue: Head::queue_of(511, 200), task: 77 };
            assert_eq!(Head::from_word(head.to_word()), Some(head));
            assert_eq!(head.to_word() as u8, Event::Decision as u8);
            assert_eq!((head.queue & 0x1ff, head.queue >> CPU_BITS), (511, 200 % 128));
        }
        assert_eq!(Head::from_word(0xf00), None);
    }
}
