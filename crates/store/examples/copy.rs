//! Puts an image together in memory, copies it from one store to another, reads it back, and collects the garbage.
//!
//! `cargo run -p teu-store --example copy`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Format, Manifest, MediaType, Pick};
use teu_store::{
    Delete, Event, Events, Expected, Memory, Role, Source, SourceExt, Target,
    copy::{self, copy},
    gc,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Children first: a config and one layer. A real layer would be a tar archive.
    let store = Arc::new(Memory::new());
    let layer = put_blob(&*store, MediaType::OciLayer, "not really a tar archive".into()).await?;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.digest
    );
    let config = put_blob(&*store, MediaType::OciConfig, config.into()).await?;

    // Then the manifest that names them, and its name with it.
    let manifest = Manifest::build(Format::Oci, &config, &[layer])?;
    let digest = Digest::of(manifest.raw());
    store
        .put_manifest(&manifest, &digest, &["v1".to_owned()], Default::default())
        .await?;

    // What happens is told as it happens.
    let events: Events = Arc::new(|event| match event {
        Event::BlobDone { digest, how } => println!("blob {}: {how:?}", digest.short()),
        Event::ManifestDone {
            descriptor,
            names,
            existed,
        } => {
            let done = if existed { "was there" } else { "written" };
            println!("manifest {} {done}, named {names:?}", descriptor.digest.short());
        }
        _ => {}
    });
    let other = Arc::new(Memory::new());
    let pick = Pick::Name("v1".to_owned());
    let names = ["stable".to_owned()];
    for _ in 0..2 {
        // The second copy finds all of it there.
        let options = copy::Options::default();
        let copied = copy(store.clone(), &pick, other.clone(), &names, &options, &events).await?;
        println!("{} blobs, {} bytes", copied.blobs, copied.bytes);
    }
    other.finish().await?;

    // What is read is checked: a stream that ends well gave what the digest names.
    let found = other.resolve(&Pick::Name("stable".to_owned())).await?;
    for child in other.document(&found).await?.children() {
        let content = other.open(Role::Blob, &child).await?.read_all(1 << 20).await?;
        println!("{}: {} bytes", child.media_type, content.len());
    }

    // Without its name the image is still listed, as one without a name; without its manifest, the blobs are garbage.
    Delete::delete(&*other, Role::Manifest, &found.digest).await?;
    let options = gc::Options {
        grace: Duration::ZERO,
        ..gc::Options::default()
    };
    let report = gc::gc(&*other, &*other, &options).await?;
    println!("{} blobs removed, {} bytes freed", report.removed.len(), report.freed());
    Ok(())
}

async fn put_blob(target: &dyn Target, media_type: MediaType, content: Bytes) -> teu_store::Result<Descriptor> {
    let mut ingest = target.ingest(Expected::default()).await?;
    ingest.write(content).await?;
    let committed = ingest.commit(None).await?;
    Ok(Descriptor::new(media_type, committed.digest, committed.size))
}
