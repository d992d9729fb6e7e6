//! `teu blob`: content as it is.

use std::{fs, io::Write, sync::Arc};

use futures_util::StreamExt;
use teu_spec::{Descriptor, Digest};
use teu_store::{
    Error, ErrorKind, Expected, Intent, Reader, Role, Source, SourceExt, Verified, blocking, octet_stream, silent,
};

use crate::{
    arguments::{BlobGet, BlobHead, BlobMount, BlobPut, BlobRm},
    beside::Beside,
    failure::Failure,
    output,
    places::{Places, reference},
    settings::Settings,
};

fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse()
        .map_err(|error: teu_spec::DigestError| Failure::Usage(error.to_string()))
}

async fn stat(source: &dyn Source, place: &str, digest: &Digest) -> Result<Descriptor, Failure> {
    let found = source.stat(Role::Blob, digest, Intent::Read).await?;
    Ok(found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no blob {digest} in {place}")))?)
}

pub(super) async fn get(arguments: &BlobGet, settings: Arc<Settings>) -> Result<(), Failure> {
    let digest = digest(&arguments.digest)?;
    let options = arguments.one.options();
    let (source, _) = Places::new(settings, &options, silent()).source(&reference(&arguments.place)?, &options)?;
    let descriptor = stat(&*source, &arguments.place, &digest).await?;
    let content = source.open(Role::Blob, &descriptor).await?;
    match &arguments.file {
        Some(path) => {
            // What is not whole, or not what was asked for, is not left for the next step of a script.
            let beside = Beside::new(path)?;
            receive(content, &mut beside.file()?).await?;
            beside.finish()
        }
        None => receive(content, &mut std::io::stdout()).await,
    }
}

async fn receive(mut content: Verified, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    while let Some(chunk) = content.next().await {
        out.write_all(&chunk?)?;
    }
    Ok(out.flush()?)
}

pub(super) async fn put(arguments: &BlobPut, settings: Arc<Settings>) -> Result<(), Failure> {
    let options = arguments.one.options();
    let place = reference(&arguments.place)?;
    let (target, _) = Places::new(Arc::clone(&settings), &options, silent()).target(&place, &options, Vec::new())?;
    let path = arguments.file.clone();
    let mut content: Reader = if path.as_os_str() == "-" {
        blocking::reader(|| Ok(std::io::stdin()))
    } else {
        let opened = fs::File::open(&path);
        let file = opened.map_err(|error| Error::from(error).within(format!("reading {}", path.display())))?;
        blocking::reader(move || Ok(file))
    };
    let mut ingest = target.ingest(Expected::default()).await?;
    while let Some(chunk) = content.next().await {
        let chunk = chunk.map_err(|error| error.within(format!("reading {}", arguments.file.display())))?;
        ingest.write(chunk).await?;
    }
    let committed = ingest.commit(None).await?;
    target.finish().await?;
    let descriptor = Descriptor::new(octet_stream(), committed.digest, committed.size);
    match settings.json {
        true => output::json(&descriptor),
        false => output::line(&format!("{} {}", committed.digest, committed.size)),
    }
}

pub(super) async fn head(arguments: &BlobHead, settings: Arc<Settings>) -> Result<(), Failure> {
    let digest = digest(&arguments.digest)?;
    let options = arguments.one.options();
    let places = Places::new(Arc::clone(&settings), &options, silent());
    let (source, _) = places.source(&reference(&arguments.place)?, &options)?;
    let descriptor = stat(&*source, &arguments.place, &digest).await?;
    match settings.json {
        true => output::json(&descriptor),
        false => output::line(&format!("{} {}", descriptor.digest, descriptor.size)),
    }
}

pub(super) async fn mount(arguments: &BlobMount, settings: Arc<Settings>) -> Result<(), Failure> {
    let digest = digest(&arguments.digest)?;
    let (from, to) = (
        arguments.from.options(&arguments.common),
        arguments.to.options(&arguments.common),
    );
    let (source_place, target_place) = (reference(&arguments.source)?, reference(&arguments.destination)?);
    let places = Places::new(Arc::clone(&settings), &from, silent());
    let (source, _) = places.source(&source_place, &from)?;
    let (target, _) = places.target(&target_place, &to, Vec::new())?;
    let by_bytes = format!(
        "teu blob get {} {digest} | teu blob put {} -",
        arguments.source, arguments.destination
    );
    let refused = |why: &str| Error::new(ErrorKind::Unsupported, format!("{why}; copy its bytes: {by_bytes}"));
    let (Some(origin), Some(power)) = (source.origin(), target.mount()) else {
        return Err(refused("a blob is mounted between two repositories of a registry").into());
    };
    if origin.registry != power.origin().registry {
        return Err(refused("a blob cannot be mounted from another registry").into());
    }
    let descriptor = stat(&*source, &arguments.source, &digest).await?;
    if !power.mount(&origin.repository, &digest).await? {
        return Err(refused("the registry declines to mount it").into());
    }
    target.finish().await?;
    match settings.json {
        true => output::json(&descriptor),
        false => output::line(&format!("{} {}", descriptor.digest, descriptor.size)),
    }
}

pub(super) async fn remove(arguments: &BlobRm, settings: Arc<Settings>) -> Result<(), Failure> {
    let digest = digest(&arguments.digest)?;
    let options = arguments.one.options();
    let (store, _) =
        Places::new(Arc::clone(&settings), &options, silent()).store(&reference(&arguments.place)?, &options)?;
    let refused = || {
        Error::new(
            ErrorKind::Unsupported,
            format!("{}: nothing can be deleted there", arguments.place),
        )
    };
    let delete = store.delete().ok_or_else(refused)?;
    delete.delete(Role::Blob, &digest).await?;
    store.finish().await?;
    output::done(&settings, || serde_json::json!({"digest": digest}))
}
