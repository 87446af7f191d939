//! Touches memory until there is no more, or up to a limit.

use std::io::Write;
use std::process::ExitCode;

use nix::errno::Errno;
use user::sys;

const HELP: &str = "\
Usage: memhog [MEBIBYTES | sockets | pipes | tables]
Touches memory, one MiB after another, until it has that many, until mmap says
ENOMEM, or until the kernel kills it. Then holds it until its input ends.
With a word it takes the kernel's memory instead: sockets or pipes that it
fills, or page tables.
";

const MEBIBYTE: usize = 1 << 20;
const PAGE: usize = 4096;
/// What one table of pages spans.
const TABLE_SPAN: usize = 512 * PAGE;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => touch(usize::MAX),
        ["--help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["sockets"] => fill(|ends| sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, ends)),
        ["pipes"] => fill(|ends| sys!(SYS_pipe2, ends, 0)),
        ["tables"] => spread(),
        [word] => match word.parse() {
            Ok(limit) => touch(limit),
            Err(_) => return usage(),
        },
        _ => return usage(),
    }
    // Whether input ends or cannot be read: it is time to go.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    ExitCode::SUCCESS
}

/// Makes pairs of descriptors and writes to both ends, until there are no more or nothing can be written.
fn fill(make: impl Fn(&mut [i32; 2]) -> Result<usize, Errno>) {
    let mut limit = [0_u64; 2];
    // Without the right to more, it makes do with what it may have.
    let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &mut limit);
    let _ = sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &[limit[1], limit[1]], 0);
    let mut pairs = 0;
    let refused = loop {
        let mut ends = [0_i32; 2];
        if let Err(error) = make(&mut ends) {
            break error;
        }
        pairs += 1;
        // The largest pipe that anybody may have; sockets refuse.
        let _ = sys!(SYS_fcntl, ends[1], libc::F_SETPIPE_SZ, MEBIBYTE);
        if let Some(error) = ends.iter().find_map(|end| pour(*end)) {
            break error;
        }
    };
    println!("{pairs} pairs filled; then {refused}");
}

/// Writes to `end` until it is full; an error unless it just is, or is the wrong end.
fn pour(end: i32) -> Option<Errno> {
    let bytes = [1_u8; 16 * PAGE];
    let _ = sys!(SYS_fcntl, end, libc::F_SETFL, libc::O_NONBLOCK);
    loop {
        match sys!(SYS_write, end, &bytes, bytes.len()) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EBADF) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Reads one byte in each span of a page table: resident memory stays as it is.
fn spread() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let length = TABLE_SPAN << 20;
    let Ok(address) = sys!(SYS_mmap, 0, length, libc::PROT_READ, flags, -1, 0) else {
        return eprintln!("mmap: no room");
    };
    for offset in (0..length).step_by(TABLE_SPAN) {
        let byte = std::ptr::with_exposed_provenance::<u8>(address + offset);
        // SAFETY: inside the mapping just made, which nobody else knows of.
        let _ = unsafe { byte.read_volatile() };
    }
}

/// Maps and touches up to `limit` MiB.
fn touch(limit: usize) {
    let touched = touch_up_to(limit);
    println!("\r{touched} MiB touched; press Ctrl-D to give them back");
}

/// Maps and touches up to `limit` MiB; gives how many there were.
fn touch_up_to(limit: usize) -> usize {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    for done in 0..limit {
        let Ok(address) = sys!(SYS_mmap, 0, MEBIBYTE, protection, flags, -1, 0) else {
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
