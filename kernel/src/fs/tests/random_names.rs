//! Random operations on names against a model: a map from paths to what they name.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};

use proptest::prelude::*;

use super::*;

/// What a path names: a directory, or a file by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Thing {
    Directory,
    File(u32),
}

#[derive(Default)]
struct Model {
    things: BTreeMap<String, Thing>,
    next_file: u32,
}

impl Model {
    fn parent_is_directory(&self, path: &str) -> bool {
        match path.rsplit_once('/') {
            None => true,
            Some((parent, _)) => self.things.get(parent) == Some(&Thing::Directory),
        }
    }

    fn has_children(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.things.keys().any(|other| other.starts_with(&prefix))
    }

    fn make(&mut self, path: &str, thing: Thing) -> bool {
        if self.things.contains_key(path) || !self.parent_is_directory(path) {
            return false;
        }
        self.things.insert(path.to_string(), thing);
        true
    }

    fn remove(&mut self, path: &str, removal: Removal) -> bool {
        let fits = match self.things.get(path) {
            Some(Thing::Directory) => removal == Removal::Directory && !self.has_children(path),
            Some(Thing::File(_)) => removal == Removal::File,
            None => false,
        };
        if fits {
            self.things.remove(path);
        }
        fits
    }

    fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(&source) = self.things.get(from) else { return false };
        if !self.parent_is_directory(to) || to.starts_with(&format!("{from}/")) {
            return false;
        }
        if from == to {
            return true;
        }
        if from.starts_with(&format!("{to}/")) {
            return false;
        }
        match (source, self.things.get(to)) {
            (_, None) => {}
            (Thing::Directory, Some(Thing::Directory)) if !self.has_children(to) => {}
            (Thing::File(one), Some(Thing::File(other))) => {
                if one == *other {
                    return true;
                }
            }
            _ => return false,
        }
        self.things.remove(to);
        let prefix = format!("{from}/");
        let moved: std::vec::Vec<(String, Thing)> = self
            .things
            .iter()
            .filter(|(path, _)| *path == from || path.starts_with(&prefix))
            .map(|(path, thing)| (path.clone(), *thing))
            .collect();
        for (path, thing) in moved {
            self.things.remove(&path);
            self.things.insert(format!("{to}{}", &path[from.len()..]), thing);
        }
        true
    }
}

fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(std::vec!["a", "b", "c"]), 1..4)
        .prop_map(|names| names.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn names_behave_like_a_map(steps in prop::collection::vec((0..6_u8, paths(), paths()), 1..60)) {
        let world = World::new();
        let mut model = Model::default();
        // Places that stay in use, as working directories do, keep dentries alive across the changes.
        let mut held = std::vec::Vec::new();
        for (action, path, other) in steps {
            match action {
                0 | 1 => {
                    let made = world.directory(&path);
                    prop_assert_eq!(made.is_ok(), model.make(&path, Thing::Directory));
                    held.extend(made);
                }
                2 => {
                    let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::WRITE_ONLY;
                    let number = model.next_file;
                    let file = world.open(&path, flags);
                    prop_assert_eq!(file.is_ok(), model.make(&path, Thing::File(number)));
                    if let Ok(file) = file {
                        file.write(&mut Source::kernel(&number.to_le_bytes())).expect("room");
                        model.next_file += 1;
                    }
                }
                3 => {
                    prop_assert_eq!(world.remove(&path, Removal::File).is_ok(), model.remove(&path, Removal::File));
                }
                4 => {
                    prop_assert_eq!(
                        world.remove(&path, Removal::Directory).is_ok(),
                        model.remove(&path, Removal::Directory)
                    );
                }
                _ => {
                    let renamed = world.rename(&path, &other, RenameMode::Replace);
                    prop_assert_eq!(renamed.is_ok(), model.rename(&path, &other), "{} to {}: {:?}", path, other, renamed);
                }
            }
            check(&world, &model)?;
        }
    }
}

/// Everything in the model is there, with its content, and its path's text leads back to it.
fn check(world: &World, model: &Model) -> core::result::Result<(), TestCaseError> {
    for (path, thing) in &model.things {
        let place = world.find(path);
        prop_assert!(place.is_ok(), "{} is missing", path);
        let Ok(place) = place else { continue };
        let (text, _) = place.text(&world.root()).expect("memory");
        prop_assert_eq!(text, format!("/{path}").into_bytes());
        match thing {
            Thing::Directory => {
                let prefix = format!("{path}/");
                let children = model.things.keys().filter(|other| {
                    other.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'))
                });
                prop_assert_eq!(world.list(path).len(), children.count());
            }
            Thing::File(number) => {
                prop_assert_eq!(world.read(path).expect("read"), number.to_le_bytes());
            }
        }
    }
    Ok(())
}
