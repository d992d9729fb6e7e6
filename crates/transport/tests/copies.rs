//! Copies between layouts, of images that other tools made: what changes is what was asked for, and what is in a file is checked however it
//! gets across.
#![cfg(all(feature = "layout", feature = "remote"))]
#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use crate::support::{
    self,
    peer::{has, output},
    places::{here, image, index, skopeo},
};
use teu_spec::{
    Descriptor, Digest, Document, Format, ImageConfig, LayerCompression, MediaType, Pick, Platform, json::edit::Editor,
};
use teu_store::{
    Error, ErrorKind, Event, Events, Expect, How, Result, Side, Source, SourceExt, Target,
    copy::{self, Copied, Options, Recompress, Which},
    index::{Change, Member},
    silent,
};
use teu_transport::layout::Layout;

fn all() -> Options {
    Options {
        which: Which::All,
        ..Options::default()
    }
}

fn form(format: Format) -> Options {
    Options {
        format: Some(format),
        ..all()
    }
}

/// Copies an image from one layout to another as `to`, with what became of each blob. All that was begun has ended when it is told.
async fn goes(from: &Path, name: &str, to: &Path, options: &Options) -> Result<(Copied, Vec<How>)> {
    let (from, name, to, options) = (from.to_owned(), name.to_owned(), to.to_owned(), options.clone());
    let copied = tokio::task::spawn_blocking(move || {
        // What is dropped midway goes when its thread ends, and a runtime waits for its threads.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(in_this_runtime(&from, &name, &to, &options))
    });
    copied.await.expect("no panic")
}

async fn in_this_runtime(from: &Path, name: &str, to: &Path, options: &Options) -> Result<(Copied, Vec<How>)> {
    let ways = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&ways);
    let events: Events = Arc::new(move |event| {
        if let Event::BlobDone { how, .. } = event {
            kept.lock().expect("ways").push(how);
        }
    });
    let source = Arc::new(Layout::open(from, None)?);
    let target = Arc::new(Layout::create(to, None)?);
    let pick = Pick::Name(name.to_owned());
    let names = ["to".to_owned()];
    let copied = copy::copy(source, &pick, target.clone(), &names, options, &events).await?;
    target.finish().await?;
    let ways = ways.lock().expect("ways").clone();
    Ok((copied, ways))
}

async fn document(layout: &Path, name: &str) -> Document {
    let layout = Layout::open(layout, None).expect("a layout");
    let found = layout.resolve(&Pick::Name(name.to_owned())).await.expect("resolved");
    layout.document(&found).await.expect("a document")
}

fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout
        .join("blobs")
        .join(digest.algorithm().as_str())
        .join(digest.hex())
}

/// What lies in a layout under a name that is no digest of what is in it, or is no blob at all.
fn wrong_blobs(layout: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(layout.join("blobs")).expect("a directory") {
        let entry = entry.expect("an entry");
        if !entry.file_type().expect("a type").is_dir() {
            wrong.push(entry.file_name().into_string().expect("a name"));
            continue;
        }
        for blob in fs::read_dir(entry.path()).expect("a directory") {
            let blob = blob.expect("a blob");
            let name = blob.file_name().into_string().expect("a name");
            if Digest::of(&fs::read(blob.path()).expect("content")).hex() != name {
                wrong.push(name);
            }
        }
    }
    wrong
}

/// An image of three layers, made by umoci of real files, and configured: as `made` in the layout `umoci` of `room`.
fn made_by_umoci(room: &Path) -> PathBuf {
    let layout = room.join("umoci");
    let umoci = |arguments: &[&str]| output(Command::new("umoci").current_dir(room).args(arguments));
    umoci(&["init", "--layout", "umoci"]);
    umoci(&["new", "--image", "umoci:made"]);
    let contents: [Vec<u8>; 3] = [
        b"a small file".to_vec(),
        (0..400_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect(),
        vec![0; 2_000_000],
    ];
    for (place, content) in contents.iter().enumerate() {
        let (file, archive) = (format!("file-{place}"), format!("layer-{place}.tar"));
        fs::write(room.join(&file), content).expect("written");
        output(Command::new("tar").current_dir(room).args(["-cf", &archive, &file]));
        umoci(&["raw", "add-layer", "--image", "umoci:made", &archive]);
    }
    umoci(&[
        "config",
        "--image",
        "umoci:made",
        "--config.cmd",
        "/bin/true",
        "--config.env",
        "A=b",
    ]);
    layout
}

/// The layers of an image, decompressed by the tool of their media type, are what its config says.
async fn check_by_tools(layout: &Path, name: &str) {
    let document = document(layout, name).await;
    let children = document.children();
    let config = fs::read(blob(layout, &children[0].digest)).expect("a config");
    let config = ImageConfig::parse(config.into()).expect("a config");
    for (layer, diff_id) in children[1..].iter().zip(config.diff_ids()) {
        let tool = match layer.media_type.layer_compression().expect("a layer") {
            LayerCompression::None => "cat",
            LayerCompression::Gzip => "zcat",
            LayerCompression::Zstd => "zstdcat",
        };
        let stored = File::open(blob(layout, &layer.digest)).expect("a blob");
        let plain = output(Command::new(tool).stdin(Stdio::from(stored)));
        assert_eq!(Digest::of(&plain), *diff_id, "{}", layer.media_type);
    }
}

#[tokio::test]
async fn an_image_of_umocis_becomes_dockers_and_is_itself_again() {
    let test = "an_image_of_umocis_becomes_dockers_and_is_itself_again";
    if !(here(test, "umoci") && here(test, "skopeo")) {
        return;
    }
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let umoci = made_by_umoci(room);
    let original = document(&umoci, "made").await;
    goes(&umoci, "made", &room.join("docker"), &form(Format::Docker))
        .await
        .expect("converted");
    let docker = document(&room.join("docker"), "to").await;
    assert_eq!(docker.media_type(), &MediaType::DockerManifest);
    let digests =
        |document: &Document| -> Vec<Digest> { document.children().iter().map(|child| child.digest).collect() };
    assert_eq!(
        digests(&docker),
        digests(&original),
        "config and layers are what they were"
    );
    // umoci does not state the media type, which Docker's form must; that is all that is new.
    goes(&room.join("docker"), "to", &room.join("back"), &form(Format::Oci))
        .await
        .expect("converted");
    let back = document(&room.join("back"), "to").await;
    let mut stated = Editor::new(original.raw().clone()).expect("an editor");
    stated
        .set_after(&["mediaType".into()], &["schemaVersion"], &MediaType::OciManifest)
        .expect("set");
    assert_eq!(*back.raw(), stated.finish());
    // From here on both say the same, byte for byte.
    goes(
        &room.join("back"),
        "to",
        &room.join("docker-again"),
        &form(Format::Docker),
    )
    .await
    .expect("converted");
    assert_eq!(document(&room.join("docker-again"), "to").await, docker);
    goes(
        &room.join("docker-again"),
        "to",
        &room.join("back-again"),
        &form(Format::Oci),
    )
    .await
    .expect("converted");
    assert_eq!(document(&room.join("back-again"), "to").await, back);

    // skopeo's conversion has the same in it, and skopeo takes ours.
    skopeo(&[
        "copy",
        "-q",
        "--format",
        "v2s2",
        &format!("oci:{}:made", umoci.display()),
        &format!("dir:{}", room.join("theirs").display()),
    ]);
    let theirs = fs::read(room.join("theirs/manifest.json")).expect("a manifest");
    let theirs = Document::parse(theirs.into(), None).expect("a manifest");
    let types = |document: &Document| -> Vec<MediaType> {
        document.children().into_iter().map(|child| child.media_type).collect()
    };
    assert_eq!((digests(&theirs), types(&theirs)), (digests(&docker), types(&docker)));
    // In a layout it looks for OCI's form alone, so it gets a directory.
    let (ours, taken) = (format!("dir:{}", room.join("ours").display()), room.join("taken"));
    support::places::copy(&format!("oci:{}:to", room.join("docker").display()), &ours)
        .await
        .expect("copied");
    skopeo(&[
        "copy",
        "-q",
        "--preserve-digests",
        &ours,
        &format!("dir:{}", taken.display()),
    ]);
    assert_eq!(
        fs::read(taken.join("manifest.json")).expect("a manifest"),
        docker.raw()[..]
    );
}

#[tokio::test]
async fn an_image_of_skopeos_keeps_its_bytes_around() {
    let test = "an_image_of_skopeos_keeps_its_bytes_around";
    if !(here(test, "umoci") && here(test, "skopeo")) {
        return;
    }
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let umoci = made_by_umoci(room);
    // Written by skopeo in Docker's form: indented, which stays.
    let theirs = room.join("theirs");
    skopeo(&[
        "copy",
        "-q",
        "--format",
        "v2s2",
        &format!("oci:{}:made", umoci.display()),
        &format!("oci:{}:v2s2", theirs.display()),
    ]);
    let docker = document(&theirs, "v2s2").await;
    assert_eq!(docker.media_type(), &MediaType::DockerManifest);
    goes(&theirs, "v2s2", &room.join("oci"), &form(Format::Oci))
        .await
        .expect("converted");
    let oci = document(&room.join("oci"), "to").await;
    assert_eq!(oci.media_type(), &MediaType::OciManifest);
    goes(&room.join("oci"), "to", &room.join("back"), &form(Format::Docker))
        .await
        .expect("converted");
    assert_eq!(document(&room.join("back"), "to").await, docker);
}

#[tokio::test]
async fn layers_are_recompressed_so_that_other_tools_read_them() {
    let test = "layers_are_recompressed_so_that_other_tools_read_them";
    if !(here(test, "umoci") && here(test, "skopeo") && here(test, "zstd")) {
        return;
    }
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let umoci = made_by_umoci(room);
    let original = document(&umoci, "made").await;
    let (mut from, mut name) = (umoci, "made");
    for compression in [LayerCompression::Zstd, LayerCompression::None, LayerCompression::Gzip] {
        let to = room.join(compression.as_str());
        let options = Options {
            recompress: Some(Recompress::to(compression)),
            ..all()
        };
        let (copied, ways) = goes(&from, name, &to, &options).await.expect("copied");
        assert_eq!(ways.iter().filter(|how| **how == How::Recompressed).count(), 3);
        let document = document(&to, "to").await;
        assert_eq!(
            document.children()[0],
            original.children()[0],
            "the config is what it was"
        );
        for layer in &document.children()[1..] {
            assert_eq!(layer.media_type.layer_compression(), Some(compression));
        }
        check_by_tools(&to, "to").await;
        assert_eq!(wrong_blobs(&to), Vec::<String>::new());
        // skopeo takes it as it is.
        let taken = room.join(format!("{compression}-taken"));
        let reference = format!("oci:{}:to", to.display());
        skopeo(&[
            "copy",
            "-q",
            "--preserve-digests",
            &reference,
            &format!("dir:{}", taken.display()),
        ]);
        let manifest = fs::read(taken.join("manifest.json")).expect("a manifest");
        assert_eq!(Digest::of(&manifest), copied.descriptor.digest);
        (from, name) = (to, "to");
    }
    // umoci checks the DiffIDs as it unpacks.
    output(
        Command::new("umoci")
            .current_dir(room)
            .args(["unpack", "--rootless", "--image", "gzip:to", "bundle"]),
    );
    assert_eq!(
        fs::read(room.join("bundle/rootfs/file-0")).expect("a file"),
        b"a small file"
    );
}

#[tokio::test]
async fn a_layer_that_is_not_its_diff_id_is_not_recompressed() {
    let test = "a_layer_that_is_not_its_diff_id_is_not_recompressed";
    if !(here(test, "umoci") && here(test, "skopeo")) {
        return;
    }
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let umoci = made_by_umoci(room);
    // skopeo 1.9.3 drops the padding at the end of the archive when it writes zstd:chunked.
    let chunked = room.join("chunked");
    let to = format!("oci:{}:made", chunked.display());
    let format = ["--dest-compress-format", "zstd:chunked"];
    skopeo(
        &[
            &["copy", "-q"],
            &format[..],
            &[&format!("oci:{}:made", umoci.display()), &to],
        ]
        .concat(),
    );
    let options = Options {
        recompress: Some(Recompress::to(LayerCompression::Gzip)),
        ..all()
    };
    let target = room.join("target");
    match goes(&chunked, "made", &target, &options).await {
        Err(error) => {
            assert_eq!(
                (error.kind(), error.side()),
                (&ErrorKind::Mismatch, Some(Side::Source)),
                "{error}"
            );
            let layout = Layout::open(&target, None).expect("a layout");
            let named = layout
                .resolve(&Pick::Name("to".to_owned()))
                .await
                .expect_err("not named");
            assert_eq!(named.kind(), &ErrorKind::NotFound);
        }
        // A skopeo that does it right.
        Ok(_) => check_by_tools(&target, "to").await,
    }
    assert_eq!(wrong_blobs(&target), Vec::<String>::new());
}

#[tokio::test]
async fn a_layer_that_is_damaged_is_told_from_one_that_is_malformed() {
    let test = "a_layer_that_is_damaged_is_told_from_one_that_is_malformed";
    if !here(test, "umoci") {
        return;
    }
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let umoci = made_by_umoci(room);
    // Decoding fails at once, long before the digest can be told.
    let large = document(&umoci, "made").await.children()[2].clone();
    let file = File::options()
        .write(true)
        .open(blob(&umoci, &large.digest))
        .expect("a blob");
    file.write_all_at(&[0xff], 2).expect("damaged");
    let options = Options {
        recompress: Some(Recompress::to(LayerCompression::Zstd)),
        ..all()
    };
    let error = goes(&umoci, "made", &room.join("to"), &options)
        .await
        .expect_err("damaged");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Mismatch, Some(Side::Source)),
        "{error}"
    );
    assert!(error.to_string().contains("has the digest"), "{error}");
    // Under a digest of its own the same content is what it was meant to be, and no gzip.
    let content = fs::read(blob(&umoci, &large.digest)).expect("content");
    let digest = Digest::of(&content);
    fs::write(blob(&umoci, &digest), content).expect("written");
    let mut children: Vec<_> = document(&umoci, "made")
        .await
        .children()
        .into_iter()
        .map(Some)
        .collect();
    if let Some(Some(layer)) = children.get_mut(2) {
        layer.digest = digest;
    }
    let malformed = document(&umoci, "made").await.rewrite(&children).expect("a manifest");
    let layout = Layout::open(&umoci, None).expect("a layout");
    let names = ["malformed".to_owned()];
    let digest = Digest::of(malformed.raw());
    let put = layout.put_manifest(&malformed, &digest, &names, Expect::Any);
    put.await.expect("put");
    layout.finish().await.expect("finished");
    let error = goes(&umoci, "malformed", &room.join("to"), &options)
        .await
        .expect_err("malformed");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Invalid, Some(Side::Source)),
        "{error}"
    );
}

/// What is in a layout's index: names and digests.
fn named(layout: &Path) -> Vec<(Option<String>, Digest)> {
    let raw = fs::read(layout.join("index.json")).expect("an index");
    let index = Document::parse(raw.into(), Some(&MediaType::OciIndex)).expect("an index");
    let name = |child: &Descriptor| child.annotations.get(teu_spec::annotation::REF_NAME).cloned();
    let mut all: Vec<_> = index
        .children()
        .iter()
        .map(|child| (name(child), child.digest))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn copies_into_one_layout_at_once_lose_nothing() {
    let room = tempfile::tempdir().expect("a directory");
    let (from, to) = (room.path().join("from"), room.path().join("to"));
    let digest = index(&from, "all").await;
    let other = image(&from, "other", &["other"]).await.digest;
    for round in 0..10 {
        let mut copies = tokio::task::JoinSet::new();
        let shared = Layout::create(&to, None).expect("a layout");
        for task in 0..6 {
            let (from, to, shared) = (from.clone(), to.clone(), shared.clone());
            copies.spawn(async move {
                let source = Arc::new(Layout::open(&from, None)?);
                // As two processes, and as two tasks of one.
                let target = if task % 2 == 0 {
                    shared
                } else {
                    Layout::create(&to, None)?
                };
                let pick = Pick::Name(if task < 4 { "all" } else { "other" }.to_owned());
                let names = match task {
                    3 => Vec::new(),
                    _ => vec![format!("round-{round}-task-{task}"), format!("round-{round}")],
                };
                let target: Arc<dyn Target> = Arc::new(target);
                copy::copy(source, &pick, Arc::clone(&target), &names, &all(), &silent()).await?;
                target.finish().await
            });
        }
        while let Some(done) = copies.join_next().await {
            done.expect("no panic").expect("copied");
        }
        assert_eq!(wrong_blobs(&to), Vec::<String>::new());
        let found = named(&to);
        for task in [0, 1, 2, 4, 5] {
            let name = Some(format!("round-{round}-task-{task}"));
            let wanted = if task < 4 { digest } else { other };
            let all: Vec<_> = found.iter().filter(|(found, _)| *found == name).collect();
            assert_eq!(all, [&(name.clone(), wanted)]);
        }
        // Whoever came last has the name that all of them set, once.
        let name = Some(format!("round-{round}"));
        assert_eq!(found.iter().filter(|(found, _)| *found == name).count(), 1);
        fs::remove_dir_all(&to).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_of_one_index_at_once_are_all_made() {
    let room = tempfile::tempdir().expect("a directory");
    let to = room.path().join("to");
    index(&to, "all").await;
    let mut wanted: Vec<Digest> = document(&to, "all")
        .await
        .children()
        .iter()
        .map(|child| child.digest)
        .collect();
    let mut changes = tokio::task::JoinSet::new();
    for machine in [
        "386", "s390x", "riscv64", "ppc64le", "loong64", "mips64le", "arm", "mips",
    ] {
        let from = room.path().join(machine);
        wanted.push(image(&from, machine, &[machine]).await.digest);
        let to = to.clone();
        changes.spawn(async move {
            let store = Arc::new(Layout::open(&to, None)?);
            let source = Arc::new(Layout::open(&from, None)?);
            let mut member = Member::new(source, Pick::Name(machine.to_owned()));
            member.platform = Some(Platform::new("linux", machine));
            let (pick, change) = (Pick::Name("all".to_owned()), Change::Add(vec![member]));
            teu_store::index::change(store.clone(), &pick, &change, &[], &all(), &silent()).await?;
            store.finish().await
        });
    }
    while let Some(done) = changes.join_next().await {
        done.expect("no panic").expect("changed");
    }
    let mut found: Vec<Digest> = document(&to, "all")
        .await
        .children()
        .iter()
        .map(|child| child.digest)
        .collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    // The index is all that is listed: its images are not, and what it was before is garbage.
    let digest = Digest::of(document(&to, "all").await.raw());
    assert_eq!(named(&to), [(Some("all".to_owned()), digest)]);
    assert_eq!(wrong_blobs(&to), Vec::<String>::new());
}

/// A copy whose source has other content in one layer, of the same size or not, under `trust`.
async fn damaged(
    room: &Path,
    same_size: bool,
    trust_source: bool,
) -> (std::result::Result<Vec<How>, Error>, PathBuf, PathBuf) {
    let name = format!("{same_size}-{trust_source}");
    let (from, to) = (room.join(format!("from-{name}")), room.join(format!("to-{name}")));
    image(&from, "one", &["one"]).await;
    let layer = document(&from, "one").await.children()[1].clone();
    let source = blob(&from, &layer.digest);
    let file = File::options().write(true).open(&source).expect("a blob");
    if same_size {
        file.write_all_at(b"damage", 3).expect("written");
    } else {
        file.set_len(layer.size - 1).expect("cut");
    }
    let options = Options { trust_source, ..all() };
    let outcome = goes(&from, "one", &to, &options).await;
    (outcome.map(|(_, ways)| ways), source, blob(&to, &layer.digest))
}

async fn files_are_taken_over_in(room: &Path) {
    // What is right goes across as a file, checked or not.
    for trust_source in [false, true] {
        let (from, to) = (
            room.join(format!("from-{trust_source}")),
            room.join(format!("to-{trust_source}")),
        );
        image(&from, "one", &["one"]).await;
        let options = Options { trust_source, ..all() };
        let (copied, ways) = goes(&from, "one", &to, &options).await.expect("copied");
        assert_eq!((ways, copied.blobs), (vec![How::Linked; 3], 3));
        assert_eq!(wrong_blobs(&to), Vec::<String>::new());
        assert_eq!(document(&to, "to").await, document(&from, "one").await);
    }
    // What is wrong does not, and leaves nothing, unless it is trusted; even then its size must be right.
    for (same_size, trust_source) in [(true, false), (false, false), (false, true)] {
        let (outcome, _, there) = damaged(room, same_size, trust_source).await;
        let error = outcome.expect_err("damaged");
        assert_eq!(
            (error.kind(), error.side()),
            (&ErrorKind::Mismatch, Some(Side::Source)),
            "{error}"
        );
        assert!(!there.exists());
        let layout = there.ancestors().nth(3).expect("a layout");
        assert_eq!(wrong_blobs(layout), Vec::<String>::new());
        assert_eq!(named(layout), []);
    }
    let (outcome, here, there) = damaged(room, true, true).await;
    assert_eq!(outcome.expect("trusted"), [How::Linked; 3]);
    assert_eq!(fs::read(here).expect("content"), fs::read(there).expect("content"));
}

#[tokio::test]
async fn files_are_taken_over_and_checked() {
    let room = tempfile::tempdir().expect("a directory");
    files_are_taken_over_in(room.path()).await;
}

/// A file system that can share the content of files, until it is dropped.
struct Sharing(tempfile::TempDir);

impl Sharing {
    fn mounted(test: &str) -> Option<Self> {
        for tool in ["mkfs.xfs", "mount", "filefrag"] {
            if !has(tool) {
                eprintln!("SKIPPED {test}: {tool} is missing");
                return None;
            }
        }
        let room = tempfile::tempdir().expect("a directory");
        let (image, here) = (room.path().join("image"), room.path().join("here"));
        fs::create_dir(&here).expect("a directory");
        // Sparse: it takes the place of what is written to it.
        File::create(&image)
            .and_then(|image| image.set_len(400 << 20))
            .expect("an image");
        output(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image));
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&here)
            .output();
        match mounted {
            Ok(mounted) if mounted.status.success() => Some(Self(room)),
            _ => {
                eprintln!("SKIPPED {test}: nothing can be mounted here");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("here")
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[tokio::test]
async fn files_are_shared_where_the_file_system_can() {
    let Some(sharing) = Sharing::mounted("files_are_shared_where_the_file_system_can") else {
        return;
    };
    files_are_taken_over_in(&sharing.path()).await;
    for trust_source in [false, true] {
        let (from, to) = (
            sharing.path().join("large"),
            sharing.path().join(format!("to-large-{trust_source}")),
        );
        let layout = Layout::create(&from, None).expect("a layout");
        let layer: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let large = teu_store::suite::Image::of(layout.takes(), "large", &[layer.into()]);
        large.put(&layout, &["large"]).await.expect("put");
        layout.finish().await.expect("finished");
        let options = Options { trust_source, ..all() };
        goes(&from, "large", &to, &options).await.expect("copied");
        let copy = blob(&to, &large.document.children()[1].digest);
        File::open(&copy).and_then(|file| file.sync_all()).expect("synced");
        let extents = output(Command::new("filefrag").arg("-v").arg(&copy));
        let extents = String::from_utf8_lossy(&extents).into_owned();
        assert!(extents.contains("shared"), "{extents}");
        // What is written to one is not written to the other.
        let here = blob(&from, &large.document.children()[1].digest);
        let mut file = File::options().write(true).open(&here).expect("a blob");
        file.write_all(b"changed").expect("written");
        drop(file);
        assert_eq!(wrong_blobs(&to), Vec::<String>::new());
        fs::remove_dir_all(&from).expect("removed");
    }
}

#[tokio::test]
async fn one_machines_image_of_several_is_converted() {
    let room = tempfile::tempdir().expect("a directory");
    let (from, to) = (room.path().join("from"), room.path().join("to"));
    index(&from, "all").await;
    let options = Options {
        which: Which::One(Platform::new("linux", "arm64")),
        format: Some(Format::Docker),
        ..Options::default()
    };
    let (copied, _) = goes(&from, "all", &to, &options).await.expect("copied");
    assert_eq!(copied.descriptor.media_type, MediaType::DockerManifest);
    assert_eq!(named(&to), [(Some("to".to_owned()), copied.descriptor.digest)]);
}
