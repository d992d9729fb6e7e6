//! Images on the disk, copied as a person would: by references.

use std::{path::Path, process::Command, sync::Arc};

use teu_spec::{Descriptor, Digest, Document, Index, Platform, Reference};
use teu_store::{Expect, Result, Target, copy, silent, suite::Image};
use teu_transport::{
    layout::Layout,
    locate::{Locator, Options},
    remote::{Client, Settings},
};

use super::peer::{has, output};

/// An image of two layers in a layout.
pub(crate) async fn image(layout: &Path, seed: &str, names: &[&str]) -> Descriptor {
    let layout = Layout::create(layout, None).expect("a layout");
    let put = Image::small(layout.takes(), seed)
        .put(&layout, names)
        .await
        .expect("put");
    layout.finish().await.expect("finished");
    put
}

/// An index of two images in a layout.
pub(crate) async fn index(layout: &Path, name: &str) -> Digest {
    let layout = Layout::create(layout, None).expect("a layout");
    let mut manifests = Vec::new();
    for machine in ["amd64", "arm64"] {
        let image = Image::small(layout.takes(), machine);
        let mut descriptor = image.put(&layout, &[]).await.expect("put");
        descriptor.platform = Some(Platform::new("linux", machine));
        manifests.push(descriptor);
    }
    let index = Index::build(teu_spec::Format::Oci, &manifests).expect("an index");
    let digest = Digest::of(index.raw());
    let put = layout
        .put_manifest(&index, &digest, &[name.to_owned()], Expect::Any)
        .await;
    put.expect("put");
    layout.finish().await.expect("finished");
    digest
}

/// A locator of this process.
pub(crate) fn locator() -> Locator {
    Locator::new(Client::new(Settings::default()))
}

/// Copies all that a reference leads to.
pub(crate) async fn copy(from: &str, to: &str) -> Result<Digest> {
    copy_with(from, to, Options::default(), &[]).await
}

/// The same, with what holds for the target, and more names for it.
pub(crate) async fn copy_with(from: &str, to: &str, options: Options, more: &[&str]) -> Result<Digest> {
    let locator = locator();
    let reference = |text: &str| text.parse::<Reference>().expect("a reference");
    let (source, pick) = locator.source(&reference(from), Options::default())?;
    let (target, mut names): (Arc<dyn Target>, _) = locator.target(&reference(to), options)?;
    names.extend(more.iter().map(|name| (*name).to_owned()));
    let options = copy::Options {
        which: copy::Which::All,
        ..copy::Options::default()
    };
    let copied = copy::copy(source, &pick, Arc::clone(&target), &names, &options, &silent()).await?;
    target.finish().await?;
    Ok(copied.descriptor.digest)
}

/// The document that a reference leads to.
pub(crate) async fn document(reference: &str) -> Result<Document> {
    use teu_store::SourceExt;
    let (source, pick) = locator().source(&reference.parse::<Reference>()?, Options::default())?;
    let found = source.resolve(&pick).await?;
    source.document(&found).await
}

/// Whether a peer is here; says loudly where it is not.
pub(crate) fn here(test: &str, program: &str) -> bool {
    let here = has(program);
    if !here {
        eprintln!("SKIPPED {test}: {program} is missing");
    }
    here
}

/// Runs skopeo, for its output.
pub(crate) fn skopeo(arguments: &[&str]) -> String {
    let out = output(Command::new("skopeo").arg("--insecure-policy").args(arguments));
    String::from_utf8(out).expect("text")
}

/// The digest of what skopeo finds at a reference.
pub(crate) fn skopeo_digest(reference: &str) -> Digest {
    Digest::of(skopeo(&["inspect", "--raw", reference]).as_bytes())
}

/// Podman's and buildah's storage, in a directory of its own.
pub(crate) struct Storage {
    root: String,
    configuration: String,
}

impl Storage {
    pub(crate) fn new(directory: &Path) -> Self {
        std::fs::create_dir_all(directory).expect("a directory");
        let configuration = directory.join("containers.conf");
        let text = "[containers]\ndefault_ulimits=[\"nofile=20000:20000\",\"nproc=32768:32768\"]\n\
                    [engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n";
        std::fs::write(&configuration, text).expect("written");
        Self {
            root: directory.display().to_string(),
            configuration: configuration.display().to_string(),
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command
            .env("CONTAINERS_CONF", &self.configuration)
            .args([
                "--root",
                &format!("{}/root", self.root),
                "--runroot",
                &format!("{}/run", self.root),
            ])
            .args(["--storage-driver", "vfs"])
            .args(arguments);
        String::from_utf8(output(&mut command)).expect("text")
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        self.run("podman", arguments)
    }

    pub(crate) fn buildah(&self, arguments: &[&str]) -> String {
        self.run("buildah", arguments)
    }
}
