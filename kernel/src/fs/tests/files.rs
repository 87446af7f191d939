//! Opening, reading, writing, sizes and holes.

use super::*;

const PAGE: u64 = arch::addr::PAGE_SIZE as u64;

#[test]
fn opening_follows_the_flags() {
    let world = World::new();
    world.directory("d").expect("made");
    world.write("f", b"content").expect("made");
    world.symlink("f", "link").expect("made");
    world.symlink("later", "dangling").expect("made");
    let open = |path, flags| world.open(path, flags).err();
    assert_eq!(open("none", OpenFlags::empty()), Some(Errno::ENOENT));
    assert_eq!(open("f", OpenFlags::CREATE | OpenFlags::EXCLUSIVE), Some(Errno::EEXIST));
    assert_eq!(open("dangling", OpenFlags::CREATE | OpenFlags::EXCLUSIVE), Some(Errno::EEXIST));
    assert_eq!(open("d", OpenFlags::WRITE_ONLY), Some(Errno::EISDIR));
    assert_eq!(open("d", OpenFlags::CREATE), Some(Errno::EISDIR));
    assert_eq!(open("d/new/", OpenFlags::CREATE), Some(Errno::EISDIR));
    assert_eq!(open("f", OpenFlags::DIRECTORY), Some(Errno::ENOTDIR));
    assert_eq!(open("link", OpenFlags::NO_FOLLOW), Some(Errno::ELOOP));
    assert_eq!(open("f/", OpenFlags::empty()), Some(Errno::ENOTDIR));
    assert_eq!(open("link", OpenFlags::NO_FOLLOW | OpenFlags::PATH), None);
    // A link that leads nowhere is created at its far end.
    world.write("dangling", b"new").expect("created");
    assert_eq!(world.read("later").expect("read"), b"new");
    assert_eq!(world.read("link").expect("read"), b"content");
}

#[test]
fn modes_decide_and_the_creator_is_free() {
    let world = World::new();
    world.make("shared", NewNode::Directory, 0o777).expect("made");
    let user = world.seen_by(5);
    let request = |permissions| OpenRequest {
        flags: OpenFlags::CREATE | OpenFlags::READ_WRITE,
        permissions,
        umask: 0o022,
        walk: WalkFlags::empty(),
    };
    let path = b"shared/secret";
    // The mode forbids writing, but not through this descriptor.
    let file = open(&user.viewer, user.root(), path, &request(0o400)).expect("created");
    assert_eq!(file.write(&mut Source::kernel(b"mine")), Ok(4));
    assert_eq!(file.inode().metadata().permissions, 0o400);
    assert_eq!(user.open("shared/secret", OpenFlags::WRITE_ONLY).err(), Some(Errno::EACCES));
    let other = world.seen_by(6);
    assert_eq!(other.read("shared/secret").err(), Some(Errno::EACCES));
    assert_eq!(world.read("shared/secret").expect("root may"), b"mine");
    // A mode with bits outside the umask.
    let file = open(&user.viewer, user.root(), b"shared/open", &request(0o666)).expect("created");
    assert_eq!(file.inode().metadata().permissions, 0o644);
}

#[test]
fn unnamed_files_can_be_named_later() {
    let world = World::new();
    world.directory("d").expect("made");
    let file = world.open("d", OpenFlags::TEMPORARY | OpenFlags::READ_WRITE).expect("opened");
    assert_eq!(file.write(&mut Source::kernel(b"data")), Ok(4));
    assert_eq!(file.inode().metadata().links, 0);
    let (directory, name) = world.parent("d/named").expect("a place");
    names::link(&world.viewer, file.path(), &directory, &name).expect("linked");
    assert_eq!(world.read("d/named").expect("read"), b"data");
    assert_eq!(world.open("d", OpenFlags::TEMPORARY).err(), Some(Errno::EINVAL));
}

#[test]
fn positions_appends_and_holes() {
    let world = World::new();
    world.write("f", b"start").expect("made");
    let file = world.open("f", OpenFlags::READ_WRITE | OpenFlags::APPEND).expect("opened");
    assert_eq!(file.write(&mut Source::kernel(b"+end")), Ok(4));
    // Even a positioned write goes to the end.
    assert_eq!(file.write_at(&mut Source::kernel(b"!"), 0), Ok(1));
    assert_eq!(world.read("f").expect("read"), b"start+end!");
    let file = world.open("f", OpenFlags::READ_WRITE).expect("opened");
    assert_eq!(file.seek(SeekFrom::Start(3 * PAGE as i64)), Ok(3 * PAGE));
    assert_eq!(file.write(&mut Source::kernel(b"far")), Ok(3));
    let metadata = file.inode().metadata();
    assert_eq!((metadata.size, metadata.blocks), (3 * PAGE + 3, 2 * PAGE / 512));
    assert_eq!(file.seek(SeekFrom::Data(10)), Ok(10));
    assert_eq!(file.seek(SeekFrom::Hole(10)), Ok(PAGE));
    assert_eq!(file.seek(SeekFrom::Data(PAGE as i64)), Ok(3 * PAGE));
    assert_eq!(file.seek(SeekFrom::Hole(3 * PAGE as i64)), Ok(3 * PAGE + 3));
    assert_eq!(file.seek(SeekFrom::Data(3 * PAGE as i64 + 3)), Err(Errno::ENXIO));
    assert_eq!(file.seek(SeekFrom::End(-3)), Ok(3 * PAGE));
    assert_eq!(file.seek(SeekFrom::Current(-4 * PAGE as i64)), Err(Errno::EINVAL));
    let mut hole = [1; 16];
    assert_eq!(file.read_at(&mut Sink::kernel(&mut hole), 2 * PAGE), Ok(16));
    assert_eq!(hole, [0; 16]);
}

#[test]
fn truncation_and_allocation() {
    let world = World::new();
    world.write("f", &[7; 5000]).expect("made");
    let file = world.open("f", OpenFlags::READ_WRITE).expect("opened");
    file.inode().truncate(100).expect("truncated");
    file.inode().truncate(5000).expect("grown");
    let content = world.read("f").expect("read");
    assert_eq!(content.len(), 5000);
    assert!(content[..100].iter().all(|byte| *byte == 7));
    assert!(content[100..].iter().all(|byte| *byte == 0));
    let allocate = |mode, offset, length| file.operations().allocate(&file, mode, offset, length);
    allocate(Allocation::Grow, 0, 3 * PAGE).expect("allocated");
    assert_eq!(file.inode().metadata().size, 3 * PAGE);
    assert_eq!(file.inode().metadata().blocks, 3 * PAGE / 512);
    allocate(Allocation::PunchHole, 50, 2 * PAGE - 50).expect("punched");
    assert_eq!(file.inode().metadata().blocks, 2 * PAGE / 512);
    let content = world.read("f").expect("read");
    assert!(content[..50].iter().all(|byte| *byte == 7));
    assert!(content[50..].iter().all(|byte| *byte == 0));
    allocate(Allocation::Reserve, 0, 9 * PAGE).expect("reserved");
    assert_eq!(file.inode().metadata().size, 3 * PAGE);
    assert_eq!(allocate(Allocation::Grow, u64::MAX, 2), Err(Errno::EFBIG));
}

#[test]
fn an_instance_keeps_to_its_size() {
    let world = World::with_options(b"size=16k,nr_inodes=3");
    world.write("a", &[1; 8192]).expect("made");
    let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY;
    let file = world.open("b", flags).expect("made");
    assert_eq!(file.write(&mut Source::kernel(&[2; 20_000])), Ok(8192));
    assert_eq!(file.write(&mut Source::kernel(b"x")), Err(Errno::ENOSPC));
    assert_eq!(world.open("c", flags).err(), Some(Errno::ENOSPC));
    world.remove("a", Removal::File).expect("removed");
    assert_eq!(file.write(&mut Source::kernel(b"x")), Ok(1));
    drop(file);
    let statistics = world.root().mount.file_system().statistics();
    assert_eq!((statistics.blocks, statistics.blocks_free), (4, 1));
    assert_eq!((statistics.files, statistics.files_free), (3, 1));
}

#[test]
fn seals_hold() {
    use linux_raw_sys::general as abi;

    let file = memfd::create(b"x", memfd::Sealing::Allowed, &root_credentials()).expect("made");
    assert_eq!(file.write(&mut Source::kernel(b"12345678")), Ok(8));
    file.operations().add_seals(abi::F_SEAL_SHRINK | abi::F_SEAL_GROW).expect("sealed");
    assert_eq!(file.inode().truncate(4), Err(Errno::EPERM));
    assert_eq!(file.inode().truncate(9), Err(Errno::EPERM));
    assert_eq!(file.write(&mut Source::kernel(b"9")), Err(Errno::EPERM));
    assert_eq!(file.write_at(&mut Source::kernel(b"abc"), 6), Ok(2));
    file.operations().add_seals(abi::F_SEAL_WRITE | abi::F_SEAL_SEAL).expect("sealed");
    assert_eq!(file.write_at(&mut Source::kernel(b"x"), 0), Err(Errno::EPERM));
    assert_eq!(file.operations().add_seals(abi::F_SEAL_GROW), Err(Errno::EPERM));
    assert_eq!(mapping(&file, MapAccess::SharedWrite).err(), Some(Errno::EPERM));
    assert!(mapping(&file, MapAccess::Read).is_ok());
    let plain = memfd::create(b"y", memfd::Sealing::Refused, &root_credentials()).expect("made");
    assert_eq!(plain.operations().add_seals(abi::F_SEAL_GROW), Err(Errno::EPERM));
}

#[test]
fn programs_cannot_be_written_while_they_run() {
    let world = World::new();
    world.write("program", b"#!").expect("made");
    let viewer = &world.viewer;
    let execute = || open_executable(viewer, world.root(), b"program", WalkFlags::FOLLOW);
    assert_eq!(execute().err(), Some(Errno::EACCES));
    let place = world.find("program").expect("found");
    attributes::change_mode(&place, 0o755, &viewer.credentials).expect("changed");
    let running = execute().expect("executable");
    assert_eq!(world.open("program", OpenFlags::WRITE_ONLY).err(), Some(Errno::ETXTBSY));
    let mut magic = [0; 8];
    assert_eq!(read_exact_at(&running.file, 0, &mut magic), Ok(2));
    drop(running);
    let writer = world.open("program", OpenFlags::WRITE_ONLY).expect("opened");
    assert_eq!(execute().err(), Some(Errno::ETXTBSY));
    drop(writer);
    assert!(execute().is_ok());
}

#[test]
fn metadata_changes_obey_ownership() {
    let world = World::new();
    world.make("shared", NewNode::Directory, 0o777).expect("made");
    let user = world.seen_by(5);
    user.write("shared/f", b"").expect("made");
    let place = world.find("shared/f").expect("found");
    let (own, other) = (user_credentials(5), user_credentials(6));
    assert_eq!(attributes::change_mode(&place, 0o777, &other), Err(Errno::EPERM));
    assert_eq!(attributes::change_mode(&place, 0o6755, &own), Ok(()));
    assert_eq!(attributes::change_owner(&place, Some(6), None, &own), Err(Errno::EPERM));
    // A change of owner takes the set-id bits away.
    let root = root_credentials();
    assert_eq!(attributes::change_owner(&place, Some(6), None, &root), Ok(()));
    let metadata = place.inode().metadata();
    assert_eq!((metadata.user, metadata.permissions), (6, 0o755));
    let now = attributes::TimeChange::Now;
    assert_eq!(attributes::change_times(&place, now, now, &own), Err(Errno::EACCES));
    let past = attributes::TimeChange::At(Timestamp { seconds: 5, nanoseconds: 6 });
    assert_eq!(attributes::change_times(&place, past, past, &own), Err(Errno::EPERM));
    assert_eq!(attributes::change_times(&place, past, past, &other), Ok(()));
    assert_eq!(place.inode().metadata().modified.seconds, 5);
}
