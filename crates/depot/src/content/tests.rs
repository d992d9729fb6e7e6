//! Are files a content as every other, and one that nobody leads elsewhere?

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::symlink,
    sync::Arc,
};

use bytes::Bytes;
use teu_spec::Digest;
use teu_store::{ErrorKind, suite::run};

use super::{
    Content, Files, OpenFiles,
    directory::{Directory, FAILS},
    suite::content_suite,
};
use crate::{
    gathering::Gathering,
    place::{Millis, Place, Ulid},
};

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
                writing.place(Box::new(move || Ok(place))).await.map(drop)
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

/// Where the disk breaks when a file is at its place already, it is not left there: who finds it would take it for what lasts.
#[test]
fn what_does_not_last_is_at_no_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Files::open(directory.path()).expect("files");
    let content = b"content";
    let place = Place {
        digest: Digest::of(content),
        ulid: Ulid::new(Millis(1)).expect("random numbers"),
    };
    // So that nothing is made but the file.
    let shard = directory.path().join(format!("blobs/{:02x}", place.digest.bytes()[0]));
    fs::create_dir(&shard).expect("made");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("written");
    for is_copied in [true, false] {
        let attempt = |file: &mut File| match is_copied {
            true => {
                files.copy("one", file, &place.digest, 7, true)?;
                files.place("one", &place)
            }
            false => files.put(&place, content),
        };
        FAILS.with(|fails| fails.set(true));
        let error = attempt(&mut file).expect_err("the disk is broken");
        FAILS.with(|fails| fails.set(false));
        assert!(error.to_string().contains("syncing"), "{error}");
        for directory in [&shard, &directory.path().join("uploads")] {
            assert_eq!(
                fs::read_dir(directory).expect("a directory").count(),
                0,
                "{directory:?}"
            );
        }
        attempt(&mut file).expect("the disk is whole");
        assert_eq!(fs::read(shard.join(place.to_string())).expect("it is there"), content);
        fs::remove_file(shard.join(place.to_string())).expect("it is there");
    }
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

/// What is large goes past the kernel's cache, and into it before and behind that; of one that is gone on with somewhere within a block too.
#[test]
fn pieces_and_what_is_between_them_stay_in_their_order() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files::open(directory.path()).expect("files");
        let whole: Bytes = (0..9_000_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut writing = files.begin("one", true).await.expect("begun");
        let mut done = 0;
        for end in [5_300_000, whole.len()] {
            if done > 0 {
                writing.sync().await.expect("synced");
                drop(writing);
                // What a crash leaves of pieces that came after that.
                let left = fs::OpenOptions::new()
                    .append(true)
                    .open(directory.path().join("uploads/one"));
                left.and_then(|mut file| file.write_all(&whole[..2_000_000]))
                    .expect("left");
                let reopened = files.reopen("one", done as u64).await.expect("reopened");
                writing = reopened.expect("it is there");
            }
            let mut gathering = Gathering::after(done as u64);
            for chunk in whole[done..end].chunks(400_001) {
                let mut chunk = Bytes::copy_from_slice(chunk);
                while !chunk.is_empty() {
                    if let Some(bytes) = gathering.take(&mut chunk) {
                        writing.write(bytes).await.expect("written");
                    }
                }
            }
            if let Some(bytes) = gathering.rest() {
                writing.write(bytes).await.expect("written");
            }
            done = end;
        }
        let place = Place {
            digest: Digest::of(&whole),
            ulid: Ulid::new(Millis(1)).expect("random numbers"),
        };
        writing.place(Box::new(move || Ok(place))).await.expect("placed");
        let file = files
            .open(&place, whole.len() as u64)
            .expect("opened")
            .expect("it is there");
        let mut found = Vec::new();
        (&file).read_to_end(&mut found).expect("read");
        assert!(found == whole);
    });
}

#[test]
fn nobody_writes_while_a_thread_does_for_one_who_is_gone() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files::open(directory.path()).expect("files");
        drop(files.begin("one", true).await.expect("begun"));
        let at_work = files.at_work("one");
        let mut reopening = files.reopen("one", 0);
        assert!(futures_util::poll!(&mut reopening).is_pending());
        assert!(files.at_work_alone("two").is_none());
        drop(at_work);
        assert!(reopening.await.expect("reopened").is_some());
        let alone = files.at_work_alone("two").expect("nobody else");
        assert!(files.at_work_alone("one").is_none());
        let mut reopening = files.reopen("two", 0);
        assert!(futures_util::poll!(&mut reopening).is_pending());
        drop(alone);
        assert!(reopening.await.expect("looked for").is_none());
    });
}
