//! Commands that need no program.
//!
//! Those of [`in_shell`] change the shell itself and always win. Those of [`fallback`] stand in for tools that the
//! root file system lacks, and run in a child like a program.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::parser::is_name;
use super::run::Shell;

/// A command: gets the shell and all words, gives the exit status.
pub type Builtin = fn(&mut Shell, &[String]) -> u8;

const IN_SHELL: [(&str, Builtin); 10] = [
    ("cd", cd),
    ("exit", exit),
    ("export", export),
    ("unset", unset),
    ("jobs", jobs),
    ("fg", foreground),
    ("bg", background),
    ("wait", wait),
    ("kill", kill_command),
    ("help", help),
];

const FALLBACKS: [(&str, Builtin); 13] = [
    ("echo", echo),
    ("pwd", pwd),
    ("cat", cat),
    ("ls", list),
    ("ps", processes),
    ("mount", mount_command),
    ("env", env),
    ("sleep", sleep),
    ("true", |_, _| 0),
    ("false", |_, _| 1),
    ("poweroff", |_, _| ask_first_process(Signal::SIGUSR2)),
    ("reboot", |_, _| ask_first_process(Signal::SIGTERM)),
    ("halt", |_, _| ask_first_process(Signal::SIGUSR1)),
];

/// The command of this name that must run in the shell itself.
#[must_use]
pub fn in_shell(name: &str) -> Option<Builtin> {
    find(&IN_SHELL, name)
}

/// The command of this name for want of a program.
#[must_use]
pub fn fallback(name: &str) -> Option<Builtin> {
    find(&FALLBACKS, name)
}

fn find(table: &[(&str, Builtin)], name: &str) -> Option<Builtin> {
    table.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
}

/// Prints what went wrong; the status of failure.
fn fail(words: &[String], reason: impl std::fmt::Display) -> u8 {
    eprintln!("{}: {reason}", words[0]);
    1
}

fn cd(shell: &mut Shell, words: &[String]) -> u8 {
    let home = shell.variables.get("HOME").map_or("/", String::as_str);
    let path = words.get(1).map_or(home, String::as_str);
    match std::env::set_current_dir(path) {
        Ok(()) => 0,
        Err(error) => fail(words, format!("{path}: {error}")),
    }
}

fn exit(shell: &mut Shell, words: &[String]) -> u8 {
    match words.get(1).map(|text| text.parse::<i32>()) {
        None => shell.request_exit(None),
        Some(Ok(status)) => shell.request_exit(Some(status as u8)),
        Some(Err(_)) => return fail(words, "a number is needed"),
    }
    shell.status()
}

fn export(shell: &mut Shell, words: &[String]) -> u8 {
    for word in &words[1..] {
        match word.split_once('=') {
            Some((name, value)) if is_name(name) => {
                shell.variables.insert(name.to_owned(), value.to_owned());
            }
            // All variables are exported already.
            None if is_name(word) => {}
            _ => return fail(words, format!("{word}: not a name")),
        }
    }
    0
}

fn unset(shell: &mut Shell, words: &[String]) -> u8 {
    for name in &words[1..] {
        shell.variables.remove(name);
    }
    0
}

fn jobs(shell: &mut Shell, _: &[String]) -> u8 {
    shell.jobs.print();
    0
}

/// The job number in `%2` or `2`.
fn job_number(words: &[String]) -> Option<usize> {
    words.get(1)?.trim_start_matches('%').parse().ok()
}

fn foreground(shell: &mut Shell, words: &[String]) -> u8 {
    shell.jobs.foreground(job_number(words)).unwrap_or_else(|error| no_job(words, error))
}

fn background(shell: &mut Shell, words: &[String]) -> u8 {
    shell.jobs.background(job_number(words)).map_or_else(|error| no_job(words, error), |()| 0)
}

fn no_job(words: &[String], error: Errno) -> u8 {
    if error == Errno::ESRCH { fail(words, "no such job") } else { fail(words, error) }
}

fn wait(shell: &mut Shell, _: &[String]) -> u8 {
    shell.jobs.wait_for_all();
    0
}

fn kill_command(shell: &mut Shell, words: &[String]) -> u8 {
    let (signal, targets) = match words.get(1).and_then(|word| word.strip_prefix('-')) {
        Some(name) => match parse_signal(name) {
            Some(signal) => (signal, &words[2..]),
            None => return fail(words, format!("{name}: no such signal")),
        },
        None => (Signal::SIGTERM, &words[1..]),
    };
    for target in targets {
        let pid = match target.strip_prefix('%') {
            Some(number) => number
                .parse()
                .ok()
                .and_then(|number| shell.jobs.group(number))
                .map(|group| Pid::from_raw(-group.as_raw())),
            None => target.parse().ok().map(Pid::from_raw),
        };
        let result = pid.ok_or(Errno::ESRCH).and_then(|pid| kill(pid, signal));
        if let Err(error) = result {
            return fail(words, format!("{target}: {error}"));
        }
    }
    0
}

/// A signal by number or by name, with or without SIG.
fn parse_signal(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    format!("SIG{}", text.trim_start_matches("SIG")).parse().ok()
}

fn help(_: &mut Shell, _: &[String]) -> u8 {
    let names = |table: &[(&'static str, Builtin)]| {
        table.iter().map(|entry| entry.0).collect::<Vec<_>>().join(" ")
    };
    println!("In the shell: {}", names(&IN_SHELL));
    println!("Where there is no program of that name: {}", names(&FALLBACKS));
    0
}

fn echo(_: &mut Shell, words: &[String]) -> u8 {
    let text = words[1..].join(" ");
    print_all(words, &[text.as_bytes(), b"\n"])
}

/// Writes to standard output, minding errors.
fn print_all(words: &[String], texts: &[&[u8]]) -> u8 {
    let mut output = io::stdout().lock();
    for text in texts {
        if let Err(error) = output.write_all(text) {
            return fail(words, error);
        }
    }
    output.flush().map_or_else(|error| fail(words, error), |()| 0)
}

fn pwd(_: &mut Shell, words: &[String]) -> u8 {
    match std::env::current_dir() {
        Ok(path) => print_all(words, &[path.as_os_str().as_encoded_bytes(), b"\n"]),
        Err(error) => fail(words, error),
    }
}

fn cat(_: &mut Shell, words: &[String]) -> u8 {
    let standard_input = ["-".to_owned()];
    let paths = if words.len() > 1 { &words[1..] } else { &standard_input[..] };
    let mut status = 0;
    for path in paths {
        let result = match path.as_str() {
            "-" => copy_out(StandardInput),
            path => fs::File::open(path).and_then(copy_out),
        };
        if let Err(error) = result {
            status = fail(words, format!("{path}: {error}"));
        }
    }
    status
}

/// Descriptor 0 without the runtime's buffer, which belongs to the shell from which this process was forked.
struct StandardInput;

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(io::stdin(), buffer)?)
    }
}

fn copy_out(mut source: impl Read) -> io::Result<()> {
    let mut output = io::stdout().lock();
    io::copy(&mut source, &mut output)?;
    output.flush()
}

fn list(_: &mut Shell, words: &[String]) -> u8 {
    // Always the long format, so options say nothing new.
    let path = words[1..].iter().find(|word| !word.starts_with('-')).map_or(".", String::as_str);
    let mut lines = Vec::new();
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return fail(words, format!("{path}: {error}")),
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let line = match fs::symlink_metadata(entry.path()) {
            Ok(status) => format!(
                "{} {:04o} {:>5}:{:<5} {:>10} {name}\n",
                kind_letter(status.mode()),
                status.mode() & 0o7777,
                status.uid(),
                status.gid(),
                status.len(),
            ),
            Err(error) => format!("? {name}: {error}\n"),
        };
        lines.push((name, line));
    }
    lines.sort();
    let texts: Vec<&[u8]> = lines.iter().map(|(_, line)| line.as_bytes()).collect();
    print_all(words, &texts)
}

/// The first letter of `ls -l`.
fn kind_letter(mode: u32) -> char {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        _ => '-',
    }
}

fn processes(_: &mut Shell, words: &[String]) -> u8 {
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => return fail(words, format!("/proc: {error}")),
    };
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut output = String::from("  PID  PPID S COMMAND\n");
    for pid in pids {
        // A process may end between the listing and the reading.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
            && let Some((head, rest)) = stat.rsplit_once(") ")
            && let Some((_, name)) = head.split_once(" (")
        {
            let mut fields = rest.split(' ');
            let state = fields.next().unwrap_or("?");
            let parent = fields.next().unwrap_or("?");
            output.push_str(&format!("{pid:>5} {parent:>5} {state} {name}\n"));
        }
    }
    print_all(words, &[output.as_bytes()])
}

fn mount_command(_: &mut Shell, words: &[String]) -> u8 {
    match words {
        [_] => match fs::read("/proc/mounts") {
            Ok(table) => print_all(words, &[&table]),
            Err(error) => fail(words, format!("/proc/mounts: {error}")),
        },
        [_, option, kind, source, target] if option == "-t" => {
            let nothing: Option<&str> = None;
            let flags = MsFlags::empty();
            mount(Some(source.as_str()), target.as_str(), Some(kind.as_str()), flags, nothing)
                .map_or_else(|error| fail(words, format!("{target}: {error}")), |()| 0)
        }
        _ => fail(words, "usage: mount [-t TYPE SOURCE TARGET]"),
    }
}

fn env(shell: &mut Shell, words: &[String]) -> u8 {
    let text: String =
        shell.variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    print_all(words, &[text.as_bytes()])
}

fn sleep(_: &mut Shell, words: &[String]) -> u8 {
    match words.get(1).and_then(|text| text.parse::<f64>().ok()) {
        Some(seconds) if (0.0..1e9).contains(&seconds) => {
            std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
            0
        }
        _ => fail(words, "how many seconds?"),
    }
}

/// Asks the first process to end the machine, by busybox's protocol.
fn ask_first_process(signal: Signal) -> u8 {
    match kill(Pid::from_raw(1), signal) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("cannot ask the first process: {error}");
            1
        }
    }
}
