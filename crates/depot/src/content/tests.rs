//! Are files a content as every other, and one that nobody leads elsewhere?

use std::{fs, os::unix::fs::symlink, sync::Arc};

use bytes::Bytes;
use teu_spec::Digest;
use teu_store::{ErrorKind, suite::run};

use super::{Content, Files, directory::Directory, suite::content_suite};
use crate::place::{Millis, Place, Ulid};

fn files() -> impl Fn() -> Arc<dyn Content> {
    let directory = tempfile::tempdir().expect("a directory");
    move || Arc::new(Files::open(directory.path()).expect("files"))
}

content_suite!(files);

/// Whatever of a depot is replaced by a link: nothing is read or written behind it (threat 105).
#[test]
fn links_are_not_followed() {
    run(async {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let content = b"content";
        let place = Place {
            digest: Digest::of(content),
            ulid: Ulid::new(Millis(1)).expect("random numbers"),
        };
        let shard = format!("blobs/{:02x}", place.digest.bytes()[0]);
        let file = format!("{shard}/{place}");
        for planted in ["blobs", "uploads", &shard, &file] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = |name: &str| directory.path().join(name);
            let target = elsewhere.path().join("target");
            match planted == file {
                true => fs::write(&target, content).expect("written"),
                false => fs::create_dir(&target).expect("made"),
            }
            fs::create_dir_all(path(planted).parent().expect("a parent")).expect("made");
            symlink(&target, path(planted)).expect("planted");
            let root = Directory::open(directory.path()).expect("opened");
            let outcome = async {
                let files = Files::within(root)?;
                if planted == file {
                    return files.read(&place, 7, 0..7).await.map(drop);
                }
                let mut writing = files.begin("one", false).await?;
                writing.write(Bytes::from_static(content)).await?;
                writing.place(&place).await
            };
            let error = outcome.await.expect_err("a link");
            assert_eq!(error.kind(), &ErrorKind::Invalid, "{planted}: {error}");
            assert!(error.to_string().contains("symbolic link"), "{planted}: {error}");
            match planted == file {
                true => fs::remove_file(&target).expect("it is there"),
                false => fs::remove_dir(&target).expect("nothing came into it"),
            }
        }
    });
}

/// What lies at a place and is no file is no content.
#[test]
fn what_is_no_file_is_refused() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files::open(directory.path()).expect("files");
        let place = Place {
            digest: Digest::of(b"content"),
            ulid: Ulid::new(Millis(1)).expect("random numbers"),
        };
        let shard = directory.path().join(format!("blobs/{:02x}", place.digest.bytes()[0]));
        fs::create_dir_all(shard.join(place.to_string())).expect("made");
        let error = files.read(&place, 7, 0..7).await.err().expect("no file");
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    });
}
