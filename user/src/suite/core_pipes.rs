//! Core files that go to a program: patterns that start with `|` (core(5)).
//!
//! The pattern is the whole machine's, so these cases run only where the suite has the machine to itself.

use std::fs;
use std::io::Read;
use std::path::Path;

use libc::{SIGKILL, SIGSEGV};

use super::cores::{Core, die, limit_cores};
use super::support::{
    Child, Mapping, Status, child, default_action, nap, needs_root, read_text, skip, until,
    write_text,
};
use crate::ok;

super::area!("core_pipes":
    program_reads_the_core_file,
    program_runs_as_root_with_nothing_but_the_core_file,
    words_are_parted_before_they_are_converted,
    limit_does_not_cut_the_core_file_off,
    limit_of_one_byte_means_none,
    missing_program_means_none,
    empty_command_means_none,
    program_that_does_not_read_counts_as_one,
    program_that_crashes_leaves_none_of_its_own,
    limited_dumps_wait_for_their_program,
    dumps_past_the_limit_are_not_made,
    killed_while_the_program_reads,
);

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
const PIPE_LIMIT: &str = "/proc/sys/kernel/core_pipe_limit";

/// Skips the case unless the suite is all that runs on the machine.
fn needs_own_machine() {
    needs_root();
    let first = fs::read_link("/proc/1/exe").ok();
    if first != std::env::current_exe().ok() {
        skip("changes a setting of the whole machine");
    }
}

/// Puts the settings back as they were.
struct Settings {
    pattern: String,
    limit: String,
}

impl Settings {
    /// Has core files go to `command`, at most `limit` at the same time.
    fn set(command: &str, limit: u32) -> Self {
        needs_own_machine();
        let former = Self { pattern: read_text(PATTERN), limit: read_text(PIPE_LIMIT) };
        write_text(PATTERN, &format!("|{command}"));
        write_text(PIPE_LIMIT, &limit.to_string());
        former
    }

    /// The same for this program's helper, which does `what` in the working directory.
    fn helper(what: &str, words: &str, limit: u32) -> Self {
        needs_own_machine();
        let program = std::env::current_exe().unwrap();
        let directory = std::env::current_dir().unwrap();
        let (program, directory) = (program.display(), directory.display());
        let command = format!("{program} --helper core {directory} {what} {words}");
        assert!(command.len() < 127, "{command} is too long for a pattern");
        Self::set(&command, limit)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        write_text(PATTERN, &self.pattern);
        write_text(PIPE_LIMIT, &self.limit);
    }
}

/// What the suite's helper `core` does: with the core file on standard input, in directory `arguments[0]`.
pub(super) fn helper(arguments: &[String]) {
    let [directory, what, words @ ..] = arguments else { return };
    let at = |name: &str| Path::new(directory).join(name);
    match what.as_str() {
        "wait" => {
            fs::write(at("started"), "").unwrap();
            while !at("go").exists() {
                nap(1);
            }
        }
        "crash" => {
            fs::write(at("crashing"), "").unwrap();
            default_action(SIGSEGV);
            die(SIGSEGV);
        }
        _ => {}
    }
    let mut core = Vec::new();
    std::io::stdin().read_to_end(&mut core).unwrap();
    fs::write(at("core"), &core).unwrap();
    let mut facts = format!("{words:?}\n");
    // Time for a process that nobody holds up to be gone.
    nap(50);
    let is_there = words.first().is_some_and(|pid| Path::new("/proc").join(pid).exists());
    facts += &format!("there: {is_there}\n");
    let (mut limit, mut mask) = ([0_u64; 2], 0_u64);
    ok!(SYS_getrlimit, libc::RLIMIT_CORE, &mut limit);
    ok!(SYS_rt_sigprocmask, 0, 0, &mut mask, 8);
    let (user, group) = (ok!(SYS_geteuid), ok!(SYS_getegid));
    facts += &format!("{user} {group} {limit:?} {mask}\n");
    let others = (3..64).filter(|fd| crate::sys!(SYS_fcntl, *fd, libc::F_GETFD).is_ok()).count();
    let place = std::env::current_dir().unwrap();
    facts += &format!("{others} {} {}\n", std::env::vars().count(), place.display());
    fs::write(at("writing"), facts).unwrap();
    fs::rename(at("writing"), at("facts")).unwrap();
}

/// Starts a child that dies by SIGSEGV under a limit of so many bytes.
fn dying(limit: u64) -> Child {
    child(|| {
        limit_cores(limit);
        default_action(SIGSEGV);
        die(SIGSEGV);
    })
}

/// What the helper found out, line by line, once it is done.
fn facts() -> Vec<String> {
    until("the helper is done", || Path::new("facts").exists());
    read_text("facts").lines().map(str::to_owned).collect()
}

fn program_reads_the_core_file() {
    let _settings = Settings::helper("keep", "%p %s %u", 0);
    let pages = Mapping::private(3);
    pages.fill(7);
    let process = dying(u64::MAX);
    let pid = process.pid();
    assert_eq!(process.status(), Status::Dumped(SIGSEGV));
    assert_eq!(facts()[0], format!("[\"{pid}\", \"11\", \"0\"]"));
    let core = Core::of((Status::Dumped(SIGSEGV), Some("core".into())), SIGSEGV);
    // Holes are zeros for who reads a pipe: everything is where the headers say.
    assert_eq!(core.page(pages.address()).expect("the page is there"), &[7; 4096][..]);
}

fn program_runs_as_root_with_nothing_but_the_core_file() {
    let _settings = Settings::helper("keep", "%p", 0);
    let process = child(|| {
        limit_cores(u64::MAX);
        default_action(SIGSEGV);
        ok!(SYS_umask, 0o777);
        ok!(SYS_setgid, 1000);
        ok!(SYS_setuid, 1000);
        ok!(SYS_prctl, libc::PR_SET_DUMPABLE, 1);
        die(SIGSEGV);
    });
    assert_eq!(process.status(), Status::Dumped(SIGSEGV));
    assert_eq!(facts()[2], "0 0 [1, 1] 0");
    assert_eq!(facts()[3], "0 0 /");
}

fn words_are_parted_before_they_are_converted() {
    let _settings = Settings::helper("keep", "%e   a%%b  x%q", 0);
    let process = child(|| {
        limit_cores(u64::MAX);
        default_action(SIGSEGV);
        ok!(SYS_prctl, libc::PR_SET_NAME, c"two words/x");
        die(SIGSEGV);
    });
    assert_eq!(process.status(), Status::Dumped(SIGSEGV));
    assert_eq!(facts()[0], r#"["two words!x", "a%b", "x"]"#);
}

fn limit_does_not_cut_the_core_file_off() {
    let _settings = Settings::helper("keep", "%c", 0);
    assert_eq!(dying(0).status(), Status::Dumped(SIGSEGV));
    assert_eq!(facts()[0], r#"["0"]"#);
    let core = Core::of((Status::Dumped(SIGSEGV), Some("core".into())), SIGSEGV);
    let end = core.segments.iter().map(|segment| segment[1] + segment[2]).max();
    let length = fs::metadata("core").unwrap().len();
    assert!(end.is_some_and(|end| end <= length), "{end:?} of {length}");
}

fn limit_of_one_byte_means_none() {
    let _settings = Settings::helper("keep", "%p", 0);
    assert_eq!(dying(1).status(), Status::Killed(SIGSEGV));
    nap(50);
    assert!(!Path::new("core").exists());
}

fn missing_program_means_none() {
    let _settings = Settings::set("/nowhere/to/be/found %p", 0);
    assert_eq!(dying(u64::MAX).status(), Status::Killed(SIGSEGV));
}

fn empty_command_means_none() {
    let _settings = Settings::set("", 0);
    assert_eq!(read_text(PATTERN), "|\n");
    assert_eq!(dying(u64::MAX).status(), Status::Killed(SIGSEGV));
}

fn program_that_does_not_read_counts_as_one() {
    let program = std::env::current_exe().unwrap();
    let _settings = Settings::set(&format!("{} --helper exit 0", program.display()), 0);
    let process = child(|| {
        let pages = Mapping::private(256);
        pages.stamp(1);
        limit_cores(u64::MAX);
        default_action(SIGSEGV);
        die(SIGSEGV);
    });
    assert_eq!(process.status(), Status::Dumped(SIGSEGV));
}

fn program_that_crashes_leaves_none_of_its_own() {
    let _settings = Settings::helper("crash", "%p", 0);
    assert_eq!(dying(u64::MAX).status(), Status::Dumped(SIGSEGV));
    until("the helper crashes", || Path::new("crashing").exists());
    // Its own core file would start another helper.
    fs::remove_file("crashing").unwrap();
    nap(100);
    assert!(!Path::new("crashing").exists());
}

fn limited_dumps_wait_for_their_program() {
    let _settings = Settings::helper("keep", "%p", 1);
    assert_eq!(dying(u64::MAX).status(), Status::Dumped(SIGSEGV));
    assert_eq!(facts()[1], "there: true");
}

fn dumps_past_the_limit_are_not_made() {
    let _settings = Settings::helper("wait", "%p", 1);
    let first = dying(u64::MAX);
    until("the helper runs", || Path::new("started").exists());
    assert_eq!(dying(u64::MAX).status(), Status::Killed(SIGSEGV));
    fs::write("go", "").unwrap();
    assert_eq!(first.status(), Status::Dumped(SIGSEGV));
}

fn killed_while_the_program_reads() {
    let _settings = Settings::helper("wait", "%p", 1);
    let process = child(|| {
        let pages = Mapping::private(256);
        pages.stamp(1);
        limit_cores(u64::MAX);
        default_action(SIGSEGV);
        die(SIGSEGV);
    });
    until("the helper runs", || Path::new("started").exists());
    process.kill(SIGKILL);
    // How it ends is up to who looks first; that it ends matters.
    assert!(process.status().signal().is_some());
    fs::write("go", "").unwrap();
    facts();
}
