//! `docs/policies.md` tells the truth: its example is what the template becomes by what the page says, it compiles, and it
//! obeys the laws once it is cured, and breaks the one that the page says it breaks before.
//!
//! `burst.rs` and `flawed.rs` are the file after the page's third step and after its second. When page or template have
//! changed, `BLESS=1 cargo test -p sched --test policies_page` writes them anew; the next run compiles them.
#![cfg(not(loom))]

extern crate alloc;

#[path = "../laws/mod.rs"]
mod laws;

/// The names that a policy's file has for its surroundings.
mod task {
    pub use sched::TaskId;
}

/// A policy that somebody adds to the box.
mod policy {
    pub use sched::policy::*;

    pub mod burst;
    pub mod flawed;
}

use std::path::{Path, PathBuf};

use arch::time::Nanos;
use laws::history::{Model, step};
use laws::hogs::run_hogs;
use laws::longest_wait;
use laws::sleepers::{Habit, waits};
use policy::{burst, flawed};
use proptest::prelude::*;
use sched::policy::{POLICIES, PolicyKind};

/// The template, as the commands of the first step leave it.
fn renamed_template() -> String {
    let template = include_str!("../../src/policy/template.rs");
    template.replace("Template", "Burst").replace("\"template\"", "\"burst\"")
}

/// The items of Rust in the page's code blocks, in its order: each one's first line, and all of it.
fn items(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(|block| block.split("\n\n").map(item)).collect()
}

fn item(text: &str) -> (String, String) {
    let is_code = |line: &&str| !line.trim_start().starts_with("///");
    let head = text.lines().find(is_code).expect("more than comments");
    (head.to_owned(), text.trim_end().to_owned() + "\n")
}

/// The keyword and the name in the first line of an item.
fn name(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(|c: char| c != '_' && !c.is_alphanumeric());
    let keyword = words.find(|word| ["fn", "struct"].contains(word))?;
    Some((keyword, words.next()?))
}

/// The file with `item`, whose first line is `head`, in place of the one of that name. If it has a comment, that goes in
/// place of the other's.
fn replace(file: &str, head: &str, item: &str) -> String {
    let lines: Vec<&str> = file.split_inclusive('\n').collect();
    let at = lines.iter().position(|line| name(line).is_some() && name(line) == name(head));
    let at = at.unwrap_or_else(|| panic!("the template has no {head}"));
    let indentation = head.len() - head.trim_start().len();
    let end = format!("{}}}\n", " ".repeat(indentation));
    let length = 1 + lines[at..].iter().position(|line| **line == end).expect("it ends");
    let is_comment = |line: &&&str| line.trim_start().starts_with("///");
    let has_comment = item.trim_start().starts_with("///");
    let old_comment = lines[..at].iter().rev().take_while(is_comment).count();
    let from = if has_comment { at - old_comment } else { at };
    [&lines[..from].concat(), item, &lines[at + length..].concat()].concat()
}

/// The example without the page's last `skipped` items: before its cure, or whole.
fn example(skipped: usize) -> String {
    let items = items(include_str!("../../../docs/policies.md"));
    let told = &items[..items.len() - skipped];
    told.iter().fold(renamed_template(), |file, (head, item)| replace(&file, head, item))
}

#[test]
fn the_example_is_what_the_page_makes_of_the_template() {
    for (name, skip) in [("burst.rs", 0), ("flawed.rs", 1)] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies_page/policy").join(name);
        let expected = example(skip);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &expected).expect("the tree can be written");
        }
        let found = std::fs::read_to_string(&path).expect("it is there");
        assert!(found == expected, "{name} is not what docs/policies.md makes of template.rs");
    }
}

/// The policies' files below `directory`: those that define a row of the table.
fn policies_below(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.extend(policies_below(&path));
        } else {
            let text = std::fs::read_to_string(&path).expect("it is text");
            if text.contains("const KIND: PolicyKind") {
                files.push((path, text));
            }
        }
    }
    files
}

#[test]
fn a_policy_is_a_file_of_at_most_200_lines() {
    let files = policies_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy"));
    assert!(files.len() >= POLICIES.len(), "there are only {} files of policies", files.len());
    for (path, text) in files {
        let lines = text.lines().count();
        assert!(lines <= 200, "{} has {lines} lines", path.display());
    }
}

/// Whether nobody among short bursts waits longer than the watchdog's patience.
fn is_patient(kind: &PolicyKind) -> bool {
    let [run, sleep] = [Nanos::from_millis(1), Nanos::from_millis(2)];
    let mut habits = vec![Habit { nice: 0, run, sleep }; 8];
    habits.push(Habit { nice: 0, run: Nanos::from_secs(1), sleep: Nanos::ZERO });
    let bound = longest_wait(kind, &[0; 9], 0);
    waits(kind, &habits, Nanos::from_secs(12)).into_iter().all(|wait| wait <= bound)
}

#[test]
fn the_laws_find_the_flaw_and_the_cure_works() {
    assert!(!is_patient(&flawed::KIND));
    assert!(is_patient(&burst::KIND));
}

proptest! {
    #[test]
    fn the_example_obeys_the_laws(
        steps in prop::collection::vec(step(), 1..200),
        nices in prop::collection::vec(-5_i32..6, 2..10),
    ) {
        let mut model = Model::new(&burst::KIND);
        steps.iter().for_each(|&step| model.apply(step));
        let tasks = nices.len() as u64;
        for (_, wait) in run_hogs(&burst::KIND, &nices, Nanos::from_secs(1)) {
            prop_assert!(wait.0 <= burst::SLICE.0 * tasks, "waited {wait:?} among {tasks}");
        }
    }
}
