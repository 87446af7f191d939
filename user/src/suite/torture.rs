//! Storms of memory operations by processes and threads, with every byte checked.
//!
//! Brief by default. `suite torture --torture 600 --seed 7` goes on for ten minutes from another seed. A failure
//! prints its seed; the same seed does the same operations, though not in the same interleaving.

use std::time::{Duration, Instant};

use libc::{MADV_DONTNEED, MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE};

use super::harness::{TORTURE_SECONDS, TORTURE_SEED};
use super::support::{
    Child, Mapping, PAGE, Random, Status, caught, child, exec, exit_now, in_child, nap, peek, pipe,
    poke, read_all, read_text, record, until,
};
use crate::{ok, sys};

super::area!("torture":
    memory_model_in_one_process,
    memory_model_across_forks,
    threads_share_a_model,
    fork_storm,
    exec_storm,
    signal_storm,
    pipe_storm,
);

/// How long a storm lasts and where its random numbers start.
struct Plan {
    end: Instant,
    seed: u64,
    rounds: usize,
}

impl Plan {
    /// Runs `rounds` rounds, or as many as fit into the time that the user asked for.
    fn new(rounds: usize) -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seconds = number(TORTURE_SECONDS);
        let seed = number(TORTURE_SEED).unwrap_or(1);
        println!("seed {seed}");
        Self {
            end: Instant::now() + Duration::from_secs(seconds.unwrap_or(0)),
            seed,
            rounds: if seconds.is_some() { usize::MAX } else { rounds },
        }
    }

    /// The numbers of the rounds.
    fn rounds(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.rounds).map_while(|round| {
            let goes_on = self.rounds != usize::MAX || Instant::now() < self.end;
            goes_on.then_some(self.seed.wrapping_mul(1_000_003).wrapping_add(round as u64))
        })
    }
}

/// What a page is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// Not mapped.
    Hole,
    /// Mapped without rights; the content is kept.
    Closed(u8),
    /// Readable.
    ReadOnly(u8),
    /// Readable and writable.
    Open(u8),
}

/// A range of memory and what each of its pages should hold.
struct Model {
    start: usize,
    pages: Vec<Page>,
}

const PAGES: usize = 700;

impl Model {
    /// Fresh memory that spans at least two page tables, far from where the kernel puts what it places itself:
    /// nothing else may come to lie in the model's holes.
    fn new(slot: usize) -> Self {
        let start = 0x1000_0000_0000 + (slot << 30) + 300 * PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        ok!(SYS_mmap, start, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        Self { start, pages: vec![Page::Open(0); PAGES] }
    }

    fn address(&self, page: usize) -> usize {
        self.start + page * PAGE
    }

    /// A random range of pages.
    fn range(random: &mut Random) -> std::ops::Range<usize> {
        let first = random.below(PAGES);
        let longest = (PAGES - first).min(if random.below(8) == 0 { PAGES } else { 40 });
        first..first + 1 + random.below(longest)
    }

    /// One random operation, done to the memory and to the model.
    fn step(&mut self, random: &mut Random) {
        let range = Self::range(random);
        let (address, length) = (self.address(range.start), range.len() * PAGE);
        match random.below(9) {
            0..4 => self.write(random, range),
            4 => self.protect(random, range),
            5 => {
                ok!(SYS_munmap, address, length);
                self.pages[range].fill(Page::Hole);
            }
            6 => {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
                ok!(SYS_mmap, address, length, PROT_READ | PROT_WRITE, flags, -1, 0);
                self.pages[range].fill(Page::Open(0));
            }
            7 => self.drop_content(range),
            _ => self.move_away_and_back(range),
        }
    }

    fn write(&mut self, random: &mut Random, range: std::ops::Range<usize>) {
        let value = random.bits() as u8;
        for index in range {
            if let Page::Open(_) = self.pages[index] {
                poke(self.address(index), value);
                poke(self.address(index) + PAGE - 1, value);
                self.pages[index] = Page::Open(value);
            }
        }
    }

    fn protect(&mut self, random: &mut Random, range: std::ops::Range<usize>) {
        let (protection, make): (i32, fn(u8) -> Page) = match random.below(3) {
            0 => (PROT_NONE, Page::Closed),
            1 => (PROT_READ, Page::ReadOnly),
            _ => (PROT_READ | PROT_WRITE, Page::Open),
        };
        // Up to the first hole, as mprotect does.
        let whole = self.pages[range.clone()].iter().all(|page| *page != Page::Hole);
        let length = range.len() * PAGE;
        let result = sys!(SYS_mprotect, self.address(range.start), length, protection);
        assert_eq!(result.is_ok(), whole, "{result:?}");
        for page in &mut self.pages[range] {
            *page = match *page {
                Page::Hole => break,
                Page::Closed(value) | Page::ReadOnly(value) | Page::Open(value) => make(value),
            };
        }
    }

    fn drop_content(&mut self, range: std::ops::Range<usize>) {
        let length = range.len() * PAGE;
        // Goes on after holes, and reports them.
        let _ = sys!(SYS_madvise, self.address(range.start), length, MADV_DONTNEED);
        for page in &mut self.pages[range] {
            *page = match *page {
                Page::Hole => Page::Hole,
                Page::Closed(_) => Page::Closed(0),
                Page::ReadOnly(_) => Page::ReadOnly(0),
                Page::Open(_) => Page::Open(0),
            };
        }
    }

    /// Moves writable pages somewhere else, checks them there, and moves them back.
    fn move_away_and_back(&mut self, range: std::ops::Range<usize>) {
        if !self.pages[range.clone()].iter().all(|page| matches!(page, Page::Open(_))) {
            return;
        }
        let (home, length) = (self.address(range.start), range.len() * PAGE);
        let Ok(away) =
            sys!(SYS_mmap, 0, length, PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        else {
            return;
        };
        let flags = MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // Neighbours with a history of their own may be separate mappings, which do not move together.
        if sys!(SYS_mremap, home, length, length, flags, away).is_err() {
            ok!(SYS_munmap, away, length);
            return;
        }
        for (offset, page) in self.pages[range].iter().enumerate() {
            assert_eq!(Page::Open(peek(away + offset * PAGE)), *page);
        }
        // From here on another thread may get what was `away`.
        ok!(SYS_mremap, away, length, length, flags, home);
    }

    /// Compares every page that can be read.
    fn check(&self, seed: u64) {
        for (index, page) in self.pages.iter().enumerate() {
            if let Page::ReadOnly(value) | Page::Open(value) = *page {
                let address = self.address(index);
                let seen = (peek(address), peek(address + PAGE - 1));
                assert_eq!(seen, (value, value), "page {index} of {PAGES}, seed {seed}");
            }
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // The case is over, whatever this says.
        let _ = sys!(SYS_munmap, self.start, PAGES * PAGE);
    }
}

fn memory_model_in_one_process() {
    for seed in Plan::new(4).rounds() {
        let (mut model, mut random) = (Model::new(0), Random::new(seed));
        for _ in 0..60 {
            model.step(&mut random);
        }
        model.check(seed);
    }
}

/// Steps, forks, and goes on in both; each keeps to its own model.
fn grow(model: &mut Model, random: &mut Random, depth: usize, seed: u64) {
    for _ in 0..2 {
        for _ in 0..10 {
            model.step(random);
        }
        if depth > 0 {
            let child_seed = random.bits();
            let child = child(|| {
                grow(model, &mut Random::new(child_seed), depth - 1, seed);
                exit_now(0);
            });
            for _ in 0..5 {
                model.step(random);
            }
            model.check(seed);
            child.success();
        }
    }
    model.check(seed);
}

fn memory_model_across_forks() {
    for seed in Plan::new(3).rounds() {
        in_child(|| grow(&mut Model::new(0), &mut Random::new(seed), 3, seed));
    }
}

fn threads_share_a_model() {
    for seed in Plan::new(2).rounds() {
        // Each thread has its own range in one address space, while the main thread forks.
        in_child(|| {
            std::thread::scope(|scope| {
                for thread in 0..3 {
                    scope.spawn(move || {
                        let mut random = Random::new(seed ^ thread << 32);
                        let mut model = Model::new(thread as usize);
                        for _ in 0..40 {
                            model.step(&mut random);
                        }
                        model.check(seed);
                    });
                }
                for _ in 0..8 {
                    in_child(|| Mapping::private(64).stamp(1));
                }
            });
        });
    }
}

fn fork_storm() {
    let page = Mapping::private(32);
    for seed in Plan::new(3).rounds() {
        let mut random = Random::new(seed);
        let mut alive: Vec<Child> = Vec::new();
        for number in 0..60_u8 {
            page.stamp(number);
            alive.push(child(|| {
                assert!(page.has_stamp(number));
                page.fill(number);
                if number.is_multiple_of(3) {
                    in_child(|| assert!(page.is_all(number)));
                }
                assert!(page.is_all(number));
            }));
            if alive.len() > 8 {
                alive.swap_remove(random.below(8)).success();
            }
        }
        for child in alive {
            child.success();
        }
    }
}

fn exec_storm() {
    let program = super::elf::Image::new().save("program");
    for _ in Plan::new(3).rounds() {
        let children: Vec<Child> = (0..10)
            .map(|_| {
                child(|| {
                    std::thread::spawn(|| nap(100_000));
                    exec(&program, &[c"x"], &[]).unwrap();
                })
            })
            .collect();
        for child in children {
            assert_eq!(child.status(), Status::Exited(7));
        }
    }
}

fn signal_storm() {
    // Here already, so that a signal cannot come before a child has its handlers.
    record(libc::SIGUSR1, libc::SA_RESTART);
    record(libc::SIGUSR2, 0);
    for seed in Plan::new(2).rounds() {
        let mut random = Random::new(seed);
        let children: Vec<Child> = (0..4)
            .map(|_| {
                child(|| {
                    let memory = Mapping::private(8);
                    let mut round = 0_u8;
                    while caught(libc::SIGUSR2) < 3 {
                        round = round.wrapping_add(1);
                        memory.stamp(round);
                        assert!(memory.has_stamp(round));
                    }
                })
            })
            .collect();
        for _ in 0..200 {
            let signal = [libc::SIGUSR1, libc::SIGSTOP, libc::SIGCONT][random.below(3)];
            children[random.below(4)].kill(signal);
        }
        for child in &children {
            child.kill(libc::SIGCONT);
        }
        for child in children {
            let pid = child.pid();
            until("the child had seen three", || {
                ok!(SYS_kill, pid, libc::SIGUSR2);
                read_text(&format!("/proc/{pid}/stat")).contains(") Z ")
            });
            child.success();
        }
    }
}

fn pipe_storm() {
    for seed in Plan::new(2).rounds() {
        let (read_end, write_end) = pipe(0);
        let writers: Vec<Child> = (0..3)
            .map(|writer| {
                child(move || {
                    let mut random = Random::new(seed ^ writer << 32);
                    for _ in 0..100 {
                        let length = 2 + random.below(2000);
                        let mut block = vec![writer as u8; length];
                        block[0] = (length >> 8) as u8;
                        block[1] = length as u8;
                        assert_eq!(ok!(SYS_write, write_end, &block[..], length), length);
                    }
                })
            })
            .collect();
        ok!(SYS_close, write_end);
        let everything = read_all(read_end);
        let (mut at, mut blocks) = (0, 0);
        while at < everything.len() {
            let length = usize::from(everything[at]) << 8 | usize::from(everything[at + 1]);
            let body = &everything[at + 2..at + length];
            assert!(body.iter().all(|byte| *byte == body[0]), "seed {seed}");
            at += length;
            blocks += 1;
        }
        assert_eq!(blocks, 300);
        ok!(SYS_close, read_end);
        for writer in writers {
            writer.success();
        }
    }
}
