//! Random operations on several spaces, on several CPUs with stale TLBs, against a plain model: for each process a map
//! from page to byte. After every step all counts, sums and write bits are audited; at the end no frame may be lost.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use arch::addr::UserAddr;
use common::{CPUS, Machine, PAGE, User};
use mm::object::PagedObject;
use mm::space::{Advice, MapRequest, Remap, RemapTarget, Source};
use mm::{AddressSpace, Limits, ObjectRange, Protection};
use proptest::prelude::*;

const RW: Protection = Protection::READ.union(Protection::WRITE);

/// Pages of a window. Each window straddles a boundary of one level of tables, so that ranges have edges everywhere.
const WINDOW: u64 = 12;
const WINDOWS: [u64; 3] = [(2 << 20) * 5 - 6 * PAGE, (1 << 30) - 6 * PAGE, (512 << 30) - 6 * PAGE];
const PAGES: u64 = WINDOW * WINDOWS.len() as u64;
/// Pages of the object that everybody may map.
const OBJECT_PAGES: u64 = 8;
/// Processes alive at once.
const PROCESSES: usize = 4;

/// The address of a page of the model.
fn address(page: u64) -> u64 {
    WINDOWS[(page / WINDOW) as usize] + page % WINDOW * PAGE
}

fn user(page: u64) -> UserAddr {
    UserAddr::try_new(address(page)).expect("in range")
}

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Content {
    Private(u8),
    /// This page of the object, seen and written by all.
    Shared(u64),
    /// This page of the object, until it is written.
    Copied(u64),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    protection: Protection,
    content: Content,
}

#[derive(Clone, Default)]
struct Process {
    pages: BTreeMap<u64, Slot>,
}

#[derive(Clone, Debug)]
enum Step {
    Read { process: usize, cpu: usize, page: u64 },
    Write { process: usize, cpu: usize, page: u64, value: u8 },
    Fork { process: usize },
    Exit { process: usize },
    Map { process: usize, page: u64, count: u64, writable: bool },
    MapObject { process: usize, page: u64, count: u64, first: u64, shared: bool },
    Unmap { process: usize, page: u64, count: u64 },
    UnmapAll { process: usize },
    Protect { process: usize, page: u64, count: u64, protection: u8 },
    Move { process: usize, page: u64, count: u64, target: u64 },
    Discard { process: usize, page: u64, count: u64 },
    Resize { pages: u64 },
    WriteObject { page: u64, value: u8 },
    Idle { cpu: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = || 0..PROCESSES;
    let cpu = || 0..CPUS;
    let page = || 0..PAGES;
    let count = || 1..WINDOW;
    let step = prop_oneof![
        6 => (process(), cpu(), page()).prop_map(|(process, cpu, page)| Step::Read { process, cpu, page }),
        10 => (process(), cpu(), page(), any::<u8>())
            .prop_map(|(process, cpu, page, value)| Step::Write { process, cpu, page, value }),
        3 => process().prop_map(|process| Step::Fork { process }),
        2 => process().prop_map(|process| Step::Exit { process }),
        4 => (process(), page(), count(), any::<bool>())
            .prop_map(|(process, page, count, writable)| Step::Map { process, page, count, writable }),
        3 => (process(), page(), count(), 0..OBJECT_PAGES, any::<bool>())
            .prop_map(|(process, page, count, first, shared)| Step::MapObject { process, page, count, first, shared }),
        2 => (process(), page(), count()).prop_map(|(process, page, count)| Step::Unmap { process, page, count }),
        1 => process().prop_map(|process| Step::UnmapAll { process }),
        2 => (process(), page(), count(), 0u8..3)
            .prop_map(|(process, page, count, protection)| Step::Protect { process, page, count, protection }),
        2 => (process(), page(), count(), page())
            .prop_map(|(process, page, count, target)| Step::Move { process, page, count, target }),
        1 => (process(), page(), count()).prop_map(|(process, page, count)| Step::Discard { process, page, count }),
        1 => (0..OBJECT_PAGES + 1).prop_map(|pages| Step::Resize { pages }),
        1 => (0..OBJECT_PAGES, any::<u8>()).prop_map(|(page, value)| Step::WriteObject { page, value }),
        1 => cpu().prop_map(|cpu| Step::Idle { cpu }),
    ];
    prop::collection::vec(step, 1..60)
}

/// The system under test beside its model.
struct World<'a> {
    machine: &'a Machine,
    spaces: Vec<Option<(Arc<AddressSpace>, Process)>>,
    object: Arc<PagedObject>,
    /// Bytes of the object's pages; as long as the object.
    bytes: Vec<u8>,
    /// What each CPU runs: a process, by index.
    running: [Option<(usize, User)>; CPUS],
}

impl<'a> World<'a> {
    fn new(machine: &'a Machine) -> Self {
        let object = Arc::new(PagedObject::new(machine.memory(), OBJECT_PAGES * PAGE));
        let mut spaces: Vec<_> = (0..PROCESSES).map(|_| None).collect();
        spaces[0] = Some((machine.space(), Process::default()));
        let bytes = vec![0; OBJECT_PAGES as usize];
        Self { machine, spaces, object, bytes, running: [const { None }; CPUS] }
    }

    /// Runs `process` on `cpu`; `None` if it does not exist.
    fn on_cpu(&mut self, process: usize, cpu: usize) -> Option<&mut User> {
        let (space, _) = self.spaces[process].as_ref()?;
        if self.running[cpu].as_ref().is_none_or(|(running, _)| *running != process) {
            self.running[cpu] = None;
            self.running[cpu] = Some((process, self.machine.enter(space, cpu)));
        }
        self.running[cpu].as_mut().map(|(_, user)| user)
    }

    /// What `process` should see at `page`: its byte, or nothing.
    fn expected(&self, process: usize, page: u64) -> Option<(Slot, u8)> {
        let (_, model) = self.spaces[process].as_ref()?;
        let slot = *model.pages.get(&page)?;
        let byte = match slot.content {
            Content::Private(byte) => Some(byte),
            Content::Shared(index) | Content::Copied(index) => {
                self.bytes.get(index as usize).copied()
            }
        };
        byte.map(|byte| (slot, byte))
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Read { process, cpu, page } => self.read(process, cpu, page),
            Step::Write { process, cpu, page, value } => self.write(process, cpu, page, value),
            Step::Fork { process } => self.fork(process),
            Step::Exit { process } => self.exit(process),
            Step::Map { process, page, count, writable } => {
                let protection = if writable { RW } else { Protection::READ };
                self.map(process, page, count, protection, Source::Anonymous, |_| {
                    Content::Private(0)
                });
            }
            Step::MapObject { process, page, count, first, shared } => {
                let range =
                    ObjectRange { object: self.object.clone(), offset: first * PAGE, file: None };
                if shared {
                    let source = Source::Shared { range, allowed: Protection::all() };
                    self.map(process, page, count, RW, source, |i| Content::Shared(first + i));
                } else {
                    let source = Source::Private(range);
                    self.map(process, page, count, RW, source, |i| Content::Copied(first + i));
                }
            }
            Step::Unmap { process, page, count } => self.unmap(process, page, count),
            Step::UnmapAll { process } => self.unmap_all(process),
            Step::Protect { process, page, count, protection } => {
                let protection = [Protection::empty(), Protection::READ, RW][protection as usize];
                self.protect(process, page, count, protection);
            }
            Step::Move { process, page, count, target } => {
                self.relocate(process, page, count, target)
            }
            Step::Discard { process, page, count } => self.discard(process, page, count),
            Step::Resize { pages } => self.resize(pages),
            Step::WriteObject { page, value } => {
                if (page as usize) < self.bytes.len() {
                    let written = self.object.write_at(page * PAGE, &[value]);
                    assert_eq!(written, Ok(1));
                    self.bytes[page as usize] = value;
                }
            }
            Step::Idle { cpu } => self.running[cpu] = None,
        }
    }

    fn read(&mut self, process: usize, cpu: usize, page: u64) {
        let expected = self.expected(process, page);
        let expected = expected.filter(|(slot, _)| !slot.protection.is_empty());
        if let Some(user) = self.on_cpu(process, cpu) {
            let byte = user.read(address(page)).ok();
            assert_eq!(
                byte,
                expected.map(|(_, byte)| byte),
                "process {process} CPU {cpu} page {page}"
            );
        }
    }

    fn write(&mut self, process: usize, cpu: usize, page: u64, value: u8) {
        let expected = self.expected(process, page);
        let permitted = expected.filter(|(slot, _)| slot.protection.contains(Protection::WRITE));
        let Some(user) = self.on_cpu(process, cpu) else { return };
        let outcome = user.write(address(page), value);
        assert_eq!(outcome.is_ok(), permitted.is_some(), "process {process} page {page}");
        let Some((slot, _)) = permitted else { return };
        match slot.content {
            Content::Shared(index) => self.bytes[index as usize] = value,
            Content::Private(_) | Content::Copied(_) => {
                let written = Slot { content: Content::Private(value), ..slot };
                self.model(process).expect("it exists").pages.insert(page, written);
            }
        }
    }

    fn model(&mut self, process: usize) -> Option<&mut Process> {
        self.spaces[process].as_mut().map(|(_, model)| model)
    }

    fn space(&self, process: usize) -> Option<Arc<AddressSpace>> {
        self.spaces[process].as_ref().map(|(space, _)| space.clone())
    }

    fn fork(&mut self, process: usize) {
        let Some(free) = self.spaces.iter().position(Option::is_none) else { return };
        let Some((space, model)) = self.spaces[process].as_ref() else { return };
        self.spaces[free] = Some((space.fork().expect("memory"), model.clone()));
    }

    fn exit(&mut self, process: usize) {
        for slot in &mut self.running {
            if slot.as_ref().is_some_and(|(running, _)| *running == process) {
                *slot = None;
            }
        }
        self.spaces[process] = None;
        if self.spaces.iter().all(Option::is_none) {
            self.spaces[0] = Some((self.machine.space(), Process::default()));
        }
    }

    /// The pages of the model from `page` on, at most to the end of the window.
    fn clip(page: u64, count: u64) -> u64 {
        count.min(WINDOW - page % WINDOW)
    }

    fn map(
        &mut self,
        process: usize,
        page: u64,
        count: u64,
        protection: Protection,
        source: Source,
        content: impl Fn(u64) -> Content,
    ) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let request = MapRequest {
            source,
            ..MapRequest::anonymous(count * PAGE, protection).fixed_at(user(page))
        };
        assert_eq!(space.map(&request, &Limits::NONE), Ok(user(page)));
        let model = self.model(process).expect("it exists");
        for index in 0..count {
            model.pages.insert(page + index, Slot { protection, content: content(index) });
        }
    }

    fn unmap(&mut self, process: usize, page: u64, count: u64) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        space.unmap(user(page), count * PAGE).expect("memory for the edges");
        let model = self.model(process).expect("it exists");
        model.pages.retain(|mapped, _| !(page..page + count).contains(mapped));
    }

    fn unmap_all(&mut self, process: usize) {
        let Some(space) = self.space(process) else { return };
        let end = address(PAGES - 1) + PAGE;
        space.unmap(user(0), end - address(0)).expect("memory for the edges");
        self.model(process).expect("it exists").pages.clear();
    }

    fn protect(&mut self, process: usize, page: u64, count: u64, protection: Protection) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let outcome = space.protect(user(page), count * PAGE, protection);
        let model = self.model(process).expect("it exists");
        for page in page..page + count {
            match model.pages.get_mut(&page) {
                Some(slot) => slot.protection = protection,
                None => {
                    assert!(outcome.is_err(), "a hole was protected");
                    return;
                }
            }
        }
        assert_eq!(outcome, Ok(()));
    }

    fn relocate(&mut self, process: usize, page: u64, count: u64, target: u64) {
        let count = Self::clip(page, count).min(Self::clip(target, count));
        let Some(space) = self.space(process) else { return };
        let remap = Remap {
            start: user(page),
            old_length: count * PAGE,
            new_length: count * PAGE,
            target: RemapTarget::Fixed(user(target)),
        };
        // Fails unless exactly one area covers the source; then nothing has changed.
        let area = space.find_area(user(page));
        let whole = area.is_some_and(|area| area.end().as_u64() >= address(page) + count * PAGE);
        let apart = page + count <= target || target + count <= page;
        let outcome = space.remap(&remap, &Limits::NONE);
        assert_eq!(outcome.is_ok(), whole && apart, "{outcome:?}");
        if outcome.is_ok() {
            let model = self.model(process).expect("it exists");
            for index in 0..count {
                let slot = model.pages.remove(&(page + index)).expect("it was mapped");
                model.pages.insert(target + index, slot);
            }
        }
    }

    fn discard(&mut self, process: usize, page: u64, count: u64) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        // What a private object page reads as after its copy is gone is the object's business.
        let origins: Vec<Option<u64>> = (page..page + count)
            .map(|page| {
                let area = space.find_area(user(page))?;
                area.object_at(user(page)).map(|(_, offset)| offset / PAGE)
            })
            .collect();
        let outcome = space.advise(user(page), count * PAGE, Advice::DontNeed);
        let model = self.model(process).expect("it exists");
        let mut holes = false;
        for (page, origin) in (page..page + count).zip(origins) {
            match model.pages.get_mut(&page) {
                None => holes = true,
                Some(Slot { content: Content::Shared(_), .. }) => {}
                Some(slot) => {
                    slot.content = origin.map_or(Content::Private(0), Content::Copied);
                }
            }
        }
        assert_eq!(outcome.is_err(), holes);
    }

    fn resize(&mut self, pages: u64) {
        let old = self.bytes.len() as u64;
        self.object.resize(pages * PAGE).expect("a valid size");
        self.bytes.resize(pages as usize, 0);
        // Private copies past the new end go, too: those pages fault with SIGBUS like the object's own.
        if pages < old {
            for (space, model) in self.spaces.iter_mut().flatten() {
                for (page, slot) in &mut model.pages {
                    let area = space.find_area(user(*page)).expect("mapped");
                    if let Some((_, offset)) = area.object_at(user(*page)) {
                        let index = offset / PAGE;
                        if index >= pages && matches!(slot.content, Content::Private(_)) {
                            slot.content = Content::Copied(index);
                        }
                    }
                }
            }
        }
    }

    fn audit(&self) {
        let spaces: Vec<_> = self.spaces.iter().flatten().map(|(space, _)| space).collect();
        self.machine.audit_with(&spaces, &self.object, OBJECT_PAGES);
        for process in 0..PROCESSES {
            let Some((space, model)) = self.spaces[process].as_ref() else { continue };
            assert_eq!(space.usage().mapped, model.pages.len() as u64 * PAGE);
        }
    }

    /// Reads everything on every CPU.
    fn sweep(&mut self) {
        for process in 0..PROCESSES {
            for page in 0..PAGES {
                self.read(process, (page as usize + process) % CPUS, page);
            }
        }
    }
}

fn run(machine: &Machine, steps: Vec<Step>) {
    let mut world = World::new(machine);
    for step in steps {
        world.apply(step);
        world.audit();
    }
    world.sweep();
    world.audit();
    drop(world);
    machine.assert_all_free();
}

/// Cases per test; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(1500),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

#[test]
fn spaces_behave_like_maps_of_bytes() {
    let machine = Machine::new(8 << 20);
    proptest!(config(), |(steps in steps())| run(&machine, steps));
}

#[test]
fn spaces_behave_like_maps_of_bytes_with_pcids() {
    let machine = Machine::new(8 << 20);
    arch::tlb::enable_pcids();
    proptest!(config(), |(steps in steps())| run(&machine, steps));
}
