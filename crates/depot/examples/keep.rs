//! Keeps an image in a depot, opens the depot anew as after a restart, takes the image's name and manifest away, and collects what is left over.
//!
//! `cargo run -p teu-depot --example keep`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use bytes::Bytes;
use teu_depot::{Depot, PARTS, Settings};
use teu_spec::{Descriptor, Digest, Format, Manifest, MediaType, Pick};
use teu_store::{Delete, Expected, Intent, Repositories, Role, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("depot");
    // Blobs that nothing references would stay for a day: a client may be about to name them.
    let settings = Settings {
        lease: Duration::ZERO,
        ..Settings::default()
    };

    let depot = Depot::open(&path, settings.clone()).await?;
    let app = depot.open("library/app", Intent::Write).await?;
    let layer = put_blob(&*app, MediaType::OciLayer, "not really a tar archive".into()).await?;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.digest
    );
    let config = put_blob(&*app, MediaType::OciConfig, config.into()).await?;
    let manifest = Manifest::build(Format::Oci, &config, &[layer])?;
    let digest = Digest::of(manifest.raw());
    app.put_manifest(&manifest, &digest, &["v1".to_owned()], Default::default())
        .await?;
    // From here on it survives a power cut, and the process may end at any moment. One process has a depot at a time.
    drop((app, depot));

    let depot = Depot::open(&path, settings).await?;
    let app = depot.open("library/app", Intent::Read).await?;
    let found = app.resolve(&Pick::Name("v1".to_owned())).await?;
    println!("v1 is {} of {} bytes", found.digest.short(), found.size);

    let delete = app.as_target().delete().ok_or("a depot deletes")?;
    Delete::delete(delete, Role::Manifest, &found.digest).await?;
    for candidate in depot.candidates(None, 10, None).await? {
        println!("{} goes: {}", candidate.digest.short(), candidate.goes);
    }
    let collected = depot.collect(PARTS).await?;
    println!("{} blobs removed, {} bytes freed", collected.blobs, collected.bytes);
    Ok(())
}

async fn put_blob(store: &dyn Store, media_type: MediaType, content: Bytes) -> teu_store::Result<Descriptor> {
    let mut ingest = store.as_target().ingest(Expected::default()).await?;
    ingest.write(content).await?;
    let committed = ingest.commit(None).await?;
    Ok(Descriptor::new(media_type, committed.digest, committed.size))
}
