//! Which files of an image are meant, and where do they go? As `cp` has it.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use teu_archive::Escaped;
use teu_store::{Error, ErrorKind, Result, Side};

use super::Options;
use crate::{
    contents::Entry,
    glob::{self, Pattern, clean},
    read,
    tree::{Answer, File, Tree},
};

/// A path of the image, or a pattern that means several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    path: Vec<u8>,
    /// The directory that a pattern is looked for in, and the pattern below it.
    pattern: Option<(Vec<u8>, Pattern)>,
}

impl Request {
    /// Reads what a person wrote. What has wildcards in it ([`Pattern`]) may be a path all the same: where a file has that very name, it is meant.
    /// Links are followed in the names before the first wildcard, and not behind it.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn new(path: &[u8]) -> Result<Self> {
        let Some(wild) = glob::wild(path) else {
            return Ok(Self {
                path: path.to_vec(),
                pattern: None,
            });
        };
        let begin = path[..wild]
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        let (directory, pattern) = path.split_at(begin);
        Ok(Self {
            path: path.to_vec(),
            pattern: Some((directory.to_vec(), Pattern::new(pattern)?)),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether it has wildcards, so that it may mean several files.
    #[must_use]
    pub fn may_be_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// The name of what it leads to; empty where it means what is in a directory.
    fn name(&self) -> &[u8] {
        let mut names = self.path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty());
        match names.next() {
            None | Some(b"." | b"..") => b"",
            Some(name) => name,
        }
    }
}

/// Says of an entry of a layer whether it may be among what is meant.
pub(super) fn speculation(requests: &[Request]) -> impl Fn(&Entry) -> bool + Send + Sync + use<> {
    let paths: Vec<Vec<u8>> = requests.iter().map(|request| request.path.clone()).collect();
    let by_name = read::speculation(&paths);
    let requests: Vec<(Vec<u8>, Option<Pattern>)> = requests
        .iter()
        .map(|request| match &request.pattern {
            Some((directory, pattern)) => (clean(directory), Some(pattern.clone())),
            None => (clean(&request.path), None),
        })
        .collect();
    move |entry| {
        let path = clean(&entry.path);
        let meant = requests.iter().any(|(directory, pattern)| {
            let below = match &directory[..] {
                [] => Some(&path[..]),
                directory => path.strip_prefix(directory).and_then(|rest| {
                    if rest.is_empty() {
                        Some(rest)
                    } else {
                        rest.strip_prefix(b"/")
                    }
                }),
            };
            match (below, pattern) {
                (Some(below), Some(pattern)) => pattern.covers(below),
                (below, None) => below.is_some(),
                (None, Some(_)) => false,
            }
        });
        // It is asked about every entry: it remembers links.
        by_name(entry) || meant
    }
}

/// Where files go.
#[derive(Debug)]
pub(super) struct Target {
    directory: PathBuf,
    /// What the one file is called there.
    name: Option<Vec<u8>>,
    /// The directory is there, as far as is known.
    is_there: bool,
}

impl Target {
    pub(super) fn of(destination: &Path, requests: &[Request], options: &Options) -> Self {
        let is_there = destination.is_dir();
        let several = requests.len() != 1 || requests.iter().any(Request::may_be_pattern) || options.parents;
        let slashed = destination.as_os_str().as_bytes().ends_with(b"/");
        match destination.file_name() {
            Some(name) if !is_there && !several && !slashed => Self {
                directory: match destination.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                    _ => PathBuf::from("."),
                },
                name: Some(name.as_bytes().to_vec()),
                is_there: true,
            },
            _ => Self {
                directory: destination.to_owned(),
                name: None,
                is_there,
            },
        }
    }

    /// The directory that files are put into.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory where nothing is, and says whether it did.
    pub(super) fn makes_directory(&self) -> Result<bool> {
        if self.is_there {
            return Ok(false);
        }
        match fs::create_dir(&self.directory) {
            Ok(()) => Ok(true),
            // Whether it is a directory is seen when it is opened.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = self.directory.parent().unwrap_or(&self.directory);
                Err(missing(parent).within(format!("making the directory {}", self.directory.display())))
            }
            Err(error) => Err(Error::from(error)
                .within(format!("making the directory {}", self.directory.display()))
                .on(Side::Destination)),
        }
    }
}

/// Nothing is where files are to go.
pub(super) fn missing(directory: &Path) -> Error {
    let message = format!("there is no directory {}; make that first", directory.display());
    Error::new(ErrorKind::NotFound, message).on(Side::Destination)
}

/// Something to take.
pub(super) struct Item<'t> {
    /// Where, in the target's directory; empty where what is in it goes there.
    pub(super) at: Vec<u8>,
    /// Its real path in the image.
    pub(super) from: Vec<u8>,
    pub(super) file: File<'t>,
    /// With what is in it.
    pub(super) whole: bool,
}

/// What the requests mean.
///
/// # Errors
/// `NotFound` for one that means nothing.
pub(super) fn items<'t>(
    tree: &'t Tree,
    requests: &[Request],
    target: &Target,
    options: &Options,
) -> Result<Vec<Item<'t>>> {
    let mut items = Vec::new();
    for request in requests {
        let answer = tree.answer(&request.path, !options.keep_links);
        match (answer, &request.pattern) {
            (Ok(Answer::Found(from, file)), _) => {
                let name = match &target.name {
                    Some(name) => name,
                    None => request.name(),
                };
                if request.name().is_empty() && !file.is_directory() {
                    return Err(read::absent(&request.path));
                }
                let at = match options.parents {
                    true => with_parents(tree, &request.path, &mut items)?,
                    false => name.to_vec(),
                };
                items.push(Item {
                    at,
                    from,
                    file,
                    whole: true,
                });
            }
            (Err(error), None) => return Err(error),
            (_, Some((directory, pattern))) => {
                let before = items.len();
                matching(tree, directory, pattern, options, &mut items)?;
                if items.len() == before {
                    let message = format!("nothing in the image is meant by \"{}\"", Escaped(&request.path));
                    return Err(Error::new(ErrorKind::NotFound, message));
                }
            }
            (Ok(Answer::Absent | Answer::Unknown), None) => return Err(read::absent(&request.path)),
        }
    }
    Ok(items)
}

/// Adds the files in `directory` that a pattern means, each with what is in it.
fn matching<'t>(
    tree: &'t Tree,
    directory: &[u8],
    pattern: &Pattern,
    options: &Options,
    items: &mut Vec<Item<'t>>,
) -> Result<()> {
    let Answer::Found(top, file) = tree.answer(directory, true)? else {
        return Ok(());
    };
    let mut walk = tree.walk_from(Vec::new(), file);
    // The directory itself is not meant.
    walk.next().transpose()?;
    while let Some(found) = walk.next() {
        let (below, file) = found?;
        if !pattern.matches(&below) {
            continue;
        }
        walk.pass_over();
        let name = below.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let at = match options.parents {
            true => with_parents(tree, &joined(&clean(directory), &below), items)?,
            false => name.to_vec(),
        };
        items.push(Item {
            at,
            from: joined(&top, &below),
            file,
            whole: true,
        });
    }
    Ok(())
}

/// Adds the directories above a path, as they are in the image; where the file goes that is called so.
fn with_parents<'t>(tree: &'t Tree, path: &[u8], items: &mut Vec<Item<'t>>) -> Result<Vec<u8>> {
    if path.split(|byte| *byte == b'/').any(|name| name == b"..") {
        let message = format!("\"{}\": a path that is to be kept is written without ..", Escaped(path));
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let path = clean(path);
    for (slash, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        if let Answer::Found(from, file) = tree.answer(&path[..slash], true)? {
            items.push(Item {
                at: path[..slash].to_vec(),
                from,
                file,
                whole: false,
            });
        }
    }
    Ok(path)
}

/// A path below another.
pub(super) fn joined(above: &[u8], below: &[u8]) -> Vec<u8> {
    match (above, below) {
        ([], below) => below.to_vec(),
        (above, []) => above.to_vec(),
        (above, below) => [above, b"/", below].concat(),
    }
}
