//! Where does a reference of the command line lead? It is read, and reached with all that flags, environment and files say of it.

use std::{path::PathBuf, sync::Arc};

use teu_image::Image;
use teu_spec::{Descriptor, Document, Pick, Platform, Reference};
use teu_store::{Error, ErrorKind, Events, Source, Store, Target};
use teu_transport::{
    locate::{Locator, Options},
    oci_archive,
    remote::{Client, Credential, Given, Reach, Repository},
};

use crate::{arguments::ImageOptions, failure::Failure, progress, settings::Settings};

/// The one image that is meant, for who looks inside: of an index that for the platform that was asked for, or for this machine's.
pub(crate) async fn image(
    name: &str,
    platform: Option<&str>,
    options: &ImageOptions,
    settings: &Arc<Settings>,
    events: Events,
) -> Result<(Arc<dyn Source>, Image), Failure> {
    let wanted = wanted(platform, settings)?;
    let place = reference(name)?;
    let (source, pick) = Places::new(Arc::clone(settings), options, events).source(&place, options)?;
    let image = Image::find(&*source, &pick, &wanted).await?;
    Ok((source, image))
}

/// The machine whose image of an index is meant.
pub(crate) fn wanted(platform: Option<&str>, settings: &Settings) -> Result<Platform, Failure> {
    let wanted: Option<Platform> = platform.map(str::parse).transpose()?;
    Ok(wanted.unwrap_or_else(|| settings.platform()))
}

/// What a reference leads to, an index or one image, and its document.
pub(crate) async fn found(
    name: &str,
    options: &ImageOptions,
    settings: &Arc<Settings>,
    events: Events,
) -> Result<(Arc<dyn Source>, Descriptor, Document), Failure> {
    let place = reference(name)?;
    let (source, pick) = Places::new(Arc::clone(settings), options, events).source(&place, options)?;
    let (top, document) = source.resolve_document(&pick).await?;
    Ok((source, top, document))
}

/// Opens places.
pub(crate) struct Places {
    settings: Arc<Settings>,
    locator: Locator,
}

impl Places {
    /// For a verb whose images are reached with `options`; all of a run share what they know of registries.
    pub(crate) fn new(settings: Arc<Settings>, options: &ImageOptions, events: Events) -> Self {
        let mut remote = settings.remote();
        remote.details = settings.debug;
        remote.events = match settings.debug {
            true => progress::with_details(&settings, events),
            false => events,
        };
        if let Some(times) = options.retry_times {
            remote.retry.times = times;
        }
        if let Some(delay) = options.retry_delay {
            remote.retry.delay = delay.0;
        }
        let locator = Locator::with_files(Client::new(remote), settings.files());
        Self { settings, locator }
    }

    /// Where to read, and what.
    pub(crate) fn source(
        &self,
        reference: &Reference,
        options: &ImageOptions,
    ) -> Result<(Arc<dyn Source>, Pick), Failure> {
        Ok(self.locator.source(reference, self.options(reference, options)?)?)
    }

    /// Where to write, and under which names.
    pub(crate) fn target(
        &self,
        reference: &Reference,
        options: &ImageOptions,
        additional_names: Vec<String>,
    ) -> Result<(Arc<dyn Target>, Vec<String>), Failure> {
        let options = Options {
            additional_names,
            ..self.options(reference, options)?
        };
        let (target, names) = self.locator.target(reference, options)?;
        self.warn_of_lost(reference, &names);
        Ok((target, names))
    }

    /// As [`target`](Self::target), where nothing is written but what would be is told.
    pub(crate) fn rehearsed(
        &self,
        reference: &Reference,
        options: &ImageOptions,
        additional_names: Vec<String>,
    ) -> Result<(Arc<dyn Target>, Vec<String>), Failure> {
        let options = Options {
            additional_names,
            ..self.options(reference, options)?
        };
        let (target, names) = self.locator.rehearsed(reference, options)?;
        self.warn_of_lost(reference, &names);
        Ok((target, names))
    }

    /// An archive takes the place of one that is there, and of all images in it.
    fn warn_of_lost(&self, reference: &Reference, names: &[String]) {
        let Reference::OciArchive { path, .. } = reference else {
            return;
        };
        let lost = oci_archive::lost(path, names);
        if lost.is_empty() {
            return;
        }
        let lost: Vec<&str> = lost
            .iter()
            .map(|name| name.as_deref().unwrap_or("one without a name"))
            .collect();
        let message = format!(
            "{} is replaced, and with it the other images that it has: {}; a layout (oci:DIRECTORY) keeps several",
            path.display(),
            lost.join(", ")
        );
        self.settings.warn(&message);
    }

    /// A place that is there, to change.
    pub(crate) fn store(
        &self,
        reference: &Reference,
        options: &ImageOptions,
    ) -> Result<(Arc<dyn Store>, Pick), Failure> {
        Ok(self.locator.store(reference, self.options(reference, options)?)?)
    }

    /// A repository, for what only registries have.
    pub(crate) fn repository(&self, reference: &Reference, options: &ImageOptions) -> Result<Repository, Failure> {
        let Reference::Registry(image) = reference else {
            let message = format!("{reference} is in no registry");
            return Err(Error::new(ErrorKind::Unsupported, message).into());
        };
        Ok(self.locator.repository(image, &self.options(reference, options)?)?)
    }

    fn options(&self, reference: &Reference, options: &ImageOptions) -> Result<Options, Failure> {
        let registry = match reference {
            Reference::Registry(_) => self.given(options)?,
            _ => Given::default(),
        };
        Ok(Options {
            registry,
            shared_blobs: options.shared_blob_dir.clone(),
            temporary: Some(self.settings.temporary.clone()),
            ..Options::default()
        })
    }

    /// What the flags say of a registry.
    pub(crate) fn given(&self, options: &ImageOptions) -> Result<Given, Failure> {
        Ok(Given {
            tls_verify: options.tls_verify.or(self.settings.tls_verify),
            credential: credential(options)?,
            anonymous: options.no_creds,
            auth_file: options.authfile.clone(),
            certificates: options.cert_dir.clone(),
            realms: self.settings.token_realms.clone(),
            // skopeo takes every short name for Docker's.
            short_names: !self.settings.as_skopeo,
            ..Given::default()
        })
    }

    /// How registries are reached, for what is no place.
    pub(crate) fn reach(&self) -> &Reach {
        self.locator.reach()
    }
}

/// The credential that the flags give.
fn credential(options: &ImageOptions) -> Result<Option<Credential>, Failure> {
    if let Some(token) = &options.registry_token {
        return Ok(Some(Credential::Bearer(token.clone())));
    }
    let basic = |username: &str, password: &str| Credential::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    };
    match (&options.creds, &options.username, &options.password) {
        (Some(_), Some(_), _) => Err(Failure::Usage("creds and username cannot both be given".to_owned())),
        (Some(creds), None, _) => {
            let (username, password) = creds.split_once(':').unwrap_or((creds, ""));
            match username.is_empty() {
                true => Err(Failure::Usage("creds must be USER[:PASSWORD]".to_owned())),
                false => Ok(Some(basic(username, password))),
            }
        }
        (None, Some(username), Some(password)) => Ok(Some(basic(username, password))),
        (None, None, None) => Ok(None),
        (None, ..) => Err(Failure::Usage(
            "username and password must be given together".to_owned(),
        )),
    }
}

/// Reads a reference of the command line.
pub(crate) fn reference(input: &str) -> Result<Reference, Failure> {
    let read = Reference::parse(input);
    if read.is_err()
        && let Some(meant) = local(input)
    {
        return Err(Failure::Usage(meant));
    }
    let mut read = read?;
    if let Reference::Registry(image) = &mut read
        && input.starts_with("docker://")
    {
        // As skopeo has it, what has a transport is no short name: Docker's own registry is meant.
        image.short = None;
    }
    Ok(read)
}

/// A reference as text that means the same wherever it is read; none where there is no such text.
pub(crate) fn absolute(reference: &Reference) -> Option<String> {
    let mut reference = reference.clone();
    match &mut reference {
        Reference::Layout { path, .. }
        | Reference::OciArchive { path, .. }
        | Reference::DockerArchive { path, .. }
        | Reference::Directory { path } => *path = std::path::absolute(&*path).ok()?,
        _ => {}
    }
    let text = reference.to_string();
    (Reference::parse(&text).is_ok_and(|read| read == reference)).then_some(text)
}

/// What may have been meant instead of the registry that a failure tells of: something here, whose name was given without its transport.
pub(crate) fn hint(arguments: &[std::ffi::OsString], failure: &Failure) -> Option<String> {
    let Failure::Store(error) = failure else { return None };
    let error = error.to_string();
    arguments.iter().skip(1).find_map(|argument| {
        let input = argument.to_str()?;
        let Ok(Reference::Registry(image)) = reference(input) else {
            return None;
        };
        let short = image.short?;
        // As a registry's repository, and not as whatever else the failure tells of.
        let is_meant = [":", "@", " "]
            .iter()
            .any(|end| error.contains(&format!("/{short}{end}")));
        is_meant.then(|| local(input)).flatten()
    })
}

/// What to write for what is here under the name that was given, in place of a reference.
fn local(input: &str) -> Option<String> {
    let path = std::path::Path::new(input);
    let (what, transport) = if path.is_file() {
        ("a file", "oci-archive:FILE or docker-archive:FILE")
    } else if path.join("manifest.json").is_file() {
        ("a directory", "dir:DIRECTORY")
    } else if path.is_dir() {
        ("a directory", "oci:DIRECTORY")
    } else {
        return None;
    };
    let transport = transport.replace("FILE", input).replace("DIRECTORY", input);
    Some(format!(
        "{input} is {what}; say what is in it by a transport: {transport}"
    ))
}

/// Reads a file, or standard input for `-`, of which no more than `limit` bytes are expected.
pub(crate) fn read_file(path: &PathBuf, limit: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let within = |error: std::io::Error| Error::from(error).within(format!("reading {}", path.display()));
    let input: Box<dyn std::io::Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(within)?)
    };
    let mut content = Vec::new();
    input.take(limit + 1).read_to_end(&mut content).map_err(within)?;
    if content.len() as u64 > limit {
        let message = format!("{} has more bytes than the limit of {limit}", path.display());
        return Err(Error::new(ErrorKind::TooLarge, message).into());
    }
    Ok(content)
}
