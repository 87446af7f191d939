//! Touches memory until there is no more, or up to a limit.

use std::io::Write;
use std::process::ExitCode;

const HELP: &str = "\
Usage: memhog [MEBIBYTES]
Touches memory, one MiB after another, until it has that many, until mmap says
ENOMEM, or until the kernel kills it. Then holds it until its input ends.
";

const MEBIBYTE: usize = 1 << 20;
const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let limit = match arguments.as_slice() {
        [] => usize::MAX,
        [option] if option == "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [word] => match word.parse() {
            Ok(limit) => limit,
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    let touched = touch(limit);
    println!("\r{touched} MiB touched; press Ctrl-D to give them back");
    // Whether input ends or cannot be read: it is time to go.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    ExitCode::SUCCESS
}

/// Maps and touches up to `limit` MiB; gives how many there were.
fn touch(limit: usize) -> usize {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    for done in 0..limit {
        let Ok(address) = user::sys!(SYS_mmap, 0, MEBIBYTE, protection, flags, -1, 0) else {
            eprintln!("\rmmap: out of memory");
            return done;
        };
        for page in (0..MEBIBYTE).step_by(PAGE) {
            let byte = std::ptr::with_exposed_provenance_mut::<u8>(address + page);
            // SAFETY: inside the mapping just made, which nobody else knows of.
            unsafe { byte.write_volatile(1) };
        }
        if done % 16 == 0 {
            print!("\r{done} MiB");
            // Progress that cannot be shown is no reason to stop.
            let _ = std::io::stdout().flush();
        }
    }
    limit
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}
