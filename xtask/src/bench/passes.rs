//! The boots of a comparison, one after the other, with the time that is left.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::options::{BenchOptions, Pass};
use super::record::{Figures, Record};
use super::results::{Answer, Results, Subject};
use super::session::{self, Ending, Session};
use super::subject::{Kernel, Subjects};
use crate::options::{MachineOptions, Processors};

/// What the guest may be silent for beyond what one case may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many cases are named to one boot: Linux takes a command line of at most 2048 bytes.
const CASES_PER_BOOT: usize = 60;
/// The case that every boot answers, whatever cases are asked for.
const BOOT_CASE: &str = "boot_to_init";
/// The same by the clock of the host.
const BOOT_WALL_CASE: &str = "boot_to_init_wall";

/// A case that the guest program knows: name and sentence.
pub type Case = (String, String);

/// A person's own program, which the first program executes.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its arguments, quoted as kernels take apart their command lines.
    pub arguments: String,
}

/// What a boot has the guest do.
#[derive(Clone, Copy, Debug)]
enum Work<'a> {
    /// Run cases.
    Cases(&'a [Case]),
    /// Execute a program.
    Program(&'a Program),
}

/// One boot that is to be made.
#[derive(Clone, Copy, Debug)]
struct Turn {
    pass: Pass,
    kernel: Kernel,
    round: u32,
}

/// What the cases are that every boot answers.
#[must_use]
pub fn boot_cases() -> [Case; 2] {
    [
        (
            BOOT_CASE,
            "From the start of the kernel's clock to the first instruction of the first program.",
        ),
        (
            BOOT_WALL_CASE,
            "The same by the host's clock, from the moment the processors are let go.",
        ),
    ]
    .map(|(name, sentence)| (name.to_owned(), sentence.to_owned()))
}

/// Asks the guest program which cases match the patterns, by booting Skein.
///
/// # Errors
/// If there are none, or Skein does not come to the program's last line.
pub fn survey(
    options: &BenchOptions,
    subjects: &Subjects,
    patterns: &str,
) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let arguments = format!("--list {}", selection(patterns));
    let boot = subjects.boot(Kernel::Skein, "", &arguments)?;
    let log = session::log_directory()?.join("list.log");
    let session = Session::start(&options.machine, &boot, &log, PATIENCE)?;
    session.follow(|record, _| {
        if let Record::Listed { case, description } = record {
            cases.push((case, description));
        }
    })?;
    if cases.is_empty() {
        bail!("no case matches CASES={patterns}; the console is in {}", log.display());
    }
    Ok(cases)
}

/// The guest program's arguments for a selection of cases.
fn selection(patterns: &str) -> String {
    if patterns.is_empty() { String::new() } else { format!("--cases {patterns}") }
}

/// Boots the kernels in turn and collects what they answer.
///
/// # Errors
/// If QEMU does not start. A guest that hangs or dies is an answer.
pub fn run(
    options: &BenchOptions,
    subjects: &Subjects,
    cases: &[Case],
    kernels: &[Kernel],
) -> anyhow::Result<Results> {
    all_turns(options, subjects, Work::Cases(cases), kernels)
}

/// Boots both kernels in turn with a person's own program.
///
/// # Errors
/// As [`run`].
pub fn run_program(
    options: &BenchOptions,
    subjects: &Subjects,
    program: &Program,
) -> anyhow::Result<Results> {
    all_turns(options, subjects, Work::Program(program), &Kernel::ALL)
}

fn all_turns(
    options: &BenchOptions,
    subjects: &Subjects,
    work: Work,
    kernels: &[Kernel],
) -> anyhow::Result<Results> {
    let turns = turns(&options.passes()?, options.rounds()?, kernels);
    let steps = match work {
        Work::Cases(cases) => cases.len(),
        Work::Program(_) => 1,
    };
    let bar = ProgressBar::new((turns.len() * steps) as u64);
    bar.set_style(ProgressStyle::with_template(
        "{prefix} {wide_bar} {pos}/{len}, {elapsed} so far, {eta} left",
    )?);
    bar.enable_steady_tick(Duration::from_millis(500));
    let mut results = Results::default();
    for (number, turn) in turns.iter().enumerate() {
        let start = Instant::now();
        let name = format!("{} on {}, round {}", turn.pass.name(), turn.kernel, turn.round + 1);
        bar.set_prefix(name.clone());
        let mut context = Measurement { options, subjects, turn: *turn, results: &mut results };
        match work {
            Work::Cases(cases) => context.cases(cases, &bar),
            Work::Program(program) => context.program(program),
        }
        .with_context(|| format!("cannot measure {name}"))?;
        bar.set_position(((number + 1) * steps) as u64);
        let seconds = start.elapsed().as_secs();
        bar.suspend(|| println!("    {name}: {seconds} s, {} of {}", number + 1, turns.len()));
    }
    bar.finish_and_clear();
    Ok(results)
}

/// The order of boots: in each round both kernels, every other round the other one first. What is
/// counted in instructions repeats exactly and needs no second round.
fn turns(passes: &[Pass], rounds: u32, kernels: &[Kernel]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for &pass in passes {
        let rounds = if pass == Pass::Time { rounds } else { 1 };
        for round in 0..rounds {
            let mut order = kernels.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            turns.extend(order.into_iter().map(|kernel| Turn { pass, kernel, round }));
        }
    }
    turns
}

/// One turn under way.
struct Measurement<'a> {
    options: &'a BenchOptions,
    subjects: &'a Subjects,
    turn: Turn,
    results: &'a mut Results,
}

impl Measurement<'_> {
    /// Measures all cases. A case on which the guest hangs or dies is noted as one that it cannot
    /// run, and the guest is booted anew for the cases behind it.
    fn cases(&mut self, cases: &[Case], bar: &ProgressBar) -> anyhow::Result<()> {
        let cases: Vec<&Case> =
            cases.iter().filter(|(name, _)| is_counted(name, self.turn.pass)).collect();
        let mut rest: &[&Case] = &cases;
        while !rest.is_empty() {
            let names: Vec<&str> =
                rest.iter().take(CASES_PER_BOOT).map(|(name, _)| name.as_str()).collect();
            let arguments = self.options.guest_arguments(self.turn.pass);
            let arguments = format!("{arguments} --cases {}", names.join(","));
            let mut current = 0;
            let ending = self.boot(&arguments, |case| {
                if let Some(place) = names.iter().position(|&name| name == case) {
                    current = place;
                    bar.inc(1);
                }
            })?;
            let done = match ending {
                Ending::Complete => names.len(),
                Ending::Early(reason) => {
                    let case = names[current];
                    bar.suspend(|| println!("    {}: {case}: {reason}", self.turn.kernel));
                    self.cannot(case, reason);
                    current + 1
                }
            };
            rest = &rest[done..];
        }
        Ok(())
    }

    /// Measures a person's own program.
    fn program(&mut self, program: &Program) -> anyhow::Result<()> {
        let arguments = format!("{} {}", self.turn.pass.name(), program.arguments);
        if let Ending::Early(reason) = self.boot(&arguments, |_| {})? {
            self.cannot("program", reason);
        }
        Ok(())
    }

    /// Notes that a case cannot be run.
    fn cannot(&mut self, case: &str, reason: String) {
        let Turn { pass, kernel, round } = self.turn;
        self.results.add(subject(pass, case, ""), kernel, round, Answer::Unsupported(reason));
    }

    /// Boots once and notes what the guest says; `begins` hears of each case that begins.
    fn boot(&mut self, arguments: &str, mut begins: impl FnMut(&str)) -> anyhow::Result<Ending> {
        let Turn { pass, kernel, round } = self.turn;
        let machine = machine_for(self.options, pass)?;
        let boot = self.subjects.boot(kernel, &machine.cmdline, arguments)?;
        let name = format!("{}-{kernel}-{}.log", pass.name(), round + 1).to_lowercase();
        let log = session::log_directory()?.join(name);
        let patience = PATIENCE + Duration::from_secs(self.options.case_limit().into());
        let session = Session::start(&machine, &boot, &log, patience)?;
        session.follow(|record, since_start| {
            if let Record::Begins { begins: case } = &record {
                begins(case);
            }
            note(record, since_start, self.turn, self.results);
        })
    }
}

/// Whether a case says something in a pass: the instructions of an idle machine are no figure, and
/// those of the loads beside a sleeper are not its own.
fn is_counted(case: &str, pass: Pass) -> bool {
    pass == Pass::Time || !case.ends_with("_wakeup")
}

/// The machine of a pass.
///
/// # Errors
/// If `ICOUNT_SMP` is not a number of processors.
pub fn machine_for(options: &BenchOptions, pass: Pass) -> anyhow::Result<MachineOptions> {
    let mut machine = options.machine_for(pass);
    if pass == Pass::Instructions {
        let processors = options.processors_that_count()?;
        machine.smp = Processors(processors);
    }
    Ok(machine)
}

fn subject(pass: Pass, case: &str, parameter: &str) -> Subject {
    Subject { pass, case: case.to_owned(), parameter: parameter.to_owned() }
}

/// Notes a line of the guest.
fn note(record: Record, since_start: Duration, turn: Turn, results: &mut Results) {
    let Turn { pass, kernel, round } = turn;
    match record {
        Record::Boot { boot_to_init, ticks } => {
            let figures = match pass {
                Pass::Time => Figures::single("ns", boot_to_init as f64),
                Pass::Instructions => Figures::single("instructions", ticks as f64),
            };
            results.add(subject(pass, BOOT_CASE, ""), kernel, round, Answer::Figures(figures));
            if pass == Pass::Time {
                let wall = Figures::single("ns", since_start.as_nanos() as f64);
                let subject = subject(pass, BOOT_WALL_CASE, "");
                results.add(subject, kernel, round, Answer::Figures(wall));
            }
        }
        Record::Figures { case, parameter, figures } => {
            let answer = Answer::Figures(figures);
            results.add(subject(pass, &case, &parameter), kernel, round, answer);
        }
        Record::Unsupported { case, parameter, unsupported } => {
            let answer = Answer::Unsupported(unsupported);
            results.add(subject(pass, &case, &parameter), kernel, round, answer);
        }
        Record::Begins { .. } | Record::Listed { .. } | Record::End { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_alternate_and_instructions_are_counted_once() {
        let turns = turns(&[Pass::Time, Pass::Instructions], 2, &Kernel::ALL);
        let order: Vec<_> = turns.iter().map(|turn| (turn.pass, turn.kernel)).collect();
        let (time, instructions) = (Pass::Time, Pass::Instructions);
        let expected = [
            (time, Kernel::Linux),
            (time, Kernel::Skein),
            (time, Kernel::Skein),
            (time, Kernel::Linux),
            (instructions, Kernel::Linux),
            (instructions, Kernel::Skein),
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn what_waits_is_measured_in_time_only() {
        assert!(is_counted("rt_wakeup", Pass::Time) && is_counted("fork_call", Pass::Instructions));
        assert!(!is_counted("rt_wakeup", Pass::Instructions));
    }

    #[test]
    fn a_boot_is_a_case_of_its_own() {
        let mut results = Results::default();
        let turn = Turn { pass: Pass::Time, kernel: Kernel::Skein, round: 0 };
        let record = Record::Boot { boot_to_init: 5, ticks: 9 };
        note(record, Duration::from_nanos(7), turn, &mut results);
        let rows = results.rows(Pass::Time);
        let medians: Vec<_> = rows.iter().map(|row| row.skein.figures().unwrap().median).collect();
        assert_eq!(medians, [5.0, 7.0]);
    }
}
