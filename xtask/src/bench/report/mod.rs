//! The report for people: one HTML file that needs nothing else, with tables and plots.

pub mod plots;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::environment::Environment;
use super::options::Pass;
use super::passes::Case;
use super::results::{Row, Side};
use super::table;
use plots::{Group, Plot};

/// How the page looks.
const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:76em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;font-size:14px}td,th{padding:.15em .7em;border-bottom:1px solid #ddd;text-align:left}\
td.n{text-align:right;font-variant-numeric:tabular-nums}tr.slower td{background:#fde9e3}tr.even td{background:#f4f4f0}\
td.why{color:#8a4b00}.plots{display:flex;flex-wrap:wrap;gap:1em}code{background:#f3f3f3;padding:0 .3em}\
details{margin:.5em 0}dt{font-weight:600;font-family:monospace}";

/// The whole page.
#[must_use]
pub fn page(environment: &Environment, cases: &[Case], rows: &[Row], plots: &[Plot]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Skein beside Linux" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Skein beside Linux" }
                p {
                    "The same static programs on the same QEMU with the same flags, on either kernel in turn. The ratio is what \
                     Skein needs as a multiple of what Linux needs: below 1 Skein is faster. Rows where it is slower are marked."
                }
                table {
                    @for (name, value) in environment.lines() {
                        tr { th { (name) } td { (value) } }
                    }
                }
                @for pass in [Pass::Time, Pass::Instructions] {
                    (pass_table(pass, rows))
                }
                @for group in Group::ALL {
                    (group_plots(group, plots))
                }
                h2 { "What the cases are" }
                dl {
                    @for (name, sentence) in cases {
                        dt { (name) }
                        dd { (sentence) }
                    }
                }
            }
        }
    }
    .into_string()
}

/// The table of one pass.
fn pass_table(pass: Pass, rows: &[Row]) -> Markup {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.subject.pass == pass).collect();
    if rows.is_empty() {
        return html! {};
    }
    let heading = match pass {
        Pass::Time => "Time",
        Pass::Instructions => "Instructions",
    };
    html! {
        h2 { (heading) }
        table {
            tr {
                th { "case" } th { "parameter" } th { "Linux" } th { "Skein" }
                th { "ratio" } th { "spread" } th {}
            }
            @for row in rows {
                tr class=(table::mark(row).to_lowercase()) {
                    td { (row.subject.case) }
                    td { (row.subject.parameter) }
                    (cell(&row.linux))
                    (cell(&row.skein))
                    td.n { (row.ratio.map(table::ratio).unwrap_or_default()) }
                    td.n { (row.ratio.map(table::spread).unwrap_or_default()) }
                    td { (table::mark(row)) }
                }
            }
        }
    }
}

/// One kernel's cell: the median, and on hovering what else is known of the samples.
fn cell(side: &Side) -> Markup {
    let Side::Figures(figures) = side else {
        let reason = match side {
            Side::Unsupported(reason) => reason.as_str(),
            _ => "",
        };
        return html! { td.why title=(reason) { (table::side(side)) } };
    };
    let value = |value| table::value(value, &figures.unit);
    let more = format!(
        "{} samples of {} operations: least {}, p99 {}, most {}, deviation {}",
        figures.samples,
        figures.operations,
        value(figures.minimum),
        value(figures.p99),
        value(figures.maximum),
        value(figures.deviation),
    );
    html! { td.n title=(more) { (value(figures.median)) } }
}

/// The plots of one group.
fn group_plots(group: Group, plots: &[Plot]) -> Markup {
    let plots: Vec<&Plot> = plots.iter().filter(|plot| plot.group == group).collect();
    html! {
        @if !plots.is_empty() {
            h2 { (group.heading()) }
            div.plots {
                @for plot in plots { (PreEscaped(&plot.svg)) }
            }
        }
    }
}
