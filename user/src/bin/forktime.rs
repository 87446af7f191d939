//! How long fork takes, against how much memory the parent has touched.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use user::{ok, sys};

const HELP: &str = "\
Usage: forktime [LARGEST_MEBIBYTES [ROUNDS]]
Prints how long fork takes by itself, and with the child's exit and the wait,
for resident sizes from 0 to the largest (default 256 MiB): the best and the
middle of so many rounds (default 21).
";

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(Some(default), |text| text.parse().ok())
    };
    let (Some(largest), Some(rounds @ 1..)) = (number(0, 256), number(1, 21)) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    println!("{:>8}  {:>21}  {:>21}", "resident", "fork, best / middle", "with exit and wait");
    let mut size = 0;
    while size <= largest {
        if let Err(error) = measure(size, rounds) {
            eprintln!("forktime: {size} MiB: {error}");
            return ExitCode::FAILURE;
        }
        size = if size == 0 { 1 } else { size * 4 };
    }
    ExitCode::SUCCESS
}

/// Prints one line of the table.
fn measure(mebibytes: usize, rounds: usize) -> Result<(), nix::errno::Errno> {
    let length = (mebibytes << 20).max(PAGE);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let address = sys!(SYS_mmap, 0, length, protection, flags, -1, 0)?;
    for page in (0..length).step_by(PAGE) {
        let byte = std::ptr::with_exposed_provenance_mut::<u8>(address + page);
        // SAFETY: inside the mapping just made, which nobody else knows of.
        unsafe { byte.write_volatile(1) };
    }
    let (mut forks, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        let pid = sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)?;
        if pid == 0 {
            ok!(SYS_exit_group, 0);
        }
        forks.push(start.elapsed());
        sys!(SYS_wait4, pid, 0, 0, 0)?;
        whole.push(start.elapsed());
    }
    sys!(SYS_munmap, address, length)?;
    println!("{mebibytes:>4} MiB  {:>21}  {:>21}", summary(&mut forks), summary(&mut whole));
    Ok(())
}

/// The best and the middle of some times, in microseconds.
fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    format!("{:.1} / {:.1} us", microseconds(times[0]), microseconds(times[times.len() / 2]))
}
