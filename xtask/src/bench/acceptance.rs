//! What a selection of cases must show: `make bench-fork`, `bench-signal` and `bench-sched` end in these
//! sentences, each with the figure that was measured and whether it holds.

use super::options::Pass;
use super::results::Row;
use super::table;

/// A sole owner's fault restores its whole region, and Linux takes one for each page: so much must show.
const SOLE_OWNER_PART: f64 = 0.2;

/// A selection of cases, and what it must show.
#[derive(Debug)]
pub struct Subject {
    /// Shell patterns of the cases.
    pub patterns: &'static str,
    /// Resident sizes in MiB; empty where none matters.
    pub sizes: &'static str,
    /// What must hold.
    pub criteria: &'static [Criterion],
}

/// Something that must hold.
#[derive(Debug)]
pub struct Criterion {
    pass: Pass,
    case: &'static str,
    parameter: &'static str,
    demand: Demand,
}

/// In which way.
#[derive(Clone, Copy, Debug)]
enum Demand {
    /// Skein's median is at most so many instructions.
    AtMost(f64),
    /// Skein takes at most this part of what Linux takes.
    OfLinux(f64),
    /// Skein's worst sample is no worse than Linux's.
    WorstOfLinux,
    /// From another parameter to this one Skein slows down no more than Linux does.
    Scales(&'static str),
    /// Skein's median at this parameter is at most so many times the one at another.
    Times(f64, &'static str),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not.
    Missed,
    /// The figures are not there.
    Unknown,
}

const fn criterion(
    pass: Pass,
    case: &'static str,
    parameter: &'static str,
    demand: Demand,
) -> Criterion {
    Criterion { pass, case, parameter, demand }
}

const fn counted(case: &'static str, parameter: &'static str, most: f64) -> Criterion {
    criterion(Pass::Instructions, case, parameter, Demand::AtMost(most))
}

const fn timed(case: &'static str, parameter: &'static str, part: f64) -> Criterion {
    criterion(Pass::Time, case, parameter, Demand::OfLinux(part))
}

const fn flat(case: &'static str, large: &'static str, times: f64) -> Criterion {
    criterion(Pass::Time, case, large, Demand::Times(times, "1 MiB"))
}

/// Fork, and the faults that it leaves behind.
pub const FORK: Subject = Subject {
    patterns: "fork_*,vfork_exec,posix_spawn,fault_*,rewrite_*,*_busy",
    sizes: "0,1,16,64,256,1024",
    criteria: &[
        flat("fork_call", "1024 MiB", 1.2),
        flat("fork_exit_wait", "1024 MiB", 1.5),
        counted("fork_call", "0 MiB", 12_000.0),
        counted("fork_call", "256 MiB", 15_000.0),
        counted("fork_exit_wait", "0 MiB", 45_000.0),
        counted("fork_exec_wait", "0 MiB", 90_000.0),
        counted("fault_copy", "sequential", 2_600.0),
        counted("fault_demand_zero", "sequential", 1_500.0),
        criterion(
            Pass::Instructions,
            "fault_sole_owner",
            "sequential",
            Demand::OfLinux(SOLE_OWNER_PART),
        ),
        timed("fork_call", "256 MiB", 1.0 / 300.0),
        timed("rewrite_gone", "100 %", 1.0 / 5.0),
        timed("fork_rewrite_alive", "100 %", 1.0),
        criterion(Pass::Time, "fault_copy_parallel", "4 at once", Demand::Scales("1 at once")),
    ],
};

/// Signals.
pub const SIGNAL: Subject = Subject {
    patterns: "signal_*",
    sizes: "",
    criteria: &[
        counted("signal_self", "", 2_000.0),
        timed("signal_thread", "", 0.7),
        timed("signal_ping_pong", "one processor", 0.7),
        timed("signal_ping_pong", "two processors", 0.7),
    ],
};

/// The scheduler.
pub const SCHED: Subject = Subject {
    patterns: "yield_pair,pipe_ping_pong,futex_ping_pong,socket_ping_pong,thread_create_join,\
               messages,*_wakeup",
    sizes: "",
    criteria: &[
        counted("pipe_ping_pong", "one processor", 5_000.0),
        counted("futex_ping_pong", "one processor", 4_300.0),
        counted("yield_pair", "", 2_000.0),
        counted("thread_create_join", "", 37_000.0),
        timed("pipe_ping_pong", "one processor", 1.0),
        timed("pipe_ping_pong", "two processors", 1.0),
        timed("futex_ping_pong", "two processors", 1.0),
        timed("thread_create_join", "", 1.0),
        timed("messages", "sockets", 1.0),
        timed("messages", "pipes", 1.0),
        criterion(Pass::Time, "rt_wakeup", "user load", Demand::WorstOfLinux),
        criterion(Pass::Time, "rt_wakeup", "kernel load", Demand::WorstOfLinux),
    ],
};

/// Judges the criteria of these passes; each line says what is asked, what was measured, and whether that is enough.
#[must_use]
pub fn judge(criteria: &[Criterion], passes: &[Pass], rows: &[Row]) -> Vec<(Verdict, String)> {
    let asked = criteria.iter().filter(|criterion| passes.contains(&criterion.pass));
    asked.map(|criterion| criterion.judge(rows)).collect()
}

impl Criterion {
    fn judge(&self, rows: &[Row]) -> (Verdict, String) {
        let name = format!("{} {}", self.case, self.parameter);
        let name = name.trim();
        let ours = median(rows, self, self.parameter);
        let (wanted, measured, limit) = match self.demand {
            Demand::AtMost(limit) => (
                format!("{name}: at most {} instructions", table::value(limit, "instructions")),
                ours,
                limit,
            ),
            Demand::OfLinux(limit) => {
                let ratio = find(rows, self, self.parameter).and_then(|row| row.ratio);
                let what = self.pass.name();
                let wanted = format!("{name}: at most {limit:.4} times Linux's {what}");
                (wanted, ratio.map(|ratio| ratio.value), limit)
            }
            Demand::WorstOfLinux => {
                let row = find(rows, self, self.parameter);
                let figures = row.and_then(|row| row.linux.figures().zip(row.skein.figures()));
                let part = figures.map(|(theirs, ours)| ours.maximum / theirs.maximum);
                (format!("{name}: the worst at most 1 times Linux's worst"), part, 1.0)
            }
            Demand::Scales(other) => {
                let part = |parameter| {
                    let ratio = find(rows, self, parameter).and_then(|row| row.ratio)?;
                    Some(ratio.value)
                };
                let slowdown =
                    part(self.parameter).zip(part(other)).map(|(ours, base)| ours / base);
                (
                    format!("{name}: slows down from {other} at most 1 times as Linux does"),
                    slowdown,
                    1.0,
                )
            }
            Demand::Times(limit, other) => {
                let wanted = format!("{name}: at most {limit} times that at {other}");
                let base = median(rows, self, other);
                (wanted, ours.zip(base).map(|(ours, base)| ours / base), limit)
            }
        };
        match measured {
            None => (Verdict::Unknown, format!("{wanted}; not measured")),
            Some(value) => {
                let shown = match self.demand {
                    Demand::AtMost(_) => table::value(value, "instructions"),
                    _ => format!("{value:.4}"),
                };
                let verdict = if value <= limit { Verdict::Met } else { Verdict::Missed };
                (verdict, format!("{wanted}; measured {shown}"))
            }
        }
    }
}

fn find<'a>(rows: &'a [Row], criterion: &Criterion, parameter: &str) -> Option<&'a Row> {
    rows.iter().find(|row| {
        let subject = &row.subject;
        subject.pass == criterion.pass
            && subject.case == criterion.case
            && subject.parameter == parameter
    })
}

/// Skein's median.
fn median(rows: &[Row], criterion: &Criterion, parameter: &str) -> Option<f64> {
    Some(find(rows, criterion, parameter)?.skein.figures()?.median)
}

impl Verdict {
    /// The word in front of the sentence.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met    ",
            Self::Missed => "MISSED ",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Figures;
    use crate::bench::results::{self, Ratio, Side};

    fn row(pass: Pass, parameter: &str, ours: f64) -> Row {
        let subject =
            results::Subject { pass, case: "fork_call".into(), parameter: parameter.into() };
        let figures = |value| Side::Figures(Figures::single("ns", value));
        let ratio = Some(Ratio { value: ours / 1000.0, spread: 0.0 });
        Row { subject, linux: figures(1000.0), skein: figures(ours), ratio }
    }

    #[test]
    fn each_demand_is_judged() {
        let rows = [
            row(Pass::Time, "1 MiB", 100.0),
            row(Pass::Time, "1024 MiB", 130.0),
            row(Pass::Instructions, "0 MiB", 11_000.0),
        ];
        let criteria = [
            flat("fork_call", "1024 MiB", 1.2),
            counted("fork_call", "0 MiB", 12_000.0),
            timed("fork_call", "1 MiB", 0.1),
            timed("fork_call", "2 MiB", 0.1),
        ];
        let verdicts = |passes: &[Pass]| -> Vec<Verdict> {
            judge(&criteria, passes, &rows).into_iter().map(|(verdict, _)| verdict).collect()
        };
        assert_eq!(
            verdicts(&[Pass::Time, Pass::Instructions]),
            [Verdict::Missed, Verdict::Met, Verdict::Met, Verdict::Unknown]
        );
        assert_eq!(verdicts(&[Pass::Instructions]), [Verdict::Met]);
    }
}
