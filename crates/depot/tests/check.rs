//! Does a check find what is not as it should be, and mend what can be?

mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use support::{Here, clock, settings};
use teu_depot::{Checked, Depot, Finding, Needed, Needing, PARTS, Settings, Spare, backup};
use teu_spec::{Digest, Document, Format, Index, Pick};
use teu_store::{
    ErrorKind, Expect, Expected, Intent, Keyset, Repositories, Role, Store, Takes, suite::Image, suite::run,
};

async fn put(depot: &Depot, name: &str, seed: &str) -> (Arc<dyn Store>, Image) {
    let store = depot.open(name, Intent::Write).await.expect("a repository");
    let image = Image::small(Takes::EVERYTHING, seed);
    image.put(store.as_target(), &["latest"]).await.expect("put");
    (store, image)
}

async fn check(depot: &Depot, repair: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    depot
        .check(repair, |finding| found.push(finding))
        .await
        .expect("checked");
    found
}

/// Puts an index of one image under the tag `all`.
async fn index(store: &Arc<dyn Store>, image: &Image) -> Document {
    let index = Index::build(Format::Oci, &[image.document.descriptor()]).expect("an index");
    let names = ["all".to_owned()];
    let digest = Digest::of(index.raw());
    let put = store.put_manifest(&index, &digest, &names, Expect::Any).await;
    put.expect("put");
    index
}

async fn has(store: &dyn Store, digest: &Digest) -> bool {
    store
        .stat(Role::Blob, digest, Intent::Read)
        .await
        .expect("a stat")
        .is_some()
}

/// Images that need something, in repositories by tags, where an empty one is none; and so many more.
fn needed(images: &[(&str, Digest, &str)], more: u64) -> Needed {
    let needing = |(repository, digest, tag): &(&str, Digest, &str)| Needing {
        repository: (*repository).to_owned(),
        digest: *digest,
        tag: (!tag.is_empty()).then(|| (*tag).to_owned()),
    };
    Needed {
        first: images.iter().map(needing).collect(),
        more,
    }
}

#[test]
fn what_is_sound_is_said_to_be() {
    run(async {
        let here = Here::of(settings());
        let (_, image) = put(&here.depot, "one", "image").await;
        put(&here.depot, "two", "image").await;
        let mut found = Vec::new();
        let checked = here
            .depot
            .check(true, |finding| found.push(finding))
            .await
            .expect("checked");
        let bytes = image.blobs.iter().map(|blob| blob.len() as u64).sum();
        assert_eq!(found, []);
        assert_eq!(
            checked,
            Checked {
                blobs: 3,
                bytes,
                manifests: 2
            }
        );
    });
}

/// Bytes that are others, fewer or gone: said first, then set aside, and healed by a push.
#[test]
fn what_is_lost_is_asked_for_again() {
    run(async {
        for damage in [Some(&b"others"[..]), Some(b""), None] {
            let here = Here::of(settings());
            let (one, image) = put(&here.depot, "one", "image").await;
            put(&here.depot, "two", "image").await;
            here.depot.collect(0).await.expect("collected");
            let digest = image.document.children()[1].digest;
            let files = here.blobs(&digest);
            let [file] = &files[..] else { panic!("one file") };
            // Of the same size, so that only its digest tells.
            let mut other = fs::read(file).expect("its bytes");
            other[0] ^= 1;
            let expected = match damage {
                Some(b"others") => {
                    fs::write(file, &other).expect("written");
                    Some(Digest::of(&other))
                }
                Some(bytes) => {
                    fs::write(file, bytes).expect("written");
                    None
                }
                None => {
                    fs::remove_file(file).expect("removed");
                    None
                }
            };
            let lost = |repositories: &[&str], names: &[(&str, Digest, &str)]| Finding::Lost {
                digest,
                found: expected,
                unreadable: None,
                repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
                needed: needed(names, 0),
            };
            let latest = [("one", image.digest, "latest"), ("two", image.digest, "latest")];
            assert_eq!(check(&here.depot, false).await, [lost(&[], &latest)]);
            assert!(has(&*one, &digest).await, "nothing was changed");
            let index = index(&one, &image).await;
            let [one_latest, two_latest] = latest;
            let all = [("one", Digest::of(index.raw()), "all"), one_latest, two_latest];
            assert_eq!(check(&here.depot, true).await, [lost(&["one", "two"], &all)]);
            assert!(!has(&*one, &digest).await, "who pushes is asked for it");
            let names = [Pick::Name("latest".to_owned()), Pick::Name("all".to_owned())];
            for pick in &names {
                let error = one.resolve(pick).await.expect_err("something below it is lost");
                assert_eq!(error.kind(), &ErrorKind::NotFound);
            }
            let part = Keyset { after: None, limit: 10 };
            let listed = one.browse().and_then(|browse| browse.in_order(part)).expect("a list");
            assert_eq!(listed.await.expect("a page").items, Vec::<String>::new());
            let aside = support::below(&here.path().join("quarantine")).len();
            assert_eq!(aside, usize::from(damage.is_some()));
            put(&here.depot, "one", "image").await;
            put(&here.depot, "two", "image").await;
            one.put_manifest(&index, &Digest::of(index.raw()), &[], Expect::Any)
                .await
                .expect("put");
            assert_eq!(check(&here.depot, false).await, []);
            for pick in &names {
                one.resolve(pick).await.expect("as it was");
            }
        }
    });
}

/// Of what many images need a few are named, the others counted; what no tag points at is named by its digest, unless something above it is.
#[test]
fn who_needs_what_is_lost_is_named() {
    run(async {
        let here = Here::of(settings());
        let (one, image) = put(&here.depot, "one", "image").await;
        let (two, _) = put(&here.depot, "two", "image").await;
        two.delete()
            .expect("deletes")
            .untag("latest", Expect::Any)
            .await
            .expect("untagged");
        let index = index(&two, &image).await;
        let tags: Vec<String> = (10..20).map(|n| format!("v{n}")).collect();
        one.put_manifest(&image.document, &image.digest, &tags, Expect::Any)
            .await
            .expect("put");
        let (three, _) = put(&here.depot, "three", "image").await;
        three
            .delete()
            .expect("deletes")
            .untag("latest", Expect::Any)
            .await
            .expect("untagged");
        let lost = image.document.children()[1].digest;
        for file in here.blobs(&lost) {
            fs::remove_file(file).expect("removed");
        }
        let mut first = vec![("one", image.digest, "latest")];
        first.extend(tags[..9].iter().map(|tag| ("one", image.digest, tag.as_str())));
        let found = check(&here.depot, false).await;
        let [Finding::Lost { needed: found, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(found, &needed(&first, 3));
        one.delete()
            .expect("deletes")
            .delete(Role::Manifest, &image.digest)
            .await
            .expect("deleted");
        let all = [("three", image.digest, ""), ("two", Digest::of(index.raw()), "all")];
        let found = check(&here.depot, false).await;
        assert!(
            matches!(&found[..], [Finding::Lost { needed: found, .. }] if *found == needed(&all, 0)),
            "{found:?}"
        );
    });
}

/// What the disk cannot give any more is damaged as what is another's: it is named, and all else is looked at, and copied.
#[test]
fn what_cannot_be_read_is_named_and_all_else_is_done() {
    run(async {
        let here = Here::of(settings());
        let store = here.depot.open("one", Intent::Write).await.expect("a repository");
        let content = vec![b'x'; 4096];
        let mut upload = store.ingest(Expected::default()).await.expect("begun");
        upload.write(content.clone().into()).await.expect("written");
        let digest = upload.commit(None).await.expect("committed").digest;
        let (_, image) = put(&here.depot, "one", "image").await;
        fs::write(&here.blobs(&image.document.children()[0].digest)[0], "other").expect("written");
        let file = here.blobs(&digest).remove(0);
        // A file of the system's that has so many bytes, of which none can be read.
        let Some(unreadable) = Bound::over(Path::new("/sys/class/net/lo/speed"), &file) else {
            let line = "SKIPPED what_cannot_be_read_is_named_and_all_else_is_done: it needs root, mount, and /sys\n";
            std::io::stderr().write_all(line.as_bytes()).expect("said");
            return;
        };
        let found = check(&here.depot, false).await;
        assert_eq!(found.len(), 2, "{found:?}");
        let why = found.iter().find_map(|finding| match finding {
            Finding::Lost {
                digest: lost,
                unreadable,
                ..
            } if *lost == digest => unreadable.clone(),
            _ => None,
        });
        let why = why.expect("it is named");
        assert!(why.contains(&file.display().to_string()), "{why}");
        let copy = here.directory.path().join("copy");
        let done = backup(&here.path(), &copy).await.expect("all else");
        let mut damaged = vec![digest, image.document.children()[0].digest];
        damaged.sort();
        assert_eq!((done.damaged, done.copied), (damaged, 2));
        // The system does not say that it is the disk's damage, so that it may be there again: it is not set aside.
        let error = here.depot.check(true, |_| ()).await.expect_err("it is not mended");
        assert!(error.to_string().contains("it is not set aside"), "{error}");
        assert!(has(&*store, &digest).await);
        drop(unreadable);
        let done = backup(&here.path(), &copy).await.expect("read again");
        // What is damaged was set aside before.
        assert_eq!((done.damaged.len(), done.copied), (0, 1));
    });
}

/// What is damaged now, and what was set aside before: from a copy, of which not all need be good, and from a layout.
#[test]
fn what_is_lost_is_taken_back_from_where_it_is() {
    run(async {
        let here = Here::of(settings());
        let (one, image) = put(&here.depot, "one", "image").await;
        put(&here.depot, "two", "image").await;
        let blobs: Vec<Digest> = image.blobs.iter().map(|blob| Digest::of(blob)).collect();
        let at = |name: &str| here.directory.path().join(name);
        backup(&here.path(), &at("copy")).await.expect("copied");
        let damage = |digests: &[Digest]| {
            for digest in digests {
                for file in here.blobs(digest) {
                    fs::write(file, "damaged").expect("written");
                }
            }
        };
        let taken_back = |digests: &[Digest]| {
            let finding = |digest: &Digest| Finding::TakenBack {
                digest: *digest,
                repositories: vec!["one".to_owned(), "two".to_owned()],
                needed: needed(&[("one", image.digest, "latest"), ("two", image.digest, "latest")], 0),
            };
            digests.iter().map(finding).collect::<Vec<_>>()
        };
        let repair = async |from: &str| {
            let mut found = Vec::new();
            let spare = Spare::open(&at(from)).expect("it has content");
            let repaired = here.depot.repair_from(spare, |finding| found.push(finding)).await;
            repaired.expect("repaired");
            found
        };
        let latest = Pick::Name("latest".to_owned());
        damage(&blobs[..1]);
        check(&here.depot, true).await;
        damage(&blobs[1..2]);
        one.resolve(&latest).await.expect_err("it is hidden");
        assert_eq!(repair("copy").await, taken_back(&[blobs[1], blobs[0]]));
        assert_eq!(check(&here.depot, false).await, []);
        assert_eq!(one.resolve(&latest).await.expect("as it was").digest, image.digest);
        assert_eq!(support::below(&here.path().join("quarantine")).len(), 2);
        // The copy's is damaged too.
        damage(&blobs[2..]);
        for file in support::below(&at("copy/blobs")) {
            fs::write(file, "damaged").expect("written");
        }
        let found = repair("copy").await;
        assert!(
            matches!(&found[..], [Finding::Lost { digest, .. }] if *digest == blobs[2]),
            "{found:?}"
        );
        let hidden = [Finding::Hidden {
            digest: blobs[2],
            needed: needed(&[("one", image.digest, "latest"), ("two", image.digest, "latest")], 0),
        }];
        assert_eq!(repair("copy").await, hidden);
        for repairs in [true, false] {
            assert_eq!(check(&here.depot, repairs).await, hidden);
        }
        let layout = at("layout/blobs").join(blobs[2].algorithm().to_string());
        fs::create_dir_all(&layout).expect("made");
        fs::write(layout.join(blobs[2].hex()), &image.blobs[2]).expect("written");
        fs::write(at("layout/oci-layout"), "{}").expect("written");
        assert_eq!(repair("layout").await, taken_back(&blobs[2..]));
        assert_eq!(check(&here.depot, false).await, []);
        one.resolve(&latest).await.expect("as it was");
        let error = Spare::open(&at("layout/blobs")).err().expect("it is neither");
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    });
}

/// What never was there keeps nothing hidden. A database that hid something before it was written down what was lost takes all for it that is not there.
#[test]
fn what_was_taken_without_its_parts_is_shown_again_without_them() {
    run(async {
        for (has, older) in [(1, false), (3, true)] {
            let here = Here::of(Settings {
                sparse: teu_depot::Sparse::All,
                ..settings()
            });
            let image = Image::small(Takes::EVERYTHING, "image");
            let store = here.depot.open("one", Intent::Write).await.expect("a repository");
            for blob in &image.blobs[..has] {
                let mut upload = store.ingest(Expected::default()).await.expect("begun");
                upload.write(blob.clone()).await.expect("written");
                upload.commit(None).await.expect("committed");
            }
            let names = ["latest".to_owned()];
            let put = store
                .put_manifest(&image.document, &image.digest, &names, Expect::Any)
                .await;
            put.expect("put");
            let index = index(&store, &image).await;
            let copy = here.directory.path().join("copy");
            backup(&here.path(), &copy).await.expect("copied");
            fs::write(&here.blobs(&Digest::of(&image.blobs[0]))[0], "damaged").expect("written");
            check(&here.depot, true).await;
            let path = here.path();
            let Here { depot, directory } = here;
            drop((depot, store));
            if older {
                let database = Connection::open(path.join("metadata.sqlite")).expect("opened");
                let before = "DROP TABLE lost; PRAGMA user_version = 3;";
                database.execute_batch(before).expect("as it was before");
            }
            let depot = Depot::open(&path, settings()).await.expect("a depot");
            let store = depot.open("one", Intent::Read).await.expect("a repository");
            let tags = [("latest", image.digest), ("all", Digest::of(index.raw()))];
            let tags = tags.map(|(name, digest)| (Pick::Name(name.to_owned()), digest));
            for (pick, _) in &tags {
                store.resolve(pick).await.expect_err("it is hidden");
            }
            let spare = Spare::open(&copy).expect("a copy");
            depot.repair_from(spare, |_| ()).await.expect("repaired");
            for (pick, digest) in &tags {
                let found = store.resolve(pick).await.expect("it is shown again");
                assert_eq!(found.digest, *digest);
            }
            drop(directory);
        }
    });
}

/// As a layer that many images share: one push of it, with whichever of them, is all that was missing.
#[test]
fn who_brings_what_was_lost_shows_all_that_it_hid() {
    run(async {
        let here = Here::of(settings());
        let (one, image) = put(&here.depot, "one", "image").await;
        let (two, _) = put(&here.depot, "two", "image").await;
        let index = index(&one, &image).await;
        let lost: Vec<Digest> = image.blobs[..2].iter().map(|blob| Digest::of(blob)).collect();
        for file in lost.iter().flat_map(|digest| here.blobs(digest)) {
            fs::remove_file(file).expect("removed");
        }
        check(&here.depot, true).await;
        assert!(!here.depot.is_whole().await.expect("looked"));
        let bring = async |blob: &[u8]| {
            let mut upload = one.ingest(Expected::default()).await.expect("begun");
            upload.write(blob.to_vec().into()).await.expect("written");
            upload.commit(None).await.expect("committed");
        };
        let latest = Pick::Name("latest".to_owned());
        bring(&image.blobs[0]).await;
        one.resolve(&latest).await.expect_err("another is lost still");
        bring(&image.blobs[1]).await;
        for (name, digest) in [("latest", image.digest), ("all", Digest::of(index.raw()))] {
            let found = one
                .resolve(&Pick::Name(name.to_owned()))
                .await
                .expect("all of it is here");
            assert_eq!(found.digest, digest);
        }
        two.resolve(&latest).await.expect_err("it has them not");
        let mount = two.mount().expect("the power to mount");
        for digest in &lost {
            assert!(mount.mount("one", digest).await.expect("a mount"));
        }
        two.resolve(&latest).await.expect("all of it is here");
        assert_eq!(check(&here.depot, false).await, []);
        assert!(here.depot.is_whole().await.expect("looked"));
    });
}

/// As where a disk was not mounted while it was repaired: what lies on it is not garbage, though no row leads to it any more.
#[test]
fn files_of_what_is_lost_are_not_collected() {
    run(async {
        let (clock, pass) = clock();
        let settings = Settings { clock, ..settings() };
        let here = Here::of(settings.clone());
        let (_, image) = put(&here.depot, "one", "image").await;
        let (path, blobs, away) = (
            here.path(),
            here.path().join("blobs"),
            here.directory.path().join("away"),
        );
        let Here { depot, directory } = here;
        drop(depot);
        fs::rename(&blobs, &away).expect("moved");
        let depot = Depot::open(&path, settings.clone()).await.expect("a depot");
        assert_eq!(check(&depot, true).await.len(), 3);
        drop(depot);
        fs::remove_dir_all(&blobs).expect("removed");
        fs::rename(&away, &blobs).expect("moved back");
        pass(1_000_000);
        let depot = Depot::open(&path, settings).await.expect("a depot");
        assert_eq!(depot.collect(PARTS).await.expect("collected").strays, 0);
        let found = check(&depot, true).await;
        assert!(matches!(found[..], [Finding::Restorable { .. }, ..]), "{found:?}");
        let one = depot.open("one", Intent::Read).await.expect("a repository");
        let found = one.resolve(&Pick::Name("latest".to_owned())).await;
        assert_eq!(found.expect("as it was").digest, image.digest);
        assert_eq!(check(&depot, false).await, []);
        drop(directory);
    });
}

/// A repository that has an image's manifest and nothing that it names, and a copy of all that is kept then.
async fn named_by_other(here: &Here, image: &Image) -> (Arc<dyn Store>, PathBuf) {
    let other = here.depot.open("other", Intent::Write).await.expect("a repository");
    let names = ["latest".to_owned()];
    other
        .put_manifest(&image.document, &image.digest, &names, Expect::Any)
        .await
        .expect("put");
    let copy = here.directory.path().join("copy");
    backup(&here.path(), &copy).await.expect("copied");
    (other, copy)
}

/// Which repositories show again what is taken back of a copy, blob by blob.
async fn taken_back(here: &Here, copy: &Path) -> Vec<Vec<String>> {
    let mut shown = Vec::new();
    let tell = |finding| {
        if let Finding::TakenBack { repositories, .. } = finding {
            shown.push(repositories);
        }
    };
    let spare = Spare::open(copy).expect("a copy");
    here.depot.repair_from(spare, tell).await.expect("repaired");
    shown
}

/// Who may push a manifest without what it names is given nothing of others for it.
#[test]
fn who_names_what_was_never_there_gets_nothing() {
    run(async {
        let here = Here::of(Settings {
            sparse: teu_depot::Sparse::All,
            ..settings()
        });
        let (one, image) = put(&here.depot, "one", "image").await;
        let (other, copy) = named_by_other(&here, &image).await;
        let [set_aside, damaged] = [0, 1].map(|n| image.document.children()[n].digest);
        for (digest, repairs) in [(set_aside, true), (damaged, false)] {
            fs::write(&here.blobs(&digest)[0], "damaged").expect("written");
            if repairs {
                check(&here.depot, true).await;
            }
        }
        let latest = Pick::Name("latest".to_owned());
        one.resolve(&latest).await.expect_err("it is hidden");
        other.resolve(&latest).await.expect("it is as it was");
        assert_eq!(taken_back(&here, &copy).await, [["one"], ["one"]]);
        one.resolve(&latest).await.expect("as it was");
        for digest in [set_aside, damaged] {
            assert!(!has(&*other, &digest).await && has(&*one, &digest).await, "{digest}");
        }
    });
}

/// What somebody pushed that no manifest names yet is not given to who names it without having it.
#[test]
fn who_names_what_another_has_just_pushed_gets_nothing() {
    run(async {
        let here = Here::of(Settings {
            sparse: teu_depot::Sparse::All,
            ..settings()
        });
        let image = Image::small(Takes::EVERYTHING, "image");
        let secret = here.depot.open("secret", Intent::Write).await.expect("a repository");
        let mut upload = secret.ingest(Expected::default()).await.expect("begun");
        upload.write(image.blobs[0].clone()).await.expect("written");
        let digest = upload.commit(None).await.expect("committed").digest;
        let (other, copy) = named_by_other(&here, &image).await;
        fs::write(&here.blobs(&digest)[0], "damaged").expect("written");
        assert_eq!(taken_back(&here, &copy).await, [["secret"]]);
        assert!(has(&*secret, &digest).await && !has(&*other, &digest).await);
    });
}

/// A file in another's place, as long as this lives.
struct Bound(PathBuf);

impl Bound {
    /// None without root.
    fn over(file: &Path, place: &Path) -> Option<Self> {
        let bound = Command::new("mount").arg("--bind").args([file, place]).output();
        bound
            .is_ok_and(|bound| bound.status.success())
            .then(|| Self(place.to_owned()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A place that is not whole does not say that all is below what it has: a copy would ask no further, and bring nothing.
#[test]
fn what_was_taken_without_its_parts_is_not_trusted() {
    run(async {
        let here = Here::of(Settings {
            sparse: teu_depot::Sparse::All,
            ..settings()
        });
        let (_, image) = put(&here.depot, "one", "image").await;
        assert!(!here.depot.is_whole().await.expect("looked"), "anything may come");
        let path = here.path();
        let Here { depot, directory } = here;
        drop(depot);
        let depot = Depot::open(&path, settings()).await.expect("a depot");
        let store = depot.open("one", Intent::Write).await.expect("a repository");
        assert!(!store.is_closed(), "nobody has looked");
        assert!(depot.is_whole().await.expect("looked"));
        assert!(store.is_closed());
        index(&store, &image).await;
        assert!(depot.is_whole().await.expect("looked"));
        // A part of an index goes, which stays.
        let part = image.document.descriptor().digest;
        let delete = store.delete().expect("deletes");
        delete.delete(Role::Manifest, &part).await.expect("deleted");
        assert!(!store.is_closed());
        assert!(!depot.is_whole().await.expect("looked"));
        drop(directory);
    });
}

/// What is hidden until somebody pushes what is lost of it leads to what it led to before: nothing below it, nor about it, goes as untagged.
#[test]
fn what_is_hidden_leads_on() {
    run(async {
        let here = Here::of(settings());
        let one = here.depot.open("one", Intent::Write).await.expect("a repository");
        let images = ["first", "second", "third"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        for image in &images {
            image.put(one.as_target(), &[]).await.expect("put");
        }
        let listed: Vec<_> = images[..2].iter().map(|image| image.document.descriptor()).collect();
        let index = Index::build(Format::Oci, &listed).expect("an index");
        let names = ["all".to_owned()];
        one.put_manifest(&index, &Digest::of(index.raw()), &names, Expect::Any)
            .await
            .expect("put");
        let about = images[1]
            .document
            .with_subject(Some(&index.descriptor()))
            .expect("a referrer");
        one.put_manifest(&about, &Digest::of(about.raw()), &[], Expect::Any)
            .await
            .expect("put");
        let untagged = async || -> Vec<Digest> {
            let found = here.depot.untagged(Duration::ZERO).await.expect("looked");
            found.into_iter().map(|untagged| untagged.digest).collect()
        };
        let third = images[2].document.descriptor().digest;
        assert_eq!(untagged().await, [third]);
        let others = images[1..].iter().flat_map(|image| image.document.children());
        let others: Vec<Digest> = others.map(|child| child.digest).collect();
        let mut own = images[0].document.children().into_iter().map(|child| child.digest);
        let lost = own.find(|digest| !others.contains(digest)).expect("a blob of its own");
        for file in here.blobs(&lost) {
            fs::remove_file(file).expect("removed");
        }
        check(&here.depot, true).await;
        assert!(one.resolve(&Pick::Name("all".to_owned())).await.is_err());
        assert_eq!(untagged().await, [third]);
        let went = here.depot.remove_untagged(Duration::ZERO).await.expect("removed");
        assert_eq!(went.len(), 1);
        for digest in [images[1].document.descriptor().digest, Digest::of(about.raw())] {
            one.resolve(&Pick::Digest(digest)).await.expect("it is there");
        }
    });
}

/// A database that is older than the files, as from a backup: what manifests name is found among the files.
#[test]
fn rows_are_made_of_files() {
    run(async {
        let here = Here::of(settings());
        let (_, image) = put(&here.depot, "one", "image").await;
        let path = here.path();
        let Here { depot, directory } = here;
        drop(depot);
        let digest = image.document.children()[1].digest;
        let database = Connection::open(path.join("metadata.sqlite")).expect("opened");
        let mut key = vec![1];
        key.extend_from_slice(digest.bytes());
        database
            .execute("DELETE FROM links WHERE digest = ?1", [&key])
            .expect("deleted");
        database
            .execute("DELETE FROM blobs WHERE digest = ?1", [&key])
            .expect("deleted");
        drop(database);
        let depot = Depot::open(&path, settings()).await.expect("a depot");
        let restorable = |repositories: &[&str]| Finding::Restorable {
            digest,
            repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
            needed: needed(&[("one", image.digest, "latest")], 0),
        };
        assert_eq!(check(&depot, false).await[0], restorable(&[]));
        assert_eq!(check(&depot, true).await, [restorable(&["one"])]);
        assert_eq!(check(&depot, false).await, []);
        let store = depot.open("one", Intent::Read).await.expect("a repository");
        assert!(has(&*store, &digest).await);
        drop(directory);
    });
}

/// A check beside the process that has the depot changes nothing, and a manifest whose bytes are others is said to be so.
#[test]
fn a_check_looks_on() {
    run(async {
        let here = Here::of(settings());
        let (_, image) = put(&here.depot, "one", "image").await;
        let beside = Depot::beside(&here.path(), settings()).await.expect("beside");
        assert_eq!(check(&beside, false).await, []);
        let refused = put_fails(&beside).await;
        assert!(refused.contains("may not be written"), "{refused}");
        let database = Connection::open(here.path().join("metadata.sqlite")).expect("opened");
        database
            .execute("UPDATE manifests SET content = x'00'", [])
            .expect("changed");
        let manifest = Finding::Manifest {
            repository: "one".to_owned(),
            digest: image.digest,
            needed: needed(&[("one", image.digest, "latest")], 0),
        };
        assert_eq!(check(&beside, false).await, [manifest]);
        put(&here.depot, "one", "image").await;
        assert_eq!(check(&beside, false).await, [], "a push mends it");
    });
}

/// A directory that may only be read here may be written to elsewhere: what is done there is seen.
#[test]
fn a_check_looks_on_through_a_mount_that_may_only_be_read() {
    run(async {
        let here = Here::of(settings());
        let path = here.path();
        let Here { depot, directory } = here;
        drop(depot);
        let depot = Depot::open(&path, settings()).await.expect("a depot");
        let log = fs::metadata(path.join("metadata.sqlite-wal")).map_or(0, |log| log.len());
        assert_eq!(log, 0, "nothing was written yet");
        let Some(read_only) = support::ReadOnly::mount(&path, &directory.path().join("read-only")) else {
            let line = "SKIPPED a_check_looks_on_through_a_mount_that_may_only_be_read: it needs root, and mount\n";
            std::io::stderr().write_all(line.as_bytes()).expect("said");
            return;
        };
        let beside = Depot::beside(&read_only.0, settings()).await.expect("beside");
        put(&depot, "one", "image").await;
        beside.open("one", Intent::Read).await.expect("it is seen");
        assert_eq!(check(&beside, false).await, []);
        drop(beside);
    });
}

async fn put_fails(depot: &Depot) -> String {
    let store = depot.open("other", Intent::Write).await.expect("a repository");
    let image = Image::small(Takes::EVERYTHING, "other");
    image
        .put(store.as_target(), &[])
        .await
        .expect_err("it looks on")
        .to_string()
}

/// What a damaged database says that nothing needs may be needed: nothing is taken away, and nothing mended, which would be made of what it says.
#[test]
fn a_damaged_database_is_told_of_and_takes_nothing_away() {
    run(async {
        let here = Here::of(settings());
        for n in 0..40 {
            put(&here.depot, &format!("app{n}"), &format!("image {n}")).await;
        }
        assert_eq!(here.depot.look_over().await.expect("looked"), Vec::<String>::new());
        let path = here.path();
        let Here { depot, directory } = here;
        drop(depot);
        let files = support::below(&path.join("blobs"));
        let database = path.join("metadata.sqlite");
        let mut bytes = fs::read(&database).expect("a database");
        // Its first page says what tables there are, and stays.
        let middle = bytes.len() / 2;
        bytes[8192..middle].fill(0xa5);
        fs::write(&database, bytes).expect("written");
        let depot = Depot::open(&path, settings()).await.expect("it is opened");
        // Nobody had it looked over before.
        for outcome in [
            depot.collect(teu_depot::PARTS).await,
            depot.collect_alone(teu_depot::PARTS, Duration::ZERO).await,
        ] {
            let error = outcome.expect_err("it is damaged");
            assert!(error.to_string().contains("so that nothing is taken away"), "{error}");
        }
        assert!(!depot.look_over().await.expect("looked").is_empty());
        for repair in [false, true] {
            let found = check(&depot, repair).await;
            assert!(matches!(found.first(), Some(Finding::Metadata { .. })), "{found:?}");
        }
        assert_eq!(support::below(&path.join("blobs")), files);
        assert!(!path.join("quarantine").exists());
        drop(depot);
        // What is no database at all is not even opened.
        fs::write(&database, [0x5a; 8192]).expect("written");
        let error = Depot::beside(&path, settings()).await.err().expect("it is none");
        assert!(teu_depot::is_damage(&error), "{error}");
        drop(directory);
    });
}
