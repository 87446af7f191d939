//! Huge pages with several CPUs at once, each played by a host thread: first touches, splits, forks and writes of one space in
//! parallel. Each thread owns every fourth page of the same huge pages and checks its own.

mod common;

use std::sync::Arc;

use arch::addr::UserAddr;
use arch::simulation::Machine as Simulation;
use common::threads::{Random, in_one_space};
use common::{CPUS, Machine, PAGE, User};
use mm::space::{Advice, MapRequest};
use mm::{AddressSpace, Limits, Protection};

const RW: Protection = Protection::READ.union(Protection::WRITE);
const BASE: u64 = 0x4000_0000;
/// Three huge pages.
const BYTES: u64 = 6 << 20;
/// Pages of each thread.
const OWN: u64 = BYTES / PAGE / CPUS as u64;
/// Operations of each thread in a run. Few, because a page that is split stays so.
const ROUNDS: u32 = 40;
const RUNS: u64 = 12;

struct Worker<'a> {
    machine: &'a Machine,
    space: Arc<AddressSpace>,
    thread: usize,
    random: Random,
    expected: Vec<u8>,
}

impl Worker<'_> {
    fn page(&self, index: u64) -> u64 {
        BASE + (index * CPUS as u64 + self.thread as u64) * PAGE
    }

    fn user(&self, space: &Arc<AddressSpace>) -> User {
        self.machine.enter(space, self.thread)
    }

    fn run(mut self) {
        for _ in 0..ROUNDS {
            let index = self.random.below(OWN);
            match self.random.below(20) {
                0..3 => self.fork(),
                3 => self.protect(index),
                4 => self.discard(index),
                5..14 => self.write(index),
                _ => self.check(index),
            }
        }
        (0..OWN).for_each(|index| self.check(index));
    }

    fn write(&mut self, index: u64) {
        let value = self.random.below(256) as u8;
        self.user(&self.space).write(self.page(index), value).expect("writable");
        self.expected[index as usize] = value;
    }

    fn check(&self, index: u64) {
        let found = self.user(&self.space).read(self.page(index));
        assert_eq!(found, Ok(self.expected[index as usize]), "thread {}", self.thread);
    }

    /// A child keeps this thread's pages as they are now, whatever is written on either side.
    fn fork(&mut self) {
        let child = self.space.fork().expect("memory");
        let snapshot = self.expected.clone();
        for _ in 0..8 {
            let index = self.random.below(OWN);
            self.write(index);
        }
        for _ in 0..8 {
            let index = self.random.below(OWN);
            let mut user = self.user(&child);
            assert_eq!(user.read(self.page(index)), Ok(snapshot[index as usize]));
        }
        let index = self.random.below(OWN);
        self.user(&child).write(self.page(index), 0xee).expect("writable");
        self.check(index);
    }

    fn protect(&mut self, index: u64) {
        let page = UserAddr::try_new(self.page(index)).expect("in range");
        self.space.protect(page, PAGE, Protection::READ).expect("protected");
        assert!(self.user(&self.space).write(self.page(index), 1).is_err());
        self.space.protect(page, PAGE, RW).expect("protected");
        self.check(index);
    }

    fn discard(&mut self, index: u64) {
        let page = UserAddr::try_new(self.page(index)).expect("in range");
        self.space.advise(page, PAGE, Advice::DontNeed).expect("advised");
        self.expected[index as usize] = 0;
        self.check(index);
    }
}

fn stress(machine: &Machine, simulation: &'static Simulation, seed: u64) {
    let prepare = |space: &AddressSpace| {
        let start = UserAddr::try_new(BASE).expect("in range");
        let request = MapRequest::anonymous(BYTES, RW).fixed_at(start);
        space.map(&request, &Limits::NONE).expect("mapped");
        space.advise(start, BYTES, Advice::HugePages).expect("advised");
    };
    in_one_space(machine, simulation, prepare, |thread, space| {
        let random = Random::new(seed, thread);
        Worker { machine, space, thread, random, expected: vec![0; OWN as usize] }.run();
    });
}

#[test]
fn threads_of_one_space_touch_split_and_fork_huge_pages_at_once() {
    let machine = Machine::new(96 << 20);
    let simulation = Simulation::new();
    (0..RUNS).for_each(|seed| stress(&machine, simulation, seed));
    assert!(machine.counter("huge_faults") >= RUNS);
    assert!(machine.counter("huge_splits") >= RUNS);
}
