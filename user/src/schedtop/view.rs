//! The difference of two samples as lines of text: [`lines`].

use super::sample::{Cpu, Process, Sample};

/// Columns of a CPU's bar.
const BAR: usize = 30;
/// Ticks of CPU time in a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What is shown, at most `rows` lines of at most `columns` characters.
#[must_use]
pub fn lines(before: &Sample, now: &Sample, rows: usize, columns: usize) -> Vec<String> {
    let seconds = now.taken.duration_since(before.taken).as_secs_f64().max(0.001);
    let mut lines = heading(before, now, seconds);
    for (number, cpu) in &now.cpus {
        let old = before.cpus.get(number).copied().unwrap_or_default();
        lines.push(cpu_line(*number, &old, cpu, seconds));
    }
    lines.push(String::new());
    lines.push(format!(
        "{:>7} {:>3} {:<5} {:>3} {:1} {:>6} {:>9} {:>8} {}",
        "PID", "CPU", "CLASS", "NI", "S", "%CPU", "WAIT", "RUNS/S", "NAME"
    ));
    let mut processes: Vec<_> = now.processes.iter().collect();
    let used = |id: &u32, process: &Process| {
        let old = before.processes.get(id).map_or(0, |old| old.ticks);
        process.ticks.saturating_sub(old)
    };
    processes.sort_by_key(|(id, process)| (std::cmp::Reverse(used(id, process)), **id));
    for (id, process) in processes {
        let old = before.processes.get(id).cloned().unwrap_or_default();
        lines.push(process_line(*id, &old, process, seconds));
    }
    lines.truncate(rows);
    lines.iter().map(|line| line.chars().take(columns).collect()).collect()
}

fn heading(before: &Sample, now: &Sample, seconds: f64) -> Vec<String> {
    let switches = now.switches.saturating_sub(before.switches) as f64 / seconds;
    let mut lines = vec![format!(
        "schedtop   load {}   runnable {}   {switches:.0} switches/s",
        now.load, now.runnable
    )];
    if !now.policies.is_empty() {
        lines.push(format!("policy     {}", now.policies));
    }
    lines.push(String::new());
    lines
}

fn cpu_line(number: usize, old: &Cpu, cpu: &Cpu, seconds: f64) -> String {
    let difference = |now: u64, before: u64| now.saturating_sub(before) as f64;
    let user = difference(cpu.user, old.user);
    let system = difference(cpu.system, old.system);
    let total = (user + system + difference(cpu.idle, old.idle)).max(1.0);
    let columns = |part: f64| (part / total * BAR as f64).round() as usize;
    let (user_columns, system_columns) = (columns(user), columns(system));
    let bar = format!("{}{}", "#".repeat(user_columns), "=".repeat(system_columns));
    let slices = cpu.slices.saturating_sub(old.slices);
    format!(
        "CPU {number:<3} [{bar:<BAR$.BAR$}] {:>5.1} % user {:>5.1} % system   wait {:>9}   {:>7.0} runs/s",
        user / total * 100.0,
        system / total * 100.0,
        mean_wait(cpu.delay.saturating_sub(old.delay), slices),
        slices as f64 / seconds,
    )
}

fn process_line(id: u32, old: &Process, process: &Process, seconds: f64) -> String {
    let class = match process.class {
        0 => "other",
        1 => "fifo",
        2 => "rr",
        3 => "batch",
        5 => "idle",
        6 => "edf",
        _ => "?",
    };
    let slices = process.slices.saturating_sub(old.slices);
    format!(
        "{id:>7} {:>3} {class:<5} {:>3} {:1} {:>6.1} {:>9} {:>8.0} {}",
        process.cpu,
        process.nice,
        process.state,
        process.ticks.saturating_sub(old.ticks) as f64 / TICKS / seconds * 100.0,
        mean_wait(process.delay.saturating_sub(old.delay), slices),
        slices as f64 / seconds,
        process.name.escape_debug(),
    )
}

/// How long was waited for a CPU each time, on average.
fn mean_wait(delay: u64, slices: u64) -> String {
    match delay.checked_div(slices) {
        None => "-".to_owned(),
        Some(time @ ..1_000) => format!("{time} ns"),
        Some(time @ ..1_000_000) => format!("{:.1} us", time as f64 / 1e3),
        Some(time) => format!("{:.2} ms", time as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(taken: Instant, scale: u64) -> Sample {
        let cpu = Cpu {
            user: 50 * scale,
            system: 25 * scale,
            idle: 25 * scale,
            delay: 9000 * scale,
            slices: 3 * scale,
        };
        let hog = Process {
            name: "hog\u{1b}".into(),
            state: 'R',
            ticks: 75 * scale,
            ..Process::default()
        };
        let idle = Process { name: "idle".into(), state: 'S', ..Process::default() };
        Sample {
            taken,
            policies: "[eevdf] rr".into(),
            load: "1.00".into(),
            switches: 100 * scale,
            runnable: 2,
            cpus: BTreeMap::from([(0, cpu)]),
            processes: BTreeMap::from([(1, idle), (9, hog)]),
        }
    }

    #[test]
    fn rates_are_differences_and_the_busiest_comes_first() {
        let start = Instant::now();
        let (before, now) = (sample(start, 1), sample(start + Duration::from_secs(1), 2));
        let lines = lines(&before, &now, 50, 120);
        assert!(lines[0].contains("100 switches/s"));
        assert!(lines[1].contains("[eevdf] rr"));
        assert!(lines[3].contains(" 50.0 % user  25.0 % system   wait    3.0 us"), "{}", lines[3]);
        assert!(lines[6].contains("75.0") && lines[6].ends_with("hog\\u{1b}"), "{}", lines[6]);
    }

    #[test]
    fn what_is_shown_fits_the_terminal() {
        let start = Instant::now();
        let lines = lines(&sample(start, 1), &sample(start, 2), 4, 20);
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.chars().count() <= 20));
    }
}
