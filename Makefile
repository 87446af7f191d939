# The verbs of Skein; `make help` explains them. Each goes through xtask/bootstrap.sh, which
# installs what is missing, to the Rust program in xtask/.

# What a person may choose. Values on make's command line reach xtask through the environment.
SMP ?= 4
MEM ?= 512M
ACCEL ?= tcg
QEMU ?= qemu-system-x86_64
CMDLINE ?=
LOG ?=
ROOTFS ?=
INIT ?=
N ?= 200
FIRMWARE ?= bios
LIMINE_DIR ?=
GDB ?= gdb
GDB_SCRIPT ?=
GDB_PORT ?= 1234
ONLY ?=
SECONDS ?= 1200
SEED ?= 1
ROUNDS ?=
CASES ?=
CASE ?=
SIZES ?=
SAMPLES ?=
QUICK ?=
PASSES ?=
ICOUNT_SMP ?=
PROGRAM ?=
LINUX ?=
SKIP ?= 50
export ONLY SECONDS SEED ROUNDS CASES CASE SIZES SAMPLES QUICK PASSES ICOUNT_SMP PROGRAM LINUX SKIP
POLICY ?= eevdf
LOAD ?= mixed
CPUS ?= 4
POLICIES ?= eevdf,rr,mlfq
LOADS ?= hogs,mixed,storm
ifdef CMD
export CMD
endif
export POLICY LOAD CPUS POLICIES LOADS
export SMP MEM ACCEL QEMU CMDLINE LOG ROOTFS INIT N FIRMWARE LIMINE_DIR GDB GDB_SCRIPT GDB_PORT

VERBS := run test test-host test-linux test-linux-guest test-guest test-console test-programs test-chaos test-shares \
         mutants torture torture-host \
         bench bench-fork bench-signal bench-sched bench-check profile \
         soak-boot storm policy-storm sim lab trace replay debug iso run-iso fmt lint prepush ci doc

# Cases with a GiB of memory need room; a person's own choice stands.
ifeq ($(origin MEM),file)
bench bench-fork bench-signal bench-sched profile: MEM := 2G
endif
ifeq ($(origin SECONDS),file)
storm: SECONDS := 600
policy-storm: SECONDS := 120
endif
# Chance starts from another number each time, unless a person says from which.
ifneq ($(origin SEED),file)
export CHAOS_SEED := $(SEED)
endif
# As many samples of a profile as tell functions apart.
ifeq ($(origin N),file)
profile: N := 2000
endif

.PHONY: help clean $(VERBS)
.DEFAULT_GOAL := help

# The laboratory takes a list of numbers of processors; everything else takes one.
lab: export LAB_SMP := $(SMP)
lab: override SMP := 4

$(VERBS):
	@sh xtask/bootstrap.sh $@

clean:
	@PATH="$$PATH:$$HOME/.cargo/bin" cargo clean

help:
	@echo 'Skein: an SMP, preemptive x86-64 kernel that runs Linux programs.'
	@echo
	@echo '  make run               boot it in QEMU, the console on this terminal'
	@echo '  make test              every test; ends with one line of counts'
	@echo
	@echo '  make test-host         unit tests, property tests, loom models'
	@echo '  make test-linux        the guest test suite on the Linux of this machine'
	@echo '  make test-guest        the guest test suite on Skein, on SMP processors'
	@echo '  make test-console      the scripted console session on Skein'
	@echo '  make test-programs     real programs that live by signals, on Linux and on Skein'
	@echo '  make test-linux-guest  suite and console session on a Linux kernel in QEMU'
	@echo '  make bench             Skein beside Linux, case by case: a table, and a report in'
	@echo '                         target/bench/report.html; QUICK=1 takes three minutes'
	@echo '  make bench-fork, bench-signal, bench-sched'
	@echo '                         the same for a subject, with what it must show'
	@echo '  make bench-check       instructions of Skein against their committed ceilings'
	@echo '  make profile CASE=fork_call:256'
	@echo '                         a flame graph of the instructions of a case (at 256 MiB)'
	@echo '  make torture           processes fork, write, map and end for SECONDS, on SMP processors'
	@echo '  make torture-host      the property tests of the memory manager for SECONDS'
	@echo '  make mutants           break the memory manager in many small ways; tests must notice'
	@echo '                         (ONLY=I4 takes those whose name contains that)'
	@echo '  make test-chaos        the guest suite ROUNDS times under the policy "chaos", from SEED='
	@echo '  make test-shares       shares of CPU time, held to what is promised, where clocks count instructions'
	@echo '  make soak-boot         N boots in a row (200)'
	@echo '  make sim               loads on the scheduler in virtual time: POLICY= LOAD= CPUS= SEED='
	@echo '  make lab               loads as programs on Skein, policies compared: POLICIES= LOADS='
	@echo '                         SMP= may be a list; the report is target/lab/report.html'
	@echo '  make trace             runs CMD= on Skein; its trace for Perfetto in target/trace/'
	@echo '  make replay            has POLICY= decide again what it decided while CMD= ran'
	@echo '  make storm             the signal storm, SECONDS long (600) from SEED (1)'
	@echo '  make policy-storm      another policy every 10 ms under a fork storm, SECONDS long (120)'
	@echo '  make debug             QEMU waiting for gdb; GDB_SCRIPT= runs a script in it'
	@echo '  make iso, run-iso      a BIOS and UEFI image by Limine (LIMINE_DIR=); boot it'
	@echo '                         (FIRMWARE=bios or uefi)'
	@echo '  make fmt, lint, doc    format; check format and clippy; build the documentation'
	@echo '  make prepush           lint and test-host, before a push'
	@echo '  make ci                lint, doc and test: what must be clean'
	@echo '  make clean             remove everything that was built'
	@echo
	@echo 'Variables, with their defaults:'
	@echo '  SMP=4  MEM=512M        processors and memory'
	@echo '  SECONDS=1200  SEED=1   how long torture goes on, and from which random numbers'
	@echo '  ACCEL=tcg              or kvm, where /dev/kvm can be used'
	@echo '  QEMU=qemu-system-x86_64'
	@echo '  CMDLINE=               words for the kernel, such as strace=1'
	@echo '  LOG=                   how much the kernel says: error, warning, info, debug'
	@echo '  ROOTFS=                directory or newc cpio archive to use as root file system'
	@echo '  ROUNDS=3  CASES=       how often both kernels are measured; patterns of cases'
	@echo '  SIZES=  SAMPLES=       resident sizes in MiB; samples for each figure'
	@echo '  PASSES=both            or time, or instructions, counted on ICOUNT_SMP= processors'
	@echo '  LINUX=                 the Linux image to compare with, instead of a package'
	@echo '  PROGRAM=               a static program of yours to measure on both: PROGRAM="./a x"'
	@echo '  INIT=                  first program in it, and its arguments: INIT="/bin/sh -l"'
