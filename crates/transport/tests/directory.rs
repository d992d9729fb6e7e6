//! `dir:` shows every behaviour of a store that holds one image, is what skopeo reads and writes, and is safe to read and to replace.
#![cfg(all(feature = "archives", feature = "remote"))]

use crate::support;
use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, sync::Arc};

use crate::support::places::{copy, here, image, index, skopeo, skopeo_digest};
use teu_spec::{Digest, Pick, json};
use teu_store::{
    BoxFuture, ErrorKind, FetchOptions, Result, Role, Source, Target,
    suite::{Can, Image, Place},
};
use teu_transport::directory::Directory;

struct Here(tempfile::TempDir);

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(Arc::new(Directory::create(self.0.path().join("image"))?) as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(Arc::new(Directory::open(self.0.path().join("image"))?) as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            name: false,
            hold_many: false,
            compare: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        fs::write(self.0.path().join("image").join(digest.hex()), content).is_ok()
    }

    fn litter(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.path().join("image")) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
        names.filter(|name| name.starts_with(".teu-")).collect()
    }
}

mod suite {
    use super::*;

    teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
}

/// All files of a directory, by name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        (name, fs::read(entry.path()).expect("a file"))
    });
    entries.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_byte_for_byte_what_skopeo_writes_and_skopeo_reads_it() {
    if !here("dir beside skopeo", "skopeo") {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name).display().to_string();
    let one = image(&root.path().join("layout"), "one", &["one"]).await.digest;
    let all = index(&root.path().join("layout"), "all").await;
    for (name, digest) in [("one", one), ("all", all)] {
        let from = format!("oci:{}:{name}", path("layout"));
        let (ours, theirs) = (path(&format!("ours-{name}")), path(&format!("theirs-{name}")));
        assert_eq!(copy(&from, &format!("dir:{ours}")).await.expect("copied"), digest);
        skopeo(&["copy", "-q", "--all", &from, &format!("dir:{theirs}")]);
        assert_eq!(files(Path::new(&ours)), files(Path::new(&theirs)), "{name}");
        // And back, each by the other.
        let (back, again) = (path(&format!("back-{name}")), path(&format!("again-{name}")));
        let copied = copy(&format!("dir:{theirs}"), &format!("oci:{back}:x")).await;
        assert_eq!(copied.expect("copied"), digest);
        skopeo(&[
            "copy",
            "-q",
            "--all",
            "--preserve-digests",
            &format!("dir:{ours}"),
            &format!("oci:{again}:x"),
        ]);
        assert_eq!(skopeo_digest(&format!("oci:{again}:x")), digest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_image_takes_the_place_of_the_old_and_of_nothing_else() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("image");
    let directory = Directory::create(&place).expect("a directory");
    let (old, new) = (
        Image::small(directory.takes(), "old"),
        Image::small(directory.takes(), "new"),
    );
    old.put(&directory, &[]).await.expect("put");
    directory.finish().await.expect("finished");
    fs::write(place.join("notes.txt"), "mine").expect("written");
    fs::write(place.join("signature-1"), "of the old").expect("written");
    fs::create_dir(place.join("f".repeat(64))).expect("a directory called as a blob is");

    // Another writer is kept out, and one that does not finish leaves the old image.
    let writer = Directory::create(&place).expect("a directory");
    new.put(&writer, &[]).await.expect("put");
    let other = Directory::create(&place).expect("a directory");
    let refused = new.put(&other, &[]).await.expect_err("two writers");
    assert_eq!(refused.kind(), &ErrorKind::Conflict, "{refused}");
    let source = Directory::open(&place).expect("an image");
    assert_eq!(source.resolve(&Pick::Only).await.expect("resolved").digest, old.digest);
    drop(writer);

    // The same again: its signature stays.
    let writer = Directory::create(&place).expect("a directory");
    old.put(&writer, &[]).await.expect("put");
    writer.finish().await.expect("finished");
    assert!(place.join("signature-1").exists());

    let writer = Directory::create(&place).expect("a directory");
    // The layer that both have is not written again.
    let children = new.document.children();
    for (blob, descriptor) in new.blobs.iter().zip(&children) {
        if descriptor.digest != Digest::of(&old.blobs[1]) {
            support::push(&writer, teu_store::Expected::verified(descriptor), blob, 1000)
                .await
                .expect("pushed");
        }
    }
    let put = writer
        .put_manifest(&new.document, &new.digest, &[], Default::default())
        .await;
    put.expect("put");
    writer.finish().await.expect("finished");
    let mut expected: Vec<String> = children.iter().map(|child| child.digest.hex()).collect();
    expected.extend([
        "f".repeat(64),
        "manifest.json".into(),
        "notes.txt".into(),
        "version".into(),
    ]);
    expected.sort();
    let mut found: Vec<String> = fs::read_dir(&place)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(
        Digest::of(&fs::read(place.join("manifest.json")).expect("read")),
        new.digest
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_the_image_comes_along_and_a_second_image_does_not() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("image");
    let directory = Directory::create(&place).expect("a directory");
    let image = Image::small(directory.takes(), "subject");
    image.put(&directory, &[]).await.expect("put");
    let about = image.document.with_subject(Some(&image.document.descriptor()));
    let about = about.expect("a manifest");
    let digest = Digest::of(about.raw());
    let put = directory.put_manifest(&about, &digest, &[], Default::default()).await;
    put.expect("put");
    directory.finish().await.expect("finished");
    let source = Directory::open(&place).expect("an image");
    assert_eq!(
        source.resolve(&Pick::Only).await.expect("resolved").digest,
        image.digest
    );
    assert_eq!(
        source.resolve(&Pick::Digest(digest)).await.expect("resolved").digest,
        digest
    );

    let directory = Directory::create(root.path().join("two")).expect("a directory");
    for seed in ["one", "two"] {
        Image::small(directory.takes(), seed)
            .put(&directory, &[])
            .await
            .expect("put");
    }
    let error = directory.finish().await.expect_err("two images");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    let named = Image::small(directory.takes(), "one").put(&directory, &["name"]).await;
    assert_eq!(named.expect_err("a name").kind(), &ErrorKind::Unsupported);
}

#[test]
fn what_is_something_else_is_not_written_to() {
    let root = tempfile::tempdir().expect("a directory");
    let made = |name: &str, file: &str, content: &str| {
        let directory = root.path().join(name);
        fs::create_dir(&directory).expect("made");
        fs::write(directory.join(file), content).expect("written");
        directory
    };
    let home = made("home", "letter.txt", "dear");
    let older = made("older", "version", "Directory Transport Version: 1.0\n");
    for directory in [&home, &older] {
        let before = files(directory);
        let error = Directory::create(directory).err().expect("something else");
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
        assert!(
            error.to_string().contains("not empty and no image directory"),
            "{error}"
        );
        assert_eq!(files(directory), before);
    }
    let error = Directory::open(&home).err().expect("no image");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    assert!(error.to_string().contains("has no manifest.json"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_directory_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("image");
    let directory = Directory::create(&place).expect("a directory");
    let image = Image::small(directory.takes(), "victim");
    image.put(&directory, &[]).await.expect("put");
    directory.finish().await.expect("finished");
    let secret = root.path().join("secret");
    fs::write(&secret, "secret").expect("written");

    let config = image.document.children()[0].digest;
    let replaced = |name: &str, how: &str| {
        let path = place.join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        match how {
            "link" => symlink(&secret, &path).expect("a link"),
            "directory" => fs::create_dir(&path).expect("a directory"),
            _ => drop(support::peer::output(std::process::Command::new("mkfifo").arg(&path))),
        }
    };
    let source = Directory::open(&place).expect("an image");
    for how in ["link", "directory", "fifo"] {
        replaced(&config.hex(), how);
        let fetched = source.fetch(Role::Blob, &config, FetchOptions::default()).await;
        let error = fetched.err().expect(how);
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{how}: {error}");
        assert_eq!(
            source.local().expect("local").open_file(&config).expect_err(how).kind(),
            &ErrorKind::Invalid
        );
    }
    for how in ["link", "directory", "fifo"] {
        replaced("manifest.json", how);
        let error = Directory::open(&place).err().expect(how);
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{how}: {error}");
        replaced("version", how);
        let error = Directory::create(&place).err().expect(how);
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{how}: {error}");
    }
    let _ = fs::remove_file(place.join("manifest.json"));
    fs::write(place.join("manifest.json"), vec![b' '; json::MAX_DOCUMENT as usize + 1]).expect("written");
    let error = source.resolve(&Pick::Only).await.expect_err("too large");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
    fs::write(place.join("manifest.json"), "{}").expect("written");
    let error = source.resolve(&Pick::Only).await.expect_err("no manifest");
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    assert_eq!(fs::read_to_string(&secret).expect("read"), "secret");
}
