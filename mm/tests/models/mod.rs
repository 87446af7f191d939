//! How far loom goes: with few preemptions in `cargo test`, with ever more of them for as long as is wanted by `make torture-host`.

use std::time::{Duration, Instant};

/// Preemptions that a short run tries in every place. Nearly all known bugs of concurrent programs need two at most.
const FEW: usize = 3;
/// After so many there is no limit any more.
const MANY: usize = 10;

/// Checks every interleaving of `model` with up to a number of preemptions, and with up to more and more, in the end with any number,
/// if time is given.
pub fn check(name: &str, model: impl Fn() + Clone + Send + Sync + 'static) {
    let seconds = std::env::var("TORTURE_SECONDS").ok().and_then(|text| text.parse().ok());
    let duration = seconds.map(Duration::from_secs);
    let start = Instant::now();
    for preemptions in (FEW..=MANY).map(Some).chain([None]) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        // Waiting for a lock takes turns.
        builder.max_branches = 20_000;
        let left = duration.map(|duration| duration.saturating_sub(start.elapsed()));
        builder.max_duration = left;
        builder.check(model.clone());
        let Some(duration) = duration else { return };
        let elapsed = start.elapsed();
        let how = if elapsed < duration { "all" } else { "some" };
        let most = preemptions.map_or("any number of".to_owned(), |most| format!("{most}"));
        println!("{name}: {how} orders with {most} preemptions, {} s", elapsed.as_secs());
        if elapsed >= duration {
            return;
        }
    }
}
