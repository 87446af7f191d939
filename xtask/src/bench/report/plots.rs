//! The plots of a report, as SVG.
//!
//! One plot holds one case with both kernels: against resident size on logarithmic axes, against the
//! number of processes or threads, or the distribution of single samples.

use anyhow::anyhow;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::bench::options::Pass;
use crate::bench::results::{Row, Side};
use crate::bench::subject::Kernel;
use crate::bench::table;

/// Width and height of a plot.
const SIZE: (u32, u32) = (560, 340);
/// Linux's colour and Skein's.
const COLOURS: [RGBColor; 2] = [RGBColor(214, 122, 30), RGBColor(28, 100, 180)];

/// A plot with the heading under which the report shows it.
#[derive(Debug)]
pub struct Plot {
    /// Which group it belongs to.
    pub group: Group,
    /// What was counted.
    pub pass: Pass,
    /// The case.
    pub case: String,
    /// The picture.
    pub svg: String,
}

/// What is along the horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Resident size.
    Size,
    /// Processes or threads at once.
    Scaling,
    /// The latency itself: a distribution.
    Distribution,
}

impl Group {
    /// All groups, as the report orders them.
    pub const ALL: [Self; 3] = [Self::Size, Self::Distribution, Self::Scaling];

    /// The heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Size => "Against resident size",
            Self::Scaling => "Several at once",
            Self::Distribution => "Distribution of single samples",
        }
    }
}

/// Points of one kernel.
type Series = (Kernel, Vec<(f64, f64)>);

/// All plots that the rows yield.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn all(rows: &[Row]) -> anyhow::Result<Vec<Plot>> {
    let mut cases: Vec<(Pass, &str)> = Vec::new();
    for row in rows {
        let key = (row.subject.pass, row.subject.case.as_str());
        if !cases.contains(&key) {
            cases.push(key);
        }
    }
    let mut plots = Vec::new();
    for (pass, case) in cases {
        let of_case =
            || rows.iter().filter(|row| row.subject.pass == pass && row.subject.case == case);
        for group in [Group::Size, Group::Scaling] {
            let series = against_parameter(of_case(), group);
            if series.iter().any(|(_, points)| points.len() >= 3) {
                let svg = draw(case, pass, group, &series)?;
                plots.push(Plot { group, pass, case: case.to_owned(), svg });
            }
        }
        for row in of_case() {
            let series = distribution(row);
            if series.iter().any(|(_, points)| points.len() >= 3) {
                let case = format!("{case} {}", row.subject.parameter).trim().to_owned();
                let group = Group::Distribution;
                let svg = draw(&case, pass, group, &series)?;
                plots.push(Plot { group, pass, case, svg });
            }
        }
    }
    Ok(plots)
}

fn sides(row: &Row) -> [(Kernel, &Side); 2] {
    [(Kernel::Linux, &row.linux), (Kernel::Skein, &row.skein)]
}

/// Medians against the number in the parameter, where it is one of this group.
fn against_parameter<'a>(rows: impl Iterator<Item = &'a Row> + Clone, group: Group) -> Vec<Series> {
    Kernel::ALL
        .into_iter()
        .map(|kernel| {
            let points = rows.clone().filter_map(|row| {
                let (number, unit) = row.subject.parameter.split_once(' ')?;
                let number: f64 = number.parse().ok()?;
                let belongs = match group {
                    // A logarithmic axis has no place for nothing.
                    Group::Size => unit == "MiB" && number > 0.0,
                    Group::Scaling => matches!(unit, "at once" | "busy"),
                    Group::Distribution => false,
                };
                let (_, side) = sides(row).into_iter().find(|&(side, _)| side == kernel)?;
                let median = side.figures()?.median;
                (belongs && median > 0.0).then_some((number, median))
            });
            let mut points: Vec<(f64, f64)> = points.collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            (kernel, points)
        })
        .collect()
}

/// The share of samples up to each latency, in per cent.
fn distribution(row: &Row) -> Vec<Series> {
    let series = sides(row).into_iter().filter_map(|(kernel, side)| {
        let histogram = &side.figures()?.histogram;
        let total: u64 = histogram.iter().map(|&(_, count)| count).sum();
        let mut so_far = 0;
        let points = histogram.iter().filter(|&&(bound, _)| bound > 0.0).map(|&(bound, count)| {
            so_far += count;
            (bound, 100.0 * so_far as f64 / total as f64)
        });
        Some((kernel, points.collect()))
    });
    series.collect()
}

/// Draws the series of one plot.
fn draw(case: &str, pass: Pass, group: Group, series: &[Series]) -> anyhow::Result<String> {
    let unit = match pass {
        Pass::Time => "ns",
        Pass::Instructions => "instructions",
    };
    let title = &format!("{case}: {}", pass.name());
    let points = || series.iter().flat_map(|(_, points)| points);
    let x = bounds(points().map(|&(x, _)| x));
    let y = bounds(points().map(|&(_, y)| y));
    match group {
        Group::Distribution => drawn(
            title,
            series,
            (x.0..x.1).log_scale(),
            0.0..101.0,
            ["one sample", "samples up to it"],
            [&|x| table::value(*x, unit), &|y| format!("{y:.0} %")],
        ),
        Group::Size => drawn(
            title,
            series,
            (x.0..x.1).log_scale(),
            (y.0..y.1).log_scale(),
            ["resident MiB", "median"],
            [&|x| format!("{x:.0}"), &|y| table::value(*y, unit)],
        ),
        Group::Scaling => drawn(
            title,
            series,
            0.0..x.1,
            0.0..y.1,
            ["processes, threads or busy processors", "median"],
            [&|x| format!("{x:.0}"), &|y| table::value(*y, unit)],
        ),
    }
}

/// A range somewhat wider than the values.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    (low * 0.8, high * 1.25)
}

/// How a value on an axis is written.
type Label<'a> = &'a dyn Fn(&f64) -> String;

fn drawn<X, Y>(
    title: &str,
    series: &[Series],
    x: X,
    y: Y,
    [x_name, y_name]: [&str; 2],
    [x_label, y_label]: [Label; 2],
) -> anyhow::Result<String>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let failed = |error| anyhow!("cannot draw {title}: {error}");
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 17))
            .margin(8)
            .x_label_area_size(38)
            .y_label_area_size(72)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(RGBColor(240, 240, 240))
            .x_desc(x_name)
            .y_desc(y_name)
            .x_label_formatter(x_label)
            .y_label_formatter(y_label)
            .draw()
            .map_err(failed)?;
        for (kernel, points) in series {
            let colour = COLOURS[usize::from(*kernel == Kernel::Skein)];
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)).point_size(3))
                .map_err(failed)?
                .label(kernel.to_string())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(RGBColor(200, 200, 200))
            .position(SeriesLabelPosition::UpperLeft)
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Figures;
    use crate::bench::results::Subject;

    fn row(parameter: &str, median: f64, histogram: &[(f64, u64)]) -> Row {
        let subject =
            Subject { pass: Pass::Time, case: "fork_call".into(), parameter: parameter.into() };
        let figures = Figures { histogram: histogram.to_vec(), ..Figures::single("ns", median) };
        let side = Side::Figures(figures);
        Row { subject, linux: side.clone(), skein: side, ratio: None }
    }

    #[test]
    fn cases_with_enough_points_are_drawn() {
        let histogram = [(10.0, 1), (20.0, 2), (40.0, 1)];
        let rows = [
            row("0 MiB", 5.0, &[]),
            row("16 MiB", 50.0, &[]),
            row("1 MiB", 7.0, &[]),
            row("256 MiB", 500.0, &[]),
            row("2 threads", 500.0, &histogram),
        ];
        let plots = all(&rows).unwrap();
        let groups: Vec<Group> = plots.iter().map(|plot| plot.group).collect();
        assert_eq!(groups, [Group::Size, Group::Distribution]);
        assert!(plots[0].svg.starts_with("<svg") && plots[0].svg.contains("Linux"));
        let sizes = against_parameter(rows.iter(), Group::Size);
        assert_eq!(sizes[0].1, [(1.0, 7.0), (16.0, 50.0), (256.0, 500.0)]);
        assert_eq!(distribution(&rows[4])[1].1, [(10.0, 25.0), (20.0, 75.0), (40.0, 100.0)]);
    }
}
