//! Steps: jobs, the keys that control them, and the processors that they run on.

use anyhow::{Context, bail, ensure};

use super::shell::Shell;

/// The keys Ctrl-C and Ctrl-Z.
const CONTROL_C: &str = "\x03";
const CONTROL_Z: &str = "\x1a";
/// More jobs than processors, so that they must share.
const BUSY_JOBS: u32 = 8;
/// How often the processors are looked at, a second apart, before they count as left idle.
const LOOKS: u32 = 60;
/// Clock ticks that a look must span, so that the shares mean something.
const LEAST_TICKS: u64 = 20;

/// Busy jobs in the background must come to use every processor.
pub fn busy_jobs(shell: &mut Shell) -> anyhow::Result<()> {
    shell.ask(&format!("for i in $(seq {BUSY_JOBS}); do while :; do :; done & done"))?;
    let all_busy = wait_until_all_busy(shell);
    shell.ask("kill $(jobs -p)")?;
    shell.ask("wait")?;
    let left = shell.ask("jobs")?;
    all_busy?;
    ensure!(!left.contains("Running"), "jobs survive being killed: {left:?}");
    Ok(())
}

/// Looks at `/proc/stat` until between two looks no processor was idle for more than half.
fn wait_until_all_busy(shell: &mut Shell) -> anyhow::Result<()> {
    let mut before = processor_times(&shell.succeed("cat /proc/stat")?);
    ensure!(
        before.len() == shell.processors() as usize,
        "/proc/stat has lines for {} processors",
        before.len()
    );
    let mut shares = Vec::new();
    for _ in 0..LOOKS {
        shell.succeed("sleep 1")?;
        let now = processor_times(&shell.succeed("cat /proc/stat")?);
        shares = busy_shares(&before, &now);
        if shares.iter().all(|&share| share > 50) {
            return Ok(());
        }
        before = now;
    }
    bail!("not all processors are busy; percentages: {shares:?}")
}

/// Time that a processor has spent busy, and in all, in clock ticks.
type Times = (u64, u64);

/// The times of each processor from `/proc/stat`: user, nice, system, idle, iowait, and so on.
fn processor_times(stat: &str) -> Vec<Times> {
    let processors = stat.lines().filter_map(|line| {
        let (label, times) = line.split_once(' ')?;
        label.strip_prefix("cpu")?.parse::<u32>().ok()?;
        Some(times.split_whitespace().map_while(|word| word.parse::<u64>().ok()).collect())
    });
    processors
        .map(|times: Vec<u64>| {
            let all = times.iter().take(8).sum();
            let idle: u64 = times.iter().skip(3).take(2).sum();
            (all - idle, all)
        })
        .collect()
}

/// The busy percentage of each processor between two looks; none for one that has not ticked.
fn busy_shares(before: &[Times], now: &[Times]) -> Vec<u64> {
    let share = |(before, now): (&Times, &Times)| {
        let busy = now.0.saturating_sub(before.0);
        let all = now.1.saturating_sub(before.1);
        if all < LEAST_TICKS { 0 } else { busy * 100 / all }
    };
    before.iter().zip(now).map(share).collect()
}

/// Ctrl-C must end the program in the foreground, and only that.
pub fn interrupt(shell: &mut Shell) -> anyhow::Result<()> {
    shell.type_line("sh -c 'echo rea\"\"dy; exec sleep 1000'")?;
    shell.wait_for("ready")?;
    shell.press(CONTROL_C)?;
    shell.until_prompt()?;
    let status = shell.status()?;
    // 128 and the number of SIGINT.
    ensure!(status == 130, "the status after Ctrl-C is {status}");
    Ok(())
}

/// Ctrl-Z must stop a job, `fg` must give it the terminal back.
pub fn stop_and_continue(shell: &mut Shell) -> anyhow::Result<()> {
    shell.type_line("sh -c 'echo rea\"\"dy; while read w; do echo \"got=$w\"; done'")?;
    shell.wait_for("ready")?;
    shell.press(CONTROL_Z)?;
    shell.until_prompt()?;
    let jobs = shell.succeed("jobs")?;
    ensure!(jobs.contains("Stopped"), "no job is stopped: {jobs:?}");
    shell.type_line("fg")?;
    // The answer proves that the job runs and reads from the terminal again.
    shell.type_line("hello")?;
    shell.wait_for("got=hello")?;
    shell.press(CONTROL_C)?;
    shell.until_prompt()?;
    let jobs = shell.succeed("jobs")?;
    ensure!(!jobs.contains("Stopped"), "the job is still there: {jobs:?}");
    Ok(())
}

/// Ctrl-Z must stop a job, `bg` must continue it without the terminal, and `kill` must find it.
///
/// # Errors
/// If that is not so.
pub fn background(shell: &mut Shell) -> anyhow::Result<()> {
    shell.type_line("sh -c 'echo rea\"\"dy; exec sleep 1000'")?;
    shell.wait_for("ready")?;
    shell.press(CONTROL_Z)?;
    shell.until_prompt()?;
    shell.succeed("bg")?;
    let jobs = shell.succeed("jobs")?;
    ensure!(jobs.contains("Running"), "no job runs in the background: {jobs:?}");
    // In one line: at its next prompt the shell tells how the job ended, and forgets it.
    shell.ask("kill %1; wait %1")?;
    // 128 and the number of SIGTERM.
    let status = shell.status()?;
    ensure!(status == 143, "the status of the job is {status}");
    Ok(())
}

/// A program that a signal ended is reported with 128 and the signal's number.
pub fn segmentation_fault(shell: &mut Shell) -> anyhow::Result<()> {
    let printed = shell.ask("sh -c 'kill -SEGV $$'; echo $?")?;
    let last = printed.lines().last().context("nothing was printed")?;
    ensure!(last.trim() == "139", "the status is {last:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_for_each_processor_but_not_for_their_sum() {
        let stat = "cpu  30 0 30 140 0 0 0 0 0 0\ncpu0 10 1 9 70 5 3 2 0 0 0\n\
                    cpu1 20 0 20 60\nintr 5\n";
        assert_eq!(processor_times(stat), [(25, 100), (40, 100)]);
    }

    #[test]
    fn shares_need_some_ticks_to_mean_something() {
        let before = [(0, 0), (100, 1000), (0, 0)];
        let now = [(90, 100), (100, 1100), (5, 5)];
        assert_eq!(busy_shares(&before, &now), [90, 0, 0]);
    }
}
