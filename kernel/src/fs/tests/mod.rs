//! Tests of the virtual file system as a whole, over tmpfs, on the host.

mod descriptors;
mod files;
mod mounting;
mod naming;
mod pseudo;
mod random_names;
mod walking;

use alloc::sync::Arc;
use std::vec::Vec;

use super::names::{self, Removal, RenameEnd, RenameMode};
use super::tmpfs::{Options, TmpFs};
use super::*;
use crate::errno::{Errno, Result};
use crate::task::{Account, CapabilitySet, Credentials, Ids};

/// Host threads are no threads of the kernel: they cannot wait for the sleeping mutex that renames share.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

type Turn = std::rc::Rc<std::sync::MutexGuard<'static, ()>>;

/// Waits until no other test has a [`World`].
fn take_turn() -> Turn {
    let turn = ONE_AT_A_TIME.lock();
    std::rc::Rc::new(turn.unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// A tree of its own, seen by somebody.
struct World {
    viewer: Viewer,
    /// Held for as long as the world exists.
    turn: Turn,
}

fn root_credentials() -> Arc<Credentials> {
    Arc::new(Credentials::root(Account::of(0)))
}

fn user_credentials(user: u32) -> Arc<Credentials> {
    let mut credentials = Credentials::root(Account::of(user));
    credentials.user = Ids::all(user);
    credentials.group = Ids::all(user);
    credentials.effective = CapabilitySet::EMPTY;
    Arc::new(credentials)
}

impl World {
    /// An empty tmpfs, seen by the superuser.
    fn new() -> Self {
        Self::with_options(b"")
    }

    fn with_options(options: &[u8]) -> Self {
        let options = Options { mode: 0o755, ..Options::parse(options).expect("valid") };
        let file_system = TmpFs::new("tmpfs", &options).expect("memory");
        let mount = Mount::new(file_system, MountFlags::empty(), b"test").expect("memory");
        Self::of(&mount)
    }

    /// The tree of `mount`, seen by the superuser.
    fn of(mount: &Arc<Mount>) -> Self {
        let viewer = Viewer { root: mount.root_path(), credentials: root_credentials() };
        Self { viewer, turn: take_turn() }
    }

    fn root(&self) -> Path {
        self.viewer.root.clone()
    }

    /// The same tree, seen by an unprivileged user.
    fn seen_by(&self, user: u32) -> Self {
        let viewer = Viewer { root: self.root(), credentials: user_credentials(user) };
        Self { viewer, turn: self.turn.clone() }
    }

    fn find(&self, path: &str) -> Result<Path> {
        resolve(&self.viewer, self.root(), path.as_bytes(), WalkFlags::FOLLOW)
    }

    fn find_from(&self, start: &str, path: &str, flags: WalkFlags) -> Result<Path> {
        resolve(&self.viewer, self.find(start)?, path.as_bytes(), flags)
    }

    fn parent(&self, path: &str) -> Result<(Path, Name)> {
        let parent = resolve_parent(&self.viewer, self.root(), path.as_bytes())?;
        Ok((parent.directory, parent.last.name(Errno::EEXIST)?))
    }

    fn make(&self, path: &str, node: NewNode<'_>, permissions: u16) -> Result<Path> {
        let (directory, name) = self.parent(path)?;
        names::create(&self.viewer, &directory, &name, node, permissions)
    }

    fn directory(&self, path: &str) -> Result<Path> {
        self.make(path, NewNode::Directory, 0o755)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<Path> {
        self.make(path, NewNode::SymbolicLink(target.as_bytes()), 0o777)
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<File>> {
        let request =
            OpenRequest { flags, permissions: 0o644, umask: 0o022, walk: WalkFlags::empty() };
        open(&self.viewer, self.root(), path.as_bytes(), &request)
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE;
        let written = self.open(path, flags)?.write(&mut Source::kernel(content))?;
        assert_eq!(written, content.len());
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        read_all(&*self.open(path, OpenFlags::empty())?)
    }

    fn remove(&self, path: &str, removal: Removal) -> Result<()> {
        let (directory, name) = self.parent(path)?;
        names::remove(&self.viewer, &directory, &name, removal)
    }

    fn rename(&self, from: &str, to: &str, mode: RenameMode) -> Result<()> {
        let end = |path: &str| {
            let parent = resolve_parent(&self.viewer, self.root(), path.as_bytes())?;
            let Parent { directory, last, trailing_slash } = parent;
            Ok::<_, Errno>(RenameEnd { directory, name: last.name(Errno::EBUSY)?, trailing_slash })
        };
        names::rename(&self.viewer, &end(from)?, &end(to)?, mode)
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        let (directory, name) = self.parent(to)?;
        names::link(&self.viewer, &self.find(from)?, &directory, &name)
    }

    /// The names in a directory, sorted, `.` and `..` apart.
    fn list(&self, path: &str) -> Vec<Vec<u8>> {
        let file = self.open(path, OpenFlags::DIRECTORY).expect("a directory");
        let mut names: Vec<Vec<u8>> =
            list_from(&file, 0).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name != b"." && name != b"..");
        names.sort();
        names
    }
}

fn read_all(file: &File) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut buffer = [0; 700];
    loop {
        let count = file.read(&mut Sink::kernel(&mut buffer))?;
        if count == 0 {
            return Ok(content);
        }
        content.extend_from_slice(&buffer[..count]);
    }
}

/// Names and next cursors from `cursor` on.
fn list_from(file: &File, cursor: u64) -> Vec<(Vec<u8>, u64)> {
    let mut listed = Vec::new();
    file.operations()
        .entries(file, cursor, &mut |entry| {
            listed.push((entry.name.to_vec(), entry.next));
            core::ops::ControlFlow::Continue(())
        })
        .expect("a listing");
    listed
}
