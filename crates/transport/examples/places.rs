//! Makes an image in a layout, packs it into an archive of a layout, makes an archive of Docker's of that, and asks each what it holds.
//! Nothing leaves the machine.
//!
//! `cargo run -p teu-transport --example places`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Format, Manifest, MediaType, Reference};
use teu_store::{Expected, SourceExt, Target, copy, silent};
use teu_transport::{
    layout::Layout,
    locate::{Locator, Options},
    remote::{Client, Settings},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let room = tempfile::tempdir()?;
    let place = |transport: &str, name: &str| format!("{transport}:{}", room.path().join(name).display());
    make_image(&room.path().join("layout")).await?;

    // A string says where an image is, and the locator makes of it what it is read from or written to.
    let locator = Locator::new(Client::new(Settings::default()));
    let ways = [
        (place("oci", "layout:app"), place("oci-archive", "app.tar:app")),
        (
            place("oci-archive", "app.tar:app"),
            place("docker-archive", "docker.tar:example.com/app:1"),
        ),
        (place("docker-archive", "docker.tar:@0"), place("dir", "flat")),
    ];
    for (from, to) in &ways {
        let (source, pick) = locator.source(&Reference::parse(from)?, Options::default())?;
        let (target, names) = locator.target(&Reference::parse(to)?, Options::default())?;
        let options = copy::Options::default();
        let copied = copy::copy(source, &pick, Arc::clone(&target), &names, &options, &silent()).await?;
        // An archive is there when it is finished, and not before.
        target.finish().await?;
        // Docker's archive holds images of Docker's form: on the way into it the digest changes, and with it nothing else.
        println!("{}", shown(&copied.descriptor));
    }

    for (_, to) in &ways {
        let (source, pick) = locator.source(&Reference::parse(to)?, Options::default())?;
        let manifest = source.resolve(&pick).await?;
        let config = source.document(&manifest).await?.children().swap_remove(0);
        println!("{:<15} {}", Reference::parse(to)?.transport(), shown(&config));
    }
    Ok(())
}

fn shown(descriptor: &Descriptor) -> String {
    format!("{} {}", descriptor.digest.short(), descriptor.media_type)
}

/// An image of one empty layer, under the name `app`.
async fn make_image(root: &Path) -> teu_store::Result<()> {
    let layout = Layout::create(root, None)?;
    let layer = put(&layout, MediaType::OciLayer, vec![0; 1024].into()).await?;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.digest
    );
    let config = put(&layout, MediaType::OciConfig, config.into()).await?;
    let manifest = Manifest::build(Format::Oci, &config, &[layer])?;
    let digest = Digest::of(manifest.raw());
    layout
        .put_manifest(&manifest, &digest, &["app".to_owned()], Default::default())
        .await?;
    layout.finish().await
}

async fn put(target: &dyn Target, media_type: MediaType, content: Bytes) -> teu_store::Result<Descriptor> {
    let descriptor = Descriptor::of(media_type, &content);
    let mut ingest = target.ingest(Expected::verified(&descriptor)).await?;
    ingest.write(content).await?;
    ingest.commit(None).await?;
    Ok(descriptor)
}
