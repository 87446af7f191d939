//! Runs cases, each in a process of its own, and the suite itself as first process where it must.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpid};

use super::options::{Ending, Options};
use super::report::{Outcome, Report};
use super::{PANICKED, SKIPPED, Test, select};
use crate::first;
use crate::suite::support::prepare;

/// Environment variables by which the parent hands the torture options to a case.
pub(in crate::suite) const TORTURE_SECONDS: &str = "SUITE_TORTURE_SECONDS";
/// See [`TORTURE_SECONDS`].
pub(in crate::suite) const TORTURE_SEED: &str = "SUITE_TORTURE_SEED";

/// Runs one case in this process, as the parent asks it to.
pub(super) fn exact(name: &str) -> ExitCode {
    let Some(test) = select(&[]).into_iter().find(|test| test.name == name) else {
        eprintln!("suite: no case is called {name}");
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("[{}] {panic}", getpid());
        exit_now(PANICKED);
    }));
    prepare();
    (test.case.run)();
    ExitCode::SUCCESS
}

/// Ends the process, all its threads included, without running anything more.
pub(in crate::suite) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit may be called at any time, also in a child of fork.
    unsafe { libc::_exit(status) }
}

/// Runs all selected cases and reports.
pub(super) fn all(options: &Options) -> ExitCode {
    let tests = select(&options.patterns);
    let start = Instant::now();
    let scratch = std::env::temp_dir().join(format!("suite-{}", std::process::id()));
    if let Err(error) = fs::create_dir_all(&scratch) {
        eprintln!("suite: cannot make {}: {error}", scratch.display());
        return ExitCode::from(2);
    }
    println!("running {} tests", tests.len());
    let runner = Runner { options, scratch: &scratch, program: own_program() };
    let mut report = Report::default();
    if options.jobs == 1 {
        for test in &tests {
            report.add(&test.name, runner.run(test));
        }
    } else {
        in_parallel(&runner, &tests, &mut report);
    }
    report.close(start.elapsed());
    if let Err(error) = fs::remove_dir_all(&scratch) {
        eprintln!("suite: cannot remove {}: {error}", scratch.display());
    }
    if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where this program's file is.
fn own_program() -> PathBuf {
    std::env::current_exe()
        .or_else(|_| std::env::args_os().next().map(PathBuf::from).ok_or(io::ErrorKind::NotFound))
        .unwrap_or_else(|_| PathBuf::from("/proc/self/exe"))
}

/// Several workers take the next case each; the results are printed in the order of the tests.
fn in_parallel(runner: &Runner, tests: &[Test], report: &mut Report) {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..runner.options.jobs {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some((index, test)) = {
                    // Relaxed: the counter only hands out numbers.
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    tests.get(index).map(|test| (index, test))
                } {
                    if sender.send((index, runner.run(test))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting: Vec<Option<Outcome>> = tests.iter().map(|_| None).collect();
        let mut printed = 0;
        for (index, outcome) in receiver {
            waiting[index] = Some(outcome);
            while let Some(outcome) = waiting.get_mut(printed).and_then(Option::take) {
                report.add(&tests[printed].name, outcome);
                printed += 1;
            }
        }
    });
}

/// What all runs have in common.
struct Runner<'a> {
    options: &'a Options,
    scratch: &'a Path,
    program: PathBuf,
}

impl Runner<'_> {
    /// Runs one case in its own process and judges how that ended.
    fn run(&self, test: &Test) -> Outcome {
        let name = test.name.replace("::", "-");
        let directory = self.scratch.join(&name);
        let output = self.scratch.join(format!("{name}.output"));
        let ended = self.start_and_wait(test, &directory, &output);
        let text = fs::read(&output)
            .map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into());
        // What cannot be removed now (a mount that a killed case left) does not change the verdict.
        let _ = fs::remove_file(&output);
        let _ = fs::remove_dir_all(&directory);
        match ended {
            Err(error) => Outcome::Failed { how: format!("cannot run it: {error}"), output: text },
            Ok(None) => Outcome::Failed {
                how: format!("hung for {} s, killed", self.options.timeout.as_secs()),
                output: text,
            },
            Ok(Some(status)) => judge(status, text),
        }
    }

    /// Starts the case and waits for it, `None` meaning that it took too long.
    fn start_and_wait(
        &self,
        test: &Test,
        directory: &Path,
        output: &Path,
    ) -> io::Result<Option<ExitStatus>> {
        fs::create_dir(directory)?;
        let file = File::options().create(true).append(true).open(output)?;
        let mut command = Command::new(&self.program);
        command
            .args(["--exact", &test.name])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        if let Some(seconds) = self.options.torture {
            command.env(TORTURE_SECONDS, seconds.to_string());
        }
        if let Some(seed) = self.options.seed {
            command.env(TORTURE_SEED, seed.to_string());
        }
        let mut child = command.spawn()?;
        let group = Pid::from_raw(child.id() as i32);
        let limit = self.options.timeout + Duration::from_secs(self.options.torture.unwrap_or(0));
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline {
                kill_group(group);
                child.wait()?;
                break None;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        kill_group(group);
        Ok(status)
    }
}

/// Kills what is left of a case's process group; usually nothing is.
fn kill_group(group: Pid) {
    match killpg(group, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => eprintln!("suite: cannot kill process group {group}: {error}"),
    }
}

/// The verdict on a case from its exit status.
fn judge(status: ExitStatus, output: String) -> Outcome {
    let how = match (status.code(), status.signal()) {
        (Some(0), _) => return Outcome::Passed,
        (Some(SKIPPED), _) => {
            let reason = output.lines().last().unwrap_or("no reason given");
            return Outcome::Skipped(reason.to_owned());
        }
        (Some(PANICKED), _) => "panicked".to_owned(),
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => format!("ended strangely: {status}"),
    };
    Outcome::Failed { how, output }
}

/// Runs `suite`; as first process of the machine, does so in a child and takes care of the rest.
pub(super) fn as_first_process(options: &Options, suite: impl FnOnce() -> ExitCode) -> ExitCode {
    let status = first::run(suite);
    if first::is_first() && options.ending == Ending::PowerOff {
        nix::unistd::sync();
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        eprintln!("suite: cannot power off: {error}");
    }
    status
}
