//! Several CPUs at once, each played by a host thread: faults of one space in parallel, fork and unmapping against
//! faults, exit against shootdowns. Each thread owns some pages of the common space and checks every byte of its own.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arch::addr::UserAddr;
use arch::cpu::CpuId;
use arch::simulation::Machine as Simulation;
use common::threads::{Finished, Random, in_one_space};
use common::{CPUS, Machine, PAGE, User, cases};
use mm::space::{Advice, MapRequest, Remap, RemapTarget};
use mm::{AddressSpace, Limits, Protection};

const RW: Protection = Protection::READ.union(Protection::WRITE);
/// Pages of the common space. They straddle the boundary between two tables at each of three levels.
const PAGES: u64 = 64;
const START: u64 = (512 << 30) - PAGES / 2 * PAGE;

/// How far pages are moved for a while.
const AWAY: u64 = 64 << 30;

/// Page number `index` of thread `thread`: the threads' pages alternate, so that they share tables.
fn page(thread: usize, index: u64) -> u64 {
    START + (index * CPUS as u64 + thread as u64) * PAGE
}

const OWN: u64 = PAGES / CPUS as u64;
/// Operations of each thread in a run.
const ROUNDS: u32 = 300;
/// Runs, each from a seed of its own, where no time is given.
const RUNS: u64 = 8;

struct Worker<'a> {
    machine: &'a Machine,
    space: Arc<AddressSpace>,
    thread: usize,
    random: Random,
    expected: [u8; OWN as usize],
}

impl Worker<'_> {
    fn run(mut self, rounds: u32) {
        for _ in 0..rounds {
            let index = self.random.below(OWN);
            match self.random.below(16) {
                0 => self.fork(),
                1 => self.remap_page(index),
                2 => self.discard(index),
                3 => self.protect(index),
                4 => self.move_away_and_back(index),
                5 => self.write_remote(index),
                6..11 => self.write(index),
                _ => self.check(index),
            }
        }
        (0..OWN).for_each(|index| self.check(index));
    }

    fn user(&self) -> User {
        self.machine.enter(&self.space, self.thread)
    }

    fn write(&mut self, index: u64) {
        let value = self.random.below(256) as u8;
        self.user().write(page(self.thread, index), value).expect("writable");
        self.expected[index as usize] = value;
    }

    fn check(&mut self, index: u64) {
        let found = self.user().read(page(self.thread, index));
        assert_eq!(found, Ok(self.expected[index as usize]), "thread {}", self.thread);
    }

    /// A child sees this thread's pages as they are now, whatever parent and child write afterwards.
    fn fork(&mut self) {
        let child = self.space.fork().expect("memory");
        let snapshot = self.expected;
        let index = self.random.below(OWN);
        self.write(index);
        let mut user = self.machine.enter(&child, self.thread);
        for index in 0..OWN {
            let found = user.read(page(self.thread, index));
            assert_eq!(found, Ok(snapshot[index as usize]), "child of thread {}", self.thread);
        }
        let index = self.random.below(OWN);
        user.write(page(self.thread, index), 0xff).expect("writable");
        if self.random.below(2) == 0 {
            drop(user);
            drop(child);
        } else {
            let grandchild = child.fork().expect("memory");
            user.write(page(self.thread, index), 0xfe).expect("writable");
            drop(user);
            drop(child);
            let found = self.machine.enter(&grandchild, self.thread).read(page(self.thread, index));
            assert_eq!(found, Ok(0xff));
        }
        (0..OWN).for_each(|index| self.check(index));
    }

    fn remap_page(&mut self, index: u64) {
        let at = self.address(index);
        self.space.unmap(at, PAGE).expect("memory");
        let request = MapRequest::anonymous(PAGE, RW).fixed_at(at);
        assert_eq!(self.space.map(&request, &Limits::NONE), Ok(at));
        self.expected[index as usize] = 0;
        self.check(index);
    }

    fn discard(&mut self, index: u64) {
        self.space.advise(self.address(index), PAGE, Advice::DontNeed).expect("memory");
        self.expected[index as usize] = 0;
    }

    fn protect(&mut self, index: u64) {
        let at = self.address(index);
        self.space.protect(at, PAGE, Protection::READ).expect("memory");
        assert!(self.user().write(at.as_u64(), 1).is_err());
        self.check(index);
        self.space.protect(at, PAGE, RW).expect("memory");
    }

    fn move_away_and_back(&mut self, index: u64) {
        let home = self.address(index);
        let away = UserAddr::try_new(AWAY + page(self.thread, index)).expect("in range");
        let move_page = |start, target| {
            let target = RemapTarget::Fixed(target);
            let remap = Remap { start, old_length: PAGE, new_length: PAGE, target };
            self.space.remap(&remap, &Limits::NONE).expect("memory");
        };
        move_page(home, away);
        assert!(self.user().read(home.as_u64()).is_err(), "a moved page is still there");
        let found = self.user().read(away.as_u64());
        assert_eq!(found, Ok(self.expected[index as usize]), "thread {}", self.thread);
        move_page(away, home);
        assert!(self.user().read(away.as_u64()).is_err(), "a moved page is still there");
        self.check(index);
    }

    fn write_remote(&mut self, index: u64) {
        let value = self.random.below(256) as u8;
        arch::set_current_cpu(CpuId::new(self.thread));
        assert_eq!(self.space.write_remote(self.address(index), &[value]), Ok(1));
        self.expected[index as usize] = value;
        self.check(index);
    }

    fn address(&self, index: u64) -> UserAddr {
        UserAddr::try_new(page(self.thread, index)).expect("in range")
    }
}

fn stress(machine: &Machine, simulation: &'static Simulation, seed: u64) {
    let prepare = |space: &AddressSpace| {
        let start = UserAddr::try_new(START).expect("in range");
        let request = MapRequest::anonymous(PAGES * PAGE, RW).fixed_at(start);
        space.map(&request, &Limits::NONE).expect("mapped");
    };
    in_one_space(machine, simulation, prepare, |thread, space| {
        let random = Random::new(seed, thread);
        Worker { machine, space, thread, random, expected: [0; OWN as usize] }.run(ROUNDS);
    });
}

#[test]
fn threads_of_one_space_fork_fault_and_unmap_at_once() {
    let machine = Machine::new(32 << 20);
    let simulation = Simulation::new();
    let start = Instant::now();
    let duration = cases::duration().unwrap_or_default();
    let mut seed = cases::seed();
    while seed < cases::seed() + RUNS || start.elapsed() < duration {
        stress(&machine, simulation, seed);
        seed += 1;
    }
    println!("{} runs of {CPUS} threads, {ROUNDS} operations each", seed - cases::seed());
}

/// I6: while one CPU breaks copy-on-write, a second one writes the page and then a flag, and a third one, which has the old
/// page in its TLB, must not read the flag and then the old page.
#[test]
fn nobody_reads_the_old_page_once_somebody_wrote_the_new_one() {
    const ROUNDS: u8 = 120;
    let machine = Machine::new(32 << 20);
    let simulation = Simulation::new();
    let creator = simulation.join(CpuId::new(0));
    let space = machine.space();
    let start = UserAddr::try_new(START).expect("in range");
    // The flag is shared memory in a table of its own, so that it is not copied.
    let flag = UserAddr::try_new(START - (8 << 30)).expect("in range");
    let page = MapRequest::anonymous(PAGE, RW);
    space.map(&page.clone().fixed_at(start), &Limits::NONE).expect("mapped");
    let shared = MapRequest { source: mm::space::Source::SharedAnonymous, ..page };
    space.map(&shared.fixed_at(flag), &Limits::NONE).expect("mapped");
    let (data, flag) = (start.as_u64(), flag.as_u64());
    drop(creator);
    let arrived = AtomicUsize::new(0);
    let meet = |round: u8, phase: usize| {
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 3 * (2 * usize::from(round - 1) + phase) {
            arch::relax();
        }
    };
    std::thread::scope(|scope| {
        for role in 0..3 {
            let (space, meet, machine) = (space.clone(), &meet, &machine);
            scope.spawn(move || {
                let _cpu = simulation.join(CpuId::new(role));
                let mut user = machine.enter(&space, role);
                let mut child = None;
                for round in 1..=ROUNDS {
                    if role == 0 {
                        drop(child.replace(space.fork().expect("memory")));
                    }
                    meet(round, 1);
                    user.read(data).expect("readable");
                    user.read(flag).expect("readable");
                    meet(round, 2);
                    match role {
                        0 => user.write(data, round).expect("writable"),
                        1 => {
                            user.write(data + 1, round).expect("writable");
                            user.write(flag, round).expect("writable");
                        }
                        _ => {
                            while user.read(flag).expect("readable") != round {}
                            assert_eq!(user.read(data + 1), Ok(round), "a stale page");
                        }
                    }
                }
            });
        }
    });
    let _cpu = simulation.join(CpuId::new(0));
    drop(space);
}

/// I11: the page that another process's write is let through to is still nobody else's when the bytes arrive, also when a fork comes
/// between. What a child has seen once stays.
#[test]
fn a_remote_write_does_not_reach_what_fork_has_shared_meanwhile() {
    const FORKS: u32 = 400;
    let machine = Machine::new(32 << 20);
    let simulation = Simulation::new();
    let creator = simulation.join(CpuId::new(0));
    let space = machine.space();
    let start = UserAddr::try_new(START).expect("in range");
    space.map(&MapRequest::anonymous(PAGE, RW).fixed_at(start), &Limits::NONE).expect("mapped");
    space.write_remote(start, &[0; 64]).expect("writable");
    drop(creator);
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (space, finished) = (&space, &finished);
        scope.spawn(move || {
            let _cpu = simulation.join(CpuId::new(0));
            let mut value = 0_u8;
            while finished.load(Ordering::SeqCst) == 0 {
                value = value.wrapping_add(1);
                assert_eq!(space.write_remote(start, &[value; 64]), Ok(64));
            }
        });
        scope.spawn(move || {
            let _cpu = simulation.join(CpuId::new(1));
            let done = Finished(finished);
            for _ in 0..FORKS {
                let child = space.fork().expect("memory");
                let (mut then, mut now) = ([0; 64], [0; 64]);
                assert_eq!(child.read_remote(start, &mut then), Ok(64));
                for _ in 0..50 {
                    assert_eq!(child.read_remote(start, &mut now), Ok(64));
                    assert_eq!(now, then, "the child's page was written");
                }
            }
            drop(done);
        });
    });
    let _cpu = simulation.join(CpuId::new(0));
    machine.audit(&[&space]);
    drop(space);
    machine.assert_all_free();
}
