//! A trace as a Gantt chart in SVG: who ran where and when.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::trace::{IDLE, Task, Trace, What};

/// Geometry, in pixels.
const LEFT: f64 = 64.0;
const WIDTH: f64 = 1200.0;
const TOP: f64 = 56.0;
const LANE: f64 = 30.0;
const BAR: f64 = 24.0;
/// Right of the lanes, where half of the last time is written.
const RIGHT: f64 = 40.0;
/// How many parts the time axis is divided into, at most.
const GRID: u64 = 12;

/// A time that a task had a CPU.
struct Bar {
    cpu: usize,
    task: Task,
    from: u64,
    to: u64,
}

/// The bars of `trace` between two times, and the wake-ups, by CPU and time.
fn bars(trace: &Trace, from: u64, to: u64) -> (Vec<Bar>, Vec<(usize, u64)>) {
    let mut bars = Vec::new();
    let mut wakes = Vec::new();
    let mut running = trace.first_running();
    let mut close = |cpu: usize, (task, since): (Task, u64), end: u64| {
        let (start, end) = (since.max(from), end.min(to));
        if task != IDLE && start < end {
            bars.push(Bar { cpu, task, from: start, to: end });
        }
    };
    for entry in trace.entries.iter().take_while(|entry| entry.time <= to) {
        match entry.what {
            What::Switch { to, .. } => {
                close(entry.cpu, running[entry.cpu], entry.time);
                running[entry.cpu] = (to, entry.time);
            }
            What::Wake { cpu, .. } if entry.time >= from => wakes.push((cpu, entry.time)),
            _ => {}
        }
    }
    for (cpu, open) in running.into_iter().enumerate() {
        close(cpu, open, to.min(trace.end()));
    }
    (bars, wakes)
}

/// A colour for each group of tasks, spread around the circle in the order of their names.
fn colours(names: &BTreeMap<Task, String>, bars: &[Bar]) -> BTreeMap<String, String> {
    let mut groups: Vec<String> = bars.iter().map(|bar| group(names, bar.task)).collect();
    groups.sort();
    groups.dedup();
    let count = groups.len().max(1);
    let colour = |index: usize| {
        let lightness = 58 + 10 * (index % 2);
        format!("hsl({}, 62%, {lightness}%)", index * 360 / count)
    };
    groups.iter().enumerate().map(|(index, name)| (name.clone(), colour(index))).collect()
}

/// What tasks are coloured by: the name without a number at its end.
fn group(names: &BTreeMap<Task, String>, task: Task) -> String {
    let name = names.get(&task).cloned().unwrap_or_else(|| format!("task {task}"));
    match name.rsplit_once('-') {
        Some((group, number)) if number.parse::<u32>().is_ok() => group.to_owned(),
        _ => name,
    }
}

/// Draws what happened from `from` to `to` (nanoseconds).
#[must_use]
pub fn draw(trace: &Trace, title: &str, from: u64, to: u64) -> String {
    let to = to.clamp(from + 1, trace.end().max(from + 1));
    let names = trace.final_names();
    let (bars, wakes) = bars(trace, from, to);
    let colours = colours(&names, &bars);
    let x = |time: u64| LEFT + (time - from) as f64 / (to - from) as f64 * WIDTH;
    let lane = |cpu: usize| TOP + cpu as f64 * LANE;
    let bottom = lane(trace.cpus);
    let height = bottom + 60.0;
    let drawing = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(LEFT + WIDTH + RIGHT) height=(height)
            font-family="sans-serif" font-size="12" {
            rect width="100%" height="100%" fill="white" {}
            text x=(LEFT) y="20" font-size="15" { (title) }
            (axis(from, to, bottom))
            @for cpu in 0..trace.cpus {
                text x="8" y=(format!("{:.1}", lane(cpu) + 17.0)) { "CPU " (cpu) }
                rect x=(LEFT) y=(lane(cpu)) width=(WIDTH) height=(BAR) fill="#f2f2f2" {}
            }
            @for bar in &bars {
                rect x=(format!("{:.2}", x(bar.from))) y=(lane(bar.cpu))
                    width=(format!("{:.2}", (x(bar.to) - x(bar.from)).max(0.2))) height=(BAR)
                    fill=(colours[&group(&names, bar.task)]) {
                    title {
                        (names.get(&bar.task).map_or("task", String::as_str)) " (" (bar.task) "), "
                        (format!("{:.3}", (bar.to - bar.from) as f64 / 1e6)) " ms"
                    }
                }
            }
            @for (cpu, time) in &wakes {
                rect x=(format!("{:.2}", x(*time))) y=(lane(*cpu) + BAR) width="0.6" height="4"
                    fill="#333" {}
            }
            (legend(&colours, bottom + 44.0))
        }
    };
    drawing.into_string()
}

/// The least of 1, 2, 5, 10, 20, ... that divides `length` into no more than [`GRID`] parts.
fn step(length: u64) -> u64 {
    let powers = (0..19).map(|exponent| 10_u64.pow(exponent));
    let mut steps = powers.flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit)));
    steps.find(|step| length / step <= GRID).unwrap_or(length.max(1))
}

fn axis(from: u64, to: u64, bottom: f64) -> Markup {
    let step = step(to - from);
    let line = |number: u64| {
        let time = number * step;
        let x = LEFT + (time - from) as f64 / (to - from) as f64 * WIDTH;
        (format!("{x:.2}"), format!("{} ms", time as f64 / 1e6))
    };
    html! {
        @for (x, label) in (from.div_ceil(step)..=to / step).map(line) {
            line x1=(x) x2=(x) y1=(TOP - 4.0) y2=(bottom + 4.0) stroke="#ccc" {}
            text x=(x) y=(bottom + 18.0) text-anchor="middle" fill="#555" { (label) }
        }
    }
}

fn legend(colours: &BTreeMap<String, String>, y: f64) -> Markup {
    const ENTRY: f64 = 130.0;
    html! {
        @for (index, (name, colour)) in colours.iter().enumerate().take(9) {
            rect x=(LEFT + index as f64 * ENTRY) y=(y - 10.0) width="12" height="12" fill=(colour) {}
            text x=(LEFT + index as f64 * ENTRY + 18.0) y=(y) { (name) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Entry, Reason};

    #[test]
    fn the_axis_is_divided_at_round_numbers() {
        let cases =
            [(1, 1), (12, 1), (13, 2), (200_000_000, 20_000_000), (1_194_400_000, 100_000_000)];
        for (length, expected) in cases {
            assert_eq!(step(length), expected, "{length}");
        }
    }

    #[test]
    fn bars_are_cut_at_the_edges_and_names_are_escaped() {
        let switch = |time, from, to| Entry {
            time,
            cpu: 0,
            what: What::Switch { from, to, reason: Reason::Blocked },
        };
        let trace = Trace {
            cpus: 2,
            entries: vec![switch(0, 0, 5), switch(60, 5, 0), switch(100, 0, 6)],
            names: [(5, "a<b-1".to_owned())].into(),
            lost: 0,
        };
        let (bars, _) = bars(&trace, 50, 100);
        assert_eq!(bars.len(), 1);
        assert_eq!((bars[0].from, bars[0].to), (50, 60));
        let drawing = draw(&trace, "A & B", 50, 100);
        assert!(drawing.contains("a&lt;b") && drawing.contains("A &amp; B"));
        assert!(drawing.starts_with("<svg") && drawing.contains("CPU 1"));
    }
}
