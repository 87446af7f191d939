//! The system under test beside its model: processes as maps from page to byte, and what runs where.

use std::collections::BTreeMap;
use std::sync::Arc;

use mm::object::{MemoryObject, PagedObject};
use mm::space::Source;
use mm::{AddressSpace, ObjectRange, Protection};

use super::common::watch::Watch;
use super::common::{CPUS, Machine, PAGE, User};
use super::steps::{OBJECT_PAGES, PAGES, PROCESSES, RW, Step, address, user};

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Content {
    Private(u8),
    /// This page of the object, seen and written by all.
    Shared(u64),
    /// This page of the object, until it is written.
    Copied(u64),
}

#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub protection: Protection,
    pub content: Content,
    /// `MADV_DONTFORK`: a child does not have the page.
    pub left_out: bool,
    /// `MADV_WIPEONFORK`: a child finds zeros.
    pub wiped: bool,
}

#[derive(Clone, Default)]
pub struct Process {
    pub pages: BTreeMap<u64, Slot>,
}

/// The system under test beside its model.
pub struct World<'a> {
    pub machine: &'a Machine,
    pub spaces: Vec<Option<(Arc<AddressSpace>, Process)>>,
    pub object: Arc<PagedObject>,
    /// Bytes of the object's pages; as long as the object.
    pub bytes: Vec<u8>,
    /// What each CPU runs: a process, by index.
    pub running: [Option<(usize, User)>; CPUS],
    pub watch: Watch,
}

impl<'a> World<'a> {
    pub fn new(machine: &'a Machine) -> Self {
        let object = Arc::new(PagedObject::new(machine.memory(), OBJECT_PAGES * PAGE));
        let mut spaces: Vec<_> = (0..PROCESSES).map(|_| None).collect();
        spaces[0] = Some((machine.space(), Process::default()));
        let bytes = vec![0; OBJECT_PAGES as usize];
        let watch = Watch::start(machine.memory(), (0..PAGES).map(address));
        Self { machine, spaces, object, bytes, running: [const { None }; CPUS], watch }
    }

    /// Runs `process` on `cpu`; `None` if it does not exist.
    pub fn on_cpu(&mut self, process: usize, cpu: usize) -> Option<&mut User> {
        let (space, _) = self.spaces[process].as_ref()?;
        if self.running[cpu].as_ref().is_none_or(|(running, _)| *running != process) {
            self.watch.set(cpu, None);
            self.running[cpu] = None;
            self.running[cpu] = Some((process, self.machine.enter(space, cpu)));
            self.watch.set(cpu, Some(process));
        }
        self.running[cpu].as_mut().map(|(_, user)| user)
    }

    /// What `process` should see at `page`: its byte, or nothing.
    pub fn expected(&self, process: usize, page: u64) -> Option<(Slot, u8)> {
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

    pub fn apply(&mut self, step: Step) {
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
            Step::Punch { page, count } => {
                assert_eq!(self.object.punch(page, count), Ok(()));
                self.bytes
                    .iter_mut()
                    .skip(page as usize)
                    .take(count as usize)
                    .for_each(|byte| *byte = 0);
            }
            Step::AdviseFork { process, page, count, advice } => {
                self.advise_fork(process, page, count, advice);
            }
            Step::Populate { process, page, count, advice } => {
                self.populate(process, page, count, advice);
            }
            Step::MoveAway { process, page, count } => self.move_away(process, page, count),
            Step::WriteRemote { process, page, value } => self.write_remote(process, page, value),
            Step::Speculate { cpu, page } => {
                if let Some((_, user)) = &mut self.running[cpu] {
                    user.speculate(address(page));
                }
            }
            Step::Look { process, page } => {
                for cpu in 0..CPUS {
                    if self.running[cpu].as_ref().is_some_and(|(running, _)| *running == process) {
                        self.read(process, cpu, page);
                    }
                }
            }
            Step::Idle { cpu } => self.idle(cpu),
        }
    }

    pub fn read(&mut self, process: usize, cpu: usize, page: u64) {
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

    pub fn write(&mut self, process: usize, cpu: usize, page: u64, value: u8) {
        let expected = self.expected(process, page);
        let permitted = expected.filter(|(slot, _)| slot.protection.contains(Protection::WRITE));
        let Some(user) = self.on_cpu(process, cpu) else { return };
        let outcome = user.write(address(page), value);
        assert_eq!(outcome.is_ok(), permitted.is_some(), "process {process} page {page}");
        self.note_written(process, page, value, permitted);
    }

    pub fn write_remote(&mut self, process: usize, page: u64, value: u8) {
        let expected = self.expected(process, page);
        let permitted = expected.filter(|(slot, _)| slot.protection.contains(Protection::WRITE));
        let Some(space) = self.space(process) else { return };
        let outcome = space.write_remote(user(page), &[value]);
        assert_eq!(outcome.is_ok(), permitted.is_some(), "process {process} page {page}");
        self.note_written(process, page, value, permitted);
    }

    pub fn note_written(&mut self, process: usize, page: u64, value: u8, was: Option<(Slot, u8)>) {
        let Some((slot, _)) = was else { return };
        match slot.content {
            Content::Shared(index) => self.bytes[index as usize] = value,
            Content::Private(_) | Content::Copied(_) => {
                let written = Slot { content: Content::Private(value), ..slot };
                self.model(process).expect("it exists").pages.insert(page, written);
            }
        }
    }

    pub fn model(&mut self, process: usize) -> Option<&mut Process> {
        self.spaces[process].as_mut().map(|(_, model)| model)
    }

    pub fn space(&self, process: usize) -> Option<Arc<AddressSpace>> {
        self.spaces[process].as_ref().map(|(space, _)| space.clone())
    }

    pub fn fork(&mut self, process: usize) {
        let Some(free) = self.spaces.iter().position(Option::is_none) else { return };
        let Some((space, model)) = self.spaces[process].as_ref() else { return };
        let mut child = model.clone();
        child.pages.retain(|_, slot| !slot.left_out);
        for slot in child.pages.values_mut().filter(|slot| slot.wiped) {
            slot.content = Content::Private(0);
        }
        self.spaces[free] = Some((space.fork().expect("memory"), child));
    }

    pub fn exit(&mut self, process: usize) {
        for cpu in 0..CPUS {
            if self.running[cpu].as_ref().is_some_and(|(running, _)| *running == process) {
                self.idle(cpu);
            }
        }
        self.spaces[process] = None;
        if self.spaces.iter().all(Option::is_none) {
            self.spaces[0] = Some((self.machine.space(), Process::default()));
        }
    }

    pub fn idle(&mut self, cpu: usize) {
        self.watch.set(cpu, None);
        self.running[cpu] = None;
    }

    pub fn audit(&self) {
        let spaces: Vec<_> = self.spaces.iter().flatten().map(|(space, _)| space).collect();
        self.machine.audit_with(&spaces, &self.object, OBJECT_PAGES);
        for process in 0..PROCESSES {
            let Some((space, model)) = self.spaces[process].as_ref() else { continue };
            assert_eq!(space.usage().mapped, model.pages.len() as u64 * PAGE);
        }
    }

    /// Reads everything on every CPU.
    pub fn sweep(&mut self) {
        for process in 0..PROCESSES {
            for page in 0..PAGES {
                self.read(process, (page as usize + process) % CPUS, page);
            }
        }
    }
}
