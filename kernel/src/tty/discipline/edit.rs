//! Erasing in canonical mode: ERASE, WERASE and KILL, and what they show on the screen.

use super::output::Origin;
use super::{Control, Discipline, LocalFlags, Output, Termios};
use crate::tty::termios::InputFlags;

/// How much an editing character erases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Erasure {
    /// The last character.
    Character,
    /// The last word and the blanks after it.
    Word,
    /// The line.
    Line,
}

impl Erasure {
    /// The erasure that `byte` asks for, if it does.
    pub(super) fn of(byte: u8, termios: &Termios) -> Option<Self> {
        if termios.is(byte, Control::Erase) {
            Some(Self::Character)
        } else if termios.is(byte, Control::Kill) {
            Some(Self::Line)
        } else if termios.local.contains(LocalFlags::IEXTEN) && termios.is(byte, Control::WordErase)
        {
            Some(Self::Word)
        } else {
            None
        }
    }
}

impl Discipline {
    /// Erases from the end of the line being typed.
    pub(super) fn erase(&mut self, erasure: Erasure, termios: &Termios, output: &mut Output) {
        if !self.input.has_unfinished() {
            return;
        }
        let echo = termios.local.contains(LocalFlags::ECHO);
        let visual_kill = LocalFlags::ECHOK | LocalFlags::ECHOKE | LocalFlags::ECHOE;
        if erasure == Erasure::Line && !(echo && termios.local.contains(visual_kill)) {
            self.kill_without_erasing(echo, termios, output);
            return;
        }
        let mut in_word = false;
        while let Some((first, length)) = self.last_character(termios) {
            if erasure == Erasure::Word {
                if first.is_ascii_alphanumeric() || first == b'_' || first >= 0x80 {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            if echo && termios.local.contains(LocalFlags::ECHOPRT) {
                self.print_erased(length, termios, output);
            }
            self.input.retract(length);
            if echo && !termios.local.contains(LocalFlags::ECHOPRT) {
                self.show_erased(first, erasure, termios, output);
            }
            if erasure == Erasure::Character {
                break;
            }
        }
        if echo && !self.input.has_unfinished() {
            self.finish_erasing(output, termios);
        }
    }

    /// KILL on a terminal that cannot or shall not erase: the character is echoed, perhaps with a newline.
    fn kill_without_erasing(&mut self, echo: bool, termios: &Termios, output: &mut Output) {
        self.input.retract(self.input.len());
        if echo {
            self.finish_erasing(output, termios);
            output.echo(termios.character(Control::Kill), termios);
            if termios.local.contains(LocalFlags::ECHOK) {
                output.echo_raw(b'\n', termios);
            }
        }
    }

    /// The first byte and the length of the last whole character of the line being typed.
    fn last_character(&self, termios: &Termios) -> Option<(u8, usize)> {
        let utf8 = termios.input.contains(InputFlags::IUTF8);
        self.input
            .unfinished()
            .rev()
            .enumerate()
            .find(|&(_, byte)| !(utf8 && is_continuation(byte)))
            .map(|(index, byte)| (byte, index + 1))
    }

    /// ECHOPRT: prints the last `length` bytes, which are about to go, after a `\`.
    fn print_erased(&mut self, length: usize, termios: &Termios, output: &mut Output) {
        if !self.erasing {
            output.echo_raw(b'\\', termios);
            self.erasing = true;
        }
        let typed = self.input.unfinished().count();
        for byte in self.input.unfinished().skip(typed - length) {
            output.echo(byte, termios);
        }
    }

    /// Removes a character that started with `first` from the screen; it has left the queue.
    fn show_erased(&self, first: u8, erasure: Erasure, termios: &Termios, output: &mut Output) {
        let shows_control = termios.local.contains(LocalFlags::ECHOCTL);
        if erasure == Erasure::Character && !termios.local.contains(LocalFlags::ECHOE) {
            output.echo(termios.character(Control::Erase), termios);
        } else if first == b'\t' {
            let (width, after_tab) = self.width_before_tab(termios);
            output.erase_tab(width, after_tab, termios);
        } else if first.is_ascii_control() {
            if shows_control {
                output.erase_column(termios);
                output.erase_column(termios);
            }
        } else {
            output.erase_column(termios);
        }
    }

    /// The width of what stands before an erased tab, back to the tab before it or to the start of the line, and
    /// which of the two it was.
    fn width_before_tab(&self, termios: &Termios) -> (usize, Origin) {
        let mut width = 0;
        for byte in self.input.unfinished().rev() {
            if byte == b'\t' {
                return (width, Origin::TabStop);
            }
            if byte.is_ascii_control() {
                if termios.local.contains(LocalFlags::ECHOCTL) {
                    width += 2;
                }
            } else if !(termios.input.contains(InputFlags::IUTF8) && is_continuation(byte)) {
                width += 1;
            }
        }
        (width, Origin::LineStart)
    }
}

/// Whether `byte` continues a UTF-8 sequence.
pub(super) const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
