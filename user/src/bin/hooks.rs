//! Signals by way of the crate `signal-hook`, as servers use it: flags, a self-pipe behind an iterator, emulated default actions.
//! One of the real programs of `make test` (`xtask/programs`): what it prints is the same on every kernel.

use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, raise};
use signal_hook::{flag, low_level};

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("terminate") {
        emulate_default_handler(SIGTERM)?;
    }
    flags()?;
    values()?;
    actions()?;
    iterator()?;
    children()?;
    default_action()
}

/// A flag that a signal sets.
fn flags() -> Result<(), Box<dyn Error>> {
    let reload = Arc::new(AtomicBool::new(false));
    let id = flag::register(SIGHUP, Arc::clone(&reload))?;
    println!("before SIGHUP: {}", reload.load(Ordering::Relaxed));
    raise(SIGHUP)?;
    println!("after SIGHUP: {}", reload.load(Ordering::Relaxed));
    println!("unregistered: {}", low_level::unregister(id));
    Ok(())
}

/// A word that the last signal fills.
fn values() -> Result<(), Box<dyn Error>> {
    let last = Arc::new(AtomicUsize::new(0));
    flag::register_usize(SIGUSR1, Arc::clone(&last), 1)?;
    flag::register_usize(SIGUSR2, Arc::clone(&last), 2)?;
    raise(SIGUSR1)?;
    raise(SIGUSR2)?;
    println!("last signal: {}", last.load(Ordering::Relaxed));
    Ok(())
}

/// Several actions of one signal.
fn actions() -> Result<(), Box<dyn Error>> {
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let count = Arc::clone(&count);
        // SAFETY: the action is one atomic addition.
        unsafe {
            low_level::register(SIGWINCH, move || _ = count.fetch_add(1, Ordering::Relaxed))
        }?;
    }
    raise(SIGWINCH)?;
    println!("actions that ran: {}", count.load(Ordering::Relaxed));
    Ok(())
}

/// A thread that takes signals as they come, until it is told to end.
fn iterator() -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new([SIGUSR1, SIGTERM])?;
    let handle = signals.handle();
    let (taken, seen) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        for signal in &mut signals {
            if taken.send(signal).is_err() || signal == SIGTERM {
                break;
            }
        }
    });
    for _ in 0..5 {
        raise(SIGUSR1)?;
        println!("the thread saw {}", seen.recv()?);
    }
    raise(SIGTERM)?;
    println!("the thread saw {}", seen.recv()?);
    waiter.join().map_err(|_| "the thread panicked")?;
    println!("closed: {}", {
        handle.close();
        handle.is_closed()
    });
    Ok(())
}

/// SIGCHLD for each child, while the program waits for them.
fn children() -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new([SIGCHLD])?;
    let mut child = Command::new("/proc/self/exe").arg("terminate").spawn()?;
    let signal = signals.forever().next().ok_or("nobody waits for signals any more")?;
    println!("a child changed: {signal}");
    println!("it {}", child.wait()?);
    Ok(())
}

/// What the default action of a signal is that does nothing, by the crate's emulation.
fn default_action() -> Result<(), Box<dyn Error>> {
    emulate_default_handler(SIGWINCH)?;
    println!("alive");
    Ok(())
}
