//! The table on the terminal, and how figures are written in it and in the report.

use comfy_table::{CellAlignment, Table, presets};

use super::results::{Ratio, Row, Side};

/// What stands beside a row where Skein is slower.
pub const SLOWER: &str = "SLOWER";
/// And where the spread leaves open which of them is.
const EVEN: &str = "even";

/// The rows as a table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["case", "parameter", "Linux", "Skein", "ratio", "spread", ""]);
    let mut previous = "";
    for row in rows {
        let case = row.subject.case.as_str();
        let shown = if case == previous { "" } else { case };
        previous = case;
        table.add_row([
            shown.to_owned(),
            row.subject.parameter.clone(),
            side(&row.linux),
            side(&row.skein),
            row.ratio.map(ratio).unwrap_or_default(),
            row.ratio.map(spread).unwrap_or_default(),
            mark(row).to_owned(),
        ]);
    }
    for column in 2..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The reasons behind the cells that say no more than that a case is not supported: each once, with
/// the kernels and the rows that it is about.
#[must_use]
pub fn reasons(rows: &[Row]) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        for reason in reasons_of(row) {
            let name = format!("{} {}", row.subject.case, row.subject.parameter);
            let name = name.trim().to_owned();
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                // A row of another pass may have the same name.
                Some((_, names)) if names.contains(&name) => {}
                Some((_, names)) => names.push(name),
                None => reasons.push((reason, vec![name])),
            }
        }
    }
    reasons.into_iter().map(|(reason, names)| format!("{reason}: {}", names.join(", "))).collect()
}

/// Why a row lacks the figures of which kernel.
fn reasons_of(row: &Row) -> Vec<String> {
    match (&row.linux, &row.skein) {
        (Side::Unsupported(linux), Side::Unsupported(skein)) if linux == skein => {
            vec![format!("both: {linux}")]
        }
        sides => [("Linux", sides.0), ("Skein", sides.1)]
            .into_iter()
            .filter_map(|(kernel, side)| match side {
                Side::Unsupported(reason) => Some(format!("{kernel}: {reason}")),
                _ => None,
            })
            .collect(),
    }
}

/// The mark of a row: nothing where Skein is faster.
#[must_use]
pub fn mark(row: &Row) -> &'static str {
    match row.ratio {
        Some(ratio) if ratio.is_within_spread() => EVEN,
        Some(ratio) if ratio.is_slower() => SLOWER,
        _ => "",
    }
}

/// One kernel's cell.
#[must_use]
pub fn side(side: &Side) -> String {
    match side {
        Side::Figures(figures) => value(figures.median, &figures.unit),
        Side::Unsupported(_) => "unsupported".to_owned(),
        Side::Missing => "-".to_owned(),
    }
}

/// The ratio with as many digits as it is worth.
#[must_use]
pub fn ratio(ratio: Ratio) -> String {
    match ratio.value {
        value if value < 0.01 => format!("{value:.4}"),
        value if value < 0.1 => format!("{value:.3}"),
        value => format!("{value:.2}"),
    }
}

/// The spread of a ratio, in per cent of it; rounds of figures that are counted do not differ.
#[must_use]
pub fn spread(ratio: Ratio) -> String {
    format!("±{:.0} %", 100.0 * ratio.spread)
}

/// A figure with its unit.
#[must_use]
pub fn value(value: f64, unit: &str) -> String {
    match unit {
        "ns" => time(value),
        "instructions" => grouped(value),
        unit => format!("{} {unit}", grouped(value)),
    }
}

/// Nanoseconds in the unit in which they are easy to read.
fn time(nanoseconds: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let larger = units.iter().find(|&&(factor, _)| nanoseconds >= factor);
    let (number, unit) = larger.map_or((nanoseconds, "ns"), |&(f, unit)| (nanoseconds / f, unit));
    match number {
        number if number < 10.0 => format!("{number:.2} {unit}"),
        number if number < 100.0 => format!("{number:.1} {unit}"),
        number => format!("{number:.0} {unit}"),
    }
}

/// A number with commas between its thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::options::Pass;
    use crate::bench::record::Figures;
    use crate::bench::results::Subject;

    fn row(linux: f64, skein: Side, ratio: Option<Ratio>) -> Row {
        let subject =
            Subject { pass: Pass::Time, case: "fork_call".into(), parameter: "1 MiB".into() };
        Row { subject, linux: Side::Figures(Figures::single("ns", linux)), skein, ratio }
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(value(15_340_000.0, "ns"), "15.3 ms");
        assert_eq!(value(970.0, "ns"), "970 ns");
        assert_eq!(value(8_360_000.0, "instructions"), "8,360,000");
        assert_eq!(value(999.0, "ops/s"), "999 ops/s");
    }

    #[test]
    fn slower_rows_are_marked_and_reasons_are_kept() {
        let slow = Ratio { value: 1.5, spread: 0.1 };
        let even = Ratio { value: 1.05, spread: 0.1 };
        let figures = || Side::Figures(Figures::single("ns", 7.0));
        let rows = [
            row(5.0, figures(), Some(slow)),
            row(5.0, figures(), Some(even)),
            row(5.0, Side::Unsupported("ENOSYS".into()), None),
        ];
        assert_eq!(mark(&rows[0]), SLOWER);
        assert_eq!(mark(&rows[1]), EVEN);
        assert_eq!(mark(&rows[2]), "");
        assert_eq!(reasons(&rows), ["Skein: ENOSYS: fork_call 1 MiB"]);
        let mut neither = row(5.0, Side::Unsupported("ENOSYS".into()), None);
        neither.linux = neither.skein.clone();
        let twice = [neither.clone(), neither];
        assert_eq!(reasons(&twice), ["both: ENOSYS: fork_call 1 MiB"]);
        let text = table(&rows);
        assert_eq!(text.matches("fork_call").count(), 1);
        assert!(text.contains("±10 %") && text.contains("unsupported"));
    }
}
