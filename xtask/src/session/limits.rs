//! Steps: programs that take all they can get. Everyone else must live on, and memory come back.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::shell::Shell;

/// How much less memory may be available after a step than before, in KiB.
///
/// What a step leaves behind for good is not its own: frames that wait in each processor's cache,
/// directory entries and inodes of programs run for the first time, and lines in the kernel's log.
/// That is some hundred KiB on four processors. A leak is told apart, as each step takes and gives
/// back many times that: a fork bomb of 40 shells about 20 MiB, the memory hog all there is.
const TOLERANCE_KIB: u64 = 4096;
/// How often memory is looked at before what is missing counts as lost. Processes end in their own
/// time, and some memory comes back only when the last of a group has gone.
const LOOKS: u32 = 30;

/// A fork bomb as an ordinary user, whom alone `ulimit -u` binds.
pub fn fork_bomb(shell: &mut Shell) -> anyhow::Result<()> {
    let before = available_kib(shell)?;
    shell.ask("su -s /bin/sh nobody -c 'ulimit -u 40; b() { b | b & }; b' 2>/tmp/bomb")?;
    wait_for_failing_forks(shell)?;
    // One call as that user kills everything that the user runs, forking or not.
    let kill = "su -s /bin/sh nobody -c 'kill -9 -1'";
    for _ in 0..LOOKS {
        shell.ask(kill)?;
        if shell.succeed("ps -o user | grep -c nobody; true")?.trim() == "0" {
            shell.succeed("rm /tmp/bomb")?;
            return comes_back(shell, before);
        }
    }
    bail!("the bomb cannot be killed")
}

/// The bomb must run into its limit, and this shell must answer all the while.
fn wait_for_failing_forks(shell: &mut Shell) -> anyhow::Result<()> {
    for _ in 0..LOOKS {
        let failed = shell.succeed("grep -c fork /tmp/bomb; true")?;
        if failed.trim().parse::<u64>().is_ok_and(|count| count > 0) {
            return Ok(());
        }
        shell.succeed("sleep 1")?;
    }
    bail!("no fork failed, so `ulimit -u` binds nobody")
}

/// A program that takes memory without end: it must be refused or killed, and nobody else.
pub fn memory_hog(shell: &mut Shell) -> anyhow::Result<()> {
    let before = available_kib(shell)?;
    let pid = shell.succeed("echo $$")?;
    shell.ask("sleep 100000 &")?;
    shell.ask("tail /dev/zero")?;
    let status = shell.status()?;
    ensure!(status != 0, "a program that wants endless memory cannot succeed");
    ensure!(shell.succeed("echo $$")? == pid, "the shell is another one");
    let bystander = shell.ask("kill %1 && echo alive")?;
    ensure!(bystander.contains("alive"), "a bystander was killed: {bystander:?}");
    shell.ask("wait")?;
    comes_back(shell, before)
}

/// A program that fills sockets until the kernel's own memory is used up.
pub fn socket_hog(shell: &mut Shell) -> anyhow::Result<()> {
    kernel_memory_hog(shell, "sockets")
}

/// The same with pipes.
pub fn pipe_hog(shell: &mut Shell) -> anyhow::Result<()> {
    kernel_memory_hog(shell, "pipes")
}

/// The same with page tables, while hardly anything is resident.
pub fn table_hog(shell: &mut Shell) -> anyhow::Result<()> {
    kernel_memory_hog(shell, "tables")
}

/// A program that takes memory which is in nobody's resident set. Either there is not enough of it to be had, and
/// everybody lives on beside the hog, or the hog is killed, and nobody else.
fn kernel_memory_hog(shell: &mut Shell, what: &str) -> anyhow::Result<()> {
    let before = available_kib(shell)?;
    let pid = shell.succeed("echo $$")?;
    shell.ask("sleep 100000 &")?;
    // Linux does not count what sockets and pipes hold: there the hog has to come forward.
    shell.ask("grep -q skein /proc/version || volunteer='echo 1000 >/proc/self/oom_score_adj;'")?;
    shell
        .ask(&format!("sh -c \"$volunteer sleep 200000 | exec memhog {what}\" >/tmp/hog 2>&1 &"))?;
    for _ in 0..LOOKS {
        // Forks, and so needs memory.
        let state = shell.succeed("sleep 1; pidof memhog >/dev/null || echo gone; cat /tmp/hog")?;
        if state.contains("gone") || state.contains("EMFILE") {
            break;
        }
    }
    ensure!(shell.succeed("echo $$")? == pid, "the shell is another one");
    let bystander = shell.ask("kill %1 && echo alive")?;
    ensure!(bystander.contains("alive"), "a bystander was killed: {bystander:?}");
    shell.ask("killall memhog sleep; wait; rm -f /tmp/hog")?;
    comes_back(shell, before)
}

/// Memory that is available, as the kernel tells it.
fn available_kib(shell: &mut Shell) -> anyhow::Result<u64> {
    let table = shell.succeed("cat /proc/meminfo")?;
    kib(&table, "MemAvailable:").with_context(|| format!("no MemAvailable in {table:?}"))
}

/// The number on one line of `/proc/meminfo`.
fn kib(table: &str, label: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Waits until as much memory is available as before.
fn comes_back(shell: &mut Shell, before: u64) -> anyhow::Result<()> {
    let mut now = 0;
    for _ in 0..LOOKS {
        now = available_kib(shell)?;
        if now + TOLERANCE_KIB >= before {
            return Ok(());
        }
        shell.succeed("sleep 1")?;
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("{} KiB of memory are missing afterwards: {before} before, {now} now", before - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_their_label() {
        let table = "MemTotal:         500000 kB\nMemAvailable:     480000 kB\n";
        assert_eq!(kib(table, "MemAvailable:"), Some(480_000));
        assert_eq!(kib(table, "SwapFree:"), None);
    }
}
