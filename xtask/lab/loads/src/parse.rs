//! Reading and checking a load file.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::span::duration;
use crate::{Class, Group, Load, Span, Step};

/// Why a load file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    about: String,
    duration: String,
    group: Vec<GroupText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: String,
    #[serde(default = "one")]
    count: usize,
    #[serde(default)]
    class: String,
    #[serde(default)]
    nice: i32,
    #[serde(default)]
    slice: Option<String>,
    #[serde(default)]
    cpus: Vec<usize>,
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    stagger: Option<String>,
    steps: Vec<StepText>,
    #[serde(default)]
    rounds: Option<u32>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StepText {
    Run(String),
    Sleep(String),
    Every(String),
    Yield(Empty),
    Lock(String),
    Unlock(String),
    Send(String),
    Receive(String),
    Spawn(String),
    Join(Empty),
}

/// The value of a step that takes none: `true`.
struct Empty;

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(|_| Self)
    }
}

/// Numbers for names, in the order in which they are met.
#[derive(Default)]
struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    fn of(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}

/// Reads the load called `name` from the `text` of its file.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(name: &str, text: &str) -> Result<Load, Invalid> {
    let file: FileText =
        toml::from_str(text).map_err(|error| Invalid::new(format!("{name}: {error}")))?;
    let groups: Vec<String> = file.group.iter().map(|group| group.name.clone()).collect();
    let mut locks = Numbers::default();
    let mut channels = Numbers::default();
    let read = |group: GroupText, locks: &mut Numbers, channels: &mut Numbers| {
        let label = group.name.clone();
        read_group(group, &groups, locks, channels)
            .map_err(|error| Invalid::new(format!("{name}: group {label}: {error}")))
    };
    let groups = file
        .group
        .into_iter()
        .map(|group| read(group, &mut locks, &mut channels))
        .collect::<Result<Vec<Group>, Invalid>>()?;
    Ok(Load {
        name: name.to_owned(),
        about: file.about,
        duration: duration(&file.duration)?,
        groups,
        locks: locks.0.len(),
        channels: channels.0.len(),
    })
}

fn read_group(
    text: GroupText,
    groups: &[String],
    locks: &mut Numbers,
    channels: &mut Numbers,
) -> Result<Group, Invalid> {
    let time = |text: &Option<String>| text.as_deref().map_or(Ok(Default::default()), duration);
    let mut steps = Vec::new();
    for step in &text.steps {
        steps.push(read_step(step, groups, locks, channels)?);
    }
    if !steps.iter().any(takes_time) && text.rounds.is_none() {
        return Err(Invalid::new("its steps take no time, so they would go on for ever"));
    }
    if !(-20..=19).contains(&text.nice) {
        return Err(Invalid::new(format!("nice {} is not -20 to 19", text.nice)));
    }
    Ok(Group {
        count: text.count,
        class: read_class(&text.class)?,
        nice: text.nice,
        slice: time(&text.slice)?,
        cpus: text.cpus,
        start: time(&text.start)?,
        stagger: time(&text.stagger)?,
        steps,
        rounds: text.rounds,
        name: text.name,
    })
}

/// Whether time passes in `step` whatever the other tasks do. What waits for others may find them ready at once.
fn takes_time(step: &Step) -> bool {
    matches!(step, Step::Run(_) | Step::Sleep(_) | Step::Every(_))
}

fn read_class(text: &str) -> Result<Class, Invalid> {
    let priority = |text: &str| {
        let number = text.parse().ok().filter(|number| (1..=99).contains(number));
        number.ok_or_else(|| Invalid::new(format!("priority {text} is not 1 to 99")))
    };
    match text.split_once(':') {
        None if text.is_empty() || text == "other" => Ok(Class::Other),
        None if text == "batch" => Ok(Class::Batch),
        None if text == "idle" => Ok(Class::Idle),
        Some(("fifo", number)) => Ok(Class::Fifo(priority(number)?)),
        Some(("rr", number)) => Ok(Class::RoundRobin(priority(number)?)),
        _ => {
            Err(Invalid::new(format!("class `{text}` is none of other, batch, idle, fifo:N, rr:N")))
        }
    }
}

fn read_step(
    step: &StepText,
    groups: &[String],
    locks: &mut Numbers,
    channels: &mut Numbers,
) -> Result<Step, Invalid> {
    Ok(match step {
        StepText::Run(time) => Step::Run(span(time)?),
        StepText::Sleep(time) => Step::Sleep(span(time)?),
        StepText::Every(time) => Step::Every(positive(duration(time)?, time)?),
        StepText::Yield(Empty) => Step::Yield,
        StepText::Lock(name) => Step::Lock(locks.of(name)),
        StepText::Unlock(name) => Step::Unlock(locks.of(name)),
        StepText::Send(name) => Step::Send(channels.of(name)),
        StepText::Receive(name) => Step::Receive(channels.of(name)),
        StepText::Spawn(name) => {
            let position = groups.iter().position(|group| group == name);
            let missing = || Invalid::new(format!("there is no group `{name}` to spawn"));
            Step::Spawn(position.ok_or_else(missing)?)
        }
        StepText::Join(Empty) => Step::Join,
    })
}

/// The times that a step may take.
fn span(text: &str) -> Result<Span, Invalid> {
    let span: Span = text.parse()?;
    positive(span.longest(), text).map(|_| span)
}

/// The time, unless it is none.
fn positive(time: Duration, text: &str) -> Result<Duration, Invalid> {
    let none = || Invalid::new(format!("`{text}` is no time at all"));
    (time > Duration::ZERO).then_some(time).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        about = "a test"
        duration = "1s"
        [[group]]
        name = "parent"
        class = "rr:5"
        cpus = [0, 1]
        steps = [{ lock = "a" }, { run = "1ms" }, { unlock = "a" }, { spawn = "child" }, { join = true }]
        [[group]]
        name = "child"
        count = 0
        rounds = 1
        steps = [{ send = "c" }]
    "#;

    #[test]
    fn a_file_is_read() {
        let load = parse("test", GOOD).unwrap();
        assert_eq!((load.duration, load.locks, load.channels), (Duration::from_secs(1), 1, 1));
        let parent = &load.groups[0];
        assert_eq!((parent.class, parent.count), (Class::RoundRobin(5), 1));
        let millisecond = Span::exactly(Duration::from_millis(1));
        assert_eq!(parent.steps[1], Step::Run(millisecond));
        assert_eq!(parent.steps[3..], [Step::Spawn(1), Step::Join]);
        assert_eq!(load.initial_tasks(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong =
            |from: &str, to: &str| parse("test", &GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(wrong("spawn = \"child\"", "spawn = \"nobody\"").contains("nobody"));
        assert!(wrong("rr:5", "rr:500").contains("1 to 99"));
        assert!(wrong("rounds = 1", "").contains("for ever"));
        assert!(wrong("run = \"1ms\"", "join = true").contains("for ever"));
        assert!(wrong("run = \"1ms\"", "every = \"0s\"").contains("no time"));
        assert!(wrong("run = \"1ms\"", "walk = \"1ms\"").contains("walk"));
        assert!(wrong("count = 0", "nice = 30").contains("nice 30"));
    }
}
