//! QEMU's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::options::MachineOptions;

/// What the machine boots.
#[derive(Clone, Debug)]
pub enum Boot {
    /// A kernel that QEMU loads itself: an ELF image by its PVH entry, or a Linux image.
    Direct {
        /// The kernel's file.
        kernel: PathBuf,
        /// The initial root file system.
        initrd: PathBuf,
        /// The kernel's command line.
        command_line: String,
    },
    /// An image that the machine's firmware boots.
    Image {
        /// The image's file.
        iso: PathBuf,
        /// The firmware that boots it.
        firmware: Firmware,
    },
}

impl Boot {
    /// The same kernel and root file system with the command line that `machine` asks for. An
    /// image has its own.
    #[must_use]
    pub fn for_machine(&self, machine: &MachineOptions) -> Self {
        let mut boot = self.clone();
        if let Self::Direct { command_line, .. } = &mut boot {
            *command_line = machine.kernel_command_line();
        }
        boot
    }

    /// The file that holds the kernel's symbols, as far as there is one.
    #[must_use]
    pub fn kernel(&self) -> &Path {
        match self {
            Self::Direct { kernel, .. } => kernel,
            Self::Image { iso, .. } => iso,
        }
    }
}

/// The machine's firmware.
#[derive(Clone, Debug)]
pub enum Firmware {
    /// QEMU's own SeaBIOS.
    Bios,
    /// A UEFI firmware image, such as OVMF.
    Uefi(PathBuf),
}

/// Where the first serial port leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Console {
    /// To the terminal that this tool runs on, with QEMU's monitor behind Ctrl-A.
    Terminal,
    /// To pipes, every byte as it is.
    Pipes,
    /// To a file; nothing can be typed.
    File(PathBuf),
}

/// What the guest's clocks count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// The host's time.
    #[default]
    Real,
    /// Instructions: one is a nanosecond of every clock, and a tick of the time stamp counter. All
    /// processors take turns on one thread of the host, and nothing depends on the host's speed, so
    /// that a run repeats exactly. An idle guest jumps to its next timer.
    Instructions,
    /// As `Instructions`, but each is eight nanoseconds of every clock: for what the guest measures in its own time, in an
    /// eighth of the host's.
    SlowInstructions,
}

impl Timing {
    /// QEMU's arguments for it.
    ///
    /// Without ERMS and FSRM no kernel copies by `rep movsb`, which counts one instruction however
    /// much it copies.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Real => &["-cpu", "max"],
            Self::Instructions => const { &counted("shift=0,sleep=off") },
            Self::SlowInstructions => const { &counted("shift=3,sleep=off") },
        }
    }
}

/// The arguments for a machine whose clocks count instructions, so many nanoseconds each.
const fn counted(icount: &'static str) -> [&'static str; 8] {
    let (seed, rtc) = ("1", "base=2026-01-01T00:00:00,clock=vm");
    ["-cpu", "max,-erms,-fsrm", "-icount", icount, "-seed", seed, "-rtc", rtc]
}

/// Whether the processors run from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// They wait until the control socket is listened to, so that no event is missed.
    ByControlSocket,
    /// They wait for gdb on this TCP port.
    ByDebugger(u16),
}

/// The arguments for one run.
///
/// An orderly power-off lets QEMU end with status 0; anything else goes through the
/// `isa-debug-exit` device. A reset ends QEMU as well: a triple fault must not boot again and again.
#[must_use]
pub fn arguments(
    machine: &MachineOptions,
    boot: &Boot,
    console: &Console,
    start: Start,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    add(&["-nodefaults", "-no-user-config", "-no-reboot", "-S"]);
    add(&["-machine", "q35", "-accel", machine.accel.name()]);
    add(machine.timing.arguments());
    add(&["-smp", &machine.smp.0.to_string(), "-m", &machine.mem, "-display", "none"]);
    add(&["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    match console {
        Console::Terminal => {
            add(&["-chardev", "stdio,id=console,mux=on,signal=off"]);
            add(&["-mon", "chardev=console,mode=readline"]);
        }
        Console::Pipes => add(&["-chardev", "stdio,id=console,mux=off,signal=off"]),
        Console::File(path) => {
            // A comma would end the path; QEMU takes two of them for one.
            let path = path.to_string_lossy().replace(',', ",,");
            add(&["-chardev", &format!("file,id=console,path={path}")]);
        }
    }
    add(&["-serial", "chardev:console"]);
    if let Start::ByDebugger(port) = start {
        add(&["-gdb", &format!("tcp:127.0.0.1:{port}")]);
    }
    match boot {
        Boot::Direct { kernel, initrd, command_line } => {
            arguments.extend(["-kernel".into(), kernel.into(), "-initrd".into(), initrd.into()]);
            arguments.extend(["-append".into(), command_line.into()]);
        }
        Boot::Image { iso, firmware } => {
            arguments.extend(["-vga".into(), "std".into(), "-boot".into(), "d".into()]);
            arguments.extend(["-cdrom".into(), iso.into()]);
            if let Firmware::Uefi(code) = firmware {
                let mut drive = OsString::from("if=pflash,format=raw,unit=0,readonly=on,file=");
                drive.push(code);
                arguments.extend(["-drive".into(), drive]);
            }
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        machine: MachineOptions,
    }

    fn machine() -> MachineOptions {
        Line::parse_from(["xtask", "--smp=8", "--mem=2G", "--accel=kvm"]).machine
    }

    fn direct() -> Boot {
        Boot::Direct {
            kernel: "/k/kernel".into(),
            initrd: "/k/rootfs.cpio".into(),
            command_line: "init=/bin/true -- a b".into(),
        }
    }

    /// The word behind `option`.
    fn value(arguments: &[OsString], option: &str) -> Option<String> {
        let place = arguments.iter().position(|word| word == option)?;
        Some(arguments.get(place + 1)?.to_string_lossy().into_owned())
    }

    #[test]
    fn the_machine_is_as_asked_for() {
        let words = arguments(&machine(), &direct(), &Console::Pipes, Start::ByControlSocket);
        assert_eq!(value(&words, "-smp").as_deref(), Some("8"));
        assert_eq!(value(&words, "-m").as_deref(), Some("2G"));
        assert_eq!(value(&words, "-accel").as_deref(), Some("kvm"));
        assert_eq!(value(&words, "-append").as_deref(), Some("init=/bin/true -- a b"));
        assert_eq!(value(&words, "-gdb"), None);
    }

    #[test]
    fn a_machine_that_counts_instructions_has_nothing_of_the_hosts_time() {
        let machine = MachineOptions { timing: Timing::Instructions, ..machine() };
        let words = arguments(&machine, &direct(), &Console::Pipes, Start::ByControlSocket);
        assert_eq!(value(&words, "-icount").as_deref(), Some("shift=0,sleep=off"));
        assert_eq!(value(&words, "-cpu").as_deref(), Some("max,-erms,-fsrm"));
        assert!(value(&words, "-rtc").unwrap().ends_with("clock=vm"));
        let machine = MachineOptions { timing: Timing::SlowInstructions, ..machine };
        let words = arguments(&machine, &direct(), &Console::Pipes, Start::ByControlSocket);
        assert_eq!(value(&words, "-icount").as_deref(), Some("shift=3,sleep=off"));
    }

    #[test]
    fn control_c_reaches_the_guest_on_terminal_and_pipe() {
        for (console, mux) in [(Console::Terminal, "mux=on"), (Console::Pipes, "mux=off")] {
            let words = arguments(&machine(), &direct(), &console, Start::ByControlSocket);
            let chardev = value(&words, "-chardev").unwrap();
            assert!(chardev.contains("signal=off") && chardev.contains(mux), "{chardev}");
        }
    }

    #[test]
    fn an_image_boots_by_bios_or_by_uefi() {
        let boot = |firmware| Boot::Image { iso: "/k/skein.iso".into(), firmware };
        let start = Start::ByDebugger(4321);
        let words = arguments(&machine(), &boot(Firmware::Bios), &Console::Pipes, start);
        assert_eq!(value(&words, "-cdrom").as_deref(), Some("/k/skein.iso"));
        assert_eq!(value(&words, "-drive"), None);
        assert_eq!(value(&words, "-gdb").as_deref(), Some("tcp:127.0.0.1:4321"));
        let uefi = boot(Firmware::Uefi("/f/OVMF.fd".into()));
        let words = arguments(&machine(), &uefi, &Console::Pipes, start);
        assert!(value(&words, "-drive").unwrap().ends_with("file=/f/OVMF.fd"));
    }
}
