//! Made-up files: sysfs's tables, reading in pieces.

use super::*;

fn system() -> World {
    let file_system = sysfs::instance().expect("there is one");
    let mount = Mount::new(file_system, MountFlags::empty(), b"sysfs").expect("memory");
    World::of(&mount)
}

#[test]
fn tables_become_trees() {
    let world = system();
    assert_eq!(world.list("/"), [&b"devices"[..], b"fs", b"kernel"]);
    let page = "kernel/mm/transparent_hugepage/hpage_pmd_size";
    assert_eq!(world.read(page).expect("read"), b"2097152\n");
    assert_eq!(world.find("kernel/none").err(), Some(Errno::ENOENT));
    assert_eq!(world.write("kernel/new", b""), Err(Errno::EPERM));
    assert_eq!(world.open(page, OpenFlags::WRITE_ONLY).err(), Some(Errno::EACCES));
    let metadata = world.find(page).expect("found").inode().metadata();
    assert_eq!((metadata.permissions, metadata.size), (0o444, 0));
}

#[test]
fn a_text_is_read_in_pieces() {
    let world = system();
    let file = world.open("kernel/mm/transparent_hugepage/enabled", OpenFlags::empty());
    let file = file.expect("opened");
    let mut text = Vec::new();
    let mut piece = [0; 5];
    loop {
        let count = file.read(&mut Sink::kernel(&mut piece)).expect("read");
        if count == 0 {
            break;
        }
        text.extend_from_slice(&piece[..count]);
    }
    assert_eq!(text, b"always [madvise] never\n");
    assert_eq!(file.seek(SeekFrom::Start(8)), Ok(8));
    assert_eq!(file.read(&mut Sink::kernel(&mut piece)), Ok(5));
    assert_eq!(&piece, b"madvi");
}
