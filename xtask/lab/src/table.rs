//! Several runs beside each other, as a table for the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::metrics::Metrics;
use crate::run::Run;

/// The columns, and what they mean.
pub const COLUMNS: [(&str, &str); 14] = [
    ("load", "the workload"),
    ("policy", "the policy of the fair class"),
    ("CPUs", "processors"),
    ("p50", "median time from wake-up to running"),
    ("p99", "99th percentile of it"),
    ("p99.9", "99.9th percentile of it"),
    ("worst", "the longest"),
    ("rounds/s", "rounds of all tasks together per second"),
    ("missed", "periods that a task came too late to"),
    ("Jain", "fairness among those that always wanted to run: 1 is equal shares by weight"),
    ("busy", "part of the time that CPUs were busy"),
    ("idle+", "part of the time that a CPU idled while a task waited for one"),
    ("moves", "migrations"),
    ("switches", "switches to a task"),
];

/// The cells of one run, in the order of [`COLUMNS`].
#[must_use]
pub fn cells(run: &Run, metrics: &Metrics) -> Vec<String> {
    let latency = |percent| time(metrics.latency.percentile(percent));
    vec![
        run.load.name.clone(),
        run.policy.clone(),
        run.cpus.to_string(),
        latency(50.0),
        latency(99.0),
        latency(99.9),
        time(metrics.latency.maximum()),
        format!("{:.0}", metrics.rounds_per_second),
        metrics.missed.to_string(),
        metrics.fairness_overall.map_or_else(|| "-".into(), |index| format!("{index:.4}")),
        format!("{:.1} %", metrics.utilisation_overall() * 100.0),
        format!("{:.2} %", metrics.idle_while_runnable * 100.0),
        metrics.migrations.to_string(),
        metrics.switches.to_string(),
    ]
}

/// The table of `runs`.
#[must_use]
pub fn comparison(runs: &[(&Run, Metrics)]) -> String {
    let costs = runs.iter().any(|(run, _)| run.switch_cost.is_some());
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let mut header: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    if costs {
        header.push("switch");
    }
    table.set_header(header);
    for (run, metrics) in runs {
        let mut row = cells(run, metrics);
        if costs {
            row.push(time(run.switch_cost));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A time in the unit in which it is easy to read.
#[must_use]
pub fn time(nanoseconds: Option<u64>) -> String {
    match nanoseconds {
        None => "-".into(),
        Some(time @ ..1_000) => format!("{time} ns"),
        Some(time @ ..1_000_000) => format!("{:.1} us", time as f64 / 1e3),
        Some(time @ ..10_000_000_000) => format!("{:.2} ms", time as f64 / 1e6),
        Some(time) => format!("{:.1} s", time as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::simulate;

    #[test]
    fn times_are_easy_to_read() {
        let text = [None, Some(5), Some(1_500), Some(2_345_678)].map(time);
        assert_eq!(text, ["-", "5 ns", "1.5 us", "2.35 ms"]);
    }

    #[test]
    fn every_run_has_its_row() {
        let load = loads::standard("pipes").unwrap();
        let runs = ["eevdf", "rr"].map(|policy| simulate(policy, &load, 2, 1).unwrap());
        let rows: Vec<_> = runs.iter().map(|run| (run, Metrics::of(run))).collect();
        let table = comparison(&rows);
        assert!(table.contains("eevdf") && table.contains("rr") && table.contains("p99.9"));
        assert_eq!(cells(&runs[0], &rows[0].1).len(), COLUMNS.len());
    }
}
