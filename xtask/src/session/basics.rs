//! Steps: what the shell and the process tools show.

use anyhow::{Context, ensure};

use super::shell::Shell;

/// Pipes between builtins, programs and subshells.
pub fn pipelines(shell: &mut Shell) -> anyhow::Result<()> {
    expect(shell, "seq 1 1000 | grep 7 | wc -l", "271")?;
    expect(shell, "printf 'b\\na\\nc\\n' | sort | tr '\\n' ' '; echo", "a b c")?;
    expect(
        shell,
        "(echo one; echo two) | while read w; do echo \"<$w>\"; done | tail -1",
        "<two>",
    )?;
    expect(shell, "echo $(cat /proc/self/stat | cut -d ' ' -f 2)", "(cat)")?;
    expect(shell, "yes | head -3 | wc -c", "6")?;
    // Nothing that started the shell may have left a signal ignored: `yes` must die of SIGPIPE.
    expect(shell, "grep SigIgn /proc/self/status | cut -f 2", "0000000000000000")
}

/// Loops, conditions, functions, and files between them.
pub fn loops(shell: &mut Shell) -> anyhow::Result<()> {
    expect(
        shell,
        "for i in 1 2 3 4; do echo $((i * i)); done | tac | tr '\\n' ' '; echo",
        "16 9 4 1",
    )?;
    expect(shell, "n=0; while [ $n -lt 50 ]; do n=$((n + 1)); true; done; echo $n", "50")?;
    expect(
        shell,
        "for i in $(seq 20); do /bin/echo $i; done | awk '{ s += $1 } END { print s }'",
        "210",
    )?;
    expect(
        shell,
        "f() { [ $1 -le 1 ] && echo 1 || echo $(($1 * $(f $(($1 - 1))))); }; f 6",
        "720",
    )?;
    expect(
        shell,
        "mkdir -p /tmp/d/e && echo x >/tmp/d/e/f && find /tmp/d -type f; rm -r /tmp/d",
        "/tmp/d/e/f",
    )
}

/// `ps` must show the first process, the shell and itself.
pub fn processes(shell: &mut Shell) -> anyhow::Result<()> {
    let pid = shell.succeed("echo $$")?.trim().to_owned();
    let listing = shell.succeed("ps")?;
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    for (wanted, what) in [("1", "the first process"), (pid.as_str(), "the shell")] {
        let shown = listing.lines().any(|line| first(line).as_deref() == Some(wanted));
        ensure!(shown, "`ps` does not show {what}, process {wanted}: {listing:?}");
    }
    // Busybox's shell runs its own applets without execve, and `ps` then shows both names.
    let shows_itself = listing.lines().any(|line| line.contains(" ps") || line.contains("{ps}"));
    ensure!(shows_itself, "`ps` does not show itself: {listing:?}");
    Ok(())
}

/// `nproc` must say how many processors there are.
pub fn processors(shell: &mut Shell) -> anyhow::Result<()> {
    let expected = shell.processors().to_string();
    expect(shell, "nproc", &expected)?;
    expect(shell, "grep -c ^processor /proc/cpuinfo", &expected)
}

/// `/proc/interrupts` must show timer interrupts on each processor.
pub fn timer_interrupts(shell: &mut Shell) -> anyhow::Result<()> {
    let table = shell.succeed("cat /proc/interrupts")?;
    let counts = timer_counts(&table).with_context(|| format!("no timer line: {table:?}"))?;
    let processors = shell.processors() as usize;
    ensure!(
        counts.len() == processors && counts.iter().all(|&count| count > 0),
        "timer interrupts on {processors} processors: {counts:?}"
    );
    Ok(())
}

/// The local timer's interrupts on each processor, from the line that Linux calls `LOC`.
fn timer_counts(table: &str) -> Option<Vec<u64>> {
    let line = table.lines().find_map(|line| line.trim().strip_prefix("LOC:"))?;
    Some(line.split_whitespace().map_while(|word| word.parse().ok()).collect())
}

/// Runs a command that must print one line.
pub fn expect(shell: &mut Shell, command: &str, expected: &str) -> anyhow::Result<()> {
    let printed = shell.succeed(command)?;
    ensure!(
        printed.lines().any(|line| line.trim_end() == expected),
        "`{command}` printed {printed:?} instead of {expected:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_interrupts_are_read_from_their_line() {
        let table = "           CPU0       CPU1\n  4:         12          0  IO-APIC  ttyS0\n\
                     LOC:       1204        988   Local timer interrupts\n";
        assert_eq!(timer_counts(table), Some(vec![1204, 988]));
        assert_eq!(timer_counts("CPU0\n"), None);
    }
}
