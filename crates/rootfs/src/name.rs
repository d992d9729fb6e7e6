//! What does a path of an untrusted tree name? A directory to resolve, and a name in it that no system call may follow.

use std::fmt;

use crate::{Budget, Error, Result, budget};

/// The last name of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf<'a> {
    /// The path says nothing but the root itself.
    Root,
    /// It ends in `..`: some directory that is there already.
    Up,
    /// A name in the directory: not empty, not `.`, not `..`, without a slash.
    Name(&'a [u8]),
}

/// A path in two: what is resolved, and what is made, replaced or removed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    /// The directory, to be resolved inside of the root; `.` for the root.
    pub(crate) parent: &'a [u8],
    pub(crate) leaf: Leaf<'a>,
    /// Parent and leaf, without what stands behind.
    pub(crate) whole: &'a [u8],
}

/// Splits a path and holds it against the limits of `budget`.
pub(crate) fn split<'a>(path: &'a [u8], budget: &Budget) -> Result<Split<'a>> {
    if path.contains(&0) {
        return Err(Error::refused(path, "its name has a NUL byte in it"));
    }
    if path.len() > budget.path_bytes {
        return Err(budget::reached(
            path,
            "path_bytes",
            budget.path_bytes as u64,
            format_args!("its path has {} bytes", path.len()),
        ));
    }
    let mut depth = 0;
    for name in path.split(|byte| *byte == b'/') {
        if name.len() > budget.name_bytes {
            return Err(budget::reached(
                path,
                "name_bytes",
                budget.name_bytes as u64,
                format_args!("a name in its path has {} bytes", name.len()),
            ));
        }
        depth += usize::from(!name.is_empty() && name != b".");
    }
    if depth > budget.depth {
        return Err(budget::reached(
            path,
            "depth",
            budget.depth as u64,
            format_args!("its path has {depth} names"),
        ));
    }
    Ok(parts(path))
}

/// Splits a path: slashes and `.` at its end say nothing more.
pub(crate) fn parts(path: &[u8]) -> Split<'_> {
    let mut whole = path;
    loop {
        whole = match whole {
            [before @ .., b'/'] | [before @ .., b'/', b'.'] => before,
            b"." => &[],
            _ => break,
        }
    }
    let (parent, name) = match whole.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&whole[..slash], &whole[slash + 1..]),
        None => (&whole[..0], whole),
    };
    let leaf = match name {
        b"" => Leaf::Root,
        b".." => Leaf::Up,
        name => Leaf::Name(name),
    };
    let or_root = |path: &'static [u8], given| if <[u8]>::is_empty(given) { path } else { given };
    Split {
        parent: or_root(b".", parent),
        leaf,
        whole: or_root(b".", whole),
    }
}

/// A path as text for a person: what is not printable is escaped, and its middle left out where it is very long.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BEGINNING: usize = 100;
        const END: usize = 200;
        let (beginning, end) = match self.0.len().checked_sub(BEGINNING + END) {
            None | Some(0) => (self.0, &[][..]),
            Some(middle) => (&self.0[..BEGINNING], &self.0[BEGINNING + middle..]),
        };
        formatter.write_str("\"")?;
        escaped(formatter, beginning)?;
        if !end.is_empty() {
            formatter.write_str("…")?;
            escaped(formatter, end)?;
        }
        formatter.write_str("\"")
    }
}

fn escaped(formatter: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    for chunk in text.utf8_chunks() {
        write!(formatter, "{}", chunk.valid().escape_debug())?;
        for byte in chunk.invalid() {
            write!(formatter, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_directory_and_a_name() {
        for (path, parent, leaf, whole) in [
            ("", ".", Leaf::Root, "."),
            (".", ".", Leaf::Root, "."),
            ("/", ".", Leaf::Root, "."),
            ("././/.", ".", Leaf::Root, "."),
            ("..", ".", Leaf::Up, ".."),
            ("a/../", "a", Leaf::Up, "a/.."),
            ("./..", ".", Leaf::Up, "./.."),
            ("a", ".", Leaf::Name(b"a"), "a"),
            ("/a//", ".", Leaf::Name(b"a"), "/a"),
            ("a/./b/.", "a/.", Leaf::Name(b"b"), "a/./b"),
            ("//a/b", "//a", Leaf::Name(b"b"), "//a/b"),
            ("..a/...", "..a", Leaf::Name(b"..."), "..a/..."),
            ("a.", ".", Leaf::Name(b"a."), "a."),
        ] {
            let split = parts(path.as_bytes());
            assert_eq!(
                split,
                Split {
                    parent: parent.as_bytes(),
                    leaf,
                    whole: whole.as_bytes()
                },
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_shown_has_no_terminal_obey_it() {
        assert_eq!(Shown(b"a\x1b[2J\n\xff").to_string(), r#""a\u{1b}[2J\n\xff""#);
        let (whole, long) = (
            [&[b'a'; 250][..], &[b'z'; 50]].concat(),
            [&[b'a'; 5000][..], b"/file"].concat(),
        );
        assert_eq!(
            Shown(&whole).to_string(),
            format!("\"{}{}\"", "a".repeat(250), "z".repeat(50))
        );
        let shown = format!("\"{}…{}/file\"", "a".repeat(100), "a".repeat(195));
        assert_eq!(Shown(&long).to_string(), shown);
    }
}
