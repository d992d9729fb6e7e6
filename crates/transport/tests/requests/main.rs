//! Which requests does a copy make, of either end? Not one too many, and none less than it takes to be sure.

#![cfg(all(feature = "archives", feature = "layout", feature = "remote"))]

mod denied;
mod images;
mod odd;
mod repository;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, Format, Index, Manifest, MediaType, Pick, Platform};
use teu_store::{
    Result, Source, Target,
    copy::{self, Copied, Options, Which},
    silent,
};
use teu_transport::layout::Layout;

use crate::support::{
    self, fake,
    fake::{Fake, Habits},
    scripted::{Reply, Scripted, Seen},
};

/// An image: its manifest, and what that names, the config first.
#[derive(Clone)]
struct Image {
    document: Document,
    blobs: Vec<Bytes>,
}

impl Image {
    /// Of an architecture, and with these layers.
    fn new(architecture: &str, layers: &[&str]) -> Self {
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"of":"{}"}}"#,
            layers.concat()
        );
        Self::with_config(MediaType::OciConfig, config, layers)
    }

    fn with_config(media_type: MediaType, config: String, layers: &[&str]) -> Self {
        let layers: Vec<Bytes> = layers.iter().map(|layer| Bytes::from((*layer).to_owned())).collect();
        let config = Bytes::from(config);
        let described: Vec<Descriptor> = layers
            .iter()
            .map(|layer| Descriptor::of(MediaType::OciLayer, layer))
            .collect();
        let document = Manifest::build(Format::Oci, &Descriptor::of(media_type, &config), &described);
        Self {
            document: document.expect("a manifest"),
            blobs: std::iter::once(config).chain(layers).collect(),
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(self.document.raw())
    }
}

/// An index of images for these machines.
fn index(images: &[(&str, &Image)]) -> Document {
    let entries: Vec<Descriptor> = images
        .iter()
        .map(|(architecture, image)| {
            let mut entry = Descriptor::of(MediaType::OciManifest, image.document.raw());
            entry.platform = Some(Platform::new("linux", architecture));
            entry
        })
        .collect();
    Index::build(Format::Oci, &entries).expect("an index")
}

/// A registry, and what it was asked.
struct Registry {
    fake: Arc<Fake>,
    server: Scripted,
    told: Mutex<usize>,
}

impl Registry {
    async fn new() -> Self {
        Self::that(|_, reply| reply).await
    }

    /// One whose answers `change` may spoil.
    async fn that(change: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static) -> Self {
        let fake = fake(Habits::default());
        let answers = Arc::clone(&fake);
        Self {
            fake,
            server: Scripted::start(move |seen| change(seen, answers.answer(seen))).await,
            told: Mutex::default(),
        }
    }

    fn put(&self, repository: &str, tag: &str, image: &Image) {
        for blob in &image.blobs {
            self.fake.blob(repository, blob);
        }
        self.fake.manifest(repository, tag, &image.document);
    }

    fn at(&self, path: &str) -> Arc<teu_transport::remote::Repository> {
        Arc::new(support::repository(&self.server.host, path))
    }

    fn has(&self, tag: &str) -> Option<Digest> {
        let state = self.fake.state.lock().expect("the state");
        state.tags.get(&("app".to_owned(), tag.to_owned())).copied()
    }

    /// What was asked since this was last told, without the places of uploads: in the order of the alphabet, as much goes side by side.
    fn asked(&self) -> Vec<String> {
        let mut told = self.told.lock().expect("what was told");
        let lines = self.server.lines();
        let mut new: Vec<String> = lines[*told..].iter().map(|line| short(line)).collect();
        *told = lines.len();
        new.sort();
        new
    }
}

fn short(line: &str) -> String {
    let line = line.replacen("/v2/", "", 1);
    match line.split_once("/blobs/uploads/") {
        Some((_, query)) if query.starts_with("?mount=") => line,
        Some((before, _)) => format!("{before}/upload"),
        None => line,
    }
}

/// Lines in the order of the alphabet.
fn lines(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

fn line(method: &str, path: impl std::fmt::Display) -> String {
    format!("{method} app/{path}")
}

/// What it takes to read the blobs of an image.
fn reads(blobs: &[Bytes]) -> Vec<String> {
    let read = |blob: &Bytes| line("GET", format_args!("blobs/{}", Digest::of(blob)));
    blobs.iter().map(read).collect()
}

/// What it takes to find out that a registry has a layer or has not.
fn questions(blobs: &[Bytes]) -> Vec<String> {
    let question = |blob: &Bytes| line("HEAD", format_args!("blobs/{}", Digest::of(blob)));
    blobs.iter().map(question).collect()
}

/// What it takes to write so many blobs.
fn writes(blobs: usize) -> Vec<String> {
    let both = ["POST app/upload", "PUT app/upload"].repeat(blobs);
    both.into_iter().map(str::to_owned).collect()
}

fn all() -> Options {
    Options {
        which: Which::All,
        ..Options::default()
    }
}

async fn copied(
    source: Arc<dyn Source>,
    tag: &str,
    target: Arc<dyn Target>,
    names: &[&str],
    options: &Options,
) -> Result<Copied> {
    let (pick, names): (_, Vec<String>) = (
        Pick::Name(tag.to_owned()),
        names.iter().map(|name| (*name).to_owned()).collect(),
    );
    let copied = copy::copy(source, &pick, Arc::clone(&target), &names, options, &silent()).await?;
    target.finish().await?;
    Ok(copied)
}

fn layout(path: &Path) -> Arc<Layout> {
    Arc::new(Layout::create(path, None).expect("a layout"))
}

const FOUR: [&str; 4] = ["one", "two", "three", "four"];
