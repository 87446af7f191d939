//! Several runs as one HTML page that needs nothing else: tables and plots.

use std::collections::BTreeMap;

use anyhow::anyhow;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::metrics::{INTERVAL, Metrics};
use crate::run::Run;
use crate::table::{COLUMNS, cells, time};

/// The size of a plot: two fit beside each other.
const SIZE: (u32, u32) = (650, 300);
/// Colours that the colour-blind tell apart, too (Okabe and Ito, 2008; without yellow, which is faint on white).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// The lines across a plot, and its writing.
const GRID: RGBColor = RGBColor(215, 215, 215);
const FONT: (&str, u32) = ("sans-serif", 13);
/// The least latency that is told from zero, in microseconds.
const LEAST: f64 = 0.1;
/// How many points a curve has at most.
const POINTS: usize = 400;
/// How much of a run its Gantt chart shows, in nanoseconds.
const GANTT: u64 = 200_000_000;

const STYLE: &str = "
body { font-family: sans-serif; margin: 2em; max-width: 1320px; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: 3px 9px; border-bottom: 1px solid #ddd; text-align: right }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left }
.plots { display: flex; flex-wrap: wrap; gap: 12px }
details { margin: .5em 0 } dt { font-weight: bold; float: left; clear: left; width: 6em }
";

/// Series by name, each a curve.
type Series = Vec<(String, Vec<(f64, f64)>)>;

/// What a plot shows beside its curves.
struct Frame<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Where the vertical axis begins; it ends at 1.
    bottom: f64,
}

/// The page for `runs`, called `title`.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn page(title: &str, runs: &[(&Run, Metrics)]) -> anyhow::Result<String> {
    let mut sections = Vec::new();
    let mut by_load: BTreeMap<(String, usize), Vec<&(&Run, Metrics)>> = BTreeMap::new();
    for run in runs {
        by_load.entry((run.0.load.name.clone(), run.0.cpus)).or_default().push(run);
    }
    for ((load, cpus), runs) in &by_load {
        sections.push(section(load, *cpus, runs)?);
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { (title) } style { (PreEscaped(STYLE)) } }
            body {
                h1 { (title) }
                (overview(runs))
                @for section in &sections { (section) }
            }
        }
    };
    Ok(page.into_string())
}

fn overview(runs: &[(&Run, Metrics)]) -> Markup {
    html! {
        table {
            tr {
                @for (name, about) in COLUMNS { th title=(about) { (name) } }
                th title="what one switch costs, by sched_yield between two processes" { "switch" }
                th title="where it ran" { "in" }
            }
            @for (run, metrics) in runs {
                tr {
                    @for cell in cells(run, metrics) { td { (cell) } }
                    td { (time(run.switch_cost)) }
                    td { (run.place.name()) }
                }
            }
        }
        details {
            summary { "What the columns mean" }
            dl { @for (name, about) in COLUMNS { dt { (name) } dd { (about) } } }
        }
    }
}

/// All runs of one load on one number of CPUs.
fn section(load: &str, cpus: usize, runs: &[&(&Run, Metrics)]) -> anyhow::Result<Markup> {
    let about = &runs[0].0.load.about;
    let latency = plot(
        &Frame {
            title: "Run-queue latency: part of the wake-ups served within",
            x: "logarithmic",
            y: "part",
            bottom: 0.0,
        },
        &latency_curves(runs),
        Axis::Logarithmic,
    )?;
    let fairness = curves(runs, |metrics| metrics.fairness.clone());
    let is_known = fairness.iter().any(|(_, points)| !points.is_empty());
    let fairness_plot = plot(
        &Frame {
            title: "Fairness over time (Jain's index by interval)",
            x: "seconds",
            y: "index",
            bottom: tenth_below(&fairness),
        },
        &fairness,
        Axis::Linear,
    )?;
    let mut utilisation = Vec::new();
    for (run, metrics) in runs {
        utilisation.push(plot_utilisation(run, metrics)?);
    }
    Ok(html! {
        h2 { (load) " on " (cpus) @if cpus == 1 { " CPU" } @else { " CPUs" } }
        p { (about) @if !is_known { "; no fair task always wants to run, so there is no fairness to show" } }
        div class="plots" {
            (PreEscaped(latency)) @if is_known { (PreEscaped(fairness_plot)) } (PreEscaped(bars(runs)?))
            @for plot in &utilisation { (PreEscaped(plot)) }
        }
        @for (run, _) in runs {
            details {
                summary { "The first " (GANTT / 1_000_000) " ms under " (run.policy) }
                (PreEscaped(crate::gantt::draw(&run.trace, &run.label(), 0, GANTT)))
            }
        }
    })
}

fn latency_curves(runs: &[&(&Run, Metrics)]) -> Series {
    let curve = |metrics: &Metrics| {
        let points = metrics.latency.curve(POINTS);
        points.into_iter().map(|(value, part)| ((value as f64 / 1e3).max(LEAST), part)).collect()
    };
    runs.iter().map(|(run, metrics)| (run.policy.clone(), curve(metrics))).collect()
}

/// A curve over the intervals of each run; intervals without a value are left out.
fn curves(runs: &[&(&Run, Metrics)], values: impl Fn(&Metrics) -> Vec<Option<f64>>) -> Series {
    let curve = |metrics: &Metrics| over_time(&values(metrics));
    runs.iter().map(|(run, metrics)| (run.policy.clone(), curve(metrics))).collect()
}

fn over_time(values: &[Option<f64>]) -> Vec<(f64, f64)> {
    let point = |(index, value): (usize, &Option<f64>)| {
        Some(((index as f64 + 0.5) * INTERVAL as f64 / 1e9, (*value)?))
    };
    values.iter().enumerate().filter_map(point).collect()
}

/// Where an axis begins so that curves near 1 can be told apart, and the legend has the lower third for itself.
fn tenth_below(series: &Series) -> f64 {
    let values = series.iter().flat_map(|(_, points)| points).map(|point| point.1);
    let lowest = values.fold(1.0, f64::min);
    let below = lowest - (1.0 - lowest) / 2.0;
    ((below * 10.0).floor() / 10.0).clamp(0.0, 0.9)
}

/// A lane for each CPU, filled as high as the CPU was busy.
fn plot_utilisation(run: &Run, metrics: &Metrics) -> anyhow::Result<String> {
    /// The part of a lane that a CPU which is always busy fills.
    const FULL: f64 = 0.85;
    let cpus = metrics.utilisation.len();
    let seconds = INTERVAL as f64 / 1e9;
    let right = metrics.utilisation.iter().map(Vec::len).max().unwrap_or(0).max(1) as f64 * seconds;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut builder = ChartBuilder::on(&area);
        builder
            .caption(format!("Utilisation of each CPU under {}", run.policy), ("sans-serif", 16));
        builder.margin(8).x_label_area_size(40).y_label_area_size(60);
        // The first CPU's lane is the uppermost.
        let mut chart = builder.build_cartesian_2d(0.0..right, cpus as f64..0.0).map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh().disable_y_axis().label_style(FONT).x_desc("seconds");
        mesh.draw().map_err(failed)?;
        for (cpu, busy) in metrics.utilisation.iter().enumerate() {
            let bottom = (cpu + 1) as f64;
            let lane =
                Rectangle::new([(0.0, bottom - FULL), (right, bottom)], GRID.mix(0.4).filled());
            chart.draw_series([lane]).map_err(failed)?;
            let bar = |(index, part): (usize, &f64)| {
                let start = index as f64 * seconds;
                let corners = [(start, bottom - FULL * part.min(1.0)), (start + seconds, bottom)];
                Rectangle::new(corners, COLOURS[0].filled())
            };
            chart.draw_series(busy.iter().enumerate().map(bar)).map_err(failed)?;
            // Of many CPUs every few have their number written.
            if cpu % cpus.div_ceil(16) == 0 {
                let place = chart.backend_coord(&(0.0, bottom - FULL / 2.0));
                let style = TextStyle::from(FONT).pos(Pos::new(HPos::Right, VPos::Center));
                area.draw_text(&format!("CPU {cpu}"), &style, (place.0 - 6, place.1))
                    .map_err(failed)?;
            }
        }
        area.present().map_err(failed)?;
    }
    Ok(text)
}

/// How the horizontal axis is divided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Linear,
    Logarithmic,
}

fn plot(frame: &Frame<'_>, series: &Series, axis: Axis) -> anyhow::Result<String> {
    let all = || series.iter().flat_map(|(_, points)| points);
    let right = all().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max);
    let left = all().map(|point| point.0).fold(1.0, f64::min).log10().floor();
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut builder = ChartBuilder::on(&area);
        builder.caption(frame.title, ("sans-serif", 16)).margin(8).margin_right(24);
        builder.x_label_area_size(44).y_label_area_size(52);
        let vertical = frame.bottom..1.01;
        // The two kinds of axes are two types.
        macro_rules! draw {
            ($horizontal:expr, $label:expr) => {{
                let mut chart =
                    builder.build_cartesian_2d($horizontal, vertical).map_err(failed)?;
                let mut mesh = chart.configure_mesh();
                mesh.x_desc(frame.x).y_desc(frame.y).label_style(FONT).x_label_formatter(&$label);
                mesh.bold_line_style(GRID).light_line_style(WHITE).draw().map_err(failed)?;
                for (index, (name, points)) in series.iter().enumerate() {
                    let colour = COLOURS[index % COLOURS.len()];
                    let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
                    let drawn = chart.draw_series(line).map_err(failed)?;
                    drawn.label(name).legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                    });
                }
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::LowerRight)
                    .background_style(WHITE.mix(0.8))
                    .label_font(FONT)
                    .draw()
                    .map_err(failed)?;
            }};
        }
        match axis {
            Axis::Linear => draw!(0.0..right, |seconds: &f64| format!("{seconds:.1}")),
            Axis::Logarithmic => {
                // The legend has most of a decade for itself.
                draw!((10_f64.powf(left)..right.max(1.0) * 8.0).log_scale(), latency_label);
            }
        }
        area.present().map_err(failed)?;
    }
    Ok(text)
}

/// Microseconds as the axis has them; its beginning stands for all that is less.
fn latency_label(micros: &f64) -> String {
    match *micros {
        least if least <= LEAST => "0".into(),
        micros if micros < 1e3 => format!("{micros} \u{b5}s"),
        micros if micros < 1e6 => format!("{} ms", micros / 1e3),
        micros => format!("{} s", micros / 1e6),
    }
}

/// Migrations per second, a bar for each run.
fn bars(runs: &[&(&Run, Metrics)]) -> anyhow::Result<String> {
    let per_second = |count: u64, metrics: &Metrics| count as f64 / (metrics.duration as f64 / 1e9);
    let migrations = |metrics: &Metrics| per_second(metrics.migrations, metrics);
    let highest = runs.iter().map(|(_, metrics)| migrations(metrics)).fold(1.0, f64::max);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut builder = ChartBuilder::on(&area);
        builder.caption("Migrations per second", ("sans-serif", 16)).margin(8);
        builder.x_label_area_size(40).y_label_area_size(56);
        let mut chart = builder
            .build_cartesian_2d(0.0..runs.len() as f64, 0.0..highest * 1.15)
            .map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().disable_x_axis().label_style(FONT);
        mesh.y_label_formatter(&|value| format!("{value:.0}"));
        mesh.bold_line_style(GRID).light_line_style(WHITE).draw().map_err(failed)?;
        for (index, (run, metrics)) in runs.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let (left, value) = (index as f64, migrations(metrics));
            let bar = Rectangle::new([(left + 0.2, 0.0), (left + 0.8, value)], colour.filled());
            let label = Text::new(
                format!("{}: {value:.0}", run.policy),
                (left + 0.5, value + highest * 0.02),
                TextStyle::from(FONT).pos(Pos::new(HPos::Center, VPos::Bottom)),
            );
            chart.draw_series([bar]).map_err(failed)?;
            chart.draw_series([label]).map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(text)
}

/// The error of a plot without its life time.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::simulate;

    #[test]
    fn a_page_holds_a_section_for_each_load_and_nothing_from_elsewhere() {
        let mut runs = Vec::new();
        for load in ["hogs", "pipes"] {
            let mut load = loads::standard(load).unwrap();
            load.duration /= 4;
            runs.extend(["eevdf", "rr"].map(|policy| simulate(policy, &load, 2, 1).unwrap()));
        }
        let rows: Vec<_> = runs.iter().map(|run| (run, Metrics::of(run))).collect();
        let page = page("Laboratory", &rows).unwrap();
        assert_eq!(page.matches("<h2>").count(), 2);
        assert!(page.matches("<svg").count() >= 2 * (3 + 2 + 2));
        let addresses = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!addresses.contains("http") && !addresses.contains("<script"));
    }
}
