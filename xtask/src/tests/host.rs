//! The tests that run on the host: units, property tests, loom models, and the guest suite.

use std::path::Path;
use std::process::Command;

use super::TorturePlan;
use super::counts::Counts;
use super::{logged, on_host};
use crate::progress::Stage;
use crate::{rootfs, workspace};

/// The crates that have loom models.
const MODELLED_CRATES: [&str; 4] = ["mm", "sched", "signals", "records"];

/// Units, property tests and models of all crates.
///
/// # Errors
/// If cargo cannot be started.
pub fn tests() -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut others = workspace::cargo(["test", "--no-fail-fast", "--workspace"]);
    others.args(["--exclude", "kernel"]);
    counts += cargo_tests("host tests", &mut others)?;
    // The kernel's binary exists for its own target only; its library is tested here.
    let mut kernel = workspace::cargo(["test", "--no-fail-fast", "--package", "kernel", "--lib"]);
    counts += cargo_tests("host tests of the kernel library", &mut kernel)?;
    counts += models()?;
    Ok(counts)
}

/// The property tests of the memory manager, each for as long as the plan says, from its seed on; then its loom models, each for as
/// long, with more and more preemptions.
///
/// # Errors
/// If cargo cannot be started.
pub fn torture(plan: &TorturePlan) -> anyhow::Result<Counts> {
    let mut command = workspace::cargo(["test", "--package", "mm", "--no-fail-fast"]);
    command.args(["--test", "model", "--test", "parallel", "--", "--nocapture"]);
    command.env("TORTURE_SECONDS", plan.seconds.to_string());
    command.env("TORTURE_SEED", plan.seed.to_string());
    let mut counts = cargo_tests("torture of the memory manager", &mut command)?;
    let mut models = model_command("mm");
    models.args(["--", "--nocapture"]);
    models.env("TORTURE_SECONDS", plan.seconds.to_string());
    counts += cargo_tests("torture by loom", &mut models)?;
    Ok(counts)
}

/// The guest suite on the host's own Linux: what passes on Skein must pass there.
///
/// # Errors
/// If the suite does not compile or cannot be started.
pub fn suite() -> anyhow::Result<Counts> {
    let stage = Stage::begin("guest suite on this machine's Linux");
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        stage.finish("skipped: this machine is not an x86-64 Linux");
        return Ok(Counts::one_skipped());
    }
    let log = logged::log_path("suite-on-linux")?;
    let mut command = on_host::command(rootfs::user_program("suite")?);
    let directory = tempfile::tempdir()?;
    command.current_dir(directory.path());
    let mut counts = None;
    let status = logged::run(&mut command, &log, |line| {
        report_line(&stage, line);
        counts = Counts::from_closing_line(line).or(counts);
    })?;
    let mut counts = counts.unwrap_or_default();
    if !status.success() && counts.failed == 0 {
        counts.failed += 1;
    }
    close(stage, counts, &log);
    Ok(counts)
}

/// Runs one `cargo test` and adds up what its test programs report.
fn cargo_tests(name: &str, command: &mut Command) -> anyhow::Result<Counts> {
    let stage = Stage::begin(name);
    let log = logged::log_path(&name.replace(' ', "-"))?;
    let mut counts = Counts::default();
    let status = logged::run(command, &log, |line| {
        report_line(&stage, line);
        if let Some(more) = Counts::from_libtest(line) {
            counts += more;
        }
    })?;
    if counts.failed == 0 && (!status.success() || counts.passed == 0) {
        // Something did not compile, a test program died, or there was nothing to run: a failure
        // that nobody has counted.
        counts.failed += 1;
    }
    close(stage, counts, &log);
    Ok(counts)
}

/// The loom models, in a target directory of their own as everything is compiled differently.
///
/// They are the test programs `tests/loom_*.rs` of the crates.
fn models() -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for package in MODELLED_CRATES {
        counts += cargo_tests(&format!("loom models of {package}"), &mut model_command(package))?;
    }
    Ok(counts)
}

fn model_command(package: &str) -> Command {
    let mut command = workspace::cargo(["test", "--no-fail-fast", "--profile=hosted"]);
    command.args(["--package", package, "--test", "loom_*"]);
    command.env("RUSTFLAGS", "--cfg loom");
    command.env("CARGO_TARGET_DIR", workspace::target().join("loom"));
    command
}

/// Shows a line of a test program as far as a person wants to see it.
pub fn report_line(stage: &Stage, line: &str) {
    let words = line.trim();
    let is_test = words.starts_with("test ");
    if words.starts_with("Running ") || (is_test && words.ends_with("FAILED")) {
        stage.print(words);
    } else if is_test && words.contains(" ... ignored") {
        stage.print(&words.replacen("test ", "skipped: ", 1).replacen(" ... ignored", "", 1));
    } else {
        stage.note(line);
    }
}

/// Closes a stage; when something failed, with the end of the log.
pub fn close(stage: Stage, counts: Counts, log: &Path) {
    stage.finish(counts);
    if counts.failed > 0 {
        logged::show_end(log);
    }
}
