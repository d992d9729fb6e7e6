//! What does a layer's entry say of the layers below it? Whiteouts, as image-spec's layer.md defines them: `.wh.NAME` hides what lower layers
//! have under NAME, and `.wh..wh..opq` all that they have in its directory. Neither hides anything of its own layer.

/// The beginning of a whiteout's name.
pub const PREFIX: &[u8] = b".wh.";
/// The name of an opaque whiteout.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry's name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// A file of this layer.
    Make,
    /// What lower layers have under this name, in this directory, is hidden.
    Hide {
        /// The directory, without a slash at its end; empty for the root.
        directory: &'a [u8],
        /// The name in it: not empty, not `.`, not `..`.
        name: &'a [u8],
    },
    /// All that lower layers have in this directory is hidden; empty for the root.
    Clear(&'a [u8]),
    /// A record of AUFS about itself (`.wh..wh.aufs`, `.wh..wh.plnk`), as old images have it; every engine passes over it.
    Foreign,
    /// A whiteout of nothing that has a name (`.wh.`, `.wh..`, `.wh...`): it is refused.
    Malformed,
}

/// Reads the name of an entry, which may be absolute and end in slashes.
#[must_use]
pub fn meaning(path: &[u8]) -> Meaning<'_> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path = &path[..end];
    let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    };
    let Some(hidden) = name.strip_prefix(PREFIX) else {
        return Meaning::Make;
    };
    if name == OPAQUE {
        return Meaning::Clear(directory);
    }
    match hidden {
        b"" | b"." | b".." => Meaning::Malformed,
        hidden if hidden.starts_with(PREFIX) => Meaning::Foreign,
        name => Meaning::Hide { directory, name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_specification_says() {
        let hide = |directory: &'static str, name: &'static str| Meaning::Hide {
            directory: directory.as_bytes(),
            name: name.as_bytes(),
        };
        for (path, expected) in [
            ("etc/passwd", Meaning::Make),
            ("etc/wh.passwd", Meaning::Make),
            ("etc.wh.d/passwd", Meaning::Make),
            ("", Meaning::Make),
            ("/", Meaning::Make),
            (".wh.a", hide("", "a")),
            ("etc/.wh.passwd", hide("etc", "passwd")),
            ("/etc/.wh.passwd", hide("/etc", "passwd")),
            ("./etc/.wh.passwd/", hide("./etc", "passwd")),
            ("a/.wh..hidden", hide("a", ".hidden")),
            ("a/.wh....", hide("a", "...")),
            (".wh..wh..opq", Meaning::Clear(b"")),
            ("a/b/.wh..wh..opq", Meaning::Clear(b"a/b")),
            ("a/.wh.", Meaning::Malformed),
            ("a/.wh..", Meaning::Malformed),
            ("a/.wh...", Meaning::Malformed),
            ("a/.wh..wh.plnk", Meaning::Foreign),
        ] {
            assert_eq!(meaning(path.as_bytes()), expected, "{path}");
        }
    }
}
