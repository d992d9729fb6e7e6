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
    let (said, rest) = transport(&arguments.source);
    let source = match (arguments.src, said) {
        (Some(source), _) => (source, arguments.source.as_str()),
        (None, Some("docker")) => (SyncSource::Docker, rest),
        (None, Some("dir")) => (SyncSource::Dir, rest),
        (None, Some("yaml")) => (SyncSource::Yaml, rest),
        (None, Some("oci")) => (SyncSource::Oci, rest),
        (None, _) => {
            return Err(unsaid(
                "SOURCE",
                &arguments.source,
                "docker://, dir:, oci: or yaml:",
                "--src",
            ));
        }
    };
    let (said, rest) = transport(&arguments.destination);
    let destination = match (arguments.dest, said) {
        (Some(destination), _) => (destination, arguments.destination.as_str()),
        (None, Some("docker")) => (SyncDestination::Docker, rest),
        (None, Some("dir")) => (SyncDestination::Dir, rest),
        (None, Some("oci")) => (SyncDestination::Oci, rest),
        (None, _) => {
            return Err(unsaid(
                "DESTINATION",
                &arguments.destination,
                "docker://, dir: or oci:",
                "--dest",
            ));
        }
    };
    if (source.0, destination.0) == (SyncSource::Dir, SyncDestination::Dir) {
        let message = "sync from 'dir' to 'dir' not implemented, consider using rsync instead";
        return Err(Failure::Usage(message.to_owned()));
    }
    let from = match source {
        (SyncSource::Docker, name) => From::Registry(name.parse()?),
        (SyncSource::Dir, path) => From::Directory(directory(path)?),
        (SyncSource::Yaml, path) => From::List(path.into()),
        (SyncSource::Oci, path) => From::Layout(directory(path)?),
    };
    let to = match destination {
        (SyncDestination::Docker, name) => To::Registry(name.trim_end_matches('/').to_owned()),
        (SyncDestination::Dir, path) => To::Directory(directory(path)?),
        (SyncDestination::Oci, path) => To::Layout(directory(path)?),
    };
    Ok((from, to))
}

/// A reference's transport, and what stands behind it.
fn transport(input: &str) -> (Option<&str>, &str) {
    if let Some(rest) = input.strip_prefix("docker://") {
        return (Some("docker"), rest);
    }
    match input.split_once(':') {
        Some((transport @ ("dir" | "oci" | "yaml"), rest)) => (Some(transport), rest),
        _ => (None, input),
    }
}

fn unsaid(which: &str, input: &str, transports: &str, flag: &str) -> Failure {
    Failure::Usage(format!(
        "it is not said what {which}, {input:?}, is; begin it with {transports}, or say it by {flag}"
    ))
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
                let image: RegistryReference = format!("{prefix}/{name}").parse()?;
                (Reference::Registry(image), name)
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

/// What a directory for one image needs: those above it; and that it is not there, as skopeo has it.
pub(super) fn make_room(to: &Reference) -> Result<(), Failure> {
    let Reference::Directory { path } = to else {
        return Ok(());
    };
    if path.symlink_metadata().is_ok() {
        let message = format!(
            "refusing to overwrite the directory {}; remove it, or sync into another",
            path.display()
        );
        return Err(Failure::from(Error::new(ErrorKind::Conflict, message)).on(Side::Destination));
    }
    let above = path.parent().unwrap_or(Path::new("."));
    let made = fs::create_dir_all(above);
    made.map_err(|error| {
        Error::from(error)
            .within(format!("making {}", above.display()))
            .on(Side::Destination)
    })?;
    Ok(())
}
