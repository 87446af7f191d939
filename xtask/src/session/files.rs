//! Steps: data through a pipe, and an editor on the terminal.

use anyhow::ensure;
use sha2::{Digest, Sha256};

use super::basics::expect;
use super::shell::Shell;

/// The line that is repeated to make up the data; its 16 bytes divide the size.
const LINE: &str = "0123456789abcde\n";
/// How much data goes through the pipe.
const SIZE: usize = 64 << 20;
/// The Escape key.
const ESCAPE: &str = "\x1b";

/// Data through two pipes must have the digest that the host computes.
pub fn digest_through_pipe(shell: &mut Shell) -> anyhow::Result<()> {
    let command = format!(
        "yes {} | dd bs=64k count={} iflag=fullblock 2>/dev/null | sha256sum",
        LINE.trim_end(),
        SIZE >> 16
    );
    let printed = shell.succeed(&command)?;
    let expected = host_digest();
    ensure!(printed.contains(&expected), "the digest is {printed:?} instead of {expected}");
    let zeros = "dd if=/dev/zero bs=1M count=64 2>/dev/null | wc -c";
    expect(shell, zeros, &SIZE.to_string())
}

/// The digest of the same data, computed here.
fn host_digest() -> String {
    let mut digest = Sha256::new();
    let block = LINE.repeat(4096);
    for _ in 0..SIZE / block.len() {
        digest.update(&block);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `vi` must show what is typed and save it; a second visit changes the file.
pub fn edit_with_vi(shell: &mut Shell) -> anyhow::Result<()> {
    shell.ask("rm -f /tmp/note")?;
    visit(shell, "ihello from vi", "hello from vi")?;
    expect(shell, "cat /tmp/note", "hello from vi")?;
    visit(shell, "A, again", "hello from vi, again")?;
    expect(shell, "cat /tmp/note", "hello from vi, again")?;
    expect(shell, "wc -l </tmp/note", "1")
}

/// Opens the file, presses keys, waits until the screen shows their effect, saves and leaves.
fn visit(shell: &mut Shell, keys: &str, shown: &str) -> anyhow::Result<()> {
    shell.type_line("vi /tmp/note")?;
    // The status line, which vi draws when it is ready for keys.
    shell.wait_for("/tmp/note ")?;
    shell.press(keys)?;
    // vi may draw between any two keys, so no word need appear in one piece; but the cursor comes to
    // stand behind the last letter only when everything before it is drawn.
    shell.wait_for(&cursor_at(1, shown.len() + 1))?;
    shell.press(ESCAPE)?;
    // Escape alone ends the typing; with a key close behind it would be taken for a function key.
    shell.wait_for("- /tmp/note [Modified]")?;
    shell.type_line(":wq")?;
    shell.until_prompt().map(drop)
}

/// What places the terminal's cursor; both are counted from 1 (ECMA-48, CUP).
fn cursor_at(row: usize, column: usize) -> String {
    format!("{ESCAPE}[{row};{column}H")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_drawn_in_two_pieces_ends_with_the_cursor_behind_it() {
        let drawn = ", agai\x1b[1;20H\x1b[1;20Hn\x1b[1;21H";
        assert!(drawn.ends_with(&cursor_at(1, "hello from vi, again".len() + 1)));
        assert!(!drawn.contains("again"));
    }

    #[test]
    fn the_blocks_make_up_the_size() {
        assert_eq!(SIZE % (LINE.len() * 4096), 0);
        assert_eq!(host_digest().len(), 64);
    }
}
