//! Deliberate panics: each must be legible, and the run must fail.

use std::path::Path;

use anyhow::ensure;

use super::counts::Counts;
use super::logged;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot, Outcome};
use crate::symbols::Function;
use crate::{run, symbols};

/// A way to have the kernel panic on purpose.
struct Way {
    /// What the test is called.
    name: &'static str,
    /// The word on the command line.
    parameter: &'static str,
    /// What the kernel must say of the cause.
    cause: &'static str,
    /// The name of a function that the backtrace must show.
    function: &'static str,
}

const WAYS: [Way; 2] = [
    Way {
        name: "deliberate panic",
        parameter: "panic_test",
        cause: "panic_test",
        function: "become_program",
    },
    // It ends as a double fault, on another stack than the one that is traced.
    Way {
        name: "deliberate stack overflow",
        parameter: "panic_test=overflow",
        cause: "stack overflow",
        function: "::overflow+",
    },
];
/// How many functions a backtrace must name to be worth the word.
const LEAST_FRAMES: usize = 2;

/// Panics in each way and examines what is printed; each thing to be found is a test.
///
/// # Errors
/// If QEMU does not start.
pub fn test(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for way in &WAYS {
        counts += one(machine, boot, way)?;
    }
    Ok(counts)
}

/// Panics in one way.
fn one(machine: &MachineOptions, boot: &Boot, way: &Way) -> anyhow::Result<Counts> {
    let machine = machine.with_parameter(way.parameter);
    let boot = boot.for_machine(&machine);
    let stage = Stage::begin(way.name);
    let log = logged::log_path(&way.name.replace(' ', "-"))?;
    let mut guest = run::start(&machine, &boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let mut console = Console::new(input, output, &log)?;
    let mut text = String::new();
    while let Ok(Some(line)) = console.next_line() {
        text.push_str(&line);
        text.push('\n');
    }
    drop(console);
    // A guest that hangs instead of ending is ended by dropping it, and fails every check.
    let outcome = if text.contains("panic") { Some(guest.wait()?) } else { None };
    let mut counts = Counts::default();
    for (what, result) in checks(way, &text, outcome, boot.kernel()) {
        if let Err(error) = &result {
            stage.print(&format!("{what}: {error:#}"));
        }
        counts += Counts::one(&result);
    }
    super::host::close(stage, counts, &log);
    Ok(counts)
}

/// What must be found in a panic's text and end.
fn checks(
    way: &Way,
    text: &str,
    outcome: Option<Outcome>,
    kernel: &Path,
) -> [(&'static str, anyhow::Result<()>); 6] {
    let panic = text.find("panic").map_or("", |start| {
        let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
        &text[line..]
    });
    [
        ("the processor is named", mentions_number_after(panic, "CPU")),
        ("the thread is named", mentions(panic, "thread")),
        ("the cause is named", mentions(panic, way.cause)),
        ("the backtrace names functions", names_functions(panic, kernel)),
        ("the backtrace reaches the cause", mentions(panic, way.function)),
        (
            "the run ends as a panic",
            match outcome {
                Some(Outcome::Panicked) => Ok(()),
                Some(other) => Err(anyhow::anyhow!("{other}")),
                None => Err(anyhow::anyhow!("nothing was said of a panic")),
            },
        ),
    ]
}

/// Whether a word occurs, in upper or lower case.
fn mentions(text: &str, word: &str) -> anyhow::Result<()> {
    ensure!(text.to_lowercase().contains(word), "the word `{word}` is missing");
    Ok(())
}

/// Whether a number follows a word somewhere, with at most some punctuation between them.
fn mentions_number_after(text: &str, word: &str) -> anyhow::Result<()> {
    let follows = text.match_indices(word).any(|(place, _)| {
        let rest = text[place + word.len()..].trim_start_matches([' ', ':', '#', '=']);
        rest.starts_with(|character: char| character.is_ascii_digit())
    });
    ensure!(follows, "no number follows `{word}`");
    Ok(())
}

/// Whether enough lines name functions that the kernel really has.
fn names_functions(text: &str, kernel: &Path) -> anyhow::Result<()> {
    let functions = symbols::functions(&std::fs::read(kernel)?)?;
    let named = text.lines().filter(|line| names_one(line, &functions)).count();
    ensure!(named >= LEAST_FRAMES, "{named} lines name a function of the kernel");
    Ok(())
}

/// Whether a line holds the name of a function, followed by an offset or the line's end.
fn names_one(line: &str, functions: &[Function]) -> bool {
    line.split_whitespace().any(|word| {
        let name = word.rsplit_once("+0x").map_or(word, |(name, _)| name);
        name.contains("::") && functions.iter().any(|function| function.name == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_numbers_are_recognised() {
        assert!(mentions_number_after("panic on CPU 3", "CPU").is_ok());
        assert!(mentions_number_after("panic, CPU: 0", "CPU").is_ok());
        assert!(mentions_number_after("the CPU is tired", "CPU").is_err());
    }

    #[test]
    fn frames_name_functions_that_exist() {
        let functions = [Function { address: 1, size: 1, name: "kernel::boot::start".into() }];
        assert!(names_one("  #0 ffffffff80001000 kernel::boot::start+0x14", &functions));
        assert!(names_one("kernel::boot::start", &functions));
        assert!(!names_one("kernel::boot::stop+0x14", &functions));
    }
}
