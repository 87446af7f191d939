//! The laboratory's guest side: runs loads (the files that the simulator runs, too) as real processes.
//!
//! For each policy and each load: choose the policy, start the recorder, let the load's tasks go, end them when
//! its time is over, and send what they achieved and the trace.
//!
//! - [`shared`]: memory that all tasks share: the starting signal, locks, what each has achieved;
//! - [`task`]: the process of one task;
//! - [`experiment`]: one load from beginning to end.
//!
//! On Linux it works as well, without policies and traces: `lab --loads mixed` prints what was achieved.

pub mod experiment;
pub mod shared;
pub mod task;

use std::process::ExitCode;

use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{Pid, getpid};

use crate::{init, tracing, usage};

const HELP: &str = "\
Usage: lab [--policies NAME,...] [--loads NAME,...] [--seed N]
Runs every load under every scheduling policy of the fair class. Prints one line of JSON for each run, and
sends its trace. As the first process it powers the machine off in the end.
";

/// The kernel's switch for policies.
const POLICY: &str = "/proc/sys/kernel/sched_policy";

/// What the command line asks for.
struct Request {
    policies: Vec<String>,
    loads: Vec<String>,
    seed: u64,
}

impl Request {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut request = Self { policies: Vec::new(), loads: vec!["mixed".into()], seed: 1 };
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let value = arguments.next()?;
            match option.as_str() {
                "--policies" => request.policies = list(value),
                "--loads" => request.loads = list(value),
                "--seed" => request.seed = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(request)
    }
}

/// The program.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let request = match usage::request(arguments, HELP, Request::parse) {
        Ok(request) => request,
        Err(status) => return status,
    };
    let is_first = getpid() == Pid::from_raw(1);
    if is_first {
        init::mounts::mount_all();
    }
    let done = perform(&request);
    if let Err(error) = &done {
        // The host looks for this line.
        println!("lab: {error}");
    }
    if is_first {
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        println!("lab: cannot power off: {error}");
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn perform(request: &Request) -> Result<(), Box<dyn std::error::Error>> {
    let own = vec![String::new()];
    let policies = if request.policies.is_empty() { &own } else { &request.policies };
    let has_recorder = tracing::tell("on").is_ok();
    for policy in policies {
        if !policy.is_empty() {
            std::fs::write(POLICY, policy).map_err(|error| format!("{POLICY}: {error}"))?;
        }
        let switch_cost = experiment::switch_cost()?;
        for name in &request.loads {
            let load = loads::standard(name)?;
            let progress = experiment::run(&load, request.seed)?;
            let rows: Vec<_> = progress
                .iter()
                .map(|row| serde_json::json!([row.task, row.rounds, row.missed]))
                .collect();
            println!(
                "{}",
                serde_json::json!({
                    "lab": "run",
                    "policy": policy,
                    "load": name,
                    "cpus": experiment::processors(),
                    "switch_cost": switch_cost,
                    "progress": rows,
                })
            );
            if has_recorder {
                tracing::send(&mut std::io::stdout().lock())?;
                tracing::tell("on")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let words = ["--policies", "eevdf,rr", "--loads", "hogs", "--seed", "7"].map(String::from);
        let request = Request::parse(&words).unwrap();
        assert_eq!(request.policies, ["eevdf", "rr"]);
        assert_eq!((request.loads.len(), request.seed), (1, 7));
        assert!(Request::parse(&["--seed".into(), "x".into()]).is_none());
        assert!(Request::parse(&["--seed".into()]).is_none());
    }
}
