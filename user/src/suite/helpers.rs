//! Small programs that cases execute: this binary as `suite --helper NAME ARGUMENT...`.

use std::io::Read;
use std::process::ExitCode;

use super::support::peek;
use crate::sys;

/// Runs helper `name`.
///
/// # Returns
///
/// What the helper decides; 2 if there is none of that name.
pub(super) fn run(name: &str, arguments: &[String]) -> ExitCode {
    match name {
        "hold" => hold(),
        "arguments" => print_arguments(),
        "descriptors" => print_descriptors(),
        "signals" => print_signals(),
        "identity" => print_identity(),
        "auxv" => print_auxv(),
        "membarrier" => super::membarrier::helper(),
        "rseq" => super::rseq::helper(arguments),
        "timers" => super::signal_races::helper(),
        "core" => super::core_pipes::helper(arguments),
        "exit" => {
            return ExitCode::from(
                arguments.first().and_then(|text| text.parse().ok()).unwrap_or(2),
            );
        }
        _ => {
            eprintln!("suite: no helper is called {name}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Reads standard input to its end.
fn hold() {
    let mut everything = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut everything) {
        eprintln!("hold: {error}");
    }
}

/// Prints each argument and each variable of the environment on a line.
fn print_arguments() {
    for argument in std::env::args() {
        println!("argument {argument}");
    }
    for (name, value) in std::env::vars() {
        println!("variable {name}={value}");
    }
}

/// Prints the numbers of the open descriptors below 64.
fn print_descriptors() {
    for fd in 0..64 {
        if sys!(SYS_fcntl, fd, libc::F_GETFD).is_ok() {
            println!("{fd}");
        }
    }
}

/// Prints the blocked set, the pending set, and which signals are ignored or caught.
fn print_signals() {
    let (mut blocked, mut pending) = (0_u64, 0_u64);
    crate::ok!(SYS_rt_sigprocmask, 0, 0, &mut blocked, 8);
    crate::ok!(SYS_rt_sigpending, &mut pending, 8);
    println!("blocked {blocked:x}\npending {pending:x}");
    // The Rust runtime catches SIGSEGV and SIGBUS and ignores SIGPIPE before main.
    for signal in
        (1..=64).filter(|signal| ![libc::SIGSEGV, libc::SIGBUS, libc::SIGPIPE].contains(signal))
    {
        let mut action = [0_usize; 4];
        crate::ok!(SYS_rt_sigaction, signal, 0, &mut action, 8);
        match action[0] {
            libc::SIG_DFL => {}
            libc::SIG_IGN => println!("ignored {signal}"),
            _ => println!("caught {signal}"),
        }
    }
}

/// Prints process, parent, group and session.
fn print_identity() {
    println!("{} {}", crate::ok!(SYS_getpid), crate::ok!(SYS_gettid));
    println!("{} {}", crate::ok!(SYS_getpgid, 0), crate::ok!(SYS_getsid, 0));
}

/// Prints what the auxiliary vector says, with strings and random bytes resolved.
fn print_auxv() {
    for key in [
        libc::AT_PHDR,
        libc::AT_PHENT,
        libc::AT_PHNUM,
        libc::AT_PAGESZ,
        libc::AT_BASE,
        libc::AT_FLAGS,
        libc::AT_ENTRY,
        libc::AT_UID,
        libc::AT_EUID,
        libc::AT_GID,
        libc::AT_EGID,
        libc::AT_SECURE,
        libc::AT_CLKTCK,
        libc::AT_HWCAP,
    ] {
        // SAFETY: getauxval only looks a number up.
        println!("{key} {}", unsafe { libc::getauxval(key) });
    }
    // SAFETY: as above; the two values are addresses on the initial stack.
    let (random, name) =
        unsafe { (libc::getauxval(libc::AT_RANDOM), libc::getauxval(libc::AT_EXECFN)) };
    let bytes: String =
        (0..16).map(|index| format!("{:02x}", peek(random as usize + index))).collect();
    println!("random {bytes}");
    let name: Vec<u8> = (name as usize..).map(peek).take_while(|byte| *byte != 0).collect();
    println!("execfn {}", String::from_utf8_lossy(&name));
}
