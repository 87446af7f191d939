//! Signals by way of the crate `nix`: actions, masks, waiting for signals, stops and continuations of a child, an alternate stack's worth of siginfo.
//! One of the real programs of `make test` (`xtask/programs`): what it prints is the same on every kernel.

use std::error::Error;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, pthread_sigmask,
    raise, sigaction,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork, getpid, pause, setpgid};

static LAST: AtomicI32 = AtomicI32::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn remember(signal: i32) {
    LAST.store(signal, Ordering::SeqCst);
}

extern "C" fn remember_sender(
    signal: i32,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    LAST.store(signal, Ordering::SeqCst);
    // SAFETY: the kernel passes a siginfo_t to handlers with SA_SIGINFO; kill(2) fills in its sender.
    SENDER.store(unsafe { (*info).si_pid() }, Ordering::SeqCst);
}

fn main() -> Result<(), Box<dyn Error>> {
    actions()?;
    masks()?;
    threads()?;
    alarms()?;
    stops()?;
    groups()
}

/// Installs a handler and says what was there before.
fn install(signal: Signal, handler: SigHandler) -> nix::Result<SigAction> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handlers only store to atomics.
    unsafe { sigaction(signal, &action) }
}

fn actions() -> Result<(), Box<dyn Error>> {
    let former = install(Signal::SIGUSR1, SigHandler::Handler(remember))?;
    println!("former handler: {:?}", former.handler());
    raise(Signal::SIGUSR1)?;
    println!("caught {}", Signal::try_from(LAST.load(Ordering::SeqCst))?);
    install(Signal::SIGUSR2, SigHandler::SigAction(remember_sender))?;
    kill(getpid(), Signal::SIGUSR2)?;
    let own = SENDER.load(Ordering::SeqCst) == getpid().as_raw();
    println!("caught {}, from itself: {own}", Signal::try_from(LAST.load(Ordering::SeqCst))?);
    install(Signal::SIGUSR2, SigHandler::SigIgn)?;
    kill(getpid(), Signal::SIGUSR2)?;
    println!("ignored SIGUSR2");
    println!("SIGKILL: {:?}", install(Signal::SIGKILL, SigHandler::SigIgn).err());
    println!("to nobody: {:?}", kill(Pid::from_raw(i32::MAX), None).err());
    Ok(())
}

fn masks() -> Result<(), Box<dyn Error>> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR1);
    set.add(Signal::SIGTERM);
    let former = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    LAST.store(0, Ordering::SeqCst);
    raise(Signal::SIGTERM)?;
    raise(Signal::SIGUSR1)?;
    println!("handlers while blocked: {}", LAST.load(Ordering::SeqCst));
    println!("waited for {}", set.wait()?);
    println!("waited for {}", set.wait()?);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&former), None)?;
    println!("blocked now: {}", SigSet::thread_get_mask()?.contains(Signal::SIGTERM));
    Ok(())
}

/// A signal to a thread that waits for it, and one to the process.
fn threads() -> Result<(), Box<dyn Error>> {
    let set = SigSet::from(Signal::SIGUSR1);
    set.thread_block()?;
    let waiter = thread::spawn(move || {
        let sent = pthread_kill(pthread_self(), Signal::SIGUSR1);
        (sent, set.wait())
    });
    let (sent, waited) = waiter.join().map_err(|_| "the thread panicked")?;
    println!("thread: {sent:?}, {waited:?}");
    kill(getpid(), Signal::SIGUSR1)?;
    println!("main waited for {}", set.wait()?);
    set.thread_unblock()?;
    Ok(())
}

fn alarms() -> Result<(), Box<dyn Error>> {
    install(Signal::SIGALRM, SigHandler::Handler(remember))?;
    // Blocked but while it waits: a handler that ran before would leave nothing to wait for.
    let former = SigSet::from(Signal::SIGALRM).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    println!("alarm before: {:?}", alarm::set(1));
    former.suspend()?;
    former.thread_set_mask()?;
    println!("caught {}", Signal::try_from(LAST.load(Ordering::SeqCst))?);
    println!("alarm left: {:?}", alarm::cancel());
    Ok(())
}

/// A child that only pauses.
fn pausing_child() -> nix::Result<Pid> {
    // SAFETY: the program has one thread again.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => loop {
            pause();
        },
    }
}

fn show(status: WaitStatus) -> String {
    match status {
        WaitStatus::Stopped(_, signal) => format!("stopped by {signal}"),
        WaitStatus::Continued(_) => "continued".to_owned(),
        WaitStatus::Signaled(_, signal, core) => format!("killed by {signal}, core: {core}"),
        WaitStatus::StillAlive => "nothing new".to_owned(),
        other => format!("{other:?}"),
    }
}

fn stops() -> Result<(), Box<dyn Error>> {
    let child = pausing_child()?;
    let all = WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
    // Not SIGTSTP, which an orphaned process group ignores: whether this one is, depends on who started the program.
    for signal in [Signal::SIGSTOP, Signal::SIGCONT, Signal::SIGKILL] {
        kill(child, signal)?;
        println!("{signal}: {}", show(waitpid(child, Some(all))?));
    }
    println!("afterwards: {:?}", waitpid(child, Some(all | WaitPidFlag::WNOHANG)).err());
    Ok(())
}

/// A process group that ends as one.
fn groups() -> Result<(), Box<dyn Error>> {
    let leader = pausing_child()?;
    setpgid(leader, leader)?;
    let member = pausing_child()?;
    setpgid(member, leader)?;
    killpg(leader, Signal::SIGHUP)?;
    for child in [leader, member] {
        println!("{}", show(waitpid(child, None)?));
    }
    println!("no group any more: {:?}", killpg(leader, None).err());
    Ok(())
}
