//! Memory objects: sharing, privacy, truncation, and what faults see of them.

mod common;

use std::sync::{Arc, Mutex};

use arch::addr::UserAddr;
use common::{Machine, PAGE};
use mm::memory::Identity;
use mm::object::{Mappers, MemoryObject, ObjectError, PagedObject};
use mm::space::{Advice, MapOptions, MapRequest, Source};
use mm::{FaultError, FrameRef, Limits, MmError, ObjectRange, Protection};

const RW: Protection = Protection::READ.union(Protection::WRITE);

fn range(object: &Arc<PagedObject>, offset: u64) -> ObjectRange {
    ObjectRange { object: object.clone(), offset, file: None }
}

fn shared(object: &Arc<PagedObject>, pages: u64) -> MapRequest {
    let source = Source::Shared { range: range(object, 0), allowed: Protection::all() };
    MapRequest { source, ..MapRequest::anonymous(pages * PAGE, RW) }
}

fn private(object: &Arc<PagedObject>, pages: u64) -> MapRequest {
    MapRequest {
        source: Source::Private(range(object, 0)),
        ..MapRequest::anonymous(pages * PAGE, RW)
    }
}

#[test]
fn bytes_go_through_files_and_mappings_alike() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), 0));
    assert_eq!(object.write_at(PAGE - 2, b"abcd"), Ok(4));
    assert_eq!(object.size(), PAGE + 2);
    let space = machine.space();
    let at = space.map(&shared(&object, 3), &Limits::NONE).expect("mapped").as_u64();
    let mut user = machine.enter(&space, 0);
    assert_eq!(user.read(at + PAGE - 1), Ok(b'b'));
    assert_eq!(user.write(at + PAGE, b'C'), Ok(()));
    assert_eq!(user.read(at + 2 * PAGE), Err(FaultError::Bus));
    let mut bytes = [0; 8];
    assert_eq!(object.read_at(PAGE - 2, &mut bytes), 4);
    assert_eq!(&bytes[..4], b"abCd");
    assert_eq!(space.usage().shared, 2);
}

#[test]
fn private_mappings_keep_their_writes_to_themselves() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), 2 * PAGE));
    let space = machine.space();
    let at = space.map(&private(&object, 2), &Limits::NONE).expect("mapped").as_u64();
    let mut user = machine.enter(&space, 0);
    assert_eq!(user.read(at), Ok(0));
    object.write_at(0, &[5]).expect("written");
    assert_eq!(user.read(at), Ok(5), "an untouched page is the object's");
    user.write(at, 6).expect("writable");
    object.write_at(0, &[7]).expect("written");
    assert_eq!(user.read(at), Ok(6));
    let child = space.fork().expect("forked");
    assert_eq!(machine.enter(&child, 1).write(at, 8), Ok(()));
    assert_eq!(user.read(at), Ok(6));
}

#[test]
fn shared_anonymous_memory_is_seen_on_both_sides_of_a_fork() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let request =
        MapRequest { source: Source::SharedAnonymous, ..MapRequest::anonymous(2 * PAGE, RW) };
    let at = space.map(&request, &Limits::NONE).expect("mapped").as_u64();
    machine.enter(&space, 0).write(at, 1).expect("writable");
    let child = space.fork().expect("forked");
    machine.enter(&child, 1).write(at, 2).expect("writable");
    machine.enter(&child, 1).write(at + PAGE, 3).expect("writable");
    assert_eq!(machine.enter(&space, 0).read(at), Ok(2));
    assert_eq!(machine.enter(&space, 0).read(at + PAGE), Ok(3));
    drop((space, child));
    machine.assert_all_free();
}

#[test]
fn truncation_reaches_every_member_of_every_family() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), 4 * PAGE));
    let parent = machine.space();
    let at = parent.map(&shared(&object, 4), &Limits::NONE).expect("mapped").as_u64();
    machine.enter(&parent, 0).write(at + 3 * PAGE, 1).expect("writable");
    let child = parent.fork().expect("forked");
    let stranger = machine.space();
    let there = stranger.map(&private(&object, 4), &Limits::NONE).expect("mapped").as_u64();
    machine.enter(&stranger, 1).write(there + 3 * PAGE, 9).expect("writable");
    machine.enter(&stranger, 1).write(there + PAGE, 9).expect("writable");
    // Every CPU has the page in its TLB.
    assert_eq!(machine.enter(&child, 2).read(at + 3 * PAGE), Ok(1));
    object.write_at(PAGE, &[4; 4096]).expect("written");
    object.resize(PAGE + 100).expect("a valid size");
    assert_eq!(machine.enter(&parent, 0).read(at + 3 * PAGE), Err(FaultError::Bus));
    assert_eq!(machine.enter(&child, 2).read(at + 3 * PAGE), Err(FaultError::Bus));
    assert_eq!(machine.enter(&stranger, 1).read(there + 3 * PAGE), Err(FaultError::Bus));
    assert_eq!(
        machine.enter(&stranger, 1).read(there + PAGE),
        Ok(9),
        "a private copy inside stays"
    );
    assert_eq!(machine.enter(&parent, 0).read(at + PAGE + 99), Ok(4));
    assert_eq!(machine.enter(&parent, 0).read(at + PAGE + 100), Ok(0), "the tail is cleared");
    object.resize(4 * PAGE).expect("a valid size");
    assert_eq!(machine.enter(&child, 2).read(at + 3 * PAGE), Ok(0));
    machine.audit_with(&[&parent, &child, &stranger], &object, 4);
    drop((parent, child, stranger, object));
    machine.assert_all_free();
}

#[test]
fn a_read_only_file_cannot_be_made_writable() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), PAGE));
    let space = machine.space();
    let source = Source::Shared {
        range: range(&object, 0),
        allowed: Protection::READ | Protection::EXECUTE,
    };
    let mut request = MapRequest { source, ..MapRequest::anonymous(PAGE, RW) };
    assert_eq!(space.map(&request, &Limits::NONE), Err(MmError::AccessDenied));
    request.protection = Protection::READ;
    let at = space.map(&request, &Limits::NONE).expect("mapped");
    assert_eq!(space.protect(at, PAGE, RW), Err(MmError::AccessDenied));
    assert_eq!(space.protect(at, PAGE, Protection::READ | Protection::EXECUTE), Ok(()));
}

#[test]
fn holes_are_found_and_punched() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), 6 * PAGE));
    for page in [1, 2, 4] {
        object.write_at(page * PAGE, &[1]).expect("written");
    }
    assert_eq!(object.next_data(0), Some(1));
    assert_eq!(object.next_hole(1), 3);
    let space = machine.space();
    let at = space.map(&shared(&object, 6), &Limits::NONE).expect("mapped");
    let second = UserAddr::try_new(at.as_u64() + PAGE).expect("in range");
    assert_eq!(machine.enter(&space, 0).read(second.as_u64()), Ok(1));
    space.advise(second, 2 * PAGE, Advice::Remove).expect("punched");
    assert_eq!(machine.enter(&space, 0).read(second.as_u64()), Ok(0));
    assert_eq!(object.next_data(2), Some(4));
    assert_eq!(object.resident_pages(), 2);
    assert_eq!(object.frame_at(6).err(), Some(ObjectError::PastEnd));
}

/// As Linux has it: a hole takes the object's pages out of private mappings, but not the copies; truncation takes those, too.
#[test]
fn a_hole_leaves_private_copies_where_truncation_does_not() {
    let machine = Machine::new(16 << 20);
    let object = Arc::new(PagedObject::new(machine.memory(), 4 * PAGE));
    (0..4).for_each(|page| assert_eq!(object.write_at(page * PAGE, &[page as u8 + 1]), Ok(1)));
    let parent = machine.space();
    let at = parent.map(&private(&object, 4), &Limits::NONE).expect("mapped").as_u64();
    let mut user = machine.enter(&parent, 0);
    user.write(at, 9).expect("writable");
    (1..4).for_each(|page| assert_eq!(user.read(at + page * PAGE), Ok(page as u8 + 1)));
    let child = parent.fork().expect("forked");
    machine.enter(&child, 1).write(at + PAGE, 8).expect("writable");
    // Still shares its tables with the parent.
    let idle = parent.fork().expect("forked");
    object.punch(0, 3).expect("punched");
    machine.audit_with(&[&parent, &child, &idle], &object, 4);
    let own = [9, 0, 0, 4];
    for (space, expected) in [(&parent, own), (&child, [9, 8, 0, 4]), (&idle, own)] {
        let mut user = machine.enter(space, 2);
        for (page, byte) in (0..).zip(expected) {
            assert_eq!(user.read(at + page * PAGE), Ok(byte), "page {page}");
        }
    }
    machine.audit_with(&[&parent, &child, &idle], &object, 4);
    object.resize(PAGE).expect("memory");
    assert_eq!(machine.enter(&child, 1).read(at), Ok(9));
    assert_eq!(machine.enter(&child, 1).read(at + PAGE), Err(FaultError::Bus));
    object.resize(0).expect("memory");
    assert_eq!(machine.enter(&child, 1).read(at), Err(FaultError::Bus));
    machine.audit_with(&[&parent, &child, &idle], &object, 4);
}

/// An object that notes which of its pages may be written through mappings.
struct Noting {
    pages: PagedObject,
    dirty: Mutex<Vec<u64>>,
}

impl MemoryObject for Noting {
    fn frame_at(&self, index: u64) -> Result<FrameRef, ObjectError> {
        self.pages.frame_at(index)
    }
    fn cached_frame(&self, index: u64) -> Option<FrameRef> {
        self.pages.cached_frame(index)
    }
    fn mark_dirty(&self, index: u64) {
        self.dirty.lock().expect("not poisoned").push(index);
    }
    fn punch(&self, index: u64, pages: u64) -> Result<(), ObjectError> {
        self.pages.punch(index, pages)
    }
    fn identity(&self) -> Identity {
        self.pages.identity()
    }
    fn mappers(&self) -> &Mappers {
        self.pages.mappers()
    }
}

/// I9: nobody looks for dirty marks in tables, so a page is noted before the first write to it, and only then.
#[test]
fn a_page_is_noted_as_dirty_when_its_first_write_is_let_through() {
    let machine = Machine::new(16 << 20);
    let pages = PagedObject::new(machine.memory(), 4 * PAGE);
    let object = Arc::new(Noting { pages, dirty: Mutex::default() });
    let space = machine.space();
    let range = ObjectRange { object: object.clone(), offset: 0, file: None };
    let source = Source::Shared { range: range.clone(), allowed: Protection::all() };
    let request = MapRequest { source, ..MapRequest::anonymous(4 * PAGE, RW) };
    let at = space.map(&request, &Limits::NONE).expect("mapped").as_u64();
    let mut user = machine.enter(&space, 0);
    let noted = || object.dirty.lock().expect("not poisoned").clone();
    (0..3).for_each(|page| assert_eq!(user.read(at + page * PAGE), Ok(0)));
    assert_eq!(noted(), []);
    user.write(at + PAGE, 1).expect("writable");
    assert_eq!(noted(), [1], "after a read");
    user.write(at + 3 * PAGE, 1).expect("writable");
    assert_eq!(noted(), [1, 3], "at once");
    let private =
        MapRequest { source: Source::Private(range), ..MapRequest::anonymous(4 * PAGE, RW) };
    let own = space.map(&private, &Limits::NONE).expect("mapped").as_u64();
    user.read(own).expect("readable");
    user.write(own, 1).expect("writable");
    user.write(own + 2 * PAGE, 1).expect("writable");
    assert_eq!(noted(), [1, 3], "what is private is not the object's");
}

#[test]
fn remote_access_breaks_copy_on_write() {
    let machine = Machine::new(16 << 20);
    let parent = machine.space();
    let request = MapRequest::anonymous(2 * PAGE, RW);
    let at = parent.map(&request, &Limits::NONE).expect("mapped");
    machine.enter(&parent, 0).write(at.as_u64() + PAGE - 1, 1).expect("writable");
    let child = parent.fork().expect("forked");
    let edge = UserAddr::try_new(at.as_u64() + PAGE - 1).expect("in range");
    assert_eq!(child.write_remote(edge, &[7, 8]), Ok(2));
    let mut bytes = [0; 3];
    assert_eq!(child.read_remote(edge, &mut bytes[..2]), Ok(2));
    assert_eq!(bytes, [7, 8, 0]);
    assert_eq!(parent.read_remote(edge, &mut bytes[..2]), Ok(2));
    assert_eq!(bytes, [1, 0, 0]);
    let end = UserAddr::try_new(at.as_u64() + 2 * PAGE - 1).expect("in range");
    assert_eq!(child.read_remote(end, &mut bytes), Ok(1));
    assert_eq!(child.read_remote(UserAddr::NULL, &mut bytes), Err(MmError::BadAddress));
    machine.audit(&[&parent, &child]);
}

#[test]
fn remote_access_does_not_grow_a_stack() {
    let machine = Machine::new(16 << 20);
    let space = machine.space();
    let base = space.layout().stack_top.as_u64() - PAGE;
    let mut stack = MapRequest::anonymous(PAGE, RW).fixed_at(UserAddr::try_new(base).expect("ok"));
    stack.options = MapOptions::GROWS_DOWN;
    space.map(&stack, &Limits::NONE).expect("mapped");
    let below = UserAddr::try_new(base - 4 * PAGE).expect("in range");
    assert_eq!(space.read_remote(below, &mut [0; 3]), Err(MmError::BadAddress));
    assert_eq!(space.write_remote(below, &[1; 3]), Err(MmError::BadAddress));
    assert_eq!(space.usage().stack, PAGE);
    assert_eq!(
        machine.enter(&space, 0).write(below.as_u64(), 1),
        Ok(()),
        "its own threads grow it"
    );
    assert_eq!(space.read_remote(below, &mut [0; 3]), Ok(3));
}
