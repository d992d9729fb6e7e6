//! `teu delete`, `manifest put`, `manifest rm`, `tag`, `untag`: how names and manifests change, in place.

use std::sync::Arc;

use serde_json::json;
use teu_spec::{Descriptor, Document, Pick, json::MAX_DOCUMENT};
use teu_store::{Delete, Error, ErrorKind, Expect, Role, SourceExt, Store, missing_children, silent};

use super::copy::wanted_digest;
use crate::{
    arguments::{ManifestPut, One, Tag, Untag},
    failure::Failure,
    output,
    places::{Places, read_file, reference},
    settings::Settings,
};

fn deletes<'a>(store: &'a dyn Store, image: &str) -> Result<&'a dyn Delete, Failure> {
    let refused = || Error::new(ErrorKind::Unsupported, format!("{image}: nothing can be deleted there"));
    Ok(store.delete().ok_or_else(refused)?)
}

pub(super) async fn delete(image: &str, one: &One, settings: Arc<Settings>) -> Result<(), Failure> {
    let options = one.options();
    let (store, pick) = Places::new(Arc::clone(&settings), &options, silent()).store(&reference(image)?, &options)?;
    let found = store.resolve(&pick).await?;
    deletes(&*store, image)?.delete(Role::Manifest, &found.digest).await?;
    store.finish().await?;
    output::done(&settings, || json!({"digest": found.digest}))
}

pub(super) async fn untag(arguments: &Untag, settings: Arc<Settings>) -> Result<(), Failure> {
    let options = arguments.one.options();
    let (store, pick) =
        Places::new(Arc::clone(&settings), &options, silent()).store(&reference(&arguments.image)?, &options)?;
    let Pick::Name(name) = &pick else {
        return Err(Failure::Usage(format!("{} has no name to take away", arguments.image)));
    };
    deletes(&*store, &arguments.image)?.untag(name, Expect::Any).await?;
    store.finish().await?;
    output::done(&settings, || json!({"name": name}))
}

pub(super) async fn tag(arguments: &Tag, settings: Arc<Settings>) -> Result<(), Failure> {
    let options = arguments.one.options();
    let (store, pick) =
        Places::new(Arc::clone(&settings), &options, silent()).store(&reference(&arguments.image)?, &options)?;
    let found = store.resolve(&pick).await?;
    let document = store.as_source().document(&found).await?;
    store
        .put_manifest(&document, &found.digest, &arguments.names, Expect::Any)
        .await?;
    store.finish().await?;
    output::done(&settings, || json!({"digest": found.digest, "names": arguments.names}))
}

pub(super) async fn put(arguments: &ManifestPut, settings: Arc<Settings>) -> Result<(), Failure> {
    let raw = read_file(&arguments.file, MAX_DOCUMENT)?;
    let document = Document::parse(raw.into(), None)
        .map_err(|error| Error::from(error).within(format!("reading {}", arguments.file.display())))?;
    let place = reference(&arguments.image)?;
    let descriptor = document.descriptor();
    if let Some(wanted) = wanted_digest(&place)
        && wanted != descriptor.digest
    {
        let message = format!("the manifest is {}, and not {wanted}", descriptor.digest);
        return Err(Error::new(ErrorKind::Mismatch, message).into());
    }
    let options = arguments.one.options();
    let (target, names) =
        Places::new(Arc::clone(&settings), &options, silent()).target(&place, &options, Vec::new())?;
    if let Some(readable) = target.readable().filter(|_| !arguments.allow_missing) {
        let missing = missing_children(readable, &document).await?;
        if !missing.is_empty() {
            let digests = missing.iter().map(|child| child.digest).collect();
            return Err(Error::new(ErrorKind::MissingChildren(digests), not_there(&missing, arguments)).into());
        }
    }
    let put = target
        .put_manifest(&document, &descriptor.digest, &names, Expect::Any)
        .await?;
    target.finish().await?;
    match settings.json {
        true => output::json(&put),
        false => output::line(&put.digest.to_string()),
    }
}

fn not_there(missing: &[Descriptor], arguments: &ManifestPut) -> String {
    let names: Vec<String> = missing.iter().map(|child| child.digest.to_string()).collect();
    let how = match missing.iter().all(|child| child.media_type.is_document()) {
        true => "put those manifests first (teu manifest put, or teu copy), or say --allow-missing",
        false => "put them first (teu blob put), or say --allow-missing",
    };
    format!(
        "{} does not hold what the manifest names: {}; {how}",
        arguments.image,
        names.join(", ")
    )
}
