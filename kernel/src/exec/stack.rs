//! The first bytes of a new program's stack: strings, auxiliary vector, environment and argument pointers.
//!
//! Pure: it lays the bytes out for an address; the loader writes them there. From high to low, as on Linux
//! (System V ABI, AMD64 supplement, 3.4.1): a null word, the path that was executed, environment strings, argument
//! strings, the platform string, 16 random bytes, alignment, auxiliary vector, `envp`, `argv`, `argc`.

use alloc::vec::Vec;

use linux_raw_sys::auxvec::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_HWCAP2, AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM,
    AT_RANDOM, AT_SECURE, AT_UID,
};

use crate::errno::{Errno, Result};

/// What `AT_PLATFORM` points at.
const PLATFORM: &[u8] = b"x86_64\0";
/// `AT_CLKTCK`: the unit of times(2), in ticks a second.
const CLOCK_TICKS: u64 = 100;

/// Entries of the auxiliary vector, the terminator included.
const AUXILIARY_ENTRIES: usize = 20;

/// A list of strings as execve(2) takes it: each ends with NUL, one after the other.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Strings {
    /// The strings, each with its NUL.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: usize,
}

impl Strings {
    /// Adds `text`, which holds no NUL, at the end.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn push(&mut self, text: &[u8]) -> Result<()> {
        self.bytes.try_reserve(text.len() + 1).map_err(|_| Errno::ENOMEM)?;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.count += 1;
        Ok(())
    }

    /// Adds the strings of `other` but its first.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn append_after_first(&mut self, other: &Self) -> Result<()> {
        let Some(first_end) = other.bytes.iter().position(|&byte| byte == 0) else { return Ok(()) };
        let rest = &other.bytes[first_end + 1..];
        self.bytes.try_reserve(rest.len()).map_err(|_| Errno::ENOMEM)?;
        self.bytes.extend_from_slice(rest);
        self.count += other.count - 1;
        Ok(())
    }

    /// Offsets of the strings in `bytes`.
    fn offsets(&self) -> impl Iterator<Item = usize> {
        let ends = self.bytes.iter().enumerate().filter(|(_, byte)| **byte == 0);
        core::iter::once(0).chain(ends.map(|(end, _)| end + 1)).take(self.count)
    }
}

/// What the auxiliary vector says about image, user and machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Auxiliary {
    /// Address of the program headers.
    pub headers: u64,
    /// Number of program headers.
    pub header_count: u64,
    /// Where the interpreter was loaded; 0 without one.
    pub interpreter_base: u64,
    /// Entry point of the program itself.
    pub entry: u64,
    /// Real and effective user id, real and effective group id.
    pub ids: [u32; 4],
    /// Whether the program runs with more rights than its caller.
    pub secure: bool,
    /// CPUID leaf 1, EDX.
    pub hwcap: u64,
    /// Bit 1: user mode may use FSGSBASE.
    pub hwcap2: u64,
    /// Bytes that a signal frame may take.
    pub minimum_signal_stack: u64,
    /// Randomness for the C library.
    pub random: [u8; 16],
}

/// The bytes of the initial stack, and where they go.
#[derive(Debug)]
pub struct Image {
    /// Where `bytes` starts: the initial stack pointer, a multiple of 16.
    pub start: u64,
    /// The bytes from `start` to the top.
    pub bytes: Vec<u8>,
    /// Address of the argument strings, with their length.
    pub arguments: (u64, usize),
    /// Address of the environment strings, with their length.
    pub environment: (u64, usize),
    /// The auxiliary vector.
    pub auxiliary: [[u64; 2]; AUXILIARY_ENTRIES],
}

/// Lays out the stack that ends at `top` (a multiple of 16).
///
/// # Errors
/// `ENOMEM`; `E2BIG` if it does not fit below `top`.
pub fn lay_out(
    top: u64,
    path: &[u8],
    arguments: &Strings,
    environment: &Strings,
    auxiliary: &Auxiliary,
) -> Result<Image> {
    let path_at = top - 8 - (path.len() as u64 + 1);
    let environment_at = path_at - environment.bytes.len() as u64;
    let arguments_at = environment_at - arguments.bytes.len() as u64;
    let platform_at = arguments_at - PLATFORM.len() as u64;
    let random_at = (platform_at - auxiliary.random.len() as u64) & !15;
    let vector = vector(auxiliary, platform_at, random_at, path_at);
    let words = 1 + arguments.count + 1 + environment.count + 1 + 2 * vector.len();
    let start = random_at.checked_sub(8 * words as u64).ok_or(Errno::E2BIG)? & !15;

    let mut bytes = Vec::new();
    bytes.try_reserve_exact((top - start) as usize).map_err(|_| Errno::ENOMEM)?;
    let mut word = |value: u64| bytes.extend_from_slice(&value.to_le_bytes());
    word(arguments.count as u64);
    arguments.offsets().for_each(|offset| word(arguments_at + offset as u64));
    word(0);
    environment.offsets().for_each(|offset| word(environment_at + offset as u64));
    word(0);
    for (kind, value) in vector {
        word(u64::from(kind));
        word(value);
    }
    let mut place = |at: u64, text: &[u8]| {
        bytes.resize((at - start) as usize, 0);
        bytes.extend_from_slice(text);
    };
    place(random_at, &auxiliary.random);
    place(platform_at, PLATFORM);
    place(arguments_at, &arguments.bytes);
    place(environment_at, &environment.bytes);
    place(path_at, path);
    place(top, &[]);
    Ok(Image {
        start,
        bytes,
        arguments: (arguments_at, arguments.bytes.len()),
        environment: (environment_at, environment.bytes.len()),
        auxiliary: vector.map(|(kind, value)| [u64::from(kind), value]),
    })
}

fn vector(
    auxiliary: &Auxiliary,
    platform: u64,
    random: u64,
    path: u64,
) -> [(u32, u64); AUXILIARY_ENTRIES] {
    let [uid, euid, gid, egid] = auxiliary.ids.map(u64::from);
    [
        (AT_MINSIGSTKSZ, auxiliary.minimum_signal_stack),
        (AT_HWCAP, auxiliary.hwcap),
        (AT_PAGESZ, arch::addr::PAGE_SIZE as u64),
        (AT_CLKTCK, CLOCK_TICKS),
        (AT_PHDR, auxiliary.headers),
        (AT_PHENT, goblin::elf64::program_header::SIZEOF_PHDR as u64),
        (AT_PHNUM, auxiliary.header_count),
        (AT_BASE, auxiliary.interpreter_base),
        (AT_FLAGS, 0),
        (AT_ENTRY, auxiliary.entry),
        (AT_UID, uid),
        (AT_EUID, euid),
        (AT_GID, gid),
        (AT_EGID, egid),
        (AT_SECURE, u64::from(auxiliary.secure)),
        (AT_RANDOM, random),
        (AT_HWCAP2, auxiliary.hwcap2),
        (AT_EXECFN, path),
        (AT_PLATFORM, platform),
        (AT_NULL, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u64 = 0x7fff_0000_0000;

    fn strings(list: &[&str]) -> Strings {
        let mut strings = Strings::default();
        list.iter().for_each(|text| strings.push(text.as_bytes()).expect("memory"));
        strings
    }

    fn word(image: &Image, address: u64) -> u64 {
        let at = (address - image.start) as usize;
        u64::from_le_bytes(image.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn text(image: &Image, address: u64) -> &str {
        let rest = &image.bytes[(address - image.start) as usize..];
        let end = rest.iter().position(|&byte| byte == 0).expect("a NUL");
        core::str::from_utf8(&rest[..end]).expect("text")
    }

    #[test]
    fn pointers_lead_to_their_strings() {
        let auxiliary = Auxiliary { entry: 0x401000, random: [7; 16], ..Auxiliary::default() };
        for environment in [&["A=1", "", "B=2"][..], &[]] {
            let image =
                lay_out(TOP, b"/bin/x", &strings(&["x", "y z"]), &strings(environment), &auxiliary)
                    .expect("it fits");
            assert_eq!(image.start % 16, 0);
            assert_eq!(image.start + image.bytes.len() as u64, TOP);
            assert_eq!(word(&image, image.start), 2);
            assert_eq!(text(&image, word(&image, image.start + 8)), "x");
            assert_eq!(text(&image, word(&image, image.start + 16)), "y z");
            assert_eq!(word(&image, image.start + 24), 0);
            let mut at = image.start + 32;
            for expected in environment {
                assert_eq!(text(&image, word(&image, at)), *expected);
                at += 8;
            }
            assert_eq!(word(&image, at), 0);
        }
    }

    #[test]
    fn the_auxiliary_vector_ends_with_null_and_names_the_path() {
        let auxiliary = Auxiliary { entry: 0x401000, random: [7; 16], ..Auxiliary::default() };
        let image =
            lay_out(TOP, b"/bin/x", &strings(&[]), &strings(&[]), &auxiliary).expect("it fits");
        let mut at = image.start + 24;
        let mut seen = Vec::new();
        loop {
            let (kind, value) = (word(&image, at) as u32, word(&image, at + 8));
            seen.push(kind);
            match kind {
                AT_NULL => break,
                AT_EXECFN => assert_eq!(text(&image, value), "/bin/x"),
                AT_PLATFORM => assert_eq!(text(&image, value), "x86_64"),
                AT_ENTRY => assert_eq!(value, 0x401000),
                AT_RANDOM => {
                    let start = (value - image.start) as usize;
                    assert_eq!(image.bytes[start..start + 16], [7; 16]);
                }
                _ => {}
            }
            at += 16;
        }
        assert_eq!(seen.len(), 20);
    }
}
