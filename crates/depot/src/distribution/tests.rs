//! A registry's directory is a place as every other, and what lies there is believed in nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use teu_spec::{Digest, Pick};
use teu_store::{
    BoxFuture, Intent, Repositories, Role, Source, SourceExt, Store, Target,
    suite::{Can, House, Image, Place},
};

use super::*;

struct Here {
    all: Distribution,
    directory: tempfile::TempDir,
}

impl Here {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("registry");
        let create = async { Distribution::create(&path).await.expect("a registry's directory") };
        let all = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(create));
        Self { all, directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("registry")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root().join("docker/registry/v2").join(path)
    }

    fn data(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.path(&format!("blobs/{}/{}/{hex}/data", digest.algorithm(), &hex[..2]))
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(self.all.open("suite/place", Intent::Write).await? as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(self.all.open("suite/place", Intent::Write).await? as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            hold_unnamed: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        fs::write(self.data(digest), content).is_ok()
    }

    fn litter(&self) -> Vec<String> {
        let uploads = fs::read_dir(self.path("uploads")).expect("uploads").flatten();
        uploads
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl House for Here {
    fn repositories(&self) -> Arc<dyn Repositories> {
        Arc::new(self.all.clone())
    }

    fn is_open(&self) -> bool {
        true
    }
}

mod one {
    use super::*;
    teu_store::store_suite!(Here::new);
}

teu_store::repositories_suite!(Here::new);

/// A repository with an image in it.
async fn filled(here: &Here, name: &str, seed: &str) -> (Arc<dyn Store>, Image) {
    let store = here.all.open(name, Intent::Write).await.expect("a repository");
    let image = Image::small(store.takes(), seed);
    image.put(store.as_target(), &["latest"]).await.expect("put");
    (store, image)
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, content).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_repository_is_told_and_not_gone_into() {
    let here = Here::new();
    for name in ["app", "team/app", "team/app/part"] {
        filled(&here, name, name).await;
    }
    fs::create_dir_all(here.path("repositories/Upper/_manifests")).expect("made");
    fs::create_dir_all(here.path("repositories/team/a b/_manifests")).expect("made");
    fs::create_dir_all(here.path("repositories/empty/_uploads")).expect("made");
    symlink(here.path("repositories/team"), here.path("repositories/linked")).expect("a link");
    write(&here.path("repositories/file"), "");
    let found = Distribution::open(&here.root()).await.expect("opened").found().await;
    let found = found.expect("found");
    assert_eq!(found.repositories, ["app", "team/app", "team/app/part"]);
    assert_eq!(found.odd, ["Upper", "file", "linked", "team/a b"]);
    for name in ["linked/app", "../app", "empty", "file"] {
        assert!(here.all.open(name, Intent::Read).await.is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lead_nowhere_and_files_that_are_none_are_errors_of_their_kind() {
    let here = Here::new();
    let (store, image) = filled(&here, "app", "sample").await;
    let tag = |name: &str| here.path(&format!("repositories/app/_manifests/tags/{name}/current/link"));
    let absent = Digest::of(b"absent");
    write(&tag("dangling"), absent.to_string());
    write(&tag("torn"), "");
    write(&tag("long"), format!("{absent}{}", "0".repeat(1 << 20)));
    write(&tag("binary"), [0xff; 71]);
    write(&tag("a tag"), absent.to_string());
    fs::create_dir_all(here.path("repositories/app/_manifests/tags/away/current")).expect("made");
    symlink("/etc/passwd", tag("away")).expect("a link");
    let kind = async |name: &str| {
        let error = store.resolve(&Pick::Name(name.to_owned())).await;
        error.expect_err(name).kind().clone()
    };
    assert_eq!(kind("dangling").await, ErrorKind::NotFound);
    for name in ["torn", "long", "binary", "away", "a tag", "../../app"] {
        assert_eq!(kind(name).await, ErrorKind::Invalid, "{name}");
    }
    // A link to content elsewhere, and a directory in its place.
    let layer = image.document.children()[1].clone();
    let secret = here.directory.path().join("secret");
    fs::write(&secret, "secret").expect("written");
    fs::remove_file(here.data(&layer.digest)).expect("removed");
    symlink(&secret, here.data(&layer.digest)).expect("a link");
    for _ in 0..2 {
        let error = store.stat(Role::Blob, &layer.digest, Intent::Read).await;
        assert_eq!(error.expect_err("a link").kind(), &ErrorKind::Invalid);
        let error = store.open(Role::Blob, &layer).await.map(drop);
        assert_eq!(error.expect_err("a link").kind(), &ErrorKind::Invalid);
        fs::remove_file(here.data(&layer.digest)).ok();
        fs::create_dir_all(here.data(&layer.digest)).expect("made");
    }
    // More than a manifest may be.
    fs::write(here.data(&image.digest), vec![b' '; 5 << 20]).expect("written");
    let error = store.resolve(&Pick::Digest(image.digest)).await;
    assert_eq!(error.expect_err("too large").kind(), &ErrorKind::TooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_1_is_refused_by_name() {
    let here = Here::new();
    let (store, image) = filled(&here, "app", "sample").await;
    fs::write(
        here.data(&image.digest),
        r#"{"schemaVersion":1,"name":"app","fsLayers":[]}"#,
    )
    .expect("written");
    let error = store
        .resolve(&Pick::Name("latest".to_owned()))
        .await
        .expect_err("schema 1");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(error.to_string().contains("schema 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_not_listed_and_what_is_read_only_is_not_written() {
    let here = Here::new();
    let (_, image) = filled(&here, "app", "sample").await;
    let (_, other) = filled(&here, "app", "other").await;
    let hex = image.digest.hex();
    // As the registry does it.
    fs::remove_file(here.path(&format!("repositories/app/_manifests/revisions/sha256/{hex}/link"))).expect("removed");
    let all = Distribution::open(&here.root()).await.expect("opened");
    let store = all.open("app", Intent::Read).await.expect("a repository");
    let part = Keyset { after: None, limit: 10 };
    let listed = store
        .browse()
        .and_then(|browse| browse.manifests(part))
        .expect("a list");
    assert_eq!(listed.await.expect("listed").items, [other.digest]);
    let error = image.put(store.as_target(), &["new"]).await.expect_err("read only");
    assert_eq!(error.kind(), &ErrorKind::Denied);
    // A directory that is another thing is not taken for one.
    let elsewhere = here.directory.path().join("elsewhere");
    write(&elsewhere.join("file"), "");
    let error = Distribution::open(&elsewhere).await.map(drop).expect_err("no registry");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    let error = Distribution::create(&elsewhere).await.map(drop).expect_err("not empty");
    assert_eq!(error.kind(), &ErrorKind::Conflict);
}
