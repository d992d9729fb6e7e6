//! `teu copy`.

use std::{fs, path::Path, sync::Arc};

use serde::Serialize;
use teu_spec::{Digest, Format, LayerCompression, MediaType, Platform, Reference};
use teu_store::{
    Error, Event, Side,
    copy::{self, Layers, Recompress},
};

use super::rehearsal::Rehearsal;
use crate::{
    arguments::{Copy, MultiArch},
    failure::Failure,
    output,
    places::{Places, reference},
    progress::Shown,
    recompressed::Remembered,
    settings::Settings,
};

#[derive(Serialize)]
struct Report<'a> {
    digest: String,
    names: &'a [String],
    manifests: usize,
    blobs: usize,
    bytes: u64,
}

pub(super) async fn run(arguments: Copy, settings: Arc<Settings>) -> Result<(), Failure> {
    let (from, to) = (
        arguments.from.options(&arguments.common),
        arguments.to.options(&arguments.common),
    );
    let source_reference = reference(&arguments.source)?;
    let target_reference = reference(&arguments.destination)?;
    if arguments.trust_source && matches!(source_reference, Reference::Registry(_)) {
        let message = "--trust-source is for places on this machine; what a registry sends is always checked";
        return Err(Failure::Usage(message.to_owned()));
    }
    let mut options = options(&arguments, &target_reference, &settings)?;
    options.digest = wanted_digest(&target_reference);

    let shown = Shown::start(&settings, arguments.quiet);
    let rehearsal = arguments.dry_run.then(|| Rehearsal::new(shown.events()));
    let events = rehearsal.as_ref().map_or_else(|| shown.events(), Rehearsal::events);
    options.rehearse = arguments.dry_run;
    let places = Places::new(Arc::clone(&settings), &from, shown.events());
    let opened = places.source(&source_reference, &from);
    let (source, pick) = opened.map_err(|failure| failure.on(Side::Source))?;
    settings.check_policy(&source_reference)?;
    let opened = match arguments.dry_run {
        true => places.rehearsed(&target_reference, &to, arguments.additional_tag.clone()),
        false => places.target(&target_reference, &to, arguments.additional_tag.clone()),
    };
    let (target, mut names) = opened.map_err(|failure| failure.on(Side::Destination))?;
    names.extend(additional_names(&target_reference, &arguments.additional_tag)?);

    if options.format.is_none()
        && !options.preserve_digests
        && is_oci_meant(&source_reference, &target_reference, &settings)
    {
        options.format = Some(Format::Oci);
    }
    // One image is what a place for single images is given, even by the flag that makes an index elsewhere.
    if let (copy::Which::Several { platforms, .. }, false) = (&options.which, target.takes().indexes)
        && let [platform] = platforms.as_slice()
    {
        options.which = copy::Which::One(platform.clone());
    }
    let remembered = Remembered::read(&options, &settings);
    let copied = copy::copy(source, &pick, Arc::clone(&target), &names, &options, &events).await;
    if let (Some(remembered), false) = (remembered, arguments.dry_run) {
        remembered.write();
    }
    let copied = copied?;
    if let Some(rehearsal) = rehearsal {
        shown.finish();
        return rehearsal.report(&copied, &names, &settings);
    }
    target.finish().await.map_err(|error| error.on(Side::Destination))?;
    if options.format.is_none() && is_unread_by_others(&copied.descriptor.media_type, &target_reference) {
        shown.events()(Event::Warning {
            message: UNREAD.to_owned(),
        });
    }
    shown.finish();

    let digest = copied.descriptor.digest.to_string();
    if let Some(path) = &arguments.digestfile {
        let written = fs::write(path, &digest);
        written.map_err(|error| Error::from(error).within(format!("writing {}", path.display())))?;
    }
    if settings.json {
        output::json(&Report {
            digest,
            names: &names,
            manifests: copied.manifests,
            blobs: copied.blobs,
            bytes: copied.bytes,
        })?;
    } else if !settings.as_skopeo && !arguments.quiet && !is_standard_output(&target_reference) {
        output::line(&digest)?;
    }
    Ok(())
}

/// Whether the image itself goes there, so that nothing else may.
pub(super) fn is_standard_output(target: &Reference) -> bool {
    let (Reference::OciArchive { path, .. } | Reference::DockerArchive { path, .. }) = target else {
        return false;
    };
    ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|output| path == Path::new(output))
}

fn options(arguments: &Copy, target: &Reference, settings: &Settings) -> Result<copy::Options, Failure> {
    let which = match (arguments.all, arguments.multi_arch, arguments.platform.as_slice()) {
        (true, ..) | (_, Some(MultiArch::All), _) => copy::Which::All,
        (_, Some(MultiArch::IndexOnly), _) => copy::Which::IndexOnly,
        (_, Some(MultiArch::System), _) | (_, None, []) => copy::Which::One(settings.platform()),
        (_, None, platforms) => copy::Which::Several {
            platforms: platforms
                .iter()
                .map(|platform| platform.parse())
                .collect::<Result<Vec<Platform>, _>>()?,
            sparse: arguments.sparse,
        },
    };
    Ok(copy::Options {
        which,
        format: manifest_format(arguments.format.as_deref())?,
        recompress: recompress(arguments, target, settings)?,
        referrers: arguments.referrers,
        preserve_digests: arguments.preserve_digests,
        foreign: match arguments.include_foreign_layers {
            true => copy::Foreign::Copied,
            false => copy::Foreign::LeftOut,
        },
        trust_source: arguments.trust_source,
        partials: settings.partials(),
        jobs: usize::from(arguments.jobs),
        ready: Some(settings.ready()),
        ..copy::Options::default()
    })
}

/// Whether a layout gets OCI's form although nobody asked for it: where the manifest of an archive of Docker's is made up on reading
/// anyway, as other tools' readers of layouts take no other form; and where skopeo would do it.
pub(super) fn is_oci_meant(source: &Reference, target: &Reference, settings: &Settings) -> bool {
    let made_up = matches!(source, Reference::DockerArchive { .. });
    matches!(target, Reference::Layout { .. } | Reference::OciArchive { .. }) && (made_up || settings.as_skopeo)
}

/// What is said of it.
pub(super) const UNREAD: &str = "the image is in Docker's form, which skopeo, podman and umoci do not read in a layout; \
                                 copy with --format oci to convert it, or with --format v2s2 to keep it so";

/// Whether what was written keeps its bytes where other tools' readers take OCI's form alone.
pub(super) fn is_unread_by_others(written: &MediaType, target: &Reference) -> bool {
    let docker = matches!(written, MediaType::DockerManifest | MediaType::DockerManifestList);
    docker && matches!(target, Reference::Layout { .. } | Reference::OciArchive { .. })
}

/// The digest that a destination names, which no other image may be written to.
pub(super) fn wanted_digest(target: &Reference) -> Option<Digest> {
    match target {
        Reference::Registry(image) => image.digest,
        _ => None,
    }
}

/// What becomes of layers.
fn recompress(arguments: &Copy, target: &Reference, settings: &Settings) -> Result<Option<Recompress>, Failure> {
    let asked = arguments.compression.recompress()?;
    let is_kept = arguments.preserve_digests
        || matches!(target, Reference::Layout { .. } | Reference::OciArchive { .. })
            && arguments.compression.accepts_plain_layers();
    match asked.is_some() || is_kept {
        true => Ok(asked),
        false => Ok(unasked(target, settings)),
    }
}

/// What becomes of layers of which nothing was said. skopeo compresses those that are not, for registries and layouts; we do so only where we are called
/// that.
pub(super) fn unasked(target: &Reference, settings: &Settings) -> Option<Recompress> {
    let compresses = match target {
        Reference::Registry(image) => image.digest.is_none(),
        Reference::Layout { .. } | Reference::OciArchive { .. } => true,
        _ => false,
    };
    (settings.as_skopeo && compresses).then(|| Recompress {
        layers: Layers::Plain,
        ..Recompress::to(LayerCompression::Gzip)
    })
}

/// The form that `--format` names.
pub(super) fn manifest_format(name: Option<&str>) -> Result<Option<Format>, Failure> {
    match name {
        None => Ok(None),
        Some("oci") => Ok(Some(Format::Oci)),
        Some("v2s2") => Ok(Some(Format::Docker)),
        Some(other) => Err(Failure::Usage(format!(
            "--format {other}: schema 1 was retired in 2020; use v2s2 for clients of Docker's, or oci"
        ))),
    }
}

/// The names that `--additional-tag` adds: tags in a registry, names in a layout. What Docker's archive adds it was told when it was opened.
fn additional_names(target: &Reference, additional: &[String]) -> Result<Vec<String>, Failure> {
    match target {
        Reference::Registry(_) => {
            let tags = additional.iter().map(|name| {
                // Skopeo takes whole names here, of which a registry's repository uses the tag.
                let tag = name.rsplit_once(':').map_or(name.as_str(), |(_, tag)| tag);
                tag.parse::<teu_spec::Tag>().map(|tag| tag.as_str().to_owned())
            });
            Ok(tags.collect::<Result<_, _>>()?)
        }
        Reference::Layout { .. } | Reference::OciArchive { .. } => Ok(additional.to_vec()),
        _ => Ok(Vec::new()),
    }
}
