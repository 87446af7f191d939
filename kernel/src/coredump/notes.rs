//! The notes of a core file: registers, and what debuggers want to know besides.
//!
//! Pure: everything is given, bytes come out. The structures are those of Linux's `elfcore.h`, `procfs.h` and `user.h` for
//! x86-64; the order of the notes is Linux's as well, for debuggers take those of the first thread for the one that died.

use alloc::vec::Vec;

use arch::context::UserContext;
use arch::time::Nanos;
use linux_raw_sys::elf_uapi as abi;

use super::append;
use super::process::ProcessRecord;
use super::threads::ThreadRecord;
use crate::errno::Result;
use crate::signal::{Signal, SignalInfo};

/// Selectors of user code and data, as Linux's GDT has them.
const CODE_SELECTOR: u64 = 0x33;
const STACK_SELECTOR: u64 = 0x2b;
/// Sizes of `struct elf_prstatus` and `struct elf_prpsinfo`.
const STATUS_SIZE: usize = 336;
const INFORMATION_SIZE: usize = 136;
/// Where the registers are in the former.
const REGISTERS: usize = 112;
/// Bytes of the FXSAVE area, of which software's part starts at 464: debuggers read XCR0 there.
const LEGACY_SIZE: usize = 512;
const SOFTWARE: usize = 464;

/// What the notes are made of.
#[derive(Clone, Copy, Debug)]
pub struct Notes<'a> {
    /// The threads, the one that died first.
    pub threads: &'a [ThreadRecord],
    /// The process.
    pub process: &'a ProcessRecord,
    /// Why it ends.
    pub signal: Signal,
    /// The signal's information.
    pub info: &'a SignalInfo,
    /// The auxiliary vector.
    pub auxiliary: &'a [[u64; 2]],
    /// The content of `NT_FILE`, unless it is left out.
    pub files: Option<&'a [u8]>,
    /// The components that an XSAVE image can hold (XCR0).
    pub features: u64,
}

impl Notes<'_> {
    /// All notes, one after the other.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn to_bytes(self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (index, thread) in self.threads.iter().enumerate() {
            core_note(&mut out, abi::NT_PRSTATUS, &self.status(thread))?;
            if index == 0 {
                self.process_notes(&mut out)?;
            }
            let legacy = thread.extended.len().min(LEGACY_SIZE);
            core_note(&mut out, abi::NT_PRFPREG, &thread.extended[..legacy])?;
            if thread.extended.len() > LEGACY_SIZE {
                let image = self.extended(thread)?;
                note(&mut out, b"LINUX\0", abi::NT_X86_XSTATE, &image)?;
            }
        }
        Ok(out)
    }

    fn process_notes(&self, out: &mut Vec<u8>) -> Result<()> {
        core_note(out, abi::NT_PRPSINFO, &self.information())?;
        core_note(out, abi::NT_SIGINFO, &self.info.to_bytes())?;
        let mut auxiliary = Vec::new();
        for word in self.auxiliary.as_flattened() {
            append(&mut auxiliary, &word.to_ne_bytes())?;
        }
        core_note(out, abi::NT_AUXV, &auxiliary)?;
        self.files.map_or(Ok(()), |files| core_note(out, abi::NT_FILE, files))
    }

    /// `struct elf_prstatus`.
    fn status(&self, thread: &ThreadRecord) -> [u8; STATUS_SIZE] {
        let mut bytes = [0; STATUS_SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let signal = self.signal.number();
        put(0, &u32::from(signal).to_ne_bytes());
        put(12, &u16::from(signal).to_ne_bytes());
        put(16, &thread.pending.to_ne_bytes());
        put(24, &thread.blocked.to_ne_bytes());
        let process = self.process;
        put(32, &thread.tid.to_ne_bytes());
        put(36, &process.parent.to_ne_bytes());
        put(40, &process.group.to_ne_bytes());
        put(44, &process.session.to_ne_bytes());
        // The first thread stands for the whole process, as in getrusage(2).
        let is_leader = thread.tid == process.pid;
        let own = if is_leader { process.times } else { [thread.user, thread.system] };
        let times = own.into_iter().chain(process.children_times);
        for (index, time) in times.enumerate() {
            put(48 + index * 16, &time_value(time));
        }
        for (index, register) in registers(thread).into_iter().enumerate() {
            put(REGISTERS + index * 8, &register.to_ne_bytes());
        }
        // pr_fpvalid
        put(REGISTERS + 27 * 8, &1_u32.to_ne_bytes());
        bytes
    }

    /// `struct elf_prpsinfo`.
    fn information(&self) -> [u8; INFORMATION_SIZE] {
        let process = self.process;
        let mut bytes = [0; INFORMATION_SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        // pr_state and pr_sname: it is running, for it writes its core file itself.
        put(0, &[0, b'R', 0, process.nice as u8]);
        put(16, &process.user.to_ne_bytes());
        put(20, &process.user_group.to_ne_bytes());
        put(24, &process.pid.to_ne_bytes());
        put(28, &process.parent.to_ne_bytes());
        put(32, &process.group.to_ne_bytes());
        put(36, &process.session.to_ne_bytes());
        put(40, &process.name);
        put(56, &process.arguments);
        bytes
    }

    /// The XSAVE image, with XCR0 in software's part.
    fn extended(&self, thread: &ThreadRecord) -> Result<Vec<u8>> {
        let mut image = Vec::new();
        append(&mut image, &thread.extended)?;
        image[SOFTWARE..LEGACY_SIZE].fill(0);
        image[SOFTWARE..SOFTWARE + 8].copy_from_slice(&self.features.to_ne_bytes());
        Ok(image)
    }
}

/// `struct timeval`.
fn time_value(time: Nanos) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(time.0 / 1_000_000_000).to_ne_bytes());
    bytes[8..].copy_from_slice(&(time.0 % 1_000_000_000 / 1000).to_ne_bytes());
    bytes
}

/// `struct user_regs_struct`.
fn registers(thread: &ThreadRecord) -> [u64; 27] {
    let c: &UserContext = &thread.context;
    [
        c.r15,
        c.r14,
        c.r13,
        c.r12,
        c.rbp,
        c.rbx,
        c.r11,
        c.r10,
        c.r9,
        c.r8,
        c.rax,
        c.rcx,
        c.rdx,
        c.rsi,
        c.rdi,
        thread.system_call,
        c.rip,
        CODE_SELECTOR,
        c.rflags,
        c.rsp,
        STACK_SELECTOR,
        thread.bases.fs,
        thread.bases.gs,
        0,
        0,
        0,
        0,
    ]
}

fn core_note(out: &mut Vec<u8>, kind: u32, content: &[u8]) -> Result<()> {
    note(out, b"CORE\0", kind, content)
}

/// One note: sizes, kind, name and content, each padded to four bytes (System V ABI, chapter 5).
fn note(out: &mut Vec<u8>, name: &[u8], kind: u32, content: &[u8]) -> Result<()> {
    for word in [name.len() as u32, content.len() as u32, kind] {
        append(out, &word.to_ne_bytes())?;
    }
    for part in [name, content] {
        append(out, part)?;
        let padding = part.len().next_multiple_of(4) - part.len();
        append(out, &[0; 4][..padding])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arch::context::SegmentBases;

    use super::*;

    fn thread(tid: u32) -> ThreadRecord {
        ThreadRecord {
            tid,
            context: UserContext { rip: 0x40_1000, rsp: 0x7000, ..Default::default() },
            bases: SegmentBases { fs: 5, gs: 0 },
            system_call: u64::MAX,
            extended: vec![0; 832],
            pending: 2,
            blocked: 4,
            user: Nanos(1_500_000_000),
            system: Nanos(0),
        }
    }

    /// The notes of a file: owner, kind, content.
    fn parse(mut bytes: &[u8]) -> Vec<(Vec<u8>, u32, Vec<u8>)> {
        let mut notes = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| {
                u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
            };
            let (name, content, kind) = (word(0), word(4), word(8) as u32);
            let start = 12 + name.next_multiple_of(4);
            let end = start + content;
            notes.push((bytes[12..12 + name].to_vec(), kind, bytes[start..end].to_vec()));
            bytes = &bytes[end.next_multiple_of(4)..];
        }
        notes
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    #[test]
    fn each_thread_has_its_notes_and_the_first_those_of_the_process() {
        let threads = [thread(7), thread(9)];
        let process = ProcessRecord { pid: 7, ..ProcessRecord::default() };
        let notes = Notes {
            threads: &threads,
            process: &process,
            signal: Signal::SIGSEGV,
            info: &SignalInfo::kernel(Signal::SIGSEGV),
            auxiliary: &[[6, 4096], [0, 0]],
            files: Some(&[1; 17]),
            features: 7,
        };
        let found = parse(&notes.to_bytes().expect("memory"));
        let kinds: Vec<u32> = found.iter().map(|note| note.1).collect();
        let expected = [1, 3, 0x5349_4749, 6, 0x4649_4c45, 2, 0x202, 1, 2, 0x202];
        assert_eq!(kinds, expected);
        let lengths: Vec<usize> = found.iter().map(|note| note.2.len()).collect();
        assert_eq!(lengths, [336, 136, 128, 32, 17, 512, 832, 336, 512, 832]);
        assert_eq!(found[6].0, b"LINUX\0");
        assert_eq!(u64_at(&found[6].2, 464), 7, "XCR0");
        let status = &found[7].2;
        assert_eq!(status[32], 9, "the second thread's id");
        assert_eq!(u64_at(status, 112 + 16 * 8), 0x40_1000);
        assert_eq!(u64_at(status, 112 + 19 * 8), 0x7000);
        assert_eq!((u64_at(status, 48), u64_at(status, 56)), (1, 500_000));
        let without = Notes { files: None, ..notes };
        assert!(
            parse(&without.to_bytes().expect("memory")).iter().all(|note| note.1 != 0x4649_4c45)
        );
    }
}
