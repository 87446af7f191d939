//! What was measured, over all boots, and what the comparison makes of it.
//!
//! The rounds of a pass boot the two kernels in turn, so that a machine that gets slower meanwhile
//! hits both alike: the ratio is taken within each round, and the middle one counts. The spread is
//! what the rounds differ by, or what the samples within a boot differ by if that is more.

use std::collections::BTreeMap;

use serde::Serialize;

use super::options::Pass;
use super::record::Figures;
use super::subject::Kernel;

/// What a kernel answered for one parameter of a case in one boot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Figures.
    Figures(Figures),
    /// It cannot run this, and says why.
    Unsupported(String),
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// In which pass it was measured.
    pub pass: Pass,
    /// The case.
    pub case: String,
    /// The parameter; empty where the case has none.
    pub parameter: String,
}

/// All answers.
#[derive(Debug, Default)]
pub struct Results {
    /// In the order in which they first came.
    order: Vec<Subject>,
    answers: BTreeMap<(Subject, Kernel), Vec<(u32, Answer)>>,
}

impl Results {
    /// Notes an answer of round `round`.
    pub fn add(&mut self, subject: Subject, kernel: Kernel, round: u32, answer: Answer) {
        if !self.order.contains(&subject) {
            self.order.push(subject.clone());
        }
        self.answers.entry((subject, kernel)).or_default().push((round, answer));
    }

    /// The rows of a pass, those of one case together, in the order in which the cases first came.
    #[must_use]
    pub fn rows(&self, pass: Pass) -> Vec<Row> {
        let subjects = self.order.iter().filter(|subject| subject.pass == pass);
        let cases: Vec<&str> = subjects.clone().map(|subject| subject.case.as_str()).collect();
        let first = |case: &str| cases.iter().position(|&other| other == case);
        let mut subjects: Vec<&Subject> = subjects.collect();
        subjects.sort_by_key(|subject| first(&subject.case));
        subjects.into_iter().filter_map(|subject| self.row(subject)).collect()
    }

    /// The row of one subject; `None` if a whole case is unsupported on a kernel, and rows for its
    /// parameters exist to say so.
    fn row(&self, subject: &Subject) -> Option<Row> {
        let side = |kernel| self.side(subject, kernel);
        let (linux, skein) = (side(Kernel::Linux), side(Kernel::Skein));
        let is_general = subject.parameter.is_empty()
            && ![&linux, &skein].iter().any(|side| matches!(side, Side::Figures(_)));
        let has_parameters = self.order.iter().any(|other| {
            other.pass == subject.pass && other.case == subject.case && !other.parameter.is_empty()
        });
        if is_general && has_parameters {
            return None;
        }
        let ratio = Ratio::between(self, subject);
        Some(Row { subject: subject.clone(), linux, skein, ratio })
    }

    /// What a kernel has to say over all rounds.
    fn side(&self, subject: &Subject, kernel: Kernel) -> Side {
        let all = self.figures(subject, kernel);
        if let Some(figures) = middle(&all) {
            return Side::Figures(figures);
        }
        let general = Subject { parameter: String::new(), ..subject.clone() };
        for key in [subject.clone(), general] {
            let answers = self.answers.get(&(key, kernel));
            if let Some((_, Answer::Unsupported(reason))) = answers.and_then(|all| all.first()) {
                return Side::Unsupported(reason.clone());
            }
        }
        Side::Missing
    }

    /// The figures of all rounds.
    fn figures(&self, subject: &Subject, kernel: Kernel) -> Vec<(u32, &Figures)> {
        let answers = self.answers.get(&(subject.clone(), kernel));
        let answers = answers.into_iter().flatten();
        answers
            .filter_map(|(round, answer)| match answer {
                Answer::Figures(figures) => Some((*round, figures)),
                Answer::Unsupported(_) => None,
            })
            .collect()
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub subject: Subject,
    /// Linux's answer.
    pub linux: Side,
    /// Skein's answer.
    pub skein: Side,
    /// How they compare, where both have figures.
    pub ratio: Option<Ratio>,
}

/// One kernel's part of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The figures of the round whose median is the middle one.
    Figures(Figures),
    /// The kernel cannot run the case.
    Unsupported(String),
    /// The kernel said nothing about it.
    Missing,
}

impl Side {
    /// The figures, if there are any.
    #[must_use]
    pub fn figures(&self) -> Option<&Figures> {
        match self {
            Self::Figures(figures) => Some(figures),
            _ => None,
        }
    }
}

/// What Skein needs, as a multiple of what Linux needs: below 1 is faster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The middle one of all rounds.
    pub value: f64,
    /// By which part of it the truth may be away, as far as rounds and samples tell.
    pub spread: f64,
}

impl Ratio {
    /// Whether Skein is slower.
    #[must_use]
    pub fn is_slower(&self) -> bool {
        self.value > 1.0
    }

    /// Whether it might be the other way round.
    #[must_use]
    pub fn is_within_spread(&self) -> bool {
        (self.value - 1.0).abs() <= self.spread * self.value
    }

    fn between(results: &Results, subject: &Subject) -> Option<Self> {
        let linux = results.figures(subject, Kernel::Linux);
        let skein = results.figures(subject, Kernel::Skein);
        let mut ratios = Vec::new();
        let mut within: f64 = 0.0;
        for (round, ours) in &skein {
            let Some((_, theirs)) = linux.iter().find(|(other, _)| other == round) else {
                continue;
            };
            if theirs.median <= 0.0 || ours.median <= 0.0 {
                continue;
            }
            let ratio = ours.median / theirs.median;
            ratios.push(if ours.is_rate() { 1.0 / ratio } else { ratio });
            let own = |figures: &Figures| own_spread(subject.pass, figures);
            within = within.max(own(ours).hypot(own(theirs)));
        }
        ratios.sort_by(f64::total_cmp);
        let (&first, &last) = (ratios.first()?, ratios.last()?);
        let value = ratios[ratios.len() / 2];
        let rounds = ((last - value) / value).max((value - first) / value);
        Some(Self { value, spread: rounds.max(within) })
    }
}

/// How far the median of a boot may be away from the truth, as a part of it. What disturbs a measurement of time makes it longer, and may last
/// for a whole boot: of that only the fastest sample tells. Counts are not disturbed; their samples deviate by themselves.
fn own_spread(pass: Pass, figures: &Figures) -> f64 {
    let distance = match pass {
        Pass::Time if figures.is_rate() => figures.maximum - figures.median,
        Pass::Time => figures.median - figures.minimum,
        Pass::Instructions => figures.deviation,
    };
    distance / figures.median
}

/// The figures with the middle one of the medians.
fn middle(all: &[(u32, &Figures)]) -> Option<Figures> {
    let mut sorted: Vec<&Figures> = all.iter().map(|&(_, figures)| figures).collect();
    sorted.sort_by(|one, other| one.median.total_cmp(&other.median));
    sorted.get(sorted.len() / 2).map(|&figures| figures.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(case: &str, parameter: &str) -> Subject {
        Subject { pass: Pass::Time, case: case.into(), parameter: parameter.into() }
    }

    fn time(value: f64) -> Answer {
        Answer::Figures(Figures::single("ns", value))
    }

    #[test]
    fn the_ratio_is_taken_within_each_round() {
        let mut results = Results::default();
        for (round, linux, skein) in [(0, 100.0, 10.0), (1, 1000.0, 110.0), (2, 100.0, 12.0)] {
            results.add(subject("a", ""), Kernel::Linux, round, time(linux));
            results.add(subject("a", ""), Kernel::Skein, round, time(skein));
        }
        let rows = results.rows(Pass::Time);
        let ratio = rows[0].ratio.unwrap();
        assert!((ratio.value - 0.11).abs() < 1e-9);
        assert!((ratio.spread - 1.0 / 11.0).abs() < 1e-9, "{}", ratio.spread);
        assert!(!ratio.is_slower() && !ratio.is_within_spread());
        assert_eq!(rows[0].linux.figures().unwrap().median, 100.0);
    }

    #[test]
    fn a_boot_that_was_disturbed_all_along_says_so() {
        let disturbed = Figures { minimum: 300.0, deviation: 10.0, ..Figures::single("ns", 600.0) };
        let spread = |pass: Pass| {
            let mut results = Results::default();
            let subject = || Subject { pass, ..subject("a", "") };
            results.add(subject(), Kernel::Linux, 0, time(600.0));
            results.add(subject(), Kernel::Skein, 0, Answer::Figures(disturbed.clone()));
            results.rows(pass)[0].ratio.unwrap().spread
        };
        assert!((spread(Pass::Time) - 0.5).abs() < 1e-9);
        assert!((spread(Pass::Instructions) - 1.0 / 60.0).abs() < 1e-9);
    }

    #[test]
    fn a_higher_rate_is_faster() {
        let mut results = Results::default();
        for (kernel, value) in [(Kernel::Linux, 50.0), (Kernel::Skein, 100.0)] {
            let answer = Answer::Figures(Figures::single("ops/s", value));
            results.add(subject("rate", ""), kernel, 0, answer);
        }
        let ratio = results.rows(Pass::Time)[0].ratio.unwrap();
        assert!((ratio.value - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_case_that_cannot_be_run_says_so_in_each_of_its_rows() {
        let mut results = Results::default();
        let reason = Answer::Unsupported("ENOSYS".into());
        results.add(subject("a", ""), Kernel::Skein, 0, reason);
        results.add(subject("b", ""), Kernel::Skein, 0, time(1.0));
        results.add(subject("a", "1 MiB"), Kernel::Linux, 0, time(5.0));
        let rows = results.rows(Pass::Time);
        let names: Vec<_> = rows.iter().map(|row| row.subject.parameter.as_str()).collect();
        assert_eq!(names, ["1 MiB", ""]);
        assert_eq!(rows[0].skein, Side::Unsupported("ENOSYS".into()));
        assert_eq!(rows[1].linux, Side::Missing);
        assert!(rows[0].ratio.is_none());
    }
}
