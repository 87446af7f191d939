//! From a path's text to a place in the tree (path_resolution(7)).
//!
//! [`resolve`] finds what a path names; [`resolve_parent`] stops before the last component, for calls that create,
//! remove or rename it. Both drive a [`Walk`], which keeps what is left of the path as a stack of texts, one for
//! each symbolic link being followed, so that nesting costs no kernel stack.
//!
//! The walk holds no lock between components. Each step finds a child through the directory's cache, or asks the
//! file system with the directory's mutex held.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bitflags::bitflags;

use super::context::FsContext;
use super::dentry::Dentry;
use super::inode::LinkTarget;
use super::metadata::FileType;
use super::mount;
use super::name::{NAME_MAX, Name, try_copy};
use super::path::Path;
use super::permission::{self, Permission};
use crate::errno::{Errno, Result};
use crate::task::Credentials;

/// The most symbolic links that one walk follows.
const LINKS_MAX: u32 = 40;

bitflags! {
    /// How a walk treats what it meets (`AT_*` and `RESOLVE_*`, see openat2(2)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WalkFlags: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1 << 0;
        /// An empty path names the start.
        const EMPTY = 1 << 1;
        /// The result must be a directory.
        const DIRECTORY = 1 << 2;
        /// Fail with `EXDEV` where the walk would leave the start's subtree.
        const BENEATH = 1 << 3;
        /// The start is the root.
        const IN_ROOT = 1 << 4;
        /// Fail with `ELOOP` at any symbolic link.
        const NO_SYMBOLIC_LINKS = 1 << 5;
        /// Fail with `ELOOP` at a link that leads to a place rather than to text.
        const NO_MAGIC_LINKS = 1 << 6;
        /// Fail with `EXDEV` where the walk would change mounts.
        const NO_CROSSING = 1 << 7;
    }
}

/// Who walks: the root that it sees and the rights that it has.
#[derive(Clone)]
pub struct Viewer {
    /// Where `/` leads and above which `..` does not.
    pub root: Path,
    /// Whose permissions count.
    pub credentials: Arc<Credentials>,
}

impl Viewer {
    /// The viewpoint of a thread with this context and these credentials.
    #[must_use]
    pub fn new(context: &FsContext, credentials: Arc<Credentials>) -> Self {
        Self { root: context.root(), credentials }
    }
}

/// The last component of a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Last {
    /// There is none: the path is `/`, or a link to a place ended it.
    Here,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name.
    Name(Name),
}

impl Last {
    /// The name, or `error` where the path ends otherwise.
    ///
    /// # Errors
    /// `error`.
    pub fn name(self, error: Errno) -> Result<Name> {
        match self {
            Self::Name(name) => Ok(name),
            _ => Err(error),
        }
    }
}

/// What a path names up to its last component.
pub struct Parent {
    /// The directory.
    pub directory: Path,
    /// The last component.
    pub last: Last,
    /// Whether slashes follow it, so that it can only be a directory.
    pub trailing_slash: bool,
}

/// What `path` names, seen from `start`.
///
/// # Errors
/// `ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, ENOMEM`; `EXDEV` as the flags say.
pub fn resolve(viewer: &Viewer, start: Path, path: &[u8], flags: WalkFlags) -> Result<Path> {
    if path.is_empty() {
        return if flags.contains(WalkFlags::EMPTY) { Ok(start) } else { Err(Errno::ENOENT) };
    }
    Walk::new(viewer, start, path, flags)?.complete()
}

/// The directory that holds the last component of `path`, and that component.
///
/// # Errors
/// As [`resolve`], but the last component need not exist.
pub fn resolve_parent(viewer: &Viewer, start: Path, path: &[u8]) -> Result<Parent> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut walk = Walk::new(viewer, start, path, WalkFlags::empty())?;
    let last = walk.advance_to_last()?;
    Ok(Parent { directory: walk.at, last, trailing_slash: walk.directory_required })
}

/// The entry `name` of directory `parent`, mounts apart.
///
/// # Errors
/// `ENOENT, ENOTDIR, ENAMETOOLONG, ENOMEM`.
pub fn lookup_child(parent: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if let Some(child) = parent.cached(name).filter(|child| child.inode().is_current()) {
        return Ok(child);
    }
    let _directory = parent.lock_directory();
    lookup_locked(parent, name)
}

/// As [`lookup_child`], for callers that hold the mutex of `parent`.
///
/// # Errors
/// As [`lookup_child`].
pub fn lookup_locked(parent: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
    if let Some(child) = parent.cached(name) {
        if child.inode().is_current() {
            return Ok(child);
        }
        parent.forget(name);
    }
    let directory = parent.inode().directory().ok_or(Errno::ENOTDIR)?;
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let inode = directory.lookup(name)?;
    Dentry::enter(parent, name, inode)
}

/// Text that is still to be walked.
struct Frame {
    text: Vec<u8>,
    offset: usize,
}

impl Frame {
    fn only_slashes_left(&self) -> bool {
        self.text[self.offset..].iter().all(|byte| *byte == b'/')
    }
}

/// A walk in progress.
pub struct Walk<'a> {
    viewer: &'a Viewer,
    start: Path,
    root: Path,
    /// Where the walk stands: what was walked so far.
    pub at: Path,
    frames: Vec<Frame>,
    links: u32,
    flags: WalkFlags,
    /// Whether the path, or the text of a link that ended it, closed with a slash.
    pub directory_required: bool,
}

impl<'a> Walk<'a> {
    /// A walk of `path`, which is not empty, from `start`.
    ///
    /// # Errors
    /// `EXDEV` for an absolute path where the walk must stay beneath its start; `ENOMEM`.
    pub fn new(viewer: &'a Viewer, start: Path, path: &[u8], flags: WalkFlags) -> Result<Self> {
        let root =
            if flags.contains(WalkFlags::IN_ROOT) { start.clone() } else { viewer.root.clone() };
        let mut walk = Self {
            viewer,
            at: start.clone(),
            start,
            root,
            frames: Vec::new(),
            links: 0,
            flags,
            directory_required: flags.contains(WalkFlags::DIRECTORY),
        };
        walk.push(try_copy(path)?)?;
        Ok(walk)
    }

    fn push(&mut self, text: Vec<u8>) -> Result<()> {
        if text.first() == Some(&b'/') {
            if self.flags.contains(WalkFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            self.check_crossing(&self.root)?;
            self.at = self.root.clone();
        }
        self.frames.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.frames.push(Frame { text, offset: 0 });
        Ok(())
    }

    /// Walks until only the last component is left and returns that. The walk then stands at the directory which is
    /// to hold it, and that is one; permission to search it was checked.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn advance_to_last(&mut self) -> Result<Last> {
        while let Some((frame, range)) = self.next_component() {
            self.check_search()?;
            let last = self.is_exhausted();
            let component = &self.frames[frame].text[range];
            if last {
                let last = match component {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                    name => Last::Name(Name::new(name)?),
                };
                self.note_trailing_slash();
                return Ok(last);
            }
            match component {
                b"." => {}
                b".." => self.step_up()?,
                name => {
                    let child = self.child(name)?;
                    if child.inode().file_type() == FileType::SymbolicLink {
                        self.follow(&child)?;
                    } else {
                        self.at = child;
                    }
                }
            }
        }
        Ok(Last::Here)
    }

    /// Cuts the next component off the text that is left.
    fn next_component(&mut self) -> Option<(usize, Range<usize>)> {
        while let Some(frame) = self.frames.last_mut() {
            let rest = &frame.text[frame.offset..];
            let Some(skip) = rest.iter().position(|byte| *byte != b'/') else {
                self.note_trailing_slash();
                self.frames.pop();
                continue;
            };
            let start = frame.offset + skip;
            let length = rest[skip..].iter().position(|byte| *byte == b'/');
            let end = length.map_or(frame.text.len(), |length| start + length);
            frame.offset = end;
            return Some((self.frames.len() - 1, start..end));
        }
        None
    }

    fn is_exhausted(&self) -> bool {
        self.frames.iter().all(Frame::only_slashes_left)
    }

    fn note_trailing_slash(&mut self) {
        self.directory_required |=
            self.is_exhausted() && self.frames.iter().any(|frame| frame.offset < frame.text.len());
    }

    /// The entry `name` of the directory where the walk stands, or the root of what is mounted there.
    ///
    /// # Errors
    /// `ENOENT`, `EXDEV`, `ENOMEM`.
    pub fn child(&self, name: &[u8]) -> Result<Path> {
        let dentry = lookup_child(&self.at.dentry, name)?;
        self.cross_down(Path { mount: self.at.mount.clone(), dentry })
    }

    fn cross_down(&self, mut path: Path) -> Result<Path> {
        while let Some(mount) = mount::mounted_on(&path) {
            path = mount.root_path();
            self.check_crossing(&path)?;
        }
        Ok(path)
    }

    fn check_crossing(&self, path: &Path) -> Result<()> {
        let crosses = !Arc::ptr_eq(&path.mount, &self.at.mount);
        if crosses && self.flags.contains(WalkFlags::NO_CROSSING) {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// Goes to the parent directory, but never above the root.
    ///
    /// # Errors
    /// `EXDEV` as the flags say.
    pub fn step_up(&mut self) -> Result<()> {
        if self.flags.contains(WalkFlags::BENEATH) && self.at.is_same(&self.start) {
            return Err(Errno::EXDEV);
        }
        let up = parent_of(&self.at, &self.root);
        let up = self.cross_down(up)?;
        self.check_crossing(&up)?;
        self.at = up;
        Ok(())
    }

    /// Whether the walk goes through `child`, its last component, as a symbolic link.
    #[must_use]
    pub fn must_follow(&self, child: &Path) -> bool {
        child.inode().file_type() == FileType::SymbolicLink
            && (self.flags.contains(WalkFlags::FOLLOW) || self.directory_required)
    }

    /// Goes on where the symbolic link `link` leads.
    ///
    /// # Errors
    /// `ELOOP` past [`LINKS_MAX`] links or where the flags forbid them; `ENOENT` for an empty one; `EACCES`.
    pub fn follow(&mut self, link: &Path) -> Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX || self.flags.contains(WalkFlags::NO_SYMBOLIC_LINKS) {
            return Err(Errno::ELOOP);
        }
        match link.inode().read_link()? {
            LinkTarget::Text(text) if text.is_empty() => Err(Errno::ENOENT),
            LinkTarget::Text(text) => self.push(text),
            LinkTarget::Place(place) => {
                if self.flags.contains(WalkFlags::NO_MAGIC_LINKS) {
                    return Err(Errno::ELOOP);
                }
                if self.flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT) {
                    return Err(Errno::EXDEV);
                }
                self.check_crossing(&place)?;
                self.at = place;
                Ok(())
            }
        }
    }

    /// Whether the caller may search the directory where the walk stands.
    ///
    /// # Errors
    /// `ENOTDIR` if it is none, `EACCES`.
    pub fn check_search(&self) -> Result<()> {
        let inode = self.at.inode();
        if inode.file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        permission::check(&**inode, &self.viewer.credentials, Permission::EXECUTE)
    }

    /// Walks what is left of the path, links at its end included as the flags say.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn complete(mut self) -> Result<Path> {
        loop {
            match self.advance_to_last()? {
                Last::Here => break,
                Last::Dot => self.check_search()?,
                Last::DotDot => self.step_up()?,
                Last::Name(name) => {
                    let child = self.child(&name)?;
                    if self.must_follow(&child) {
                        self.follow(&child)?;
                        continue;
                    }
                    self.at = child;
                }
            }
            break;
        }
        self.finish()
    }

    /// Where the walk ended.
    ///
    /// # Errors
    /// `ENOTDIR` if only a directory will do and this is none.
    pub fn finish(self) -> Result<Path> {
        if self.directory_required && self.at.inode().file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.at)
    }
}

/// The directory above `path`, across mounts, but not above `root`.
#[must_use]
pub fn parent_of(path: &Path, root: &Path) -> Path {
    let mut at = path.clone();
    loop {
        if at.is_same(root) {
            return at;
        }
        if !Arc::ptr_eq(&at.dentry, at.mount.root()) {
            let parent = at.dentry.parent();
            return parent
                .map_or_else(|| at.clone(), |dentry| Path { dentry, mount: at.mount.clone() });
        }
        match at.mount.place() {
            Some(place) => at = place,
            None => return at,
        }
    }
}
