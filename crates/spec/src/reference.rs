//! What does a person call an image? [`Reference`], in skopeo's transports.
//!
//! `docker://` may be left out. The other transports divide path and image as containers/image does: at the **first** colon, so a path
//! cannot hold one. What skopeo reads is read alike here; beyond it, `tag@digest` is accepted, and `oci:path@digest`.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::{Digest, Error, RegistryReference, Tag, layout};

/// Which image of a layout, an archive or an archive of Docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pick {
    /// The only one, or an error that lists them.
    #[default]
    Only,
    /// The one of this name. In a layout and its archive it is the whole of `org.opencontainers.image.ref.name`, taken as it is, so that
    /// `oci:dir:v1@sha256:…` is the image *named* `v1@sha256:…`, as skopeo writes it. In Docker's archive it is a name with registry and
    /// tag, `docker.io/library/alpine:latest`, to be compared with the archive's own `RepoTags` read as [`RegistryReference::full`].
    Name(String),
    /// The one at this place, counted from 0: `:@N`.
    At(usize),
    /// The one of this digest: `@sha256:…`.
    Digest(Digest),
}

/// A string that says where an image is, read: transport and place.
///
/// What [`Display`](fmt::Display) writes is read as the same again, but for a path that holds a colon, which no string can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reference {
    /// `docker://…`, and what has no transport.
    Registry(RegistryReference),
    /// `oci:path[:name|:@N|@digest]`.
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which image.
        pick: Pick,
    },
    /// `oci-archive:path[:name|:@N|@digest]`.
    OciArchive {
        /// The tar file.
        path: PathBuf,
        /// Which image.
        pick: Pick,
    },
    /// `docker-archive:path[:name:tag|:@N]`.
    DockerArchive {
        /// The tar file.
        path: PathBuf,
        /// Which image.
        pick: Pick,
    },
    /// `dir:path`.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// `docker-daemon:name:tag`, `docker-daemon:name@digest` or, by the image's ID, `docker-daemon:sha256:…`.
    DockerDaemon {
        /// What the daemon is asked for: valid, and as it was written.
        image: String,
    },
}

impl Reference {
    /// Reads a reference; the same as [`str::parse`].
    ///
    /// # Errors
    /// [`Error::Reference`] with the reason and, where one is near, what would be right; [`Error::Unsupported`] for a transport of
    /// skopeo's that is retired or that this is no tool for.
    pub fn parse(input: &str) -> Result<Self, Error> {
        if let Some(rest) = input.strip_prefix("docker://") {
            return registry(input, rest);
        }
        if let Some((transport, rest)) = input.split_once(':') {
            match transport {
                "oci" => return layout(input, rest).map(|(path, pick)| Self::Layout { path, pick }),
                "oci-archive" => return layout(input, rest).map(|(path, pick)| Self::OciArchive { path, pick }),
                "docker-archive" => {
                    return docker_archive(input, rest).map(|(path, pick)| Self::DockerArchive { path, pick });
                }
                "dir" => return non_empty_path(input, rest).map(|path| Self::Directory { path }),
                "docker-daemon" => return docker_daemon(input, rest),
                _ => {}
            }
            if let Some((_, advice)) = REFUSED.iter().find(|(name, _)| *name == transport) {
                return Err(Error::Unsupported {
                    what: format!("the transport {transport}:"),
                    advice: (*advice).to_owned(),
                });
            }
        }
        if input.starts_with(['/', '.', '~']) {
            return Err(Error::reference(
                input,
                format!("it looks like a path; write oci:{input} for a layout, or another transport before the colon"),
            ));
        }
        registry(input, input)
    }

    /// The name of the transport, as skopeo has it: what stands before the colon.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) => "docker",
            Self::Layout { .. } => "oci",
            Self::OciArchive { .. } => "oci-archive",
            Self::DockerArchive { .. } => "docker-archive",
            Self::Directory { .. } => "dir",
            Self::DockerDaemon { .. } => "docker-daemon",
        }
    }
}

/// Transports of containers/image that are no transports here, and what to do instead.
const REFUSED: [(&str, &str); 5] = [
    (
        "ostree",
        "it was retired; export the image with the tool that wrote it, as oci: or docker-archive:",
    ),
    (
        "sif",
        "convert the file with apptainer or singularity to an OCI image first, and copy that",
    ),
    (
        "atomic",
        "OpenShift's registry is an ordinary one now; use docker:// with its route",
    ),
    (
        "containers-storage",
        "`podman push NAME oci:PATH` writes an image of Podman's storage where it can be read",
    ),
    (
        "tarball",
        "a root file system becomes a layer with an edit of an image, not by a reference",
    ),
];

fn registry(input: &str, name: &str) -> Result<Reference, Error> {
    match name.parse() {
        Ok(reference) => Ok(Reference::Registry(reference)),
        // The whole of what was typed, with its transport, is what a person recognises.
        Err(Error::Reference { reason, .. }) => Err(Error::reference(input, reason)),
        Err(other) => Err(other),
    }
}

fn non_empty_path(input: &str, path: &str) -> Result<PathBuf, Error> {
    if path.is_empty() {
        return Err(Error::reference(input, "there is no path after the transport"));
    }
    if path.contains('\0') {
        return Err(Error::reference(input, "a path cannot hold a NUL"));
    }
    Ok(PathBuf::from(path))
}

fn place(input: &str, digits: &str) -> Result<Pick, Error> {
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(place) = digits.parse()
    {
        return Ok(Pick::At(place));
    }
    Err(Error::reference(
        input,
        format!("{digits:?} after :@ is neither a place, counted from 0, nor a digest"),
    ))
}

fn layout(input: &str, rest: &str) -> Result<(PathBuf, Pick), Error> {
    if let Some((path, digest)) = rest.split_once('@')
        && let Ok(digest) = digest.parse()
    {
        // `path@digest` and `path:@digest`; with a name between, the whole is the name.
        let path = path.strip_suffix(':').unwrap_or(path);
        if !path.contains(':') {
            return Ok((non_empty_path(input, path)?, Pick::Digest(digest)));
        }
    }
    let (path, image) = rest.split_once(':').unwrap_or((rest, ""));
    let path = non_empty_path(input, path)?;
    let pick = match image.strip_prefix('@') {
        Some(digits) => place(input, digits)?,
        None if image.is_empty() => Pick::Only,
        None => {
            layout::check_name(image)?;
            Pick::Name(image.to_owned())
        }
    };
    Ok((path, pick))
}

fn docker_archive(input: &str, rest: &str) -> Result<(PathBuf, Pick), Error> {
    let (path, image) = rest
        .split_once(':')
        .map_or((rest, None), |(path, image)| (path, Some(image)));
    let path = non_empty_path(input, path)?;
    let Some(image) = image.filter(|image| !image.is_empty()) else {
        return Ok((path, Pick::Only));
    };
    if let Some(digits) = image.strip_prefix('@') {
        return Ok((path, place(input, digits)?));
    }
    let mut image: RegistryReference = image.parse()?;
    if image.digest.is_some() {
        return Err(Error::reference(
            input,
            "Docker's archives know no digests; write name:tag, or :@N for the place",
        ));
    }
    image.tag.get_or_insert_with(Tag::latest);
    Ok((path, Pick::Name(image.full())))
}

fn docker_daemon(input: &str, rest: &str) -> Result<Reference, Error> {
    let image = rest.to_owned();
    if rest.parse::<Digest>().is_ok() {
        return Ok(Reference::DockerDaemon { image });
    }
    let parsed: RegistryReference = rest.parse()?;
    if parsed.short.as_deref() == Some("sha256") {
        return Err(Error::reference(
            input,
            "after sha256: must come the whole 64 hex digits of an image's ID",
        ));
    }
    match (parsed.tag, parsed.digest) {
        (None, None) => Err(Error::reference(
            input,
            format!("the daemon is asked by tag or digest; write docker-daemon:{rest}:latest"),
        )),
        (Some(_), Some(_)) => Err(Error::reference(
            input,
            "the daemon is asked by tag or by digest, not by both",
        )),
        _ => Ok(Reference::DockerDaemon { image }),
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(input: &str) -> Result<Self, Error> {
        Self::parse(input)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport();
        match self {
            Self::Registry(reference) => write!(formatter, "{transport}://{reference}"),
            Self::Layout { path, pick } | Self::OciArchive { path, pick } | Self::DockerArchive { path, pick } => {
                write!(formatter, "{transport}:{}{pick}", path.display())
            }
            Self::Directory { path } => write!(formatter, "{transport}:{}", path.display()),
            Self::DockerDaemon { image } => write!(formatter, "{transport}:{image}"),
        }
    }
}

/// As it follows the path.
impl fmt::Display for Pick {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Name(name) => write!(formatter, ":{name}"),
            Self::At(place) => write!(formatter, ":@{place}"),
            Self::Digest(digest) => write!(formatter, "@{digest}"),
        }
    }
}
