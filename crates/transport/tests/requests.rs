//! Which requests does a copy make, of either end? Not one too many, and none less than it takes to be sure.

#![cfg(all(feature = "archives", feature = "layout", feature = "remote"))]

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, Format, Index, Manifest, MediaType, Pick, Platform};
use teu_store::{
    ErrorKind, Result, Side, Source, Target,
    copy::{self, Copied, Options, Which, Whole},
    silent,
};
use teu_transport::{directory::Directory, layout::Layout, oci_archive::OciArchiveWriter};

use crate::support::{
    fake,
    fake::{Fake, Habits},
    repository,
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
        Arc::new(repository(&self.server.host, path))
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

#[tokio::test]
async fn into_a_layout() {
    let (image, registry) = (Image::new("amd64", &FOUR), Registry::new().await);
    registry.put("app", "1", &image);
    let room = tempfile::tempdir().expect("a directory");
    let get = line("GET", "manifests/1");
    let first = lines(&[reads(&image.blobs), vec![get]].concat());
    assert_eq!(first.len(), 6);
    let head = [line("HEAD", "manifests/1")];
    // By a name, and without one.
    for names in [&["1"][..], &[]] {
        let to = room.path().join(format!("layout-{}", names.len()));
        for expected in [&first[..], &head] {
            copied(registry.at("app"), "1", layout(&to), names, &all())
                .await
                .expect("copied");
            assert_eq!(registry.asked(), expected, "{names:?}");
        }
    }
    // A name that points elsewhere may be up to date for all that is known.
    let other = Image::new("amd64", &["one", "two", "three", "five"]);
    registry.put("app", "1", &other);
    copied(
        registry.at("app"),
        "1",
        layout(&room.path().join("layout-1")),
        &["1"],
        &all(),
    )
    .await
    .expect("copied");
    let expected = [
        head.to_vec(),
        vec![line("GET", format_args!("manifests/{}", other.digest()))],
        reads(&[other.blobs[0].clone(), other.blobs[4].clone()]),
    ];
    assert_eq!(registry.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn into_what_has_no_names() {
    let (image, registry) = (Image::new("amd64", &FOUR), Registry::new().await);
    registry.put("app", "1", &image);
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let first = lines(&[reads(&image.blobs), vec![line("GET", "manifests/1")]].concat());
    let directory = || Arc::new(Directory::create(room.join("dir")).expect("a directory"));
    copied(registry.at("app"), "1", directory(), &[], &all())
        .await
        .expect("copied");
    assert_eq!(registry.asked(), first);
    let archive = Arc::new(OciArchiveWriter::create(room.join("archive"), None).expect("an archive"));
    copied(registry.at("app"), "1", archive, &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(registry.asked(), first);
}

#[tokio::test]
async fn into_a_registry() {
    let room = tempfile::tempdir().expect("a directory");
    let (image, other) = (
        Image::new("amd64", &FOUR),
        Image::new("amd64", &["one", "two", "three", "five"]),
    );
    let from = Registry::new().await;
    for (tag, image) in [("1", &image), ("2", &other)] {
        from.put("app", tag, image);
        copied(from.at("app"), tag, layout(room.path()), &[tag], &all())
            .await
            .expect("copied");
    }
    let to = Registry::new().await;
    let goes = async |tag: &str, name: &str| {
        copied(layout(room.path()), tag, to.at("app"), &[name], &all())
            .await
            .expect("copied");
        to.asked()
    };
    let by_digest = |image: &Image| line("HEAD", format_args!("manifests/{}", image.digest()));
    // Its config is particular to it, and so is not asked for.
    let first = [
        vec![line("HEAD", "manifests/1"), by_digest(&image)],
        questions(&image.blobs[1..]),
        writes(5),
        vec![line("PUT", "manifests/1")],
    ];
    let first = lines(&first.concat());
    assert_eq!(first.len(), 17);
    assert_eq!(goes("1", "1").await, first);
    assert_eq!(goes("1", "1").await, [line("HEAD", "manifests/1")]);
    // Another name of what is there.
    let again = [
        line("HEAD", "manifests/2"),
        by_digest(&image),
        line("PUT", "manifests/2"),
    ];
    assert_eq!(goes("1", "2").await, lines(&again));
    // The name gets another image, of which three layers are there.
    let moved = [
        vec![line("HEAD", "manifests/1"), by_digest(&other)],
        questions(&other.blobs[1..]),
        writes(2),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(goes("2", "1").await, lines(&moved.concat()));
    assert_eq!(to.has("1"), Some(other.digest()));
}

#[tokio::test]
async fn from_registry_to_registry() {
    let image = Image::new("amd64", &FOUR);
    let (from, to) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    let goes = async |name: &str| {
        copied(from.at("app"), "1", to.at("app"), &[name], &all())
            .await
            .expect("copied");
        (from.asked(), to.asked())
    };
    let by_digest = line("HEAD", format_args!("manifests/{}", image.digest()));
    let get = line("GET", "manifests/1");
    let (read, written) = goes("1").await;
    assert_eq!(read, lines(&[reads(&image.blobs), vec![get.clone()]].concat()));
    let first = [
        vec![line("HEAD", "manifests/1"), by_digest.clone()],
        questions(&image.blobs[1..]),
        writes(5),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&first.concat()));
    assert_eq!(read.len() + written.len(), 23);
    let head = vec![line("HEAD", "manifests/1")];
    assert_eq!(goes("1").await, (head.clone(), head));
    let again = [line("HEAD", "manifests/2"), by_digest, line("PUT", "manifests/2")];
    assert_eq!(goes("2").await, (vec![get], lines(&again)));
    // Without a name to ask for it is the digest that tells.
    let none = copied(from.at("app"), "1", to.at("app"), &[], &all()).await;
    none.expect("copied");
    let asked = vec![line("HEAD", format_args!("manifests/{}", image.digest()))];
    assert_eq!((from.asked(), to.asked()), (vec![line("HEAD", "manifests/1")], asked));
}

#[tokio::test]
async fn within_one_registry() {
    let (image, registry) = (Image::new("amd64", &FOUR), Registry::new().await);
    registry.put("from", "1", &image);
    let mount = |blob: &Bytes| {
        line(
            "POST",
            format_args!("blobs/uploads/?mount={}&from=from", Digest::of(blob)),
        )
    };
    let mounts: Vec<String> = image.blobs.iter().map(mount).collect();
    let begin = || {
        vec![
            line("HEAD", "manifests/1"),
            "GET from/manifests/1".to_owned(),
            line("HEAD", format_args!("manifests/{}", image.digest())),
            line("PUT", "manifests/1"),
        ]
    };
    copied(registry.at("from"), "1", registry.at("app"), &["1"], &all())
        .await
        .expect("copied");
    let asked = registry.asked();
    assert_eq!(asked, lines(&[begin(), mounts.clone()].concat()));
    assert_eq!(asked.len(), 9);

    // One that declines has begun an upload, which is used.
    let declining = fake(Habits::default());
    let answers = Arc::clone(&declining);
    let server = Scripted::start(move |seen| {
        let mut seen = seen.clone();
        if seen.method == "POST" {
            seen.target = seen.path().to_owned();
        }
        answers.answer(&seen)
    });
    let registry = Registry {
        fake: declining,
        server: server.await,
        told: Mutex::default(),
    };
    registry.put("from", "1", &image);
    copied(registry.at("from"), "1", registry.at("app"), &["1"], &all())
        .await
        .expect("copied");
    let read = |blob: &Bytes| format!("GET from/blobs/{}", Digest::of(blob));
    let expected = [
        begin(),
        mounts,
        questions(&image.blobs[1..]),
        image.blobs.iter().map(read).collect(),
        vec![line("PUT", "upload"); 5],
    ];
    assert_eq!(registry.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn images_of_several_machines() {
    let images = [
        Image::new("amd64", &["shared", "amd64"]),
        Image::new("arm64", &["shared", "arm64"]),
    ];
    let both = index(&[("amd64", &images[0]), ("arm64", &images[1])]);
    let from = Registry::new().await;
    for image in &images {
        from.put("app", "unused", image);
    }
    let top = from.fake.manifest("app", "1", &both);
    let distinct: Vec<Bytes> = images
        .iter()
        .flat_map(|image| image.blobs.clone())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    let layers: Vec<Bytes> = distinct
        .iter()
        .filter(|blob| !blob.starts_with(b"{"))
        .cloned()
        .collect();
    assert_eq!((distinct.len(), layers.len()), (5, 3));
    let manifests = |method: &str, digests: &[Digest]| -> Vec<String> {
        let manifest = |digest: &Digest| line(method, format_args!("manifests/{digest}"));
        digests.iter().map(manifest).collect()
    };
    let digests = [images[0].digest(), images[1].digest()];
    let to = Registry::new().await;
    let goes = async |name: &str, options: &Options| {
        copied(from.at("app"), "1", to.at("app"), &[name], options)
            .await
            .expect("copied");
        (from.asked(), to.asked())
    };

    let (read, written) = goes("1", &all()).await;
    let expected = [
        vec![line("GET", "manifests/1")],
        manifests("GET", &digests),
        reads(&distinct),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        vec![line("HEAD", "manifests/1")],
        manifests("HEAD", &[top, digests[0], digests[1]]),
        questions(&layers),
        writes(5),
        manifests("PUT", &digests),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&expected.concat()));
    let head = vec![line("HEAD", "manifests/1")];
    assert_eq!(goes("1", &all()).await, (head.clone(), head.clone()));

    // One of them: what its index says is read to choose it, and not read twice.
    let one = Options {
        which: Which::One(Platform::new("linux", "arm64")),
        ..Options::default()
    };
    let (read, written) = goes("arm", &one).await;
    let first = [vec![line("GET", "manifests/1")], manifests("GET", &digests[1..])];
    assert_eq!(read, lines(&first.concat()));
    let expected = [
        vec![line("HEAD", "manifests/arm")],
        manifests("HEAD", &digests[1..]),
        vec![line("PUT", "manifests/arm")],
    ];
    assert_eq!(written, lines(&expected.concat()));
    let (read, written) = goes("arm", &one).await;
    assert_eq!(read, lines(&[head.clone(), manifests("GET", &[top])].concat()));
    assert_eq!(written, [line("HEAD", "manifests/arm")]);

    // An index of another image beside one that is there.
    let third = Image::new("s390x", &["shared", "s390x"]);
    from.put("app", "unused", &third);
    let more = from
        .fake
        .manifest("app", "1", &index(&[("arm64", &images[1]), ("s390x", &third)]));
    let (read, written) = goes("1", &all()).await;
    let expected = [
        head.clone(),
        manifests("GET", &[more, third.digest()]),
        reads(&[third.blobs[0].clone(), third.blobs[2].clone()]),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        head,
        manifests("HEAD", &[more, digests[1], third.digest()]),
        questions(&third.blobs[1..]),
        writes(2),
        manifests("PUT", &[third.digest()]),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&expected.concat()));
}

#[tokio::test]
async fn a_config_that_is_not_particular_to_its_image_is_asked_for() {
    let empty = |layer: &str| {
        Image::with_config(
            MediaType::from("application/vnd.oci.empty.v1+json"),
            "{}".to_owned(),
            &[layer],
        )
    };
    let (from, to) = (Registry::new().await, Registry::new().await);
    let artifacts = [empty("one"), empty("two")];
    for (tag, artifact) in ["1", "2"].iter().zip(&artifacts) {
        from.put("app", tag, artifact);
    }
    for (tag, artifact, new) in [("1", &artifacts[0], 2), ("2", &artifacts[1], 1)] {
        copied(from.at("app"), tag, to.at("app"), &[tag], &all())
            .await
            .expect("copied");
        let expected = [
            vec![
                line("HEAD", format_args!("manifests/{tag}")),
                line("HEAD", format_args!("manifests/{}", artifact.digest())),
                line("PUT", format_args!("manifests/{tag}")),
            ],
            questions(&artifact.blobs),
            writes(new),
        ];
        assert_eq!(to.asked(), lines(&expected.concat()), "{tag}");
    }
}

#[tokio::test]
async fn where_the_manifest_changes_its_digest_tells_nothing() {
    let image = Image::new("amd64", &FOUR);
    let (from, to) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    let options = Options {
        format: Some(Format::Docker),
        ..all()
    };
    // What becomes of it is known at the end, so that all is asked for; again it is found.
    for new in [5, 0] {
        copied(from.at("app"), "1", to.at("app"), &["1"], &options)
            .await
            .expect("copied");
        let mut read = vec![line("GET", "manifests/1")];
        let mut written = [vec![line("HEAD", "manifests/1")], questions(&image.blobs)].concat();
        if new > 0 {
            read.extend(reads(&image.blobs));
            written.extend(writes(new));
            written.push(line("PUT", "manifests/1"));
        }
        assert_eq!((from.asked(), to.asked()), (lines(&read), lines(&written)));
    }
}

#[tokio::test]
async fn what_a_copy_that_was_cut_off_left() {
    let image = Image::new("amd64", &FOUR);
    let (from, to) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    // All but the manifest: layers are found, and the config is written once more.
    for blob in &image.blobs {
        to.fake.blob("app", blob);
    }
    copied(from.at("app"), "1", to.at("app"), &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(
        from.asked(),
        lines(&[vec![line("GET", "manifests/1")], reads(&image.blobs[..1])].concat())
    );
    let expected = [
        vec![
            line("HEAD", "manifests/1"),
            line("HEAD", format_args!("manifests/{}", image.digest())),
            line("PUT", "manifests/1"),
        ],
        questions(&image.blobs[1..]),
        writes(1),
    ];
    assert_eq!(to.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn a_whole_repository() {
    let images = [Image::new("amd64", &["one"]), Image::new("amd64", &["two"])];
    let (from, to) = (Registry::new().await, Registry::new().await);
    for (tag, image) in [("1", &images[0]), ("2", &images[1]), ("3", &images[1])] {
        from.put("app", tag, image);
    }
    let how = Whole {
        options: all(),
        sparse: false,
        is_name: |_| true,
        under_way: None,
    };
    let goes = async || {
        let done = copy::copy_repository(from.at("app"), to.at("app"), &how, &silent()).await;
        assert_eq!(done.expect("copied").names, 3);
        (from.asked(), to.asked())
    };
    let tags = |method: &str| -> Vec<String> {
        let tag = |tag: &str| line(method, format_args!("manifests/{tag}"));
        ["1", "2", "3"].map(tag).to_vec()
    };
    let listed = [vec![line("GET", "tags/list?n=1000")], tags("HEAD")].concat();
    let (read, written) = goes().await;
    let by_digest = |method: &str, image: &Image| line(method, format_args!("manifests/{}", image.digest()));
    let expected = [
        listed.clone(),
        images.iter().map(|image| by_digest("GET", image)).collect(),
        reads(&[&images[0].blobs[..], &images[1].blobs].concat()),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        tags("HEAD"),
        images.iter().map(|image| by_digest("HEAD", image)).collect(),
        questions(&[images[0].blobs[1].clone(), images[1].blobs[1].clone()]),
        writes(4),
        vec![
            line("PUT", "manifests/1"),
            line("PUT", format_args!("manifests/{}?tag=2&tag=3", images[1].digest())),
        ],
    ];
    assert_eq!(written, lines(&expected.concat()));
    assert_eq!(goes().await, (lines(&listed), lines(&tags("HEAD"))));
}

#[tokio::test]
async fn what_the_name_gives_is_what_it_is_said_to_be() {
    let image = Image::new("amd64", &FOUR);
    let lie = Digest::of(b"a lie");
    let lying = Registry::that(move |_, reply| reply.replace("Docker-Content-Digest", lie)).await;
    let spoilt = Registry::that(|seen, reply| match (&*seen.method, seen.path()) {
        ("GET", "/v2/app/manifests/1") => {
            let mut body = reply.body.clone();
            body.push(b' ');
            let length = body.len();
            reply.replace("Content-Length", length).body(body)
        }
        _ => reply,
    })
    .await;
    for (from, says, has) in [
        (&lying, lie, image.digest()),
        (&spoilt, image.digest(), {
            let mut raw = image.document.raw().to_vec();
            raw.push(b' ');
            Digest::of(&raw)
        }),
    ] {
        from.put("app", "1", &image);
        let to = Registry::new().await;
        let error = copied(from.at("app"), "1", to.at("app"), &["1"], &all())
            .await
            .expect_err("a lie");
        assert_eq!((error.kind(), error.side()), (&ErrorKind::Mismatch, Some(Side::Source)));
        let message = format!("the registry calls a manifest {says} whose digest is {has}");
        assert!(error.to_string().contains(&message), "{error}");
        assert_eq!(from.asked(), [line("GET", "manifests/1")]);
        assert_eq!((to.asked(), to.has("1")), (vec![line("HEAD", "manifests/1")], None));
    }
    // More than a manifest may have, said or not.
    let stated = || Reply::new(200).header("Docker-Content-Digest", Digest::of(b"much"));
    for says in [true, false] {
        let from = Registry::that(move |seen, reply| match (&*seen.method, seen.path(), says) {
            ("GET", "/v2/app/manifests/1", true) => stated().says(5 << 20),
            ("GET", "/v2/app/manifests/1", false) => stated().endless(),
            _ => reply,
        })
        .await;
        from.put("app", "1", &image);
        let room = tempfile::tempdir().expect("a directory");
        let error = copied(from.at("app"), "1", layout(room.path()), &["1"], &all())
            .await
            .expect_err("too large");
        assert_eq!((error.kind(), error.side()), (&ErrorKind::TooLarge, Some(Side::Source)));
        assert_eq!(from.asked(), [line("GET", "manifests/1")]);
    }
}

#[tokio::test]
async fn a_manifest_that_breaks_off_goes_on_by_its_digest() {
    let image = Image::new("amd64", &FOUR);
    let from = Registry::that(|seen, reply| match (&*seen.method, seen.path()) {
        ("GET", "/v2/app/manifests/1") => reply.cut(100),
        _ => reply,
    })
    .await;
    from.put("app", "1", &image);
    let room = tempfile::tempdir().expect("a directory");
    let done = copied(from.at("app"), "1", layout(room.path()), &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(done.descriptor.digest, image.digest());
    let expected = [
        vec![
            line("GET", "manifests/1"),
            line("GET", format_args!("manifests/{}", image.digest())),
        ],
        reads(&image.blobs),
    ];
    assert_eq!(from.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn registries_that_know_no_head_of_a_manifest() {
    let image = Image::new("amd64", &FOUR);
    let headless = |seen: &Seen, reply: Reply| match (&*seen.method, seen.path().contains("/manifests/")) {
        ("HEAD", true) => Reply::new(405),
        _ => reply,
    };
    let (from, to) = (Registry::that(headless).await, Registry::that(headless).await);
    from.put("app", "1", &image);
    let goes = async || {
        copied(from.at("app"), "1", to.at("app"), &["1"], &all())
            .await
            .expect("copied");
        (from.asked(), to.asked())
    };
    let both = |path: &str| vec![line("GET", path), line("HEAD", path)];
    let (read, written) = goes().await;
    assert_eq!(
        read,
        lines(&[reads(&image.blobs), vec![line("GET", "manifests/1")]].concat())
    );
    let expected = [
        both("manifests/1"),
        both(&format!("manifests/{}", image.digest())),
        questions(&image.blobs[1..]),
        writes(5),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&expected.concat()));
    assert_eq!(goes().await, (both("manifests/1"), both("manifests/1")));
}

#[tokio::test]
async fn which_end_is_told_of() {
    let image = Image::new("amd64", &FOUR);
    let (from, nothing) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    let broken = Registry::that(|_, _| Reply::new(400)).await;
    let closed = Registry::that(|seen, reply| match &*seen.method {
        "HEAD" if seen.path().contains("/manifests/") => Reply::new(403),
        _ => reply,
    })
    .await;
    for target in [&Registry::new().await, &broken, &closed] {
        let error = copied(nothing.at("app"), "1", target.at("app"), &["1"], &all())
            .await
            .expect_err("nothing there");
        let expected = (&ErrorKind::NotFound, Some(Side::Source));
        assert_eq!((error.kind(), error.side()), expected, "{error}");
        assert!(error.to_string().contains("finding image \"1\""), "{error}");
    }
    let error = copied(from.at("app"), "1", broken.at("app"), &["1"], &all())
        .await
        .expect_err("it takes nothing");
    assert_eq!(error.side(), Some(Side::Destination), "{error}");
    // Where the index has no such image, that is told, whatever the other end is.
    let top = index(&[("amd64", &image)]);
    from.fake.manifest("app", "all", &top);
    let options = Options {
        which: Which::One(Platform::new("linux", "s390x")),
        ..Options::default()
    };
    let error = copied(from.at("app"), "all", broken.at("app"), &["1"], &options)
        .await
        .expect_err("no such image");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::NotFound, Some(Side::Source)),
        "{error}"
    );
}
