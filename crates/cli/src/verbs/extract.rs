//! `teu extract`: files out of an image.

use std::{
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    sync::Arc,
};

use serde_json::{Value, json};
use teu_image::{
    edit::WhichLayer,
    extract::{self, Extracted, Options, Request, Taken},
    read::Kept,
    unpack::Owners,
};
use teu_store::{Error, ErrorKind};

use super::passed_over;
use crate::{
    arguments::Extract,
    failure::Failure,
    inside::Inside,
    limits::{self, Limits},
    listed, output,
    progress::Shown,
    settings::Settings,
};

/// How much of what is in files is kept while it is looked for. What there is no room for is read once more.
const CONTENT_BYTES: u64 = 4 << 30;

pub(super) async fn run(arguments: &Extract, settings: Arc<Settings>) -> Result<(), Failure> {
    if arguments.keep_owners && !rustix::process::geteuid().is_root() {
        let message = "only root can give files to others; without --keep-owners all files are your own";
        return Err(Failure::Usage(message.to_owned()));
    }
    if arguments.destination.as_os_str() == "-" {
        let message = "files go to no standard output: teu cat prints what is in one, and teu export all as an archive; \
                       ./- is a destination of that name";
        return Err(Failure::Usage(message.to_owned()));
    }
    let requests = arguments
        .paths
        .iter()
        .map(|path| Request::new(path.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let which: Option<WhichLayer> = arguments.layer.as_deref().map(str::parse).transpose()?;
    let mut options = Options {
        owners: match arguments.keep_owners {
            true => Owners::Kept,
            false => Owners::Forgotten,
        },
        keep_links: arguments.keep_links,
        parents: arguments.parents,
        replace: arguments.force,
        stop: settings.stop.clone(),
        ..Options::default()
    };
    let mut content_bytes = CONTENT_BYTES;
    limits::set(
        &arguments.limits,
        Limits {
            content_bytes: Some(&mut content_bytes),
            // It makes files.
            one_by_one: false,
            ..Limits::inside(&mut options.contents, &mut options.tree)
        },
    )?;
    // What an entry may ask for is the same where it is listed and where it is made.
    options.budget = options.contents.budget.clone();
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    let (source, image) = (inside.source, inside.image);
    options.contents.layers.events = inside.contents.layers.events;
    options.contents.layers.ahead = inside.contents.layers.ahead;
    options.contents.layers.places = inside.contents.layers.places;
    options.contents.temporary = inside.contents.temporary;
    options.layer = which
        .map(|which| which.find(&image).map(|layer| layer.position))
        .transpose()?;
    let kept = kept(&settings, content_bytes)?;
    let extracted = extract::extract(
        &source,
        &image.layers,
        &requests,
        &arguments.destination,
        inside.cache.as_ref(),
        Some(&kept),
        &options,
    )
    .await
    .map_err(explained)?;
    shown.finish();
    if !settings.json {
        passed_over::warn(&extracted.report, "", &settings);
    }
    if !settings.json {
        return Ok(());
    }
    let told = json!({
        "digest": image.descriptor.digest,
        "files": [],
        "passedOver": passed_over::as_json(&extracted.report),
    });
    let mut files = output::JsonList::begin(&told, "files")?;
    for taken in extracted.files.iter() {
        files.value(&as_json(&taken?, &extracted))?;
    }
    files.end()
}

/// Keeps what is in files for a while.
pub(super) fn kept(settings: &Settings, content_bytes: u64) -> Result<Kept, Failure> {
    let within = |error: io::Error| Error::from(error).within(format!("a file in {}", settings.temporary.display()));
    let file = tempfile::tempfile_in(&settings.temporary).map_err(within)?;
    Ok(Kept::new(file, content_bytes))
}

/// Says what to do where files are in the way.
fn explained(failure: extract::Failure) -> Error {
    match failure {
        extract::Failure::Replaceable(error) => {
            Error::new(ErrorKind::Conflict, format!("{error}; --force replaces files"))
        }
        extract::Failure::SameName(error) => Error::new(ErrorKind::Conflict, format!("{error} (--parents)")),
        extract::Failure::Other(error) => error,
    }
}

fn as_json(taken: &Taken, extracted: &Extracted) -> Value {
    let at = |path: &[u8]| extracted.directory.join(std::ffi::OsString::from_vec(path.to_vec()));
    let mut told = json!({"type": listed::word(&taken.node), "layer": taken.layer});
    listed::name(&mut told, "path", at(&taken.path).as_os_str().as_bytes(), "");
    listed::name(&mut told, "from", &taken.from, "/");
    match &taken.node {
        teu_rootfs::Node::File(size) => told["size"] = (*size).into(),
        teu_rootfs::Node::Symlink(target) => listed::name(&mut told, "target", target, ""),
        _ => {}
    }
    if let Some(first) = &taken.same_as {
        listed::name(&mut told, "linkTo", at(first).as_os_str().as_bytes(), "");
    }
    told
}
