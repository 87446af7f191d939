//! Jobs: process groups, who has the terminal, what is stopped, what runs behind.
//!
//! Each pipeline of an interactive shell is a process group of its own. The shell gives the terminal to the one
//! in the foreground and takes it back when that ends or stops.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, killpg, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, getpid, setpgid, tcsetpgrp};

use super::parser::Place;

/// Signals that the terminal sends to the foreground, which an interactive shell survives.
const TERMINAL_SIGNALS: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// Whether standard input is a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether the shell moves process groups about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Each pipeline is a group, and the foreground one has the terminal.
    On,
    /// All run in the shell's own group.
    Off,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Stopped,
}

#[derive(Debug)]
struct Job {
    number: usize,
    group: Pid,
    /// Processes that have not been reaped.
    members: Vec<Pid>,
    /// The process whose status counts.
    last: Pid,
    status: u8,
    state: State,
    text: String,
}

/// The shell's jobs.
#[derive(Debug)]
pub struct Jobs {
    control: Control,
    list: Vec<Job>,
}

impl Jobs {
    /// Prepares for jobs; with control the shell takes the terminal and ignores its signals.
    #[must_use]
    pub fn new(control: Control) -> Self {
        if control == Control::On {
            set_terminal_signals(SigHandler::SigIgn);
            if getpgrp() != getpid()
                && let Err(error) = setpgid(Pid::from_raw(0), Pid::from_raw(0))
            {
                eprintln!("skein-sh: cannot lead a process group: {error}");
            }
            give_terminal(getpgrp());
        }
        Self { control, list: Vec::new() }
    }

    /// What a child does first: join the job's group (a new one for the first child), take the terminal if it is
    /// in the foreground (it may read before the parent has given it), and take signals normally.
    pub fn enter_child(&self, group: Option<Pid>, place: Place) {
        if self.control == Control::On {
            let own = Pid::from_raw(0);
            // The parent does the same; whoever is second may be refused.
            let _ = setpgid(own, group.unwrap_or(own));
            if place == Place::Foreground {
                give_terminal(getpgrp());
            }
            set_terminal_signals(SigHandler::SigDfl);
        }
        // Rust's runtime ignores it, programs expect to die of it.
        set_signal(Signal::SIGPIPE, SigHandler::SigDfl);
    }

    /// What the parent does after each fork; gives the job's group.
    #[must_use]
    pub fn adopt(&self, child: Pid, group: Option<Pid>) -> Pid {
        let group = group.unwrap_or(child);
        if self.control == Control::On {
            let _ = setpgid(child, group);
        }
        group
    }

    /// Waits for a job in the foreground; gives its exit status. A job that stops joins the list.
    pub fn run_in_foreground(&mut self, group: Pid, members: Vec<Pid>, text: &str) -> u8 {
        let mut job = self.job(group, members, text);
        if self.control == Control::On {
            give_terminal(group);
        }
        self.wait_in_foreground(&mut job);
        self.take_terminal_back();
        let status = job.status;
        if job.state == State::Stopped {
            println!("[{}] Stopped  {}", job.number, job.text);
            self.list.push(job);
            return 128 + Signal::SIGTSTP as u8;
        }
        status
    }

    /// Notes a job that runs behind.
    pub fn add_background(&mut self, group: Pid, members: Vec<Pid>, text: &str) {
        let job = self.job(group, members, text);
        println!("[{}] {}", job.number, group);
        self.list.push(job);
    }

    fn job(&self, group: Pid, members: Vec<Pid>, text: &str) -> Job {
        let number = self.list.iter().map(|job| job.number).max().unwrap_or(0) + 1;
        let last = members.last().copied().unwrap_or(group);
        Job {
            number,
            group,
            members,
            last,
            status: 0,
            state: State::Running,
            text: text.to_owned(),
        }
    }

    /// Waits until a job has ended or stopped.
    fn wait_in_foreground(&self, job: &mut Job) {
        job.state = State::Running;
        while let Some(member) = job.members.first().copied() {
            match waitpid(member, Some(WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Stopped(..)) => {
                    job.state = State::Stopped;
                    return;
                }
                Ok(status) => job.note(member, status),
                Err(Errno::EINTR) => {}
                Err(_) => job.members.retain(|other| *other != member),
            }
        }
    }

    fn take_terminal_back(&self) {
        if self.control == Control::On {
            give_terminal(getpgrp());
        }
    }

    /// Looks for jobs that have ended or stopped behind, and says so.
    pub fn report_changes(&mut self) {
        for job in &mut self.list {
            job.poll();
        }
        self.list.retain(|job| {
            if job.members.is_empty() {
                println!("[{}] Done ({})  {}", job.number, job.status, job.text);
            }
            !job.members.is_empty()
        });
    }

    /// Prints all jobs.
    pub fn print(&mut self) {
        self.report_changes();
        for job in &self.list {
            println!("[{}] {:?}  {}", job.number, job.state, job.text);
        }
    }

    /// Brings a job (the latest without a number) to the foreground; gives its exit status.
    ///
    /// # Errors
    ///
    /// ESRCH when there is no such job.
    pub fn foreground(&mut self, number: Option<usize>) -> Result<u8, Errno> {
        let mut job = self.take(number)?;
        println!("{}", job.text);
        give_terminal(job.group);
        killpg(job.group, Signal::SIGCONT)?;
        self.wait_in_foreground(&mut job);
        self.take_terminal_back();
        let status = job.status;
        if job.state == State::Stopped {
            println!("[{}] Stopped  {}", job.number, job.text);
            self.list.push(job);
        }
        Ok(status)
    }

    /// Lets a stopped job go on behind.
    ///
    /// # Errors
    ///
    /// ESRCH when there is no such job.
    pub fn background(&mut self, number: Option<usize>) -> Result<(), Errno> {
        let mut job = self.take(number)?;
        killpg(job.group, Signal::SIGCONT)?;
        job.state = State::Running;
        println!("[{}] {}", job.number, job.text);
        self.list.push(job);
        Ok(())
    }

    fn take(&mut self, number: Option<usize>) -> Result<Job, Errno> {
        self.report_changes();
        let index = match number {
            Some(number) => self.list.iter().position(|job| job.number == number),
            None => self.list.len().checked_sub(1),
        };
        index.map(|index| self.list.remove(index)).ok_or(Errno::ESRCH)
    }

    /// The process group of a job, for `kill %1`.
    #[must_use]
    pub fn group(&self, number: usize) -> Option<Pid> {
        self.list.iter().find(|job| job.number == number).map(|job| job.group)
    }

    /// Waits for everything that runs behind.
    pub fn wait_for_all(&mut self) {
        let mut list = std::mem::take(&mut self.list);
        for job in &mut list {
            if job.state == State::Running {
                self.wait_in_foreground(job);
            }
        }
        self.list = list;
        self.report_changes();
    }
}

impl Job {
    /// Takes a member's end into account.
    fn note(&mut self, member: Pid, status: WaitStatus) {
        let code = match status {
            WaitStatus::Exited(_, code) => code as u8,
            WaitStatus::Signaled(_, signal, _) => {
                if signal != Signal::SIGINT && signal != Signal::SIGPIPE {
                    eprintln!("{signal}");
                }
                128 + signal as u8
            }
            _ => return,
        };
        if member == self.last {
            self.status = code;
        }
        self.members.retain(|other| *other != member);
    }

    /// Reaps members without waiting.
    fn poll(&mut self) {
        for member in self.members.clone() {
            match waitpid(member, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(WaitStatus::Stopped(..)) => self.state = State::Stopped,
                Ok(status) => self.note(member, status),
                Err(_) => self.members.retain(|other| *other != member),
            }
        }
    }
}

/// Makes a group the terminal's foreground one.
fn give_terminal(group: Pid) {
    if let Err(error) = tcsetpgrp(std::io::stdin().as_fd(), group)
        && error != Errno::ENOTTY
    {
        eprintln!("skein-sh: cannot give the terminal away: {error}");
    }
}

fn set_terminal_signals(action: SigHandler) {
    for number in TERMINAL_SIGNALS {
        set_signal(number, action);
    }
}

fn set_signal(number: Signal, action: SigHandler) {
    // SAFETY: only SIG_IGN and SIG_DFL are set, which run no code.
    if let Err(error) = unsafe { signal(number, action) } {
        eprintln!("skein-sh: cannot set {number}: {error}");
    }
}
