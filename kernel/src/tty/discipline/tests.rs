//! What a person types, what shows on the screen, and what a program reads.

use proptest::prelude::*;

use super::*;
use crate::tty::termios::OutputFlags;

/// A discipline with its parameters and screen.
struct Line {
    discipline: Discipline,
    output: Output,
    termios: Termios,
}

impl Line {
    fn new() -> Self {
        Self {
            discipline: Discipline::new().expect("memory"),
            output: Output::new().expect("memory"),
            termios: Termios::console(),
        }
    }

    fn with(change: impl FnOnce(&mut Termios)) -> Self {
        let mut line = Self::new();
        change(&mut line.termios);
        line
    }

    fn raw() -> Self {
        Self::with(|termios| {
            termios.local = LocalFlags::empty();
            termios.input = InputFlags::empty();
        })
    }

    /// Receives `bytes` and merges the reactions.
    fn receive(&mut self, bytes: &[u8]) -> Reaction {
        let mut all = Reaction::default();
        for &byte in bytes {
            let one = self.discipline.receive(byte, &self.termios, &mut self.output);
            all.signal = one.signal.or(all.signal);
            all.stop_output = one.stop_output.or(all.stop_output);
            all.output_flushed |= one.output_flushed;
            all.readable |= one.readable;
        }
        all
    }

    /// Takes what is on its way to the screen.
    fn screen(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.output.pending()];
        let count = self.output.queue().pop_slice(&mut bytes);
        assert_eq!(count, bytes.len());
        bytes
    }

    fn typed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let _reaction = self.receive(bytes);
        self.screen()
    }

    fn read(&mut self, size: usize) -> Vec<u8> {
        let mut buffer = vec![0; size];
        let queue = self.discipline.input_mut();
        let count = if self.termios.canonical() {
            queue.take_line(&mut buffer).count
        } else {
            queue.take_raw(&mut buffer)
        };
        buffer.truncate(count);
        buffer
    }
}

#[test]
fn a_line_is_readable_when_it_is_complete_and_not_before() {
    let mut line = Line::new();
    assert!(!line.receive(b"ls -l").readable);
    assert!(!line.discipline.input().has_line());
    assert!(line.receive(b"\r").readable);
    assert_eq!(line.screen(), b"ls -l\r\n");
    assert_eq!(line.read(100), b"ls -l\n");
    assert!(!line.discipline.input().has_line());
}

#[test]
fn one_read_takes_one_line_at_most_and_a_short_buffer_takes_a_part() {
    let mut line = Line::new();
    let _reaction = line.receive(b"one\ntwo\n");
    assert_eq!(line.discipline.input().readable(true), 8);
    assert_eq!(line.read(2), b"on");
    assert_eq!(line.read(100), b"e\n");
    assert_eq!(line.read(100), b"two\n");
}

#[test]
fn end_of_file_ends_a_line_and_alone_reads_as_nothing() {
    let mut line = Line::new();
    let _reaction = line.receive(b"ab\x04\x04");
    assert_eq!(line.discipline.input().readable(true), 2);
    assert_eq!(line.read(100), b"ab");
    assert!(line.discipline.input().has_line());
    assert_eq!(line.read(100), b"");
    assert!(!line.discipline.input().has_line());
    assert_eq!(line.screen(), b"ab");
}

#[test]
fn a_buffer_that_is_exactly_full_swallows_the_end_of_file_after_it() {
    let mut line = Line::new();
    let _reaction = line.receive(b"ab\x04");
    assert_eq!(line.read(2), b"ab");
    assert!(!line.discipline.input().has_line());
}

#[test]
fn erase_takes_back_a_character_and_its_column() {
    let mut line = Line::new();
    assert_eq!(line.typed(b"ab\x7fc\n"), b"ab\x08 \x08c\r\n");
    assert_eq!(line.read(100), b"ac\n");
}

#[test]
fn erase_stops_at_the_start_of_the_line() {
    let mut line = Line::new();
    let _reaction = line.receive(b"done\n");
    line.screen();
    assert_eq!(line.typed(b"\x7f\x7fx\n"), b"x\r\n");
    assert_eq!(line.read(100), b"done\n");
    assert_eq!(line.read(100), b"x\n");
}

#[test]
fn erase_removes_both_columns_of_a_control_character() {
    let mut line = Line::new();
    assert_eq!(line.typed(b"\x01\x7f"), b"^A\x08 \x08\x08 \x08");
}

#[test]
fn erase_removes_a_whole_character_of_utf8() {
    let mut line = Line::with(|termios| termios.input |= InputFlags::IUTF8);
    assert_eq!(line.typed("e€".as_bytes()), "e€".as_bytes());
    assert_eq!(line.typed(b"\x7f\n"), b"\x08 \x08\r\n");
    assert_eq!(line.read(100), b"e\n");
}

#[test]
fn erasing_a_tab_goes_back_to_where_it_began() {
    let mut line = Line::new();
    line.output.write(b"$ ", &line.termios);
    line.screen();
    assert_eq!(line.typed(b"ab\t\x7f"), b"ab\t\x08\x08\x08\x08");
    // The tab after a tab is a whole tab stop wide.
    assert_eq!(line.typed(b"\t\t\x7f"), b"\t\t\x08\x08\x08\x08\x08\x08\x08\x08");
}

#[test]
fn word_erase_takes_blanks_and_then_a_word() {
    let mut line = Line::new();
    line.typed(b"cp a_1 b2  ");
    assert_eq!(line.typed(b"\x17"), b"\x08 \x08".repeat(4));
    let _reaction = line.receive(b"\x17\n");
    assert_eq!(line.read(100), b"cp \n");
}

#[test]
fn kill_erases_the_line_visibly() {
    let mut line = Line::new();
    line.typed(b"abc");
    assert_eq!(line.typed(b"\x15"), b"\x08 \x08".repeat(3));
    let _reaction = line.receive(b"x\n");
    assert_eq!(line.read(100), b"x\n");
}

#[test]
fn kill_without_visual_erase_shows_the_character_and_a_newline() {
    let mut line = Line::with(|termios| termios.local -= LocalFlags::ECHOKE);
    assert_eq!(line.typed(b"abc\x15"), b"abc^U\r\n");
}

#[test]
fn erase_on_a_printing_terminal_prints_between_slashes() {
    let mut line = Line::with(|termios| termios.local |= LocalFlags::ECHOPRT);
    assert_eq!(line.typed(b"abc\x7f\x7fx"), b"abc\\cb/x");
}

#[test]
fn literal_next_protects_one_character() {
    let mut line = Line::new();
    let reaction = line.receive(b"\x16\x03\x16\x7f\n");
    assert_eq!(reaction.signal, None);
    assert_eq!(line.screen(), b"^\x08^C^\x08^?\r\n");
    assert_eq!(line.read(100), b"\x03\x7f\n");
}

#[test]
fn reprint_shows_the_line_again() {
    let mut line = Line::new();
    line.typed(b"abc");
    assert_eq!(line.typed(b"\x12"), b"^R\r\nabc");
}

#[test]
fn a_signal_flushes_both_queues_and_is_echoed() {
    let mut line = Line::new();
    line.output.write(b"flood", &line.termios);
    let reaction = line.receive(b"half\x03");
    assert_eq!(reaction.signal, Some(TerminalSignal::Interrupt));
    assert!(reaction.output_flushed);
    assert_eq!(line.screen(), b"^C");
    let _reaction = line.receive(b"\n");
    assert_eq!(line.read(100), b"\n");
    assert_eq!(line.receive(b"\x1c").signal, Some(TerminalSignal::Quit));
    assert_eq!(line.receive(b"\x1a").signal, Some(TerminalSignal::Suspend));
}

#[test]
fn noflsh_keeps_what_was_typed() {
    let mut line = Line::with(|termios| termios.local |= LocalFlags::NOFLSH);
    let reaction = line.receive(b"half\x03\n");
    assert!(!reaction.output_flushed);
    assert_eq!(line.read(100), b"half\n");
}

#[test]
fn signals_are_ordinary_bytes_without_isig() {
    let mut line = Line::with(|termios| termios.local -= LocalFlags::ISIG);
    assert_eq!(line.receive(b"\x03\n").signal, None);
    assert_eq!(line.read(100), b"\x03\n");
}

#[test]
fn stop_and_start_pause_output_and_are_not_read() {
    let mut line = Line::new();
    assert_eq!(line.receive(b"\x13").stop_output, Some(true));
    assert_eq!(line.receive(b"x").stop_output, None);
    assert_eq!(line.receive(b"\x11").stop_output, Some(false));
    let _reaction = line.receive(b"\n");
    assert_eq!(line.read(100), b"x\n");
}

#[test]
fn ixany_resumes_on_any_character_and_keeps_it() {
    let mut line = Line::with(|termios| termios.input |= InputFlags::IXANY);
    let _reaction = line.receive(b"\x13");
    assert_eq!(line.receive(b"x\n").stop_output, Some(false));
    assert_eq!(line.read(100), b"x\n");
}

#[test]
fn clearing_ixon_resumes_output() {
    let mut line = Line::new();
    let _reaction = line.receive(b"\x13");
    let old = line.termios;
    line.termios.input -= InputFlags::IXON;
    let reaction = line.discipline.termios_changed(&old, &line.termios);
    assert_eq!(reaction.stop_output, Some(false));
}

#[test]
fn carriage_returns_and_newlines_are_translated() {
    let flags = [
        (InputFlags::empty(), &b"\r\n"[..]),
        (InputFlags::ICRNL, b"\n\n"),
        (InputFlags::INLCR, b"\r\r"),
        (InputFlags::IGNCR, b"\n"),
        (InputFlags::ICRNL.union(InputFlags::INLCR), b"\n\r"),
    ];
    for (input, expected) in flags {
        let mut line = Line::raw();
        line.termios.input = input;
        let _reaction = line.receive(b"\r\n");
        assert_eq!(line.read(10), expected);
    }
}

#[test]
fn bytes_are_stripped_lowered_and_doubled_on_request() {
    let mut line = Line::raw();
    line.termios.input = InputFlags::ISTRIP | InputFlags::IUCLC;
    line.termios.local = LocalFlags::IEXTEN;
    let _reaction = line.receive(b"A\xe1");
    assert_eq!(line.read(10), b"aa");
    line.termios.input = InputFlags::PARMRK;
    let _reaction = line.receive(b"\xff");
    assert_eq!(line.read(10), b"\xff\xff");
}

#[test]
fn additional_ends_of_line_end_lines_and_are_read() {
    let mut line = Line::with(|termios| {
        termios.characters[Control::Eol as usize] = b';';
        termios.characters[Control::Eol2 as usize] = b'!';
    });
    let _reaction = line.receive(b"a;b!");
    assert_eq!(line.read(100), b"a;");
    assert_eq!(line.read(100), b"b!");
}

#[test]
fn echonl_echoes_newlines_alone() {
    let mut line = Line::with(|termios| {
        termios.local -= LocalFlags::ECHO;
        termios.local |= LocalFlags::ECHONL;
    });
    assert_eq!(line.typed(b"secret\n"), b"\r\n");
    assert_eq!(line.read(100), b"secret\n");
}

#[test]
fn raw_bytes_are_readable_at_once_and_not_echoed() {
    let mut line = Line::raw();
    assert!(line.receive(b"\x03\x04\x7f").readable);
    assert_eq!(line.screen(), b"");
    assert_eq!(line.read(2), b"\x03\x04");
    assert_eq!(line.read(2), b"\x7f");
}

#[test]
fn switching_to_canonical_mode_makes_one_line_of_what_is_queued() {
    let mut line = Line::raw();
    let _reaction = line.receive(b"abc");
    let old = line.termios;
    line.termios = Termios::console();
    let _reaction = line.discipline.termios_changed(&old, &line.termios);
    assert_eq!(line.read(100), b"abc");
    let _reaction = line.receive(b"half");
    let old = line.termios;
    line.termios.local -= LocalFlags::ICANON;
    let _reaction = line.discipline.termios_changed(&old, &line.termios);
    assert_eq!(line.read(100), b"half");
}

#[test]
fn an_overlong_line_keeps_its_beginning_and_its_end() {
    let mut line = Line::new();
    let _reaction = line.receive(&[b'a'; 5000]);
    assert!(line.discipline.can_receive(&line.termios));
    let _reaction = line.receive(b"z\n");
    let read = line.read(10_000);
    assert_eq!(read.len(), 4096);
    assert!(read.ends_with(b"az\n"));
}

#[test]
fn a_queue_full_of_lines_takes_no_more() {
    let mut line = Line::new();
    let mut received = 0;
    while line.discipline.can_receive(&line.termios) {
        let _reaction = line.receive(b"\n");
        received += 1;
    }
    assert_eq!(received, 4095);
}

#[test]
fn output_is_post_processed() {
    let cases: [(OutputFlags, &[u8], &[u8]); 7] = [
        (OutputFlags::empty(), b"a\nb\r\t", b"a\nb\r\t"),
        (OutputFlags::ONLCR, b"a\nb\n", b"a\r\nb\r\n"),
        (OutputFlags::OCRNL, b"a\rb", b"a\nb"),
        (OutputFlags::ONOCR, b"\ra\r\rb", b"a\rb"),
        (OutputFlags::ONLRET.union(OutputFlags::ONOCR), b"a\n\rb", b"a\nb"),
        (OutputFlags::OLCUC, b"aB", b"AB"),
        (OutputFlags::XTABS, b"ab\tc\td", b"ab      c       d"),
    ];
    for (flags, written, expected) in cases {
        let mut line = Line::new();
        line.termios.output = flags | OutputFlags::OPOST;
        assert_eq!(line.output.write(written, &line.termios), written.len());
        assert_eq!(line.screen(), expected, "{flags:?}");
    }
}

#[test]
fn a_flood_of_output_leaves_room_for_echo() {
    let mut line = Line::new();
    let flood = vec![b'x'; 100_000];
    let taken = line.output.write(&flood, &line.termios);
    assert!(taken < flood.len());
    assert_eq!(line.output.write(b"y", &line.termios), 0);
    let before = line.output.pending();
    let _reaction = line.receive(b"ls");
    assert_eq!(line.output.pending(), before + 2);
}

/// What canonical editing should leave of `typed`, computed without a queue.
fn edited(typed: &[u8]) -> Vec<Vec<u8>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for &byte in typed {
        match byte {
            0x7f => drop(line.pop()),
            0x15 => line.clear(),
            b'\n' => {
                line.push(byte);
                lines.push(core::mem::take(&mut line));
            }
            _ => line.push(byte),
        }
    }
    lines
}

proptest! {
    #[test]
    fn lines_are_read_as_they_were_edited(
        typed in prop::collection::vec(
            prop_oneof![6 => b'a'..=b'z', 2 => Just(0x7f), 1 => Just(0x15), 2 => Just(b'\n')],
            0..400,
        ),
        size in 1usize..20,
    ) {
        let mut line = Line::new();
        let _reaction = line.receive(&typed);
        for expected in edited(&typed) {
            let mut read = Vec::new();
            while !read.ends_with(b"\n") {
                let part = line.read(size);
                prop_assert!(!part.is_empty());
                read.extend(part);
            }
            prop_assert_eq!(read, expected);
        }
        prop_assert!(!line.discipline.input().has_line());
    }

    #[test]
    fn any_bytes_under_any_flags_break_nothing(
        steps in prop::collection::vec((any::<u8>(), 0u8..40), 0..600),
        input: u32, local: u32, output: u32,
    ) {
        let mut line = Line::new();
        for (byte, action) in steps {
            match action {
                0 => {
                    let old = line.termios;
                    line.termios.local = LocalFlags::from_bits_retain(local.rotate_left(u32::from(byte)));
                    line.termios.input = InputFlags::from_bits_retain(input.rotate_left(u32::from(byte)));
                    line.termios.output = OutputFlags::from_bits_retain(output.rotate_left(u32::from(byte)));
                    let _reaction = line.discipline.termios_changed(&old, &line.termios);
                }
                1 => drop(line.read(usize::from(byte))),
                2 => drop(line.screen()),
                _ => drop(line.receive(&[byte])),
            }
            let queue = line.discipline.input();
            prop_assert!(queue.readable(false) >= queue.readable(true));
        }
    }

    #[test]
    fn raw_input_is_a_pipe(bytes in prop::collection::vec(any::<u8>(), 0..3000), size in 1usize..64) {
        let mut line = Line::raw();
        let mut read = Vec::new();
        for chunk in bytes.chunks(50) {
            let _reaction = line.receive(chunk);
            read.extend(line.read(size));
        }
        loop {
            let part = line.read(size);
            if part.is_empty() {
                break;
            }
            read.extend(part);
        }
        prop_assert_eq!(read, bytes);
    }
}
