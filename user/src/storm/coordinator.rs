//! Who begins the storm, ends it, and compares the books.

use std::ffi::CString;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use nix::sys::reboot::{RebootMode, reboot};

use super::shared::{PILGRIMS, RECEIVERS, RESIDENTS, SIGNALS, Shared, THREADS, Way};
use super::{actions, fork, leave, receiver};
use crate::init::mounts;
use crate::sys::Errno;
use crate::{ok, sys};

/// How long nothing may happen before the storm counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a storm of `seconds`; as first process powers the machine off in the end.
pub(super) fn run(seconds: u64, seed: u64) -> ExitCode {
    if ok!(SYS_getpid) != 1 {
        return storm(seconds, seed);
    }
    mounts::mount_all();
    let child = fork();
    if child == 0 {
        let code = storm(seconds, seed);
        leave(i32::from(code != ExitCode::SUCCESS));
    }
    let mut status = 0_i32;
    loop {
        // Orphans end here as well.
        match sys!(SYS_wait4, -1, &mut status, 0, 0) {
            Ok(pid) if pid as i32 == child => break,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                eprintln!("storm: wait failed: {error}");
                return ExitCode::from(2);
            }
        }
    }
    if status == 0 {
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        eprintln!("storm: cannot power off: {error}");
    }
    ExitCode::FAILURE
}

fn storm(seconds: u64, seed: u64) -> ExitCode {
    let Some(program) = own_path() else {
        eprintln!("storm: cannot find itself");
        return ExitCode::from(2);
    };
    let (shared, books) = Shared::create();
    // A queue that fills up now and then.
    ok!(SYS_setrlimit, libc::RLIMIT_SIGPENDING, &[2000_u64, 2000]);
    let children = begin(shared, books, seed, &program);
    println!("storm: seed {seed}, {seconds} seconds, {RECEIVERS} receivers");
    let mut found = blow(shared, &children, Duration::from_secs(seconds));
    shared.calm.store(1, SeqCst);
    found = found.and_then(|()| settle(shared));
    shared.over.store(1, SeqCst);
    if found.is_err() {
        for pid in &children {
            let _killed = sys!(SYS_kill, *pid, libc::SIGKILL);
        }
    }
    let mut mistakes: Vec<String> = found.err().into_iter().collect();
    for pid in children {
        match super::reap(pid) {
            0 => {}
            status => mistakes.push(format!("process {pid} ended with wait status {status:#x}")),
        }
    }
    report(shared, mistakes)
}

/// The path of this program, which may be executed from anywhere.
fn own_path() -> Option<CString> {
    let path = std::env::current_exe().ok()?;
    CString::new(path.into_os_string().into_encoded_bytes()).ok()
}

/// Starts the processes that last.
fn begin(shared: &'static Shared, books: i32, seed: u64, program: &CString) -> Vec<i32> {
    receiver::block_counted();
    let mut children = Vec::new();
    for index in 0..RESIDENTS {
        let pid = fork();
        if pid == 0 {
            receiver::resident(shared, books, index * THREADS, seed, program);
        }
        children.push(pid);
    }
    for index in 0..PILGRIMS {
        let receiver = RESIDENTS * THREADS + index;
        let pid = fork();
        if pid == 0 {
            receiver::prepare(shared);
            let arguments =
                ["--pilgrim".into(), books.to_string(), receiver.to_string(), seed.to_string()];
            actions::execute(program, &arguments);
        }
        children.push(pid);
    }
    children
}

/// How much has been sent and taken in all.
fn totals(shared: &Shared) -> (u64, u64) {
    let (mut sent, mut taken) = (0, 0);
    for receiver in &shared.receivers {
        let sum = |books: &[[std::sync::atomic::AtomicU64; SIGNALS]; RECEIVERS]| -> u64 {
            books.as_flattened().iter().map(|word| word.load(SeqCst)).sum()
        };
        sent += sum(&receiver.sent);
        taken += sum(&receiver.taken);
    }
    for process in &shared.processes {
        sent += process.sent.load(SeqCst);
        taken += process.taken.load(SeqCst);
    }
    (sent, taken)
}

/// How often a long storm says that it goes on.
const NEWS: Duration = Duration::from_secs(30);

/// Lets the storm blow, stops and continues processes meanwhile, and watches that something goes on.
fn blow(shared: &Shared, children: &[i32], span: Duration) -> Result<(), String> {
    let start = Instant::now();
    let (mut last, mut changed) = (totals(shared), start);
    let (mut turn, mut news) = (0_usize, NEWS);
    while start.elapsed() < span {
        std::thread::sleep(Duration::from_millis(100));
        turn += 1;
        // Nobody but this process stops those that last, so nobody who would continue them is stopped.
        let victim = children[turn % children.len()];
        ok!(SYS_kill, victim, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(5));
        ok!(SYS_kill, victim, libc::SIGCONT);
        let now = totals(shared);
        if now != last {
            (last, changed) = (now, Instant::now());
        } else if changed.elapsed() > PATIENCE {
            return Err("nothing moves any more".into());
        }
        if start.elapsed() > news {
            println!("storm: {} s, {} signals accepted, {} received", news.as_secs(), now.0, now.1);
            news += NEWS;
        }
    }
    Ok(())
}

/// Waits until nobody sends and everything has arrived.
fn settle(shared: &Shared) -> Result<(), String> {
    let (mut last, mut changed) = ((0, 0), Instant::now());
    loop {
        let now = totals(shared);
        if shared.calmed.load(SeqCst) as usize == RECEIVERS && now.0 == now.1 {
            return Ok(());
        }
        if now != last {
            (last, changed) = (now, Instant::now());
        } else if changed.elapsed() > PATIENCE {
            let calmed = shared.calmed.load(SeqCst);
            return Err(format!("{} sent, {} taken, {calmed} calm", now.0, now.1));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says what came of it; `mistakes` are those that are known already.
fn report(shared: &Shared, mut mistakes: Vec<String>) -> ExitCode {
    let (sent, taken) = totals(shared);
    let way = |way: Way| -> u64 {
        shared.receivers.iter().map(|receiver| receiver.ways[way as usize].load(SeqCst)).sum()
    };
    println!(
        "storm: {sent} signals accepted, {taken} received: {} by handlers, {} by waits, {} by signalfds",
        way(Way::Handler),
        way(Way::Wait),
        way(Way::Descriptor)
    );
    println!(
        "storm: {} refused, {} plain ones, {} children, {} executions",
        shared.refused.load(SeqCst),
        shared.plain.load(SeqCst),
        shared.children.load(SeqCst),
        shared.executions.load(SeqCst)
    );
    let streams = |receiver: &super::shared::Receiver| {
        let pairs = receiver.sent.as_flattened().iter().zip(receiver.taken.as_flattened());
        pairs.filter(|(sent, taken)| sent.load(SeqCst) != taken.load(SeqCst)).count()
    };
    for (index, receiver) in shared.receivers.iter().enumerate() {
        if streams(receiver) > 0 {
            mistakes.push(format!("{} streams to receiver {index} differ", streams(receiver)));
        }
    }
    for (index, process) in shared.processes.iter().enumerate() {
        if process.sent_sum.load(SeqCst) != process.taken_sum.load(SeqCst) {
            mistakes.push(format!("the sums of the process of receiver {index} differ"));
        }
    }
    if shared.mistakes.load(SeqCst) > 0 {
        mistakes.push(format!("{} mistakes", shared.mistakes.load(SeqCst)));
    }
    mistakes.iter().for_each(|mistake| println!("storm: FAILED: {mistake}"));
    let failed = usize::from(!mistakes.is_empty());
    println!("{} passed, {failed} failed, 0 skipped", 1 - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
