//! How does a layer become one without some of its files, or with other times? It is read strictly and written entry by entry; nothing of it
//! is held but what is said of hard links.
//!
//! A hard link to a file that goes does not break: the first that stays becomes the file, at the place where the file stood, and the others link
//! to that. A link to a file of another layer that goes cannot become it, and is refused.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Read,
};

use teu_archive::{
    Escaped,
    tar::{self, EntryKind, Header, Reader},
};
use teu_store::{Error, ErrorKind, Result};

use super::names::{Ways, parted};
use crate::{
    glob::Pattern,
    layer::{Times, Writer},
    layers::Opened,
    whiteout::{self, Meaning},
};

/// Which files are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Which {
    /// Of the paths at which they really lie.
    pub(super) patterns: Vec<Pattern>,
    /// Where the names lead that the layer has.
    pub(super) ways: Ways,
}

/// What a layer has of what is to go.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The patterns that mean a file in it.
    pub(super) matched: HashSet<usize>,
    /// Whether any entry goes.
    pub(super) removes: bool,
    /// What else becomes of entries, by their number.
    links: HashMap<u64, Link>,
}

/// What becomes of an entry because of a hard link.
#[derive(Debug)]
enum Link {
    /// A file that goes is this link, which stands at this number.
    Inherited(Vec<u8>, u64),
    /// The link that has become the file.
    Heir,
    /// The link is to this file.
    To(Vec<u8>),
}

/// A name that goes, as links to it are to be read.
enum Gone {
    /// It was a file, with this number, and what links to it is this link, once there is one.
    File(u64, Option<Vec<u8>>),
    /// It was a link itself, to what is left under this name.
    Link(Vec<u8>),
}

/// Finds out what is to be done to a layer.
pub(super) fn look(layer: Opened, which: &Which, limits: tar::Limits) -> Result<Found> {
    let mut found = Found::default();
    let mut gone: HashMap<Vec<u8>, Gone> = HashMap::new();
    let mut reader = Reader::buffered(layer, limits);
    let mut number = 0;
    while let Some(mut entry) = reader.next_entry()? {
        let header = entry.take_header();
        let path = which.ways.real(&header.path);
        let meant = meant(&header, &path, which);
        let is_link = header.kind == EntryKind::HardLink;
        let target = if is_link {
            which.ways.real(&header.link)
        } else {
            Vec::new()
        };
        if !meant.is_empty() {
            found.removes = true;
            if !is_whiteout(&header) {
                found.matched.extend(meant);
            }
            let what = match is_link {
                true => match gone.get(&target) {
                    // A link to what goes: what links to this, links to what that has become.
                    Some(Gone::File(..)) => Gone::Link(target),
                    Some(Gone::Link(further)) => Gone::Link(further.clone()),
                    None => Gone::Link(target),
                },
                false => Gone::File(number, None),
            };
            gone.insert(path, what);
        } else if is_link {
            let mut name = target;
            let mut renamed = false;
            if let Some(Gone::Link(further)) = gone.get(&name) {
                name = further.clone();
                renamed = true;
            }
            match gone.get_mut(&name) {
                Some(Gone::File(file, heir @ None)) => {
                    // Where it really is: a link that leads there may stand between.
                    *heir = Some(path.clone());
                    found.links.insert(*file, Link::Inherited(path, number));
                    found.links.insert(number, Link::Heir);
                }
                Some(Gone::File(_, Some(heir))) => {
                    found.links.insert(number, Link::To(heir.clone()));
                }
                _ if is_covered(&name, &which.patterns) => return Err(of_another_layer(&header)),
                _ if renamed => {
                    found.links.insert(number, Link::To(name));
                }
                _ => {}
            }
        } else {
            // Another file of that name.
            gone.remove(&path);
        }
        number += 1;
    }
    reader.finish()?;
    Ok(found)
}

/// Writes a layer as it is to be, and says whether that is different.
pub(super) fn write(
    layer: Opened,
    writer: &mut Writer<'_>,
    which: &Which,
    mut found: Found,
    times: Times,
    limits: tar::Limits,
) -> Result<bool> {
    let mut changed = found.removes;
    // Links that stand at the places of their files already, by the numbers of their own.
    let mut early: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut reader = Reader::buffered(layer, limits);
    let mut number = 0;
    while let Some(mut entry) = reader.next_entry()? {
        let mut header = entry.take_header();
        let path = which.ways.real(&header.path);
        changed |= retimes(&header, times);
        match found.links.remove(&number) {
            Some(Link::Heir) => {
                early.remove(&path);
            }
            Some(Link::Inherited(heir, place)) => {
                early.insert(heir.clone(), place);
                header.path = heir;
                append(writer, &header, &mut entry)?;
            }
            other => {
                let goes = !meant(&header, &path, which).is_empty();
                if !goes {
                    check_order(&header, &path, &early)?;
                    if let Some(Link::To(file)) = other {
                        header.link = file;
                    }
                    append(writer, &header, &mut entry)?;
                }
            }
        }
        number += 1;
    }
    reader.finish()?;
    Ok(changed)
}

fn append(writer: &mut Writer<'_>, header: &Header, content: impl Read) -> Result<()> {
    match header.kind {
        EntryKind::Regular => writer.append_from(header, content),
        _ => writer.append(header),
    }
}

/// The patterns that an entry is meant by.
fn meant(header: &Header, path: &[u8], which: &Which) -> Vec<usize> {
    if which.patterns.is_empty() {
        return Vec::new();
    }
    let hidden;
    let path = match whiteout::meaning(&header.path) {
        // A whiteout of what is nowhere any more goes too, and with it the name.
        Meaning::Hide { directory, name } => {
            hidden = which.ways.real(&[directory, name].join(&b'/'));
            &hidden
        }
        // What clears a directory goes with that: it is no file in it.
        Meaning::Clear(_) => parted(path).0,
        _ => path,
    };
    let means = |(place, pattern): (usize, &Pattern)| pattern.covers(path).then_some(place);
    which.patterns.iter().enumerate().filter_map(means).collect()
}

fn is_covered(path: &[u8], patterns: &[Pattern]) -> bool {
    patterns.iter().any(|pattern| pattern.covers(path))
}

fn is_whiteout(header: &Header) -> bool {
    !matches!(whiteout::meaning(&header.path), Meaning::Make)
}

fn retimes(header: &Header, times: Times) -> bool {
    let all = [Some(header.mtime), header.atime, header.ctime];
    all.into_iter().flatten().any(|time| times.apply(time) != time)
}

/// A link that has become its file stands before its turn. What stands in between must not make another file of it.
fn check_order(header: &Header, path: &[u8], early: &BTreeMap<Vec<u8>, u64>) -> Result<()> {
    let below = [path, b"/"].concat();
    let within = early.range(below.clone()..).next();
    let replaces_parent =
        header.kind != EntryKind::Directory && within.is_some_and(|(link, _)| link.starts_with(&below));
    if early.contains_key(path) || replaces_parent {
        let message = format!(
            "{} stands between a file that goes and a hard link to it, which has to become that file; remove the link too",
            Escaped(&header.path)
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(())
}

fn of_another_layer(header: &Header) -> Error {
    let message = format!(
        "{} is a hard link to {}, which goes, and whose content is in another layer; remove the link too",
        Escaped(&header.path),
        Escaped(&header.link)
    );
    Error::new(ErrorKind::Unsupported, message)
}
