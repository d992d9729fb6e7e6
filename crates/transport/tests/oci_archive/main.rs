//! `oci-archive:` shows every behaviour of a store that is written once; other tools read what we write and we what they write; what is
//! hostile is refused.
#![cfg(all(feature = "archives", feature = "remote"))]

mod hostile;
mod peers;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use crate::archive;
use crate::support::{
    self,
    peer::output,
    places::{copy, copy_with, document, here, image, index, skopeo, skopeo_digest},
    room::Room,
};
use bytes::Bytes;
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Index, Limits, Writer},
};
use teu_spec::{Descriptor, Digest, MediaType, Pick, json};
use teu_store::{
    BoxFuture, Error, ErrorKind, Expected, FetchOptions, Ingest, Result, Role, Source, SourceExt, Target,
    suite::{Can, Image, Place},
};
use teu_transport::{
    layout::Layout,
    locate::Options,
    oci_archive::{OciArchive, OciArchiveWriter},
};

struct Here(tempfile::TempDir);

impl Here {
    fn path(&self) -> PathBuf {
        self.0.path().join("image.tar")
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(Arc::new(OciArchiveWriter::create(self.path(), None)?) as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(Arc::new(OciArchive::open(self.path(), None)?) as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            reopen: false,
            tell_roles: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        archive::corrupt(&self.path(), digest, content)
    }

    fn litter(&self) -> Vec<String> {
        archive::litter(self.0.path())
    }
}

mod suite {
    use super::*;

    teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
}

impl Room {
    /// Opens an archive; what has to be copied first goes to this room.
    fn oci_archive(&self, name: &str) -> Result<OciArchive> {
        OciArchive::open(self.path(name), Some(self.0.path().to_owned()))
    }

    /// What is in the room.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).expect("a directory");
        let mut names: Vec<String> = names
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    }
}

/// Checks all digests below what a reference leads to, by copying it into a layout.
async fn checked(room: &Room, reference: &str, options: Options) -> Result<Digest> {
    let into = tempfile::tempdir_in(room.0.path()).expect("a directory");
    let locator = support::places::locator();
    let (source, pick) = locator.source(&reference.parse()?, options)?;
    let target = Arc::new(Layout::create(into.path().join("layout"), None)?);
    let all = teu_store::copy::Options {
        which: teu_store::copy::Which::All,
        ..Default::default()
    };
    let copied = teu_store::copy::copy(
        source,
        &pick,
        target.clone(),
        &["x".to_owned()],
        &all,
        &teu_store::silent(),
    )
    .await?;
    target.finish().await?;
    Ok(copied.descriptor.digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_read_and_written() {
    let room = Room::new();
    let one = image(&room.path("layout"), "one", &["one"]).await.digest;
    let from = format!("oci:{}:one", room.text("layout"));
    output(Command::new("mkfifo").arg(room.path("pipe.tar")));
    let (path, into) = (room.path("pipe.tar"), room.path("through.tar"));
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        fs::File::open(path)
            .expect("a pipe")
            .read_to_end(&mut all)
            .expect("read");
        fs::write(into, all).expect("written");
    });
    let pipe = format!("oci-archive:{}:one", room.text("pipe.tar"));
    assert_eq!(copy(&from, &pipe).await.expect("written"), one);
    reader.join().expect("read");
    let through = format!("oci-archive:{}:one", room.text("through.tar"));
    assert_eq!(checked(&room, &through, Options::default()).await.expect("whole"), one);

    let (path, all) = (room.path("pipe.tar"), fs::read(room.path("through.tar")).expect("read"));
    let writer = std::thread::spawn(move || fs::write(path, all).expect("written"));
    let temporary = Options {
        temporary: Some(room.0.path().to_owned()),
        ..Options::default()
    };
    assert_eq!(checked(&room, &pipe, temporary).await.expect("read"), one);
    writer.join().expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_archive_takes_no_place_and_a_finished_one_does_at_once() {
    let room = Room::new();
    image(&room.path("layout"), "one", &["one"]).await;
    let from = format!("oci:{}:one", room.text("layout"));
    let to = format!("oci-archive:{}:one", room.text("image.tar"));
    copy(&from, &to).await.expect("copied");
    let before = fs::read(room.path("image.tar")).expect("read");
    let writer = OciArchiveWriter::create(room.path("image.tar"), None).expect("a writer");
    Image::small(writer.takes(), "other")
        .put(&writer, &["other"])
        .await
        .expect("put");
    assert_eq!(
        fs::read(room.path("image.tar")).expect("read"),
        before,
        "not before it is finished"
    );
    drop(writer);
    assert_eq!(fs::read(room.path("image.tar")).expect("read"), before);
    assert_eq!(room.names(), ["image.tar", "layout"], "nothing is left");
    // The same image gives the same archive, and a link to it stays a link.
    std::os::unix::fs::symlink("image.tar", room.path("link.tar")).expect("a link");
    copy(&from, &format!("oci-archive:{}:one", room.text("link.tar")))
        .await
        .expect("copied");
    assert!(
        fs::symlink_metadata(room.path("link.tar"))
            .expect("a link")
            .is_symlink()
    );
    let index = |path: &Path| {
        let file = fs::File::open(path).expect("an archive");
        let index = Index::read(&file, Limits::default()).expect("an index");
        let mut names: Vec<_> = index
            .members()
            .iter()
            .map(|member| member.header.path.clone())
            .collect();
        assert_eq!(
            names[names.len() - 2..],
            [b"index.json".to_vec(), b"oci-layout".to_vec()]
        );
        names.sort();
        names
    };
    let after = index(&room.path("image.tar"));
    assert_eq!(after.len(), 2 + 4 + 2, "directories, blobs and what lists them");
}

/// Side by side and in any order: straight, waiting, unknown in size, wrong, and broken off in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_side_by_side_and_what_is_broken_off_leaves_no_trace() {
    let room = Room::new();
    let writer = OciArchiveWriter::create(room.path("image.tar"), None).expect("a writer");
    let contents: Vec<Bytes> = (0..40).map(|n| support::content(200_000 + n)).collect();
    let described = |content: &Bytes| Descriptor::of(MediaType::OciLayer, content);
    // One is begun first and ended last; another is broken off in the middle.
    let mut first: Box<dyn Ingest> = writer
        .ingest(Expected::verified(&described(&contents[0])))
        .await
        .expect("begun");
    first.write(contents[0].slice(..100_000)).await.expect("written");
    for content in &contents[1..14] {
        // One after the other, though the first has the archive: none waits for it.
        support::push(&writer, Expected::verified(&described(content)), content, 50_000)
            .await
            .expect("pushed");
    }
    first.write(contents[0].slice(100_000..)).await.expect("written");
    first.commit(None).await.expect("committed");
    let broken = support::content(300_000);
    let mut ingest = writer
        .ingest(Expected::verified(&described(&broken)))
        .await
        .expect("begun");
    ingest.write(broken.slice(..290_000)).await.expect("written");
    ingest.abort().await.expect("aborted");
    let pushes = contents[14..].iter().enumerate().map(|(n, content)| {
        let expected = match n % 3 {
            0 => Expected::verified(&described(content)),
            1 => Expected::default(),
            _ => Expected {
                verified: false,
                ..Expected::verified(&described(content))
            },
        };
        support::push(&writer, expected, content, 30_000)
    });
    for pushed in futures_util::future::join_all(pushes).await {
        pushed.expect("pushed");
    }
    writer.finish().await.expect("finished");
    let archive = OciArchive::open(room.path("image.tar"), None).expect("an archive");
    for content in &contents {
        let blob = archive.open(Role::Blob, &described(content)).await.expect("a blob");
        assert_eq!(blob.read_all(content.len() as u64).await.expect("read"), content);
    }
    let file = fs::File::open(room.path("image.tar")).expect("an archive");
    let index = Index::read(&file, Limits::default()).expect("an index");
    assert_eq!(
        index.members().len(),
        2 + contents.len() + 2,
        "each once and nothing else"
    );
    let late = writer.ingest(Expected::default()).await.expect("begun");
    late.commit(None).await.expect_err("the archive is finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_names_are_listed_and_one_of_them_can_be_asked_for() {
    let room = Room::new();
    let writer = OciArchiveWriter::create(room.path("image.tar"), None).expect("a writer");
    let (one, two) = (Image::small(writer.takes(), "one"), Image::small(writer.takes(), "two"));
    one.put(&writer, &["v1"]).await.expect("put");
    two.put(&writer, &["v2", "latest"]).await.expect("put");
    writer.finish().await.expect("finished");
    let base = format!("oci-archive:{}", room.text("image.tar"));
    for (which, digest) in [
        (":v1", one.digest),
        (":latest", two.digest),
        (":@0", one.digest),
        (":@2", two.digest),
    ] {
        let found = document(&format!("{base}{which}")).await.expect(which);
        assert_eq!(Digest::of(found.raw()), digest, "{which}");
    }
    let error = document(&base).await.expect_err("several");
    assert!(error.to_string().contains("v1 (@0), v2 (@1), latest (@2)"), "{error}");
    let written = copy_with(
        &format!("{base}:v1"),
        &format!("oci-archive:{}:a", room.text("two.tar")),
        Options::default(),
        &["b"],
    )
    .await;
    assert_eq!(written.expect("copied"), one.digest);
    assert_eq!(
        Digest::of(
            document(&format!("oci-archive:{}:b", room.text("two.tar")))
                .await
                .expect("b")
                .raw()
        ),
        one.digest
    );
}

/// Standard output is a pipe of the shell's: written straight, by a process of its own.
#[test]
fn standard_output_is_written_to() {
    let room = Room::new();
    let example = std::env::current_exe().expect("this test");
    let child = Command::new(example)
        .args([
            "--exact",
            "oci_archive::writes_to_standard_output",
            "--ignored",
            "--nocapture",
        ])
        .env("TEU_TEST_OUT", "/dev/stderr")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    fs::write(room.path("image.tar"), child.stderr).expect("written");
    let names = output(Command::new("tar").arg("-tf").arg(room.path("image.tar")));
    assert!(String::from_utf8_lossy(&names).ends_with("index.json\noci-layout\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test, which runs it in a process of its own"]
async fn writes_to_standard_output() {
    let Some(out) = std::env::var_os("TEU_TEST_OUT") else {
        return;
    };
    let writer = OciArchiveWriter::create(PathBuf::from(out), Some(std::env::temp_dir())).expect("a writer");
    Image::small(writer.takes(), "one")
        .put(&writer, &["one"])
        .await
        .expect("put");
    writer.finish().await.expect("finished");
}
