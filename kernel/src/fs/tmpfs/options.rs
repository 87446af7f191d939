//! The mount options of tmpfs: `size`, `nr_blocks`, `nr_inodes`, `mode`, `uid`, `gid` (tmpfs(5)).

use arch::sync::atomic::{AtomicU64, Ordering};

use super::BLOCK_SIZE;
use crate::errno::{Errno, Result};

/// Frames of the machine, set once at boot; zero means that there is no default limit.
static MACHINE_FRAMES: AtomicU64 = AtomicU64::new(0);

/// Tells tmpfs how many frames the machine has: instances may use half of them by default.
pub fn set_machine_frames(frames: u64) {
    // Set before the first mount; it orders nothing else.
    MACHINE_FRAMES.store(frames, Ordering::Relaxed);
}

fn machine_frames() -> u64 {
    MACHINE_FRAMES.load(Ordering::Relaxed)
}

/// What an instance is configured to. `None` for a limit means half of what the machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The most blocks; zero for no limit.
    pub blocks: Option<u64>,
    /// The most inodes; zero for no limit.
    pub inodes: Option<u64>,
    /// The permission bits of the root directory.
    pub mode: u16,
    /// The owner of the root directory.
    pub user: u32,
    /// The group of the root directory.
    pub group: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { blocks: None, inodes: None, mode: 0o1777, user: 0, group: 0 }
    }
}

impl Options {
    /// The options in `text`, separated by commas.
    ///
    /// # Errors
    /// `EINVAL` for one that is unknown or malformed.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        for option in text.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
            let mut halves = option.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default();
            let value = halves.next().ok_or(Errno::EINVAL);
            match name {
                b"size" => {
                    let bytes = parse_size(value?)?;
                    options.blocks = Some(bytes.div_ceil(BLOCK_SIZE));
                }
                b"nr_blocks" => options.blocks = Some(parse_size(value?)?),
                b"nr_inodes" => options.inodes = Some(parse_size(value?)?),
                b"mode" => {
                    options.mode = (parse_number(value?, 8)? & 0o7777) as u16;
                }
                b"uid" => options.user = parse_id(value?)?,
                b"gid" => options.group = parse_id(value?)?,
                // Hints about huge pages and swap change nothing that a program could see.
                b"huge" | b"mpol" | b"noswap" | b"inode32" | b"inode64" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// The limit on blocks in force.
    #[must_use]
    pub fn block_limit(&self) -> u64 {
        self.blocks.unwrap_or_else(|| machine_frames() / 2)
    }

    /// The limit on inodes in force.
    #[must_use]
    pub fn inode_limit(&self) -> u64 {
        self.inodes.unwrap_or_else(|| machine_frames() / 2)
    }
}

/// A number with an optional suffix: `k`, `m`, `g`, or `%` of the machine's memory.
fn parse_size(text: &[u8]) -> Result<u64> {
    let (digits, unit) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        [digits @ .., b'g' | b'G'] => (digits, 1 << 30),
        [digits @ .., b'%'] => {
            let percent = parse_number(digits, 10)?;
            let total = machine_frames() * BLOCK_SIZE;
            return (total / 100).checked_mul(percent).ok_or(Errno::EINVAL);
        }
        digits => (digits, 1),
    };
    parse_number(digits, 10)?.checked_mul(unit).ok_or(Errno::EINVAL)
}

fn parse_id(text: &[u8]) -> Result<u32> {
    u32::try_from(parse_number(text, 10)?).map_err(|_| Errno::EINVAL)
}

fn parse_number(text: &[u8], radix: u32) -> Result<u64> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    u64::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed() {
        let options = Options::parse(b"size=8k,mode=755,nr_inodes=10,uid=5,gid=6").expect("valid");
        assert_eq!(options.blocks, Some(2));
        assert_eq!(options.inodes, Some(10));
        assert_eq!((options.mode, options.user, options.group), (0o755, 5, 6));
        assert_eq!(Options::parse(b"").expect("empty"), Options::default());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            [&b"size=x"[..], b"size", b"colour=red", b"size=99999999999999999999", b"mode=9"]
        {
            assert_eq!(Options::parse(text), Err(Errno::EINVAL));
        }
    }
}
