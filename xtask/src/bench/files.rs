//! The report as files for programs: JSON with everything, CSV with the rows.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::environment::Environment;
use super::results::{Ratio, Row, Side};
use super::table;

/// A row in the JSON file.
#[derive(Serialize)]
struct JsonRow<'a> {
    pass: &'static str,
    case: &'a str,
    parameter: &'a str,
    linux: &'a Side,
    skein: &'a Side,
    ratio: Option<Ratio>,
}

/// Writes `report.json` and returns its path.
///
/// # Errors
/// If it cannot be written.
pub fn write_json(
    directory: &Path,
    environment: &Environment,
    rows: &[Row],
) -> anyhow::Result<PathBuf> {
    let rows: Vec<JsonRow> = rows
        .iter()
        .map(|row| JsonRow {
            pass: row.subject.pass.name(),
            case: &row.subject.case,
            parameter: &row.subject.parameter,
            linux: &row.linux,
            skein: &row.skein,
            ratio: row.ratio,
        })
        .collect();
    let report = serde_json::json!({ "environment": environment, "rows": rows });
    let path = directory.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Writes `report.csv`, a line for each row and kernel, and returns its path.
///
/// # Errors
/// If it cannot be written.
pub fn write_csv(directory: &Path, rows: &[Row]) -> anyhow::Result<PathBuf> {
    let path = directory.join("report.csv");
    let mut file = csv::Writer::from_path(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_record([
        "pass",
        "case",
        "parameter",
        "kernel",
        "unit",
        "samples",
        "minimum",
        "median",
        "p99",
        "maximum",
        "deviation",
        "ratio",
        "spread",
        "mark",
        "unsupported",
    ])?;
    for row in rows {
        for (kernel, side) in [("Linux", &row.linux), ("Skein", &row.skein)] {
            file.write_record(csv_record(row, kernel, side))?;
        }
    }
    file.flush()?;
    Ok(path)
}

/// The fields of one line.
fn csv_record(row: &Row, kernel: &str, side: &Side) -> Vec<String> {
    let subject = &row.subject;
    let mut fields: Vec<String> =
        [subject.pass.name(), &subject.case, &subject.parameter, kernel].map(str::to_owned).into();
    match side.figures() {
        Some(figures) => {
            fields.push(figures.unit.clone());
            fields.push(figures.samples.to_string());
            let values =
                [figures.minimum, figures.median, figures.p99, figures.maximum, figures.deviation];
            fields.extend(values.map(|value| value.to_string()));
        }
        None => fields.extend(std::iter::repeat_n(String::new(), 7)),
    }
    let number = |value: fn(Ratio) -> f64| row.ratio.map(|ratio| value(ratio).to_string());
    fields.push(number(|ratio| ratio.value).unwrap_or_default());
    fields.push(number(|ratio| ratio.spread).unwrap_or_default());
    fields.push(table::mark(row).to_owned());
    fields.push(match side {
        Side::Unsupported(reason) => reason.clone(),
        _ => String::new(),
    });
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::options::Pass;
    use crate::bench::record::Figures;
    use crate::bench::results::Subject;

    #[test]
    fn each_kernel_has_a_line() {
        let subject = Subject { pass: Pass::Time, case: "a".into(), parameter: "1, 2".into() };
        let linux = Side::Figures(Figures::single("ns", 5.0));
        let skein = Side::Unsupported("ENOSYS".into());
        let row = Row { subject, linux, skein, ratio: None };
        let directory = tempfile::tempdir().unwrap();
        let path = write_csv(directory.path(), &[row]).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "time,a,\"1, 2\",Linux,ns,1,5,5,5,5,0,,,,");
        assert_eq!(lines[2], "time,a,\"1, 2\",Skein,,,,,,,,,,,ENOSYS");
    }
}
