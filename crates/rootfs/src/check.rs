//! Which entries does no honest tree have? What can be said by an entry's own words, before any file is looked at: [`check`] is what
//! [`Writer`](crate::Writer) begins with, and whoever judges a tree without making it asks the same.

use rustix::fs::Timespec;

use crate::{
    Budget, Error, Metadata, Result,
    budget::reached,
    name::{Leaf, split},
    owners, xattrs,
};

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes<'a> {
    /// A directory.
    Directory,
    /// A regular file of this many bytes.
    File(u64),
    /// A symbolic link with this text.
    Symlink(&'a [u8]),
    /// Another name of what is at this path.
    HardLink(&'a [u8]),
    /// A pipe or a device.
    Node,
    /// Nothing: it removes what is there.
    Nothing,
}

/// Refuses what no honest tree asks for, and what reaches a limit.
///
/// # Errors
/// Why it is refused, with its path, or the limit that is reached.
pub fn check(path: &[u8], metadata: &Metadata, makes: Makes<'_>, budget: &Budget) -> Result<()> {
    let leaf = split(path, budget)?.leaf;
    match makes {
        Makes::Directory => said(path, metadata).map(drop),
        Makes::HardLink(target) => {
            named(path, leaf)?;
            link_target(path, target, budget)
        }
        Makes::Nothing => removable(path, leaf).map(drop),
        Makes::File(size) => {
            said(path, metadata)?;
            file_size(path, size, budget)?;
            named(path, leaf).map(drop)
        }
        Makes::Symlink(text) => {
            said(path, metadata)?;
            link_text(path, text, budget)?;
            named(path, leaf).map(drop)
        }
        Makes::Node => {
            said(path, metadata)?;
            named(path, leaf).map(drop)
        }
    }
}

/// Refuses metadata that no file can have; its time.
pub(crate) fn said(path: &[u8], metadata: &Metadata) -> Result<Timespec> {
    xattrs::check(path, &metadata.xattrs)?;
    owners::check(path, metadata)?;
    time(path, metadata)
}

fn time(path: &[u8], metadata: &Metadata) -> Result<Timespec> {
    // Greater numbers mean something else to the kernel than a time.
    if metadata.mtime.nanoseconds >= 1_000_000_000 {
        return Err(Error::refused(path, "its time has more than a second's nanoseconds"));
    }
    Ok(Timespec {
        tv_sec: metadata.mtime.seconds,
        tv_nsec: metadata.mtime.nanoseconds.into(),
    })
}

pub(crate) fn file_size(path: &[u8], size: u64, budget: &Budget) -> Result<()> {
    let limit = budget.file_bytes;
    match size > limit {
        true => Err(reached(
            path,
            "file_bytes",
            limit,
            format_args!("the file has {size} bytes"),
        )),
        false => Ok(()),
    }
}

pub(crate) fn link_text(path: &[u8], text: &[u8], budget: &Budget) -> Result<()> {
    if text.is_empty() || text.contains(&0) {
        return Err(Error::refused(
            path,
            "the text of the link is empty or has a NUL byte in it",
        ));
    }
    let limit = budget.path_bytes;
    match text.len() > limit {
        true => {
            let what = format_args!("the text of the link has {} bytes", text.len());
            Err(reached(path, "path_bytes", limit as u64, what))
        }
        false => Ok(()),
    }
}

/// Refuses a hard link whose target is certainly a directory.
fn link_target(path: &[u8], target: &[u8], budget: &Budget) -> Result<()> {
    match split(target, budget)?.leaf {
        Leaf::Name(_) => Ok(()),
        Leaf::Root | Leaf::Up => Err(link_to_directory(path)),
    }
}

pub(crate) fn link_to_directory(path: &[u8]) -> Error {
    Error::refused(path, "a hard link to a directory")
}

/// The name of what is made where only a directory can be without one.
pub(crate) fn named<'a>(path: &[u8], leaf: Leaf<'a>) -> Result<&'a [u8]> {
    match leaf {
        Leaf::Name(name) => Ok(name),
        Leaf::Root | Leaf::Up => Err(Error::refused(
            path,
            "it is the root, or a directory above, and nothing else can be there",
        )),
    }
}

/// The name of what is removed.
pub(crate) fn removable<'a>(path: &[u8], leaf: Leaf<'a>) -> Result<&'a [u8]> {
    match leaf {
        Leaf::Name(name) => Ok(name),
        Leaf::Root | Leaf::Up => Err(Error::refused(
            path,
            "only what has a name in a directory can be removed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_honest_tree_has_is_refused_by_its_own_words() {
        let long = [b'n'; 256];
        let deep = b"d/".repeat(2100);
        let text = [b't'; 4096];
        for (path, makes, why) in [
            (&b"a/b"[..], Makes::File(5), None),
            (b"..", Makes::Directory, None),
            (b"/", Makes::Directory, None),
            (b"a", Makes::Symlink(b"/etc/../.."), None),
            (b"a", Makes::HardLink(b"../b"), None),
            (b"a\0b", Makes::Directory, Some("NUL byte")),
            (&long, Makes::Node, Some("name_bytes is 255")),
            (&deep, Makes::Directory, Some("path_bytes is 4095")),
            (b"./", Makes::File(0), Some("it is the root")),
            (b"a/..", Makes::Symlink(b"b"), Some("it is the root")),
            (b"/", Makes::HardLink(b"b"), Some("it is the root")),
            (b"a", Makes::HardLink(b"b/.."), Some("a hard link to a directory")),
            (b"a", Makes::Symlink(b""), Some("text of the link is empty")),
            (b"a", Makes::Symlink(&text), Some("path_bytes is 4095")),
            (b"a", Makes::File(1 << 41), Some("file_bytes is 1099511627776")),
            (b"a/..", Makes::Nothing, Some("only what has a name")),
        ] {
            let said = check(path, &Metadata::default(), makes, &Budget::default());
            match (said, why) {
                (Ok(()), None) => {}
                (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
                (said, why) => panic!("{makes:?}: {said:?} instead of {why:?}"),
            }
        }
    }
}
