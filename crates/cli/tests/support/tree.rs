//! All that there is to see of a tree of files, as lines that can be compared.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use teu_spec::Digest;

/// What one file is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Kind and permissions.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds of the last change of its content.
    pub(crate) time: (i64, i64),
    /// The content of a file, the text of a link, the number of a device.
    pub(crate) what: String,
    /// Extended attributes with their values.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The first of all names of a file that has several.
    pub(crate) same_as: Option<String>,
}

/// A tree by its paths, which are escaped; the root has none.
pub(crate) type Tree = BTreeMap<String, Seen>;

/// Each file below, and what is in it.
pub(crate) fn content(below: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => directories.push(path),
                false => {
                    let name = path.strip_prefix(below).expect("below").display().to_string();
                    found.insert(name, fs::read(&path).expect("a file"));
                }
            }
        }
    }
    found
}

/// Looks at all of a tree.
pub(crate) fn tree(at: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut one: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    let mut wait = vec![PathBuf::new()];
    while let Some(path) = wait.pop() {
        let real = at.join(&path);
        let stat = real.symlink_metadata().expect("a file");
        let name = path.as_os_str().as_bytes().escape_ascii().to_string();
        let kind = stat.file_type();
        let what = if kind.is_dir() {
            let names = fs::read_dir(&real).expect("a directory");
            wait.extend(names.map(|entry| path.join(entry.expect("an entry").file_name())));
            String::new()
        } else if kind.is_symlink() {
            let target = fs::read_link(&real).expect("a link");
            format!("-> {}", target.as_os_str().as_bytes().escape_ascii())
        } else if kind.is_file() {
            format!("{} {}", stat.size(), Digest::of(&fs::read(&real).expect("content")))
        } else {
            format!("node {:x}", stat.rdev())
        };
        if stat.nlink() > 1 && !kind.is_dir() {
            one.entry((stat.dev(), stat.ino())).or_default().push(name.clone());
        }
        let seen = Seen {
            mode: stat.mode(),
            owner: (stat.uid(), stat.gid()),
            time: (stat.mtime(), stat.mtime_nsec()),
            what,
            attributes: attributes(&real),
            same_as: None,
        };
        tree.insert(name, seen);
    }
    for mut names in one.into_values() {
        names.sort();
        for name in &names {
            let seen = tree.get_mut(name).expect("it was seen");
            seen.same_as = Some(names[0].clone());
        }
    }
    tree
}

fn attributes(path: &Path) -> BTreeMap<String, String> {
    let mut names = vec![0_u8; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut value = vec![0_u8; 64 << 10];
    names
        .map(|name| {
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("a value");
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
            (text(name), text(&value[..length]))
        })
        .collect()
}

/// How two trees differ, a line for each path that does, one's before the other's; the first few of them.
pub(crate) fn difference(one: &Tree, other: &Tree) -> Vec<String> {
    let mut lines: Vec<String> = one
        .iter()
        .filter(|(path, seen)| other.get(*path) != Some(*seen))
        .map(|(path, seen)| format!("{path}: {seen:?}, and in the other {:?}", other.get(path)))
        .collect();
    let only = other.iter().filter(|(path, _)| !one.contains_key(*path));
    lines.extend(only.map(|(path, seen)| format!("{path}: only in the other: {seen:?}")));
    lines.truncate(20);
    lines
}
