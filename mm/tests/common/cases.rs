//! How many cases a property gets: some thousands in `cargo test`, as many as fit into a time in `make torture-host`.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Cases of one run of a property.
const CASES: u32 = 1500;
/// Cases between two looks at the clock.
const BATCH: u32 = 10_000;

/// A number that `make torture-host` hands over.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// For how long to go on, if for longer than once.
#[must_use]
pub fn duration() -> Option<Duration> {
    number("TORTURE_SECONDS").map(Duration::from_secs)
}

/// Where random numbers start.
#[must_use]
pub fn seed() -> u64 {
    number("TORTURE_SEED").unwrap_or(1)
}

/// Checks that `property` holds for values of `strategy`.
///
/// # Panics
/// When it does not, with the smallest value found for which that is so.
pub fn check<S>(name: &str, strategy: &S, property: impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let Some(duration) = duration() else {
        return run(TestRunner::new(config(CASES)), strategy, &property);
    };
    let start = Instant::now();
    let mut batches = 0;
    while start.elapsed() < duration {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed().to_le_bytes());
        bytes[8..16].copy_from_slice(&u64::from(batches).to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        run(TestRunner::new_with_rng(config(BATCH), random), strategy, &property);
        batches += 1;
    }
    println!("{name}: {} cases in {} s", batches * BATCH, start.elapsed().as_secs());
}

fn config(cases: u32) -> Config {
    Config { cases, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() }
}

fn run<S>(mut runner: TestRunner, strategy: &S, property: &impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let outcome = runner.run(strategy, |value| {
        property(value);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
