//! Creating, linking, removing and renaming entries.

use super::*;

fn links(world: &World, path: &str) -> u32 {
    world.find(path).expect("found").inode().metadata().links
}

#[test]
fn creation_checks_in_order() {
    let world = World::new();
    world.directory("d").expect("made");
    assert_eq!(world.directory("d").err(), Some(Errno::EEXIST));
    assert_eq!(world.directory("x/y").err(), Some(Errno::ENOENT));
    let user = world.seen_by(7);
    assert_eq!(user.directory("d/e").err(), Some(Errno::EACCES));
    assert_eq!(user.directory("d").err(), Some(Errno::EEXIST));
}

#[test]
fn removals_know_their_kinds() {
    let world = World::new();
    world.directory("d").expect("made");
    world.write("d/f", b"").expect("made");
    assert_eq!(world.remove("d", Removal::File), Err(Errno::EISDIR));
    assert_eq!(world.remove("d/f", Removal::Directory), Err(Errno::ENOTDIR));
    assert_eq!(world.remove("d", Removal::Directory), Err(Errno::ENOTEMPTY));
    assert_eq!(world.remove("d/g", Removal::File), Err(Errno::ENOENT));
    let directory = world.find("d").expect("found");
    world.remove("d/f", Removal::File).expect("removed");
    world.remove("d", Removal::Directory).expect("removed");
    assert_eq!(directory.inode().metadata().links, 0);
    // Nothing can be made in a directory that is gone.
    let name = Name::new(b"late").expect("a name");
    let late = names::create(&world.viewer, &directory, &name, NewNode::Regular, 0o644);
    assert_eq!(late.err(), Some(Errno::ENOENT));
}

#[test]
fn the_sticky_bit_protects_entries() {
    let world = World::new();
    world.make("tmp", NewNode::Directory, 0o1777).expect("made");
    let (one, other) = (world.seen_by(1), world.seen_by(2));
    one.write("tmp/f", b"").expect("made");
    assert_eq!(other.remove("tmp/f", Removal::File), Err(Errno::EPERM));
    assert_eq!(other.rename("tmp/f", "tmp/g", RenameMode::Replace), Err(Errno::EPERM));
    one.remove("tmp/f", Removal::File).expect("the owner may");
}

#[test]
fn hard_links_count() {
    let world = World::new();
    world.directory("d").expect("made");
    world.write("f", b"content").expect("made");
    world.link("f", "d/g").expect("linked");
    assert_eq!(links(&world, "f"), 2);
    assert_eq!(world.link("f", "d/g"), Err(Errno::EEXIST));
    assert_eq!(world.link("d", "e"), Err(Errno::EPERM));
    world.remove("f", Removal::File).expect("removed");
    assert_eq!(links(&world, "d/g"), 1);
    assert_eq!(world.read("d/g").expect("read"), b"content");
    assert_eq!(links(&world, "d"), 2);
    world.directory("d/sub").expect("made");
    assert_eq!(links(&world, "d"), 3);
}

#[test]
fn an_open_file_survives_its_name() {
    let world = World::new();
    world.write("f", b"still here").expect("made");
    let file = world.open("f", OpenFlags::empty()).expect("opened");
    world.remove("f", Removal::File).expect("removed");
    assert_eq!(world.find("f").err(), Some(Errno::ENOENT));
    assert_eq!(read_all(&file).expect("read"), b"still here");
    assert_eq!(file.inode().metadata().links, 0);
}

#[test]
fn renames_replace_and_refuse() {
    let world = World::new();
    for directory in ["a", "a/b", "empty", "full", "full/x"] {
        world.directory(directory).expect("made");
    }
    world.write("f", b"f").expect("made");
    world.write("g", b"g").expect("made");
    let rename = |from, to| world.rename(from, to, RenameMode::Replace);
    assert_eq!(rename("none", "x"), Err(Errno::ENOENT));
    assert_eq!(rename("a", "a/b/c"), Err(Errno::EINVAL));
    assert_eq!(rename("a/b", "a"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename("f", "empty"), Err(Errno::EISDIR));
    assert_eq!(rename("empty", "f"), Err(Errno::ENOTDIR));
    assert_eq!(rename("empty", "full"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename("f", "h/"), Err(Errno::ENOTDIR));
    assert_eq!(rename("f", "g"), Ok(()));
    assert_eq!(world.read("g").expect("read"), b"f");
    assert_eq!(world.find("f").err(), Some(Errno::ENOENT));
    assert_eq!(rename("a/b", "empty"), Ok(()));
    assert_eq!(rename("full/x", "a/y"), Ok(()));
    assert_eq!(links(&world, "full"), 2);
    assert_eq!(links(&world, "a"), 3);
    assert_eq!(
        world.find("a/y/..").expect("up").inode().metadata().inode,
        world.find("a").expect("a").inode().metadata().inode
    );
    assert_eq!(rename("g", "g"), Ok(()));
    world.link("g", "same").expect("linked");
    // Two names of one file: nothing happens, and both stay.
    assert_eq!(rename("g", "same"), Ok(()));
    assert!(world.find("g").is_ok());
}

#[test]
fn renames_exchange_or_keep() {
    let world = World::new();
    world.directory("d").expect("made");
    world.directory("d/sub").expect("made");
    world.write("f", b"f").expect("made");
    assert_eq!(world.rename("f", "d", RenameMode::NoReplace), Err(Errno::EEXIST));
    assert_eq!(world.rename("f", "x", RenameMode::Exchange), Err(Errno::ENOENT));
    let directory = world.find("d").expect("found");
    world.rename("f", "d/sub", RenameMode::Exchange).expect("exchanged");
    assert_eq!(world.read("d/sub").expect("read"), b"f");
    assert_eq!(world.find("f").expect("found").inode().file_type(), FileType::Directory);
    assert_eq!(directory.inode().metadata().links, 2);
    assert_eq!(links(&world, "/"), 4);
    world.rename("f", "new", RenameMode::NoReplace).expect("renamed");
    assert_eq!(world.list("/"), [&b"d"[..], b"new"]);
}

#[test]
fn listings_survive_changes() {
    let world = World::new();
    world.directory("d").expect("made");
    for name in ["a", "b", "c", "d", "e"] {
        world.write(&std::format!("d/{name}"), b"").expect("made");
    }
    let file = world.open("d", OpenFlags::DIRECTORY).expect("opened");
    let all = list_from(&file, 0);
    assert_eq!((&all[0].0[..], &all[1].0[..]), (&b"."[..], &b".."[..]));
    assert_eq!(all.len(), 7);
    // Stop after two entries; remove one that was seen and one that was not, and add one.
    let cursor = all[3].1;
    world.remove("d/a", Removal::File).expect("removed");
    world.remove("d/d", Removal::File).expect("removed");
    world.write("d/z", b"").expect("made");
    let rest: Vec<_> = list_from(&file, cursor).into_iter().map(|(name, _)| name).collect();
    assert_eq!(rest, [&b"c"[..], b"e", b"z"]);
}
