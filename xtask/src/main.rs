//! The host tool behind every verb of the `Makefile`.
//!
//! It builds the kernel and the user programs, packs the root file system, starts QEMU and watches
//! it, and runs the tests. The `Makefile` names the verbs; `bootstrap.sh` sees to it that what they
//! need is installed before this program is even compiled.

mod bench;
mod build;
mod console;
mod debug;
mod gates;
mod iso;
mod laboratory;
mod linux;
mod mutants;
mod options;
mod progress;
mod qemu;
mod rootfs;
mod run;
mod session;
mod soak;
mod storm;
mod symbols;
mod tests;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::Comparison;
use options::MachineOptions;

/// The command line.
#[derive(Parser)]
#[command(name = "xtask", about = "Builds, boots and tests Skein; `make help` lists the verbs")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs, one for each target of the `Makefile`.
#[derive(Subcommand)]
enum Verb {
    /// Build Skein and boot it in QEMU, the console on this terminal
    Run(MachineOptions),
    /// Run every test and print one closing line of counts
    Test(MachineOptions),
    /// Run the guest test suite on this very machine's Linux
    TestLinux,
    /// Run the guest test suite and the console session on a Linux kernel in QEMU
    TestLinuxGuest(MachineOptions),
    /// Run the tests that need no QEMU: units, property tests, models
    TestHost,
    /// Take single flushes and checks out of the memory manager; the tests must notice each
    Mutants {
        /// Only those whose name contains this
        #[arg(long, env = "ONLY", default_value = "")]
        only: String,
    },
    /// Run the guest test suite on Skein in QEMU, on SMP processors
    TestGuest(MachineOptions),
    /// Let processes fork, write, map and end in the guest for SECONDS, and check every byte
    Torture {
        #[command(flatten)]
        machine: MachineOptions,
        #[command(flatten)]
        plan: tests::TorturePlan,
    },
    /// The property tests of the memory manager for SECONDS, from SEED on
    TortureHost(tests::TorturePlan),
    /// Run the guest test suite N times under the scheduling policy that decides by chance
    TestChaos(soak::ChaosOptions),
    /// Hold shares of CPU time to what is promised, where clocks count instructions
    TestShares(MachineOptions),
    /// Hold the scripted console session with Skein in QEMU
    TestConsole(MachineOptions),
    /// Run real programs that live by signals on this machine's Linux, then on Skein in QEMU
    TestPrograms(MachineOptions),
    /// Boot again and again; each boot must reach the first program and power off
    SoakBoot(soak::SoakOptions),
    /// Let the signal storm blow on Skein in QEMU, for SECONDS from SEED
    Storm(storm::StormOptions),
    /// Change the scheduling policy every 10 ms under a fork storm on Skein in QEMU, for SECONDS
    PolicyStorm(storm::PolicyStormOptions),
    /// Boot under QEMU's gdb server, stopped before the first instruction
    Debug(debug::DebugOptions),
    /// Run loads on the scheduler in virtual time
    Sim(laboratory::SimOptions),
    /// Run loads as real programs on Skein in QEMU, under one policy after the other
    Lab(laboratory::LabOptions),
    /// Run a command on Skein in QEMU and fetch the trace of it
    Trace(laboratory::TraceOptions),
    /// Have a policy decide again what it decided on Skein in QEMU
    Replay(laboratory::ReplayOptions),
    /// Build a hybrid BIOS and UEFI image that boots by Limine
    Iso(iso::IsoOptions),
    /// Boot that image
    RunIso(iso::IsoOptions),
    /// Measure Skein beside Linux and write a report
    Bench(bench::BenchOptions),
    /// The same for fork and its faults, with what they must show
    BenchFork(bench::BenchOptions),
    /// The same for signals
    BenchSignal(bench::BenchOptions),
    /// The same for the scheduler
    BenchSched(bench::BenchOptions),
    /// Hold counts of instructions to their committed ceilings
    BenchCheck(MachineOptions),
    /// Show where a case of the benchmark spends its instructions
    Profile(bench::ProfileOptions),
    /// Format all code
    Fmt,
    /// Check the formatting and run clippy, warnings being errors
    Lint,
    /// The small gate before a push: formatting, lints, host tests
    Prepush,
    /// Everything that must be clean: lints, documentation, every test
    Ci(MachineOptions),
    /// Build the documentation, warnings being errors
    Doc,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(arguments.verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out one verb; the value is the exit status of the whole tool.
fn perform(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Run(machine) => run::run(&machine),
        Verb::Test(machine) => tests::everything(&machine),
        Verb::TestLinux => tests::host_linux_only(),
        Verb::TestLinuxGuest(machine) => linux::test(&machine),
        Verb::TestHost => tests::host_only(),
        Verb::Mutants { only } => mutants::run(&only),
        Verb::TestGuest(machine) => tests::guest_only(&machine),
        Verb::Torture { machine, plan } => tests::torture_only(&machine, &plan),
        Verb::TortureHost(plan) => tests::torture_host(&plan),
        Verb::TestChaos(options) => soak::chaos(&options),
        Verb::TestShares(machine) => tests::shares_only(&machine),
        Verb::TestConsole(machine) => tests::console_only(&machine),
        Verb::TestPrograms(machine) => tests::programs_only(&machine),
        Verb::SoakBoot(options) => soak::soak_boot(&options),
        Verb::Storm(options) => storm::storm(&options),
        Verb::PolicyStorm(options) => storm::policy_storm(&options),
        Verb::Debug(options) => debug::debug(&options),
        Verb::Sim(options) => laboratory::simulate(&options),
        Verb::Lab(options) => laboratory::experiment(&options),
        Verb::Trace(options) => laboratory::trace(&options),
        Verb::Replay(options) => laboratory::replay(&options),
        Verb::Iso(options) => iso::build(&options).map(|_| ExitCode::SUCCESS),
        Verb::RunIso(options) => iso::run(&options),
        Verb::Bench(options) => bench::bench(&options, Comparison::All),
        Verb::BenchFork(options) => bench::bench(&options, Comparison::Fork),
        Verb::BenchSignal(options) => bench::bench(&options, Comparison::Signal),
        Verb::BenchSched(options) => bench::bench(&options, Comparison::Sched),
        Verb::BenchCheck(machine) => bench::check_only(&machine),
        Verb::Profile(options) => bench::profile(&options),
        Verb::Fmt => gates::format().map(|()| ExitCode::SUCCESS),
        Verb::Lint => gates::lint().map(|()| ExitCode::SUCCESS),
        Verb::Prepush => gates::prepush(),
        Verb::Ci(machine) => gates::ci(&machine),
        Verb::Doc => gates::document().map(|()| ExitCode::SUCCESS),
    }
}
