//! What does umoci's mtree say of a tree? The format of mtree(5), as go-mtree writes it: `tar_time` for times to the second, `xattr.NAME` for
//! extended attributes in base64, names as vis(3) has them.

use std::{
    collections::BTreeMap,
    io::{BufRead, Read},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use teu_rootfs::{Device, Node, Time};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind};

use super::{Entry, Fingerprint, Mark, is_of_the_image, order};

/// How much an mtree may ask of its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtreeLimits {
    /// Bytes of one line. Default 1 MiB.
    pub line_bytes: u64,
    /// Bytes in all: it is held in memory, about as large as it is. Default 1 GiB.
    pub total_bytes: u64,
}

impl Default for MtreeLimits {
    fn default() -> Self {
        Self {
            line_bytes: 1 << 20,
            total_bytes: 1 << 30,
        }
    }
}

/// Reads it whole, and sorts its entries into the order of a walk.
///
/// # Errors
/// `Invalid` for what is none, with the line; `TooLarge` where it reaches a limit.
pub fn read(mut from: impl BufRead, limits: MtreeLimits) -> teu_store::Result<Vec<Entry>> {
    let mut state = State::default();
    let (mut line, mut number, mut total) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let most = limits.line_bytes.saturating_add(1);
        let count = (&mut from).take(most).read_until(b'\n', &mut line)? as u64;
        if count == 0 {
            break;
        }
        number += 1;
        total += count;
        if count == most || total > limits.total_bytes {
            let (what, limit) = match count == most {
                true => ("line_bytes", limits.line_bytes),
                false => ("total_bytes", limits.total_bytes),
            };
            let message = format!(
                "line {number} of the mtree reaches the limit {what} of {limit} bytes; raise it only for a bundle that you trust"
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        state.line(line.strip_suffix(b"\n").unwrap_or(&line)).map_err(|what| {
            let message = format!("line {number} of the mtree: {what}; unpack the image anew");
            Error::new(ErrorKind::Invalid, message)
        })?;
    }
    let mut entries = state.entries;
    entries.sort_by(|one, other| order(&one.path, &other.path));
    if entries.windows(2).any(|two| two[0].path == two[1].path) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the mtree names a file twice; unpack the image anew",
        ));
    }
    Ok(entries)
}

/// What the lines so far mean for the next.
#[derive(Default)]
struct State {
    set: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The directory that relative names are in; none before the root.
    directory: Option<Vec<u8>>,
    entries: Vec<Entry>,
}

impl State {
    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let mut words = line
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return Ok(()) };
        if name.starts_with(b"#") {
            return Ok(());
        }
        if line.ends_with(b"\\") {
            return Err("it goes on in the next line, as umoci does not write it");
        }
        match name {
            b"/set" => {
                for word in words {
                    let (key, value) = split(word);
                    self.set.insert(key.to_vec(), value.to_vec());
                }
                Ok(())
            }
            b"/unset" => {
                for word in words {
                    match word {
                        b"all" => self.set.clear(),
                        key => {
                            self.set.remove(key);
                        }
                    }
                }
                Ok(())
            }
            b".." => self.up(),
            name => self.entry(name, words),
        }
    }

    fn up(&mut self) -> Result<(), &'static str> {
        self.directory = match &self.directory {
            None => return Err("it leaves a directory before one was entered"),
            Some(directory) if directory.is_empty() => None,
            Some(directory) => {
                let slash = directory.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                Some(directory[..slash].to_vec())
            }
        };
        Ok(())
    }

    fn entry<'a>(&mut self, name: &[u8], words: impl Iterator<Item = &'a [u8]>) -> Result<(), &'static str> {
        let name = unvis(name)?;
        let mut keys: BTreeMap<&[u8], &[u8]> = self.set.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        for word in words {
            let (key, value) = split(word);
            keys.insert(key, value);
        }
        let path = match &self.directory {
            None if name == b"." => Vec::new(),
            None => return Err("it names a file before the root"),
            Some(_) if matches!(&name[..], b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) => {
                return Err("it has a name that is none");
            }
            Some(directory) if directory.is_empty() => name,
            Some(directory) => [directory, &b"/"[..], &name].concat(),
        };
        let (entry, is_directory) = describe(path, &keys)?;
        if is_directory {
            self.directory = Some(entry.path.clone());
        } else if entry.path.is_empty() {
            return Err("its root is no directory");
        }
        self.entries.push(entry);
        Ok(())
    }
}

fn describe(path: Vec<u8>, keys: &BTreeMap<&[u8], &[u8]>) -> Result<(Entry, bool), &'static str> {
    let number = |key: &str, radix: u32| -> Result<u64, &'static str> {
        let text = keys.get(key.as_bytes()).ok_or("it lacks a key that umoci writes")?;
        let text = str::from_utf8(text).map_err(|_| "it has a number that is none")?;
        u64::from_str_radix(text, radix).map_err(|_| "it has a number that is none")
    };
    let small = |key, radix| -> Result<u32, &'static str> {
        u32::try_from(number(key, radix)?).map_err(|_| "it has a number that is too large")
    };
    let node = match keys.get(&b"type"[..]).copied() {
        Some(b"file") => Node::File(number("size", 10)?),
        Some(b"dir") => Node::Directory,
        Some(b"link") => Node::Symlink(unvis(keys.get(&b"link"[..]).ok_or("it has a link without a target")?)?),
        Some(b"fifo") => Node::Fifo,
        Some(b"socket") => Node::Socket,
        Some(b"char") => Node::CharDevice(Device::default()),
        Some(b"block") => Node::BlockDevice(Device::default()),
        _ => return Err("it has a type that is none"),
    };
    let digest = match (&node, keys.get(&b"sha256digest"[..])) {
        (Node::File(_), Some(hex)) => {
            let hex = str::from_utf8(hex).map_err(|_| "it has a digest that is none")?;
            let digest: Result<Digest, _> = format!("sha256:{hex}").parse();
            Some(digest.map_err(|_| "it has a digest that is none")?)
        }
        (Node::File(_), None) => return Err("it has a file without a digest"),
        _ => None,
    };
    // Of other kinds go-mtree does not ask for attributes.
    let xattrs = matches!(node, Node::File(_) | Node::Directory)
        .then(|| xattrs(keys).map(|xattrs| Fingerprint::of(&xattrs)))
        .transpose()?;
    let is_directory = node == Node::Directory;
    Ok((
        Entry {
            path,
            node,
            mode: small("mode", 8)?,
            uid: small("uid", 10)?,
            gid: small("gid", 10)?,
            links: number("nlink", 10)?,
            mtime: Time {
                seconds: seconds(keys.get(&b"tar_time"[..]).copied())?,
                nanoseconds: 0,
            },
            xattrs,
            withheld: BTreeMap::new(),
            mark: Mark::Content(digest),
        },
        is_directory,
    ))
}

fn xattrs(keys: &BTreeMap<&[u8], &[u8]>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, &'static str> {
    let mut xattrs = BTreeMap::new();
    for (key, value) in keys {
        if let Some(name) = key.strip_prefix(b"xattr.") {
            let value = STANDARD
                .decode(value)
                .map_err(|_| "it has an attribute that is not in base64")?;
            let name = unvis(name)?;
            if is_of_the_image(&name) {
                xattrs.insert(name, value);
            }
        }
    }
    Ok(xattrs)
}

fn seconds(text: Option<&[u8]>) -> Result<i64, &'static str> {
    let text =
        str::from_utf8(text.ok_or("it lacks a key that umoci writes")?).map_err(|_| "it has a time that is none")?;
    let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
    seconds.parse().map_err(|_| "it has a time that is none")
}

fn split(word: &[u8]) -> (&[u8], &[u8]) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(place) => (&word[..place], &word[place + 1..]),
        None => (word, b""),
    }
}

/// What vis(3) made of a name, undone: a backslash twice, or with three octal digits.
fn unvis(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = match (first, behind) {
            (b'\\', [b'\\', behind @ ..]) => {
                name.push(b'\\');
                behind
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) => {
                name.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                behind
            }
            (b'\\', _) => return Err("it has an escape that umoci does not write"),
            (byte, behind) => {
                name.push(*byte);
                behind
            }
        };
    }
    Ok(name)
}
