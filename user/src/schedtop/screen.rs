//! The terminal: [`Screen`] takes it over and puts it back when dropped.

use std::io::{self, IsTerminal, Write, stdin, stdout};
use std::time::{Duration, Instant};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};

use crate::sys;

/// How often the size is looked at, and how quickly a change of it is drawn.
const GLANCE: Duration = Duration::from_millis(200);
/// The size of a terminal that does not tell.
const USUAL: (usize, usize) = (24, 80);
/// Ctrl-C, which arrives as a key.
const INTERRUPT: u8 = 3;

/// The terminal, without echo and line editing, showing its other page.
pub struct Screen {
    before: Termios,
}

impl Screen {
    /// Takes the terminal over. `None` if input and output are none.
    #[must_use]
    pub fn take() -> Option<Self> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(stdin(), SetArg::TCSANOW, &raw).ok()?;
        let screen = Self { before };
        // The other page, without a cursor.
        screen.write("\x1b[?1049h\x1b[?25l\x1b[2J").ok()?;
        Some(screen)
    }

    /// Rows and columns, as they are now.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        let asked = sys!(SYS_ioctl, libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
        match (asked, size.ws_row, size.ws_col) {
            (Ok(_), rows @ 1.., columns @ 1..) => (rows.into(), columns.into()),
            _ => USUAL,
        }
    }

    /// Draws `lines` from the top, over what is there.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        self.write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut output = stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()
    }

    /// Waits until `deadline`, a key, or another size. Says whether the key, or the end of input, means the end.
    #[must_use]
    pub fn wait_for_quit(&self, deadline: Instant) -> bool {
        let size = self.size();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut wanted =
                libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
            let ready = sys!(SYS_poll, &mut wanted, 1, left.min(GLANCE).as_millis() as u64);
            if matches!(ready, Ok(1..)) {
                let mut key = [0_u8];
                let count = sys!(SYS_read, libc::STDIN_FILENO, &mut key[..], 1);
                return !matches!(count, Ok(1)) || matches!(key[0], b'q' | b'Q' | INTERRUPT);
            }
            if left.is_zero() || self.size() != size {
                return false;
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no repair.
        let _ = self.write("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.before);
    }
}
