//! The parameters of a terminal: `struct termios` in the kernel's own shape.
//!
//! [`Termios`] is converted at the border from and to the layouts of TCGETS (`termios`) and TCGETS2 (`termios2`).
//! Flag bits that the kernel does not act on are kept, so that a program reads back what it wrote.
//! Source: termios(3), `asm-generic/termbits.h`.

use bitflags::bitflags;
use linux_raw_sys::general as abi;

bitflags! {
    /// `c_iflag`: what happens to bytes on their way in.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct InputFlags: u32 {
        /// Mark bytes with errors, and so double a received 0xff.
        const PARMRK = abi::PARMRK;
        /// Strip the eighth bit.
        const ISTRIP = abi::ISTRIP;
        /// NL is received as CR.
        const INLCR = abi::INLCR;
        /// CR is discarded.
        const IGNCR = abi::IGNCR;
        /// CR is received as NL.
        const ICRNL = abi::ICRNL;
        /// Upper case is received as lower case (with IEXTEN).
        const IUCLC = abi::IUCLC;
        /// STOP and START characters pause and resume output.
        const IXON = abi::IXON;
        /// Any character resumes output.
        const IXANY = abi::IXANY;
        /// STOP and START are sent when the input queue fills and drains.
        const IXOFF = abi::IXOFF;
        /// Ring the bell when the input queue is full.
        const IMAXBEL = abi::IMAXBEL;
        /// Input is UTF-8: erase removes whole characters.
        const IUTF8 = abi::IUTF8;
        const _ = !0;
    }

    /// `c_oflag`: what happens to bytes on their way out.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct OutputFlags: u32 {
        /// Process output at all.
        const OPOST = abi::OPOST;
        /// Lower case is sent as upper case.
        const OLCUC = abi::OLCUC;
        /// NL is sent as CR NL.
        const ONLCR = abi::ONLCR;
        /// CR is sent as NL.
        const OCRNL = abi::OCRNL;
        /// No CR at column 0.
        const ONOCR = abi::ONOCR;
        /// NL does what CR does too.
        const ONLRET = abi::ONLRET;
        /// Tabs are sent as spaces when all these bits are set.
        const XTABS = abi::XTABS;
        const _ = !0;
    }

    /// `c_lflag`: line editing, echo and signals.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct LocalFlags: u32 {
        /// INTR, QUIT and SUSP send signals.
        const ISIG = abi::ISIG;
        /// Input is edited, and read by lines.
        const ICANON = abi::ICANON;
        /// Input is echoed.
        const ECHO = abi::ECHO;
        /// ERASE and WERASE erase on the screen.
        const ECHOE = abi::ECHOE;
        /// KILL is echoed with a newline.
        const ECHOK = abi::ECHOK;
        /// NL is echoed even without ECHO.
        const ECHONL = abi::ECHONL;
        /// Signals do not flush the queues.
        const NOFLSH = abi::NOFLSH;
        /// Background processes that write are stopped.
        const TOSTOP = abi::TOSTOP;
        /// Control characters are echoed as `^X`.
        const ECHOCTL = abi::ECHOCTL;
        /// Erased characters are printed between `\` and `/`.
        const ECHOPRT = abi::ECHOPRT;
        /// KILL erases the line on the screen.
        const ECHOKE = abi::ECHOKE;
        /// LNEXT, WERASE, REPRINT and EOL2 work.
        const IEXTEN = abi::IEXTEN;
        const _ = !0;
    }
}

/// An index into [`Termios::characters`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ControlCharacter {
    /// Interrupt: SIGINT.
    Intr = abi::VINTR as u8,
    /// Quit: SIGQUIT.
    Quit = abi::VQUIT as u8,
    /// Erase one character.
    Erase = abi::VERASE as u8,
    /// Erase the line.
    Kill = abi::VKILL as u8,
    /// End of file.
    Eof = abi::VEOF as u8,
    /// Tenths of a second that a raw read waits.
    Time = abi::VTIME as u8,
    /// Bytes that a raw read waits for.
    Min = abi::VMIN as u8,
    /// Resume output.
    Start = abi::VSTART as u8,
    /// Pause output.
    Stop = abi::VSTOP as u8,
    /// Suspend: SIGTSTP.
    Susp = abi::VSUSP as u8,
    /// An additional end of line.
    Eol = abi::VEOL as u8,
    /// Print the line again.
    Reprint = abi::VREPRINT as u8,
    /// Erase a word.
    WordErase = abi::VWERASE as u8,
    /// Take the next character as it is.
    LiteralNext = abi::VLNEXT as u8,
    /// Another additional end of line.
    Eol2 = abi::VEOL2 as u8,
}

/// The number of control characters that the kernel keeps (`NCCS` of the kernel's ABI).
const CHARACTERS: usize = 19;

/// The value that turns a control character off (`_POSIX_VDISABLE`).
pub const DISABLED: u8 = 0;

/// The parameters of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termios {
    /// `c_iflag`.
    pub input: InputFlags,
    /// `c_oflag`.
    pub output: OutputFlags,
    /// `c_cflag`: framing and speed; kept, and without effect on the lines that there are.
    pub control: u32,
    /// `c_lflag`.
    pub local: LocalFlags,
    /// `c_line`: the line discipline's number. Only 0 (N_TTY) exists.
    pub line: u8,
    /// `c_cc`.
    pub characters: [u8; CHARACTERS],
    /// Input speed in bits per second.
    pub input_speed: u32,
    /// Output speed in bits per second.
    pub output_speed: u32,
}

impl Termios {
    /// What a terminal starts with: Linux's `tty_std_termios` at `speed` bits per second, coded as `speed_flag`.
    const fn standard(speed: u32, speed_flag: u32) -> Self {
        Self {
            input: InputFlags::ICRNL.union(InputFlags::IXON),
            output: OutputFlags::OPOST.union(OutputFlags::ONLCR),
            control: speed_flag | abi::CS8 | abi::CREAD | abi::HUPCL,
            local: LocalFlags::from_bits_retain(
                abi::ISIG
                    | abi::ICANON
                    | abi::ECHO
                    | abi::ECHOE
                    | abi::ECHOK
                    | abi::ECHOCTL
                    | abi::ECHOKE
                    | abi::IEXTEN,
            ),
            line: 0,
            characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
            input_speed: speed,
            output_speed: speed,
        }
    }

    /// The parameters of the console when it is first opened: 115200 baud, 8 bits, local.
    #[must_use]
    pub const fn console() -> Self {
        let mut termios = Self::standard(115_200, abi::B115200);
        termios.control |= abi::CLOCAL;
        termios
    }

    /// The parameters of the slave side of a pseudo-terminal when it is made.
    #[must_use]
    pub const fn pseudo_terminal() -> Self {
        let mut termios = Self::standard(38_400, abi::B38400);
        termios.control &= !abi::HUPCL;
        termios
    }

    /// The current value of `which`.
    #[must_use]
    pub const fn character(&self, which: ControlCharacter) -> u8 {
        self.characters[which as usize]
    }

    /// Whether `byte` is the control character `which`, and that one is not disabled.
    #[must_use]
    pub const fn is(&self, byte: u8, which: ControlCharacter) -> bool {
        byte != DISABLED && self.character(which) == byte
    }

    /// Whether input is edited and read by lines.
    #[must_use]
    pub const fn canonical(&self) -> bool {
        self.local.contains(LocalFlags::ICANON)
    }

    /// These parameters with what `other` says in a `termios` (TCSETS): the speeds follow from `c_cflag`.
    #[must_use]
    pub fn updated(&self, other: &abi::termios) -> Self {
        let control = other.c_cflag;
        let speed = speed_of(control & abi::CBAUD);
        Self {
            input: InputFlags::from_bits_retain(other.c_iflag),
            output: OutputFlags::from_bits_retain(other.c_oflag),
            control,
            local: LocalFlags::from_bits_retain(other.c_lflag),
            line: self.line,
            characters: other.c_cc,
            input_speed: speed.unwrap_or(self.input_speed),
            output_speed: speed.unwrap_or(self.output_speed),
        }
    }

    /// These parameters with what `other` says in a `termios2` (TCSETS2): the speeds may be any number.
    #[must_use]
    pub fn updated2(&self, other: &abi::termios2) -> Self {
        let control = other.c_cflag;
        let speed = speed_of(control & abi::CBAUD);
        Self {
            input: InputFlags::from_bits_retain(other.c_iflag),
            output: OutputFlags::from_bits_retain(other.c_oflag),
            control,
            local: LocalFlags::from_bits_retain(other.c_lflag),
            line: self.line,
            characters: other.c_cc,
            input_speed: speed.unwrap_or(other.c_ispeed),
            output_speed: speed.unwrap_or(other.c_ospeed),
        }
    }

    /// The layout of TCGETS.
    #[must_use]
    pub const fn to_termios(&self) -> abi::termios {
        abi::termios {
            c_iflag: self.input.bits(),
            c_oflag: self.output.bits(),
            c_cflag: self.control,
            c_lflag: self.local.bits(),
            c_line: self.line,
            c_cc: self.characters,
        }
    }

    /// The layout of TCGETS2.
    #[must_use]
    pub const fn to_termios2(&self) -> abi::termios2 {
        abi::termios2 {
            c_iflag: self.input.bits(),
            c_oflag: self.output.bits(),
            c_cflag: self.control,
            c_lflag: self.local.bits(),
            c_line: self.line,
            c_cc: self.characters,
            c_ispeed: self.input_speed,
            c_ospeed: self.output_speed,
        }
    }
}

/// The speed that the `CBAUD` bits `code` name, or `None` for `BOTHER` and codes that name none.
fn speed_of(code: u32) -> Option<u32> {
    const SPEEDS: [(u32, u32); 31] = [
        (abi::B0, 0),
        (abi::B50, 50),
        (abi::B75, 75),
        (abi::B110, 110),
        (abi::B134, 134),
        (abi::B150, 150),
        (abi::B200, 200),
        (abi::B300, 300),
        (abi::B600, 600),
        (abi::B1200, 1200),
        (abi::B1800, 1800),
        (abi::B2400, 2400),
        (abi::B4800, 4800),
        (abi::B9600, 9600),
        (abi::B19200, 19_200),
        (abi::B38400, 38_400),
        (abi::B57600, 57_600),
        (abi::B115200, 115_200),
        (abi::B230400, 230_400),
        (abi::B460800, 460_800),
        (abi::B500000, 500_000),
        (abi::B576000, 576_000),
        (abi::B921600, 921_600),
        (abi::B1000000, 1_000_000),
        (abi::B1152000, 1_152_000),
        (abi::B1500000, 1_500_000),
        (abi::B2000000, 2_000_000),
        (abi::B2500000, 2_500_000),
        (abi::B3000000, 3_000_000),
        (abi::B3500000, 3_500_000),
        (abi::B4000000, 4_000_000),
    ];
    SPEEDS.iter().find(|(flag, _)| *flag == code).map(|&(_, speed)| speed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_the_round_trip_through_both_layouts() {
        let termios = Termios::console();
        assert_eq!(termios.updated(&termios.to_termios()), termios);
        assert_eq!(termios.updated2(&termios.to_termios2()), termios);
    }

    #[test]
    fn flags_without_effect_are_kept() {
        let mut raw = Termios::console().to_termios();
        raw.c_iflag |= abi::IGNBRK;
        raw.c_lflag |= 0x8000_0000;
        let back = Termios::console().updated(&raw).to_termios();
        assert_eq!(back.c_iflag, raw.c_iflag);
        assert_eq!(back.c_lflag, raw.c_lflag);
    }

    #[test]
    fn any_speed_can_be_asked_for_by_number() {
        let mut raw = Termios::console().to_termios2();
        raw.c_cflag = (raw.c_cflag & !abi::CBAUD) | abi::BOTHER;
        raw.c_ospeed = 12_345;
        assert_eq!(Termios::console().updated2(&raw).output_speed, 12_345);
    }

    #[test]
    fn a_disabled_character_matches_nothing() {
        assert!(!Termios::console().is(0, ControlCharacter::Eol));
        assert!(Termios::console().is(4, ControlCharacter::Eof));
    }
}
