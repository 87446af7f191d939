//! The torture program: processes and threads that fork, write, map, protect, move and end, for as long as one likes, and
//! check every byte they know of.
//!
//! It goes round three parts until its time is over: [`storm`], [`chain`], and, where it has the machine for itself,
//! [`pressure`]. What each process expects of its memory is kept in a [`region`]. Anything unexpected ends the process that
//! sees it with a message, and its ancestors with it. The same seed does the same operations, though not in the same interleaving.

mod chain;
mod ledger;
mod options;
mod pressure;
mod process;
mod region;
mod storm;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use options::Options;

/// How long one storm lasts, at most.
const STORM: Duration = Duration::from_secs(20);

/// Entry point of the `torture` program.
///
/// # Returns
///
/// Success when everything was as expected; 1 when something was not; 2 when the command line makes no sense.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("torture: {complaint}");
            return ExitCode::from(2);
        }
    };
    crate::first::run(|| run(&options))
}

/// Goes round the parts until the time is over.
fn run(options: &Options) -> ExitCode {
    process::adopt_orphans();
    let start = Instant::now();
    let end = start + Duration::from_secs(options.seconds);
    let mut seed = options.seed;
    let mut round = 0;
    println!(
        "torture: seed {seed}, {} s, {} processes at a time",
        options.seconds, options.processes
    );
    loop {
        round += 1;
        let elapsed = start.elapsed();
        let share = (Duration::from_secs(options.seconds) / 2).min(STORM);
        let storm = storm::run(options, &mut seed, (Instant::now() + share).min(end));
        println!("torture: round {round} at {} s: {storm}", elapsed.as_secs());
        println!("torture: {}", chain::run(seed));
        if options.pressure {
            println!("torture: {}", pressure::run(seed));
        }
        if Instant::now() >= end {
            println!("torture: all as expected for {} s", start.elapsed().as_secs());
            return ExitCode::SUCCESS;
        }
    }
}
