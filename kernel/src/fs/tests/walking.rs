//! Path walk: components, links, limits, permissions, restrictions.

use std::format;
use std::string::String;

use super::*;

fn inode_of(path: Result<Path>) -> Result<u64> {
    path.map(|path| path.inode().metadata().inode)
}

#[test]
fn components_dots_and_slashes() {
    let world = World::new();
    world.directory("a").expect("made");
    world.directory("a/b").expect("made");
    world.write("a/b/f", b"x").expect("made");
    let expected = inode_of(world.find("/a/b/f"));
    assert!(expected.is_ok());
    for path in ["a/b/f", "//a///b/f", "/a/./b/../b/f", "/../../a/b/f", "a/b/../../a/b/./f"] {
        assert_eq!(inode_of(world.find(path)), expected, "{path}");
    }
    assert!(world.find("a/b/").is_ok());
    assert_eq!(inode_of(world.find("a/b/f/")), Err(Errno::ENOTDIR));
    assert_eq!(inode_of(world.find("a/b/f/x")), Err(Errno::ENOTDIR));
    assert_eq!(inode_of(world.find("a/b/f/.")), Err(Errno::ENOTDIR));
    assert_eq!(inode_of(world.find("a/c/f")), Err(Errno::ENOENT));
    assert_eq!(inode_of(world.find("")), Err(Errno::ENOENT));
    assert_eq!(inode_of(world.find("/")), inode_of(Ok(world.root())));
    assert!(world.find_from("a", "", WalkFlags::EMPTY).is_ok());
}

#[test]
fn names_and_links_have_limits() {
    let world = World::new();
    let long = "n".repeat(255);
    world.write(&long, b"").expect("255 bytes are allowed");
    let longer = "n".repeat(256);
    assert_eq!(inode_of(world.find(&longer)), Err(Errno::ENAMETOOLONG));
    assert_eq!(inode_of(world.find(&format!("{longer}/x"))), Err(Errno::ENAMETOOLONG));
    world.write("l0", b"end").expect("made");
    for i in 1..=41 {
        world.symlink(&format!("l{}", i - 1), &format!("l{i}")).expect("made");
    }
    assert!(world.find("l40").is_ok());
    assert_eq!(inode_of(world.find("l41")), Err(Errno::ELOOP));
    world.symlink("loop", "loop").expect("made");
    assert_eq!(inode_of(world.find("loop")), Err(Errno::ELOOP));
}

#[test]
fn symbolic_links_are_followed_where_they_stand() {
    let world = World::new();
    world.directory("d").expect("made");
    world.directory("d/e").expect("made");
    world.write("d/e/f", b"").expect("made");
    world.symlink("e/f", "d/relative").expect("made");
    world.symlink("/d/e", "absolute").expect("made");
    world.symlink("../d/e/", "d/slash").expect("made");
    world.symlink("nowhere", "dangling").expect("made");
    let file = inode_of(world.find("d/e/f"));
    assert_eq!(inode_of(world.find("d/relative")), file);
    assert_eq!(inode_of(world.find("absolute/f")), file);
    assert_eq!(inode_of(world.find("absolute/../e/f")), file);
    assert_eq!(inode_of(world.find("d/slash/f")), file);
    assert_eq!(inode_of(world.find("dangling")), Err(Errno::ENOENT));
    let unfollowed = |path| world.find_from("/", path, WalkFlags::empty());
    let kind = |path| unfollowed(path).map(|path| path.inode().file_type());
    assert_eq!(kind("absolute"), Ok(FileType::SymbolicLink));
    // A slash behind the link makes it be followed.
    assert_eq!(kind("absolute/"), Ok(FileType::Directory));
    assert_eq!(kind("dangling"), Ok(FileType::SymbolicLink));
    assert_eq!(inode_of(world.find("d/relative/")), Err(Errno::ENOTDIR));
}

#[test]
fn restrictions_of_openat2() {
    let world = World::new();
    world.directory("jail").expect("made");
    world.directory("jail/in").expect("made");
    world.write("secret", b"").expect("made");
    world.write("jail/in/f", b"").expect("made");
    world.symlink("../secret", "jail/up").expect("made");
    world.symlink("/in/f", "jail/root").expect("made");
    let beneath = |path| world.find_from("jail", path, WalkFlags::FOLLOW | WalkFlags::BENEATH);
    assert!(beneath("in/../in/f").is_ok());
    assert_eq!(inode_of(beneath("..")), Err(Errno::EXDEV));
    assert_eq!(inode_of(beneath("up")), Err(Errno::EXDEV));
    assert_eq!(inode_of(beneath("/in")), Err(Errno::EXDEV));
    let in_root = |path| world.find_from("jail", path, WalkFlags::FOLLOW | WalkFlags::IN_ROOT);
    assert!(in_root("root").is_ok());
    assert_eq!(inode_of(in_root("up")), Err(Errno::ENOENT));
    assert_eq!(inode_of(in_root("../..")), inode_of(world.find("jail")));
    let plain = WalkFlags::FOLLOW | WalkFlags::NO_SYMBOLIC_LINKS;
    assert_eq!(inode_of(world.find_from("jail", "root", plain)), Err(Errno::ELOOP));
}

#[test]
fn directories_must_be_searchable() {
    let world = World::new();
    world.make("closed", NewNode::Directory, 0o700).expect("made");
    world.write("closed/f", b"").expect("made");
    let user = world.seen_by(1000);
    assert_eq!(inode_of(user.find("closed/f")), Err(Errno::EACCES));
    assert_eq!(inode_of(user.find("closed/none")), Err(Errno::EACCES));
    assert!(user.find("closed").is_ok());
    assert!(world.find("closed/f").is_ok());
    assert_eq!(user.write("new", b""), Err(Errno::EACCES));
}

#[test]
fn texts_of_paths_follow_renames() {
    let world = World::new();
    world.directory("a").expect("made");
    world.directory("a/b").expect("made");
    let inside = world.find("a/b").expect("found");
    let text = |path: &Path| {
        let (text, _) = path.text(&world.root()).expect("memory");
        String::from_utf8(text).expect("text")
    };
    assert_eq!(text(&inside), "/a/b");
    world.rename("a", "z", RenameMode::Replace).expect("renamed");
    assert_eq!(text(&inside), "/z/b");
    assert_eq!(text(&world.root()), "/");
    world.remove("z/b", Removal::Directory).expect("removed");
    assert!(inside.dentry.is_unlinked());
    assert_eq!(inside.display_text(&world.root()).expect("memory"), b"/z/b (deleted)");
}

#[test]
fn very_deep_trees_are_dropped_without_recursion() {
    let world = World::new();
    let mut at = world.root();
    for _ in 0..20_000 {
        let name = Name::new(b"d").expect("a name");
        at = names::create(&world.viewer, &at, &name, NewNode::Directory, 0o755).expect("made");
    }
    drop(world);
    drop(at);
}
