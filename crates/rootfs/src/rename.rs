//! How does something get a name that nothing may have? All at once, where the file system can; never over anything.

use std::os::fd::AsFd;

use rustix::{
    fs::{self, AtFlags, RenameFlags},
    io::{Errno, Result},
};

/// Gives what is called `from` the name `to` in another directory of the same file system. What has that name stays, and is said to be there (`EXIST`).
///
/// A file system without such a rename has a file get a second name first, which replaces nothing either. One that knows no second names, or of a
/// directory, is looked at before: what somebody else puts there in that moment is replaced, but a directory only by a directory, and only an empty one.
pub(crate) fn rename_new(from_parent: impl AsFd, from: &[u8], to_parent: impl AsFd, to: &[u8]) -> Result<()> {
    match fs::renameat_with(&from_parent, from, &to_parent, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {}
        other => return other,
    }
    match by_second_name(&from_parent, from, &to_parent, to) {
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    by_looking(from_parent, from, to_parent, to)
}

fn by_second_name(from_parent: impl AsFd, from: &[u8], to_parent: impl AsFd, to: &[u8]) -> Result<()> {
    fs::linkat(&from_parent, from, to_parent, to, AtFlags::empty())?;
    fs::unlinkat(from_parent, from, AtFlags::empty())
}

fn by_looking(from_parent: impl AsFd, from: &[u8], to_parent: impl AsFd, to: &[u8]) -> Result<()> {
    match fs::statat(&to_parent, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => fs::renameat(from_parent, from, to_parent, to),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{File, create_dir, read_dir, read_link, write},
        os::unix::fs::symlink,
    };

    use super::*;

    type Way = fn(&File, &[u8], &File, &[u8]) -> Result<()>;

    /// Each way alone, as file systems are not to be had here that lack the others.
    const WAYS: [(&str, Way); 3] = [
        ("at once", |from, name, to, new| rename_new(from, name, to, new)),
        ("by a second name", |from, name, to, new| {
            by_second_name(from, name, to, new)
        }),
        ("by looking", |from, name, to, new| by_looking(from, name, to, new)),
    ];

    #[test]
    fn a_name_is_given_and_nothing_replaced() {
        for (way, rename) in WAYS {
            let home = tempfile::tempdir().expect("a directory");
            let path = |name: &str| home.path().join(name);
            for name in ["from", "to", "to/empty"] {
                create_dir(path(name)).expect("made");
            }
            for name in ["from/file", "from/other", "to/taken"] {
                write(path(name), name).expect("written");
            }
            for name in ["from/link", "to/dangling"] {
                symlink("nowhere", path(name)).expect("a link");
            }
            let (from, to) = (
                File::open(path("from")).expect("there"),
                File::open(path("to")).expect("there"),
            );
            assert_eq!(rename(&from, b"file", &to, b"new"), Ok(()), "{way}");
            assert_eq!(rename(&from, b"link", &to, b"link"), Ok(()), "{way}");
            for name in ["taken", "dangling", "empty"] {
                let renamed = rename(&from, b"other", &to, name.as_bytes());
                assert_eq!(renamed, Err(Errno::EXIST), "{way}: {name}");
            }
            assert_eq!(read_link(path("to/link")).expect("a link").as_os_str(), "nowhere");
            let left = read_dir(path("from")).expect("a directory");
            let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
            assert_eq!(left, ["other"], "{way}");
        }
    }

    #[test]
    fn a_directory_has_no_second_name_and_is_moved_nevertheless() {
        for (way, rename) in WAYS {
            let home = tempfile::tempdir().expect("a directory");
            create_dir(home.path().join("directory")).expect("made");
            create_dir(home.path().join("empty")).expect("made");
            let at = File::open(home.path()).expect("there");
            let expected = match way {
                "by a second name" => [Err(Errno::EXIST), Err(Errno::PERM)],
                _ => [Err(Errno::EXIST), Ok(())],
            };
            let renamed = [&b"empty"[..], b"new"].map(|new| rename(&at, b"directory", &at, new));
            assert_eq!(renamed, expected, "{way}");
        }
    }
}
