//! From where to where? As the flags say, or the references themselves; and what each image is called there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use teu_spec::{Pick, Reference, RegistryReference};
use teu_store::{Error, ErrorKind, Side};

use super::listed::From;
use crate::{
    arguments::{Sync, SyncDestination, SyncSource},
    failure::Failure,
};

/// Where many images go.
pub(super) enum To {
    /// Behind this, which ends in no slash.
    Registry(String),
    Directory(PathBuf),
    Layout(PathBuf),
}

/// Reads both ends.
pub(super) fn read(arguments: &Sync) -> Result<(From, To), Failure> {
    let sources = [
        ("docker", SyncSource::Docker),
        ("dir", SyncSource::Dir),
        ("oci", SyncSource::Oci),
        ("yaml", SyncSource::Yaml),
    ];
    let destinations = [
        ("docker", SyncDestination::Docker),
        ("dir", SyncDestination::Dir),
        ("oci", SyncDestination::Oci),
    ];
    let (source, from) = end(&arguments.source, arguments.src, &sources, ("SOURCE", "--src"))?;
    let (destination, to) = end(
        &arguments.destination,
        arguments.dest,
        &destinations,
        ("DESTINATION", "--dest"),
    )?;
    if (source, destination) == (SyncSource::Dir, SyncDestination::Dir) {
        let message = "sync from 'dir' to 'dir' not implemented, consider using rsync instead";
        return Err(Failure::Usage(message.to_owned()));
    }
    let from = match source {
        SyncSource::Docker => From::Registry(in_registry(from)?),
        SyncSource::Dir => From::Directory(directory(from)?),
        SyncSource::Yaml => From::List(from.into()),
        SyncSource::Oci => From::Layout(layout(from)?),
    };
    let to = match destination {
        SyncDestination::Docker => To::Registry(to.trim_end_matches('/').to_owned()),
        SyncDestination::Dir => To::Directory(directory(to)?),
        SyncDestination::Oci => To::Layout(layout(to)?),
    };
    Ok((from, to))
}

/// What one end is, as a flag says or the end itself, and its name or path. Both may say so, if they say the same.
fn end<'a, T: Copy + PartialEq>(
    input: &'a str,
    flag: Option<T>,
    kinds: &[(&str, T)],
    (which, name): (&str, &str),
) -> Result<(T, &'a str), Failure> {
    let said = kinds.iter().find_map(|(transport, kind)| {
        let mark = match *transport {
            "docker" => "docker://".to_owned(),
            other => format!("{other}:"),
        };
        Some((*kind, input.strip_prefix(&mark)?))
    });
    match (flag, said) {
        (None, Some(said)) => Ok(said),
        (Some(kind), None) => Ok((kind, input)),
        (Some(kind), Some((other, rest))) if kind == other => Ok((kind, rest)),
        (Some(_), Some(_)) => Err(Failure::Usage(format!(
            "{which} is {input:?}, and {name} says something else"
        ))),
        (None, None) => {
            let marks = kinds.iter().map(|(transport, _)| match *transport {
                "docker" => "docker://".to_owned(),
                other => format!("{other}:"),
            });
            Err(Failure::Usage(format!(
                "it is not said what {which}, {input:?}, is; begin it with {}, or say it by {name}",
                marks.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

/// What has a transport, or a flag for one, is no short name: Docker's own registry is meant.
fn in_registry(name: &str) -> Result<RegistryReference, Failure> {
    let mut image: RegistryReference = name.parse()?;
    image.short = None;
    Ok(image)
}

fn layout(path: &str) -> Result<PathBuf, Failure> {
    match path.contains(':') {
        true => Err(Failure::Usage(format!(
            "a layout is a directory here, and a colon can stand in no path to one: {path:?}"
        ))),
        false => directory(path),
    }
}

fn directory(path: &str) -> Result<PathBuf, Failure> {
    match path.is_empty() || path.contains('\0') {
        true => Err(Failure::Usage(format!("{path:?} names no directory"))),
        false => Ok(path.into()),
    }
}

impl To {
    /// Where the image of this name goes, and what it is called there.
    pub(super) fn of(&self, name: &str, scoped: bool, suffix: &str) -> Result<(Reference, String), Failure> {
        let kept = match scoped {
            true => name,
            false => name.rsplit_once('/').map_or(name, |(_, last)| last),
        };
        let name = format!("{kept}{suffix}");
        Ok(match self {
            Self::Registry(prefix) => {
                let read: RegistryReference = kept.parse()?;
                // The tag that a registry would give it, so that no two get one unseen.
                let name = match (read.tag, read.digest) {
                    (None, None) => format!("{kept}:latest{suffix}"),
                    _ => name,
                };
                (Reference::Registry(in_registry(&format!("{prefix}/{name}"))?), name)
            }
            Self::Directory(path) => {
                // A layout's names are anybody's; a registry's are such already.
                name.parse::<RegistryReference>()?;
                (Reference::Directory { path: path.join(&name) }, name)
            }
            Self::Layout(path) => {
                let pick = Pick::Name(name.clone());
                let read = Reference::parse(&format!("oci:x:{name}"))?;
                if !matches!(read, Reference::Layout { pick: ref read, .. } if *read == pick) {
                    return Err(Failure::Usage(format!(
                        "{name:?} cannot be the name of an image in a layout"
                    )));
                }
                let place = Reference::Layout {
                    path: path.clone(),
                    pick,
                };
                (place, name)
            }
        })
    }
}

/// That a directory for one image is not there yet, as skopeo has it.
pub(super) fn check_room(to: &Reference) -> Result<(), Failure> {
    match to {
        Reference::Directory { path } if path.symlink_metadata().is_ok() => {
            let message = format!(
                "refusing to overwrite the directory {}; remove it, or sync into another",
                path.display()
            );
            Err(Failure::from(Error::new(ErrorKind::Conflict, message)).on(Side::Destination))
        }
        _ => Ok(()),
    }
}

/// The same, and the directories above it, which it needs.
pub(super) fn make_room(to: &Reference) -> Result<(), Failure> {
    check_room(to)?;
    let Reference::Directory { path } = to else {
        return Ok(());
    };
    let above = path.parent().unwrap_or(Path::new("."));
    let made = fs::create_dir_all(above);
    made.map_err(|error| {
        Error::from(error)
            .within(format!("making {}", above.display()))
            .on(Side::Destination)
    })?;
    Ok(())
}
