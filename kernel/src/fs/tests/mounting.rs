//! Mounts: covering, crossing, binding, taking away.

use super::mount::change::{self, BindDepth, Unmount};
use super::*;

fn new_file_system() -> Arc<dyn FileSystem> {
    TmpFs::new("tmpfs", &Options::default()).expect("memory")
}

/// A tree whose root is in the mount table, with an empty tmpfs at /m.
fn mounted() -> World {
    let world = World::new();
    mount::attach_root(&world.root().mount).expect("memory");
    world.directory("m").expect("made");
    world.directory("m/hidden").expect("made");
    let place = world.find("m").expect("found");
    change::mount(new_file_system(), MountFlags::empty(), b"x", &place).expect("mounted");
    world
}

#[test]
fn a_mount_hides_what_it_covers() {
    let world = mounted();
    assert_eq!(world.find("m/hidden").err(), Some(Errno::ENOENT));
    world.directory("m/d").expect("made");
    world.write("m/d/f", b"in the mount").expect("made");
    let up = world.find("m/d/../..").expect("up");
    assert!(up.is_same(&world.root()));
    let (text, _) = world.find("m/d/f").expect("found").text(&world.root()).expect("memory");
    assert_eq!(text, b"/m/d/f");
    assert_eq!(world.link("m/d/f", "f"), Err(Errno::EXDEV));
    assert_eq!(world.rename("m/d/f", "f", RenameMode::Replace), Err(Errno::EXDEV));
    assert_eq!(world.remove("m", Removal::Directory), Err(Errno::EBUSY));
    assert_eq!(world.rename("m", "n", RenameMode::Replace), Err(Errno::EBUSY));
    let flags = WalkFlags::FOLLOW | WalkFlags::NO_CROSSING;
    assert_eq!(world.find_from("/", "m/d", flags).err(), Some(Errno::EXDEV));
}

#[test]
fn mounts_go_when_nobody_uses_them() {
    let world = mounted();
    world.write("m/f", b"").expect("made");
    let file = world.open("m/f", OpenFlags::empty()).expect("opened");
    let unmount = |how| change::unmount(world.find("m").expect("found"), how);
    assert_eq!(unmount(Unmount::Unused), Err(Errno::EBUSY));
    drop(file);
    assert_eq!(unmount(Unmount::Unused), Ok(()));
    assert!(world.find("m/hidden").is_ok());
    assert_eq!(unmount(Unmount::Unused), Err(Errno::EINVAL));
    let root = change::unmount(world.root(), Unmount::Unused);
    assert_eq!(root, Err(Errno::EINVAL));
}

#[test]
fn a_detached_mount_lives_on_in_its_files() {
    let world = mounted();
    world.directory("m/inner").expect("made");
    let inner = world.find("m/inner").expect("found");
    change::mount(new_file_system(), MountFlags::empty(), b"y", &inner).expect("mounted");
    world.write("m/f", b"kept").expect("made");
    let file = world.open("m/f", OpenFlags::empty()).expect("opened");
    let place = world.find("m").expect("found");
    assert_eq!(change::unmount(place.clone(), Unmount::Unused), Err(Errno::EBUSY));
    assert_eq!(change::unmount(place, Unmount::Detach), Ok(()));
    assert_eq!(read_all(&file).expect("read"), b"kept");
    assert!(world.find("m/hidden").is_ok());
    assert_eq!(inner.dentry.mount_count(), 0);
}

#[test]
fn binds_show_a_place_twice() {
    let world = mounted();
    world.directory("m/d").expect("made");
    world.directory("bound").expect("made");
    world.write("plain", b"").expect("made");
    let bind =
        |from: &str, to: &str, depth| change::bind(&world.find(from)?, &world.find(to)?, depth);
    assert_eq!(bind("plain", "bound", BindDepth::Single), Err(Errno::ENOTDIR));
    bind("/", "bound", BindDepth::Single).expect("bound");
    assert!(world.find("bound/m/hidden").is_ok());
    change::unmount(world.find("bound").expect("found"), Unmount::Detach).expect("unmounted");
    bind("/", "bound", BindDepth::Recursive).expect("bound");
    assert!(world.find("bound/m/d").is_ok());
    world.write("bound/m/d/f", b"seen").expect("made");
    assert_eq!(world.read("m/d/f").expect("read"), b"seen");
    change::unmount(world.find("bound").expect("found"), Unmount::Detach).expect("unmounted");
}

#[test]
fn read_only_mounts_refuse_changes() {
    let world = mounted();
    world.write("m/f", b"old").expect("made");
    let root = world.find("m").expect("found");
    change::remount(&root, MountFlags::READ_ONLY, b"").expect("remounted");
    assert_eq!(world.write("m/f", b"new"), Err(Errno::EROFS));
    assert_eq!(world.write("m/g", b"new"), Err(Errno::EROFS));
    assert_eq!(world.directory("m/d").err(), Some(Errno::EROFS));
    assert_eq!(world.remove("m/f", Removal::File), Err(Errno::EROFS));
    let credentials = root_credentials();
    let file = world.find("m/f").expect("found");
    assert_eq!(attributes::change_mode(&file, 0o777, &credentials), Err(Errno::EROFS));
    assert_eq!(world.read("m/f").expect("read"), b"old");
}

#[test]
fn moving_a_mount_takes_it_along() {
    let world = mounted();
    world.directory("n").expect("made");
    world.directory("m/inside").expect("made");
    let find = |path| world.find(path).expect("found");
    assert_eq!(change::move_mount(&find("m"), &find("m/inside")), Err(Errno::ELOOP));
    change::move_mount(&find("m"), &find("n")).expect("moved");
    assert!(world.find("n/inside").is_ok());
    assert!(world.find("m/hidden").is_ok());
}

#[test]
fn two_mounts_of_one_file_system_share_a_tree() {
    let world = mounted();
    let file_system = new_file_system();
    for place in ["m", "again"] {
        if place == "again" {
            world.directory(place).expect("made");
        }
        let place = world.find(place).expect("found");
        change::mount(file_system.clone(), MountFlags::empty(), b"z", &place).expect("mounted");
    }
    world.directory("m/d").expect("made");
    let (one, other) = (world.find("m/d").expect("found"), world.find("again/d").expect("found"));
    assert!(Arc::ptr_eq(&one.dentry, &other.dentry));
    assert!(!one.is_same(&other));
}
