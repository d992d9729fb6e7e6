//! Which paths of an image does a person mean? [`Pattern`]: a path, or what a shell would take for several; [`path_in_image`]: where something is put.
//!
//! Paths are bytes, UTF-8 or not, and counted from the image's root whether they begin with a slash or not. `*` is any number of bytes within one
//! name, `?` one, `[a-z]` and `[!a-z]` one of some or none of them; `**` crosses slashes, and `**/` may be no directory at all; `\` takes the
//! meaning away from what follows. `..` before all of these is the directory above, and at the root the root. A pattern follows no links: whoever does,
//! leads the names before the first wildcard through the tree first. It takes time proportional to the lengths of path and pattern multiplied, whatever
//! the pattern.

use std::convert::Infallible;

use teu_archive::Escaped;
use teu_rootfs::{Budget, Makes, Metadata};
use teu_store::{Error, ErrorKind, Result};

use crate::{failure::of_files, whiteout};

/// The longest pattern, in bytes: as long as a path can be.
const MAX_PATTERN: usize = 4096;

/// A path with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// One byte that is no slash.
    Any,
    /// One byte of, or not of, these ranges; never a slash.
    Class(bool, Vec<(u8, u8)>),
    /// Any number of bytes that are no slashes.
    Name,
    /// Any number of bytes.
    Path,
    /// Nothing, or any number of whole directories: what the next of them begins with, or what follows them.
    Directories,
    /// The rest of one of these, up to its slash. It stands behind each [`Self::Directories`].
    InDirectory,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `Invalid` for one that is empty, means the root, has `..` behind a wildcard, or a `[` without its `]`; `TooLarge` beyond 4096 bytes.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self> {
        let text = text.as_ref();
        read(text)?.ok_or_else(|| invalid(text, "it means no file"))
    }

    /// Reads several, which mean what any of them does. None where one of them is the root, which stands for all that is in it.
    ///
    /// # Errors
    /// As [`Pattern::new`], but for the root.
    pub fn all<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Result<Vec<Self>> {
        let patterns: Vec<Option<Self>> = texts.into_iter().map(read).collect::<Result<_>>()?;
        Ok(patterns.into_iter().collect::<Option<_>>().unwrap_or_default())
    }

    /// As it was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The one path that it means, where it has no wildcards.
    pub(crate) fn path(&self) -> Option<Vec<u8>> {
        let byte = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        };
        self.tokens.iter().map(byte).collect()
    }

    /// Whether it means this path, which is [clean].
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.ends(path).last().copied().unwrap_or_default()
    }

    /// Whether it means this path or a directory that it is in.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        let ends = self.ends(path);
        ends.iter()
            .enumerate()
            .any(|(end, matched)| *matched && (end == path.len() || path[end] == b'/'))
    }

    /// For each beginning of `path`, from the empty one, whether it is meant.
    fn ends(&self, path: &[u8]) -> Vec<bool> {
        let last = self.tokens.len();
        // Which tokens can be the next, after what was seen of the path; behind the last one all of the pattern was.
        let mut now = vec![false; last + 1];
        now[0] = true;
        self.pass_over(&mut now);
        let mut ends = vec![now[last]];
        let mut next = vec![false; last + 1];
        for byte in path {
            next.fill(false);
            for (place, token) in self.tokens.iter().enumerate().filter(|(place, _)| now[*place]) {
                let slash = *byte == b'/';
                match token {
                    Token::Byte(wanted) => next[place + 1] |= byte == wanted,
                    Token::Any => next[place + 1] |= !slash,
                    Token::Class(wanted, ranges) => {
                        let within = ranges.iter().any(|(low, high)| (low..=high).contains(&byte));
                        next[place + 1] |= within == *wanted && !slash;
                    }
                    Token::Name => next[place] |= !slash,
                    Token::Path => next[place] = true,
                    Token::Directories if slash => next[place] = true,
                    Token::Directories => next[place + 1] = true,
                    Token::InDirectory if slash => next[place - 1] = true,
                    Token::InDirectory => next[place] = true,
                }
            }
            std::mem::swap(&mut now, &mut next);
            self.pass_over(&mut now);
            ends.push(now[last]);
        }
        ends
    }

    /// Goes on behind what may be nothing.
    fn pass_over(&self, states: &mut [bool]) {
        for (place, token) in self.tokens.iter().enumerate() {
            if states[place] {
                match token {
                    Token::Name | Token::Path => states[place + 1] = true,
                    Token::Directories => states[place + 2] = true,
                    _ => {}
                }
            }
        }
    }
}

/// Where the first wildcard stands in what may be a pattern; none where it has none and means the one path.
pub(crate) fn wild(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| b"*?[\\".contains(byte))
}

/// Reads a pattern; none where it is the root.
fn read(text: &[u8]) -> Result<Option<Pattern>> {
    if text.len() > MAX_PATTERN {
        let message = format!(
            "a pattern of {} bytes is longer than the limit of {MAX_PATTERN}; name a directory above, or shorten names by *",
            text.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let names = names(text, |before| {
        if before.iter().any(|name| wild(name).is_some()) {
            return Err(invalid(text, "write .. before the first wildcard only"));
        }
        before.pop();
        Ok(())
    })?;
    if names.is_empty() {
        return match text {
            b"" => Err(invalid(text, "it means no file")),
            _ => Ok(None),
        };
    }
    match tokens(&names.join(&b'/')) {
        Some(tokens) => Ok(Some(Pattern {
            text: text.to_vec(),
            tokens,
        })),
        None => Err(invalid(text, "a [ has no ] behind it, or a \\ nothing")),
    }
}

fn invalid(text: &[u8], reason: &str) -> Error {
    let message = format!("\"{}\" is no pattern of paths: {reason}", Escaped(text));
    Error::new(ErrorKind::Invalid, message)
}

/// Takes a pattern apart; none where it is malformed.
fn tokens(pattern: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        let begins = at == 0 || pattern[at - 1] == b'/';
        match byte {
            b'\\' => {
                tokens.push(Token::Byte(*pattern.get(at + 1)?));
                at += 1;
            }
            b'*' if pattern[at..].starts_with(b"**/") && begins => {
                tokens.extend([Token::Directories, Token::InDirectory]);
                at += 2;
            }
            b'*' if pattern[at..].starts_with(b"**") => {
                tokens.push(Token::Path);
                at += 1;
            }
            b'*' => tokens.push(Token::Name),
            b'?' => tokens.push(Token::Any),
            b'[' => {
                let (class, length) = class(&pattern[at + 1..])?;
                tokens.push(class);
                at += length;
            }
            byte => tokens.push(Token::Byte(*byte)),
        }
        at += 1;
    }
    Some(tokens)
}

/// Reads what stands behind a `[`, and how many bytes that is, with the `]`.
fn class(text: &[u8]) -> Option<(Token, usize)> {
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let mut low = *text.get(at)?;
        if low == b']' && at > first {
            return Some((Token::Class(!negated, ranges), at + 1));
        }
        if low == b'\\' {
            at += 1;
            low = *text.get(at)?;
        }
        let mut high = low;
        if text.get(at + 1) == Some(&b'-') && text.get(at + 2).is_some_and(|byte| *byte != b']') {
            at += 2;
            high = *text.get(at)?;
        }
        ranges.push((low, high));
        at += 1;
    }
}

/// A path of an archive as all that means the same file is written: from the root, without `.`, `..`, empty names and a slash at its end. What
/// leads out of the root stays in it; the root itself is empty.
#[must_use]
pub fn clean(path: &[u8]) -> Vec<u8> {
    let Ok(names) = names(path, |before| {
        before.pop();
        Ok::<_, Infallible>(())
    });
    names.join(&b'/')
}

/// Reads a path at which something is put or hidden, as a person writes it: from the root, with or without a slash at its beginning. Empty for the root.
///
/// # Errors
/// `Invalid` where `..` is in it, whose meaning would depend on the links of the image, or a name that would hide something; `TooLarge` for what
/// `budget` has no name or path for.
pub fn path_in_image(path: &[u8], budget: &Budget) -> Result<Vec<u8>> {
    let refused = |why: &str| Error::new(ErrorKind::Invalid, format!("{}: {why}", Escaped(path)));
    let names = names(path, |_| Err(refused("write the path in the image without ..")))?;
    if names.iter().any(|name| name.starts_with(whiteout::PREFIX)) {
        return Err(refused(
            "in a layer a name that begins with .wh. hides another file, and is none itself",
        ));
    }
    let path = names.join(&b'/');
    if !path.is_empty() {
        teu_rootfs::check(&path, &Metadata::default(), Makes::Node, budget).map_err(of_files)?;
    }
    Ok(path)
}

/// The names of a path, of which empty ones and `.` say nothing; `up` does with those before it what `..` means.
fn names<'p, E>(
    path: &'p [u8],
    up: impl Fn(&mut Vec<&'p [u8]>) -> std::result::Result<(), E>,
) -> std::result::Result<Vec<&'p [u8]>, E> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => up(&mut names)?,
            name => names.push(name),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_a_shell_takes_them_for() {
        for (pattern, path, matches) in [
            ("etc/passwd", "etc/passwd", true),
            ("/etc/passwd", "etc/passwd", true),
            ("./etc/passwd/", "etc/passwd", true),
            ("//etc//./passwd", "etc/passwd", true),
            ("etc/ssl/../passwd", "etc/passwd", true),
            ("../etc/ssl/../pass*", "etc/passwd", true),
            ("etc/passwd", "etc/passwd-", false),
            ("etc/*", "etc/passwd", true),
            ("etc/*", "etc", false),
            ("etc/*", "etc/ssl/key", false),
            ("*.pyc", "a.pyc", true),
            ("*.pyc", "b/a.pyc", false),
            ("**/*.pyc", "a.pyc", true),
            ("**/*.pyc", "b/c/a.pyc", true),
            ("**/a", "b/ca", false),
            ("b/**/a", "b/a", true),
            ("b/**/a", "b/c/d/a", true),
            ("b/**/a", "bb/a", false),
            ("b/**", "b/c/d", true),
            ("b/**", "b", false),
            ("b**d", "b/c/d", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "/x", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("a[\\]]", "a]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            let read = Pattern::new(pattern).expect("a pattern");
            assert_eq!(read.matches(path.as_bytes()), matches, "{pattern} {path}");
        }
        for (pattern, path) in [
            (&b"a?"[..], &b"a\xff"[..]),
            (b"caf\xe9", b"caf\xe9"),
            (b"[\xe0-\xef]*", b"\xe9t\xe9"),
        ] {
            assert!(Pattern::new(pattern).expect("a pattern").matches(path), "{pattern:?}");
        }
    }

    #[test]
    fn the_root_stands_for_all() {
        let all = |texts: &[&str]| Pattern::all(texts.iter().map(|text| text.as_bytes()));
        for root in ["/", ".", "./", "..", "etc/..", "/../."] {
            assert_eq!(all(&["etc", root]).expect("patterns"), [], "{root}");
        }
        assert_eq!(all(&["etc", "b/"]).expect("patterns").len(), 2);
        assert!(all(&["etc", ""]).is_err());
    }

    #[test]
    fn what_is_in_a_directory_is_covered() {
        for (pattern, path, covers) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "ab", false),
            ("a/*", "a/b/c", true),
            ("*/b", "a/bc", false),
            ("**/cache", "var/cache/x", true),
        ] {
            let read = Pattern::new(pattern).expect("a pattern");
            assert_eq!(read.covers(path.as_bytes()), covers, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for pattern in ["", "/", "./", ".", "a/..", "a[b", "a\\", "[a-", "*/../b", "\\a/.."] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::new("a".repeat(4097)).is_err());
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::new(format!("{}b", "*a".repeat(1000))).expect("a pattern");
        let began = std::time::Instant::now();
        assert!(!pattern.matches(&b"a".repeat(4000)));
        assert!(began.elapsed().as_secs() < 60);
    }

    #[test]
    fn a_path_has_one_clean_form() {
        for (path, expected) in [
            ("a/b", "a/b"),
            ("/a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("a/../b", "b"),
            ("../../b", "b"),
            ("./", ""),
            ("..", ""),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
