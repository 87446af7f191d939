//! A CPU hog: uses one CPU for some seconds or for ever, and says how much work it got done.

use std::process::ExitCode;
use std::time::{Duration, Instant};

const HELP: &str = "\
Usage: spin SECONDS|forever
Keeps one CPU busy. At the end prints how many million rounds it made, so that
several of them show who got how much.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let limit = match arguments.as_slice() {
        [option] if option == "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [word] if word == "forever" => None,
        [word] => match word.parse::<u32>() {
            Ok(seconds) => Some(Duration::from_secs(u64::from(seconds))),
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    let start = Instant::now();
    let mut millions = 0_u64;
    while limit.is_none_or(|limit| start.elapsed() < limit) {
        for round in 0..1_000_000_u32 {
            std::hint::black_box(round);
        }
        millions += 1;
    }
    println!("{millions} million rounds in {:.3} s", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}
