//! What does every metadata do? Each behaviour takes a way to open it anew, as after a restart.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use teu_spec::{Algorithm, Descriptor, Digest, MediaType};
use teu_store::{ErrorKind, Expect, Keyset, Result, Role};

use super::{Immutable, Manifest, Metadata, Name, NewBlob, NewManifest, Reviewed, Session};
use crate::place::{Millis, Place, Ulid};

/// Makes one test of each behaviour. The argument can be called for something that can be called for a metadata: the same each time.
macro_rules! metadata_suite {
    ($make:expr) => {
        $crate::metadata::suite::metadata_suite!(@each $make;
            blobs_are_shown_where_they_were_put
            bytes_that_come_again_take_the_place_of_the_old
            manifests_want_what_they_name
            names_are_held_to_what_is_expected
            lists_are_in_byte_order
            referrers_are_found_by_type
            what_is_referenced_or_leased_stays
            a_repository_goes_with_what_is_in_it
            sessions_are_kept
            many_write_at_once
            what_was_put_is_there_when_it_is_opened_again
        );
    };
    (@each $make:expr; $($behaviour:ident)*) => {
        $(
            #[test]
            fn $behaviour() {
                let open = ($make)();
                teu_store::suite::run(async { $crate::metadata::suite::$behaviour(&open).await });
            }
        )*
    };
}
pub(crate) use metadata_suite;

/// Opens the metadata.
pub(crate) type Open = dyn Fn() -> Arc<dyn Metadata> + Sync;

fn place(content: &[u8]) -> Place {
    Place {
        digest: Digest::of(content),
        ulid: Ulid::new(Millis(1)).expect("random numbers"),
    }
}

/// Puts a blob whose lease ends at 100.
async fn put(metadata: &dyn Metadata, repository: &str, content: &[u8]) -> Place {
    let place = place(content);
    let blob = NewBlob {
        repository: repository.to_owned(),
        place,
        size: content.len() as u64,
        lease: Millis(100),
        due: Millis(5),
        session: None,
    };
    metadata.put_blob(blob).await.expect("put");
    place
}

fn new(repository: &str, content: &str, children: &[Digest], tags: &[&str]) -> NewManifest {
    NewManifest {
        repository: repository.to_owned(),
        digest: Digest::of(content.as_bytes()),
        manifest: Manifest {
            media_type: MediaType::OciManifest,
            content: Bytes::copy_from_slice(content.as_bytes()),
        },
        role: Role::Blob,
        children: children.to_vec(),
        required: children.to_vec(),
        subject: None,
        names: tags.iter().map(|tag| name(tag)).collect(),
        expect: Expect::Any,
        now: Millis(1),
    }
}

fn name(tag: &str) -> Name {
    Name {
        name: tag.to_owned(),
        is_immutable: false,
    }
}

fn movable() -> Immutable {
    Arc::new(|_| false)
}

fn kind<T>(outcome: Result<T>) -> ErrorKind {
    outcome.err().expect("an error").kind().clone()
}

const ALL: Keyset<'_> = Keyset {
    after: None,
    limit: 100,
};

pub(crate) async fn blobs_are_shown_where_they_were_put(open: &Open) {
    let metadata = open();
    let place = put(&*metadata, "one", b"content").await;
    let digest = place.digest;
    let found = metadata.blob("one", &digest).await.expect("asked").expect("there");
    assert_eq!((found.place, found.size, found.lease), (place, 7, Millis(100)));
    assert_eq!(metadata.blob("two", &digest).await.expect("asked"), None);
    assert!(
        !metadata
            .mount("three", "two", &digest, Millis(200))
            .await
            .expect("asked")
    );
    assert!(
        !metadata.has_repository("two").await.expect("asked"),
        "nothing came into it"
    );
    assert!(
        metadata
            .mount("one", "two", &digest, Millis(200))
            .await
            .expect("mounted")
    );
    for repository in ["one", "two"] {
        let found = metadata.blob(repository, &digest).await.expect("asked").expect("there");
        assert_eq!(
            (found.place, found.lease),
            (place, Millis(200)),
            "both are safe until then"
        );
    }
    assert_eq!(
        metadata.holders(&digest, ALL).await.expect("asked").items,
        ["one", "two"]
    );
    assert!(
        metadata.extend("two", &digest, Millis(150)).await.expect("asked"),
        "never shorter"
    );
    let found = metadata.blob("two", &digest).await.expect("asked").expect("there");
    assert_eq!(found.lease, Millis(200));
    assert!(metadata.remove_blob("two", &digest, Millis(9)).await.expect("removed"));
    assert!(!metadata.remove_blob("two", &digest, Millis(9)).await.expect("asked"));
    assert!(!metadata.extend("two", &digest, Millis(900)).await.expect("asked"));
    assert!(metadata.blob("one", &digest).await.expect("asked").is_some());
    assert_eq!(metadata.tombstones(Millis(99), 10).await.expect("asked"), []);
    assert!(metadata.remove_blob("one", &digest, Millis(9)).await.expect("removed"));
    assert_eq!(
        metadata.unknown(vec![place]).await.expect("asked"),
        [],
        "a tombstone knows it"
    );
    assert_eq!(metadata.tombstones(Millis(8), 10).await.expect("asked"), []);
    assert_eq!(metadata.tombstones(Millis(9), 10).await.expect("asked"), [place]);
    metadata.bury(vec![place]).await.expect("buried");
    assert_eq!(metadata.tombstones(Millis(9), 10).await.expect("asked"), []);
    assert_eq!(metadata.unknown(vec![place]).await.expect("asked"), [place]);
}

pub(crate) async fn bytes_that_come_again_take_the_place_of_the_old(open: &Open) {
    let metadata = open();
    let first = put(&*metadata, "one", b"content").await;
    let second = put(&*metadata, "two", b"content").await;
    for repository in ["one", "two"] {
        let found = metadata
            .blob(repository, &first.digest)
            .await
            .expect("asked")
            .expect("there");
        assert_eq!(found.place, second);
    }
    assert_eq!(metadata.tombstones(Millis(5), 10).await.expect("asked"), [first]);
    assert_eq!(metadata.unknown(vec![first, second]).await.expect("asked"), []);
}

pub(crate) async fn manifests_want_what_they_name(open: &Open) {
    let metadata = open();
    let here = put(&*metadata, "one", b"here").await.digest;
    let elsewhere = put(&*metadata, "two", b"elsewhere").await.digest;
    let absent = Digest::of(b"absent");
    let refused = metadata
        .put_manifest(new("one", "m", &[here, elsewhere, absent], &["v1"]))
        .await;
    assert_eq!(kind(refused), ErrorKind::MissingChildren(vec![elsewhere, absent]));
    assert_eq!(metadata.manifest("one", &Digest::of(b"m")).await.expect("asked"), None);
    let mut sparse = new("one", "m", &[here, absent], &["v1"]);
    sparse.required = vec![here];
    metadata.put_manifest(sparse).await.expect("put");
    let digest = Digest::of(b"m");
    let found = metadata.manifest("one", &digest).await.expect("asked").expect("there");
    assert_eq!(
        (found.media_type, &found.content[..]),
        (MediaType::OciManifest, &b"m"[..])
    );
    let described = Descriptor::new(MediaType::OciManifest, digest, 1);
    assert_eq!(
        metadata.describe("one", &digest).await.expect("asked"),
        Some(described.clone())
    );
    assert_eq!(metadata.tag("one", "v1").await.expect("asked"), Some(described));
    assert_eq!(metadata.describe("two", &digest).await.expect("asked"), None);
    // An index wants manifests, not blobs of the same digest.
    let mut index = new("one", "i", &[digest], &[]);
    index.role = Role::Manifest;
    metadata.put_manifest(index.clone()).await.expect("put");
    index.required = vec![here];
    assert_eq!(
        kind(metadata.put_manifest(index).await),
        ErrorKind::MissingChildren(vec![here])
    );
    let refused = metadata.remove_blob("one", &here, Millis(1)).await;
    assert_eq!(kind(refused), ErrorKind::Conflict);
}

pub(crate) async fn names_are_held_to_what_is_expected(open: &Open) {
    let metadata = open();
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    metadata
        .put_manifest(new("one", "a", &[], &["taken", "v1"]))
        .await
        .expect("put");
    metadata
        .put_manifest(new("one", "b", &[], &["other"]))
        .await
        .expect("put");
    for (tags, expect) in [
        (&["taken"][..], Expect::Absent),
        (&["free", "taken"], Expect::Absent),
        (&["free"], Expect::Digest(a)),
        (&["taken"], Expect::Digest(b)),
    ] {
        let refused = NewManifest {
            expect,
            ..new("one", "c", &[], tags)
        };
        assert_eq!(
            kind(metadata.put_manifest(refused).await),
            ErrorKind::Conflict,
            "{tags:?}"
        );
    }
    assert_eq!(metadata.tag("one", "free").await.expect("asked"), None);
    assert_eq!(
        metadata.describe("one", &Digest::of(b"c")).await.expect("asked"),
        None,
        "undone as a whole"
    );
    let mut immutable = new("one", "b", &[], &["v1"]);
    immutable.names[0].is_immutable = true;
    assert_eq!(
        kind(metadata.put_manifest(immutable.clone()).await),
        ErrorKind::Conflict
    );
    let same = NewManifest {
        digest: a,
        manifest: Manifest {
            content: Bytes::from_static(b"a"),
            ..immutable.manifest.clone()
        },
        ..immutable
    };
    metadata.put_manifest(same).await.expect("it does not move");
    let never: Immutable = Arc::new(|tag| tag == "v1");
    assert_eq!(
        kind(metadata.remove_manifest("one", &a, never, Millis(1)).await),
        ErrorKind::Conflict
    );
    let moved = NewManifest {
        expect: Expect::Digest(a),
        ..new("one", "b", &[], &["taken"])
    };
    metadata.put_manifest(moved).await.expect("moved");
    let tag = async |name| {
        metadata
            .tag("one", name)
            .await
            .expect("asked")
            .map(|found| found.digest)
    };
    assert_eq!((tag("taken").await, tag("v1").await), (Some(b), Some(a)));
    assert!(metadata.remove_tag("one", "taken").await.expect("removed"));
    assert!(!metadata.remove_tag("one", "taken").await.expect("asked"));
    assert!(
        metadata
            .remove_manifest("one", &b, movable(), Millis(1))
            .await
            .expect("removed")
    );
    assert!(
        !metadata
            .remove_manifest("one", &b, movable(), Millis(1))
            .await
            .expect("asked")
    );
    assert_eq!(tag("other").await, None, "its names go with it");
}

pub(crate) async fn lists_are_in_byte_order(open: &Open) {
    let metadata = open();
    let names = ["Z", "a", "a-b", "a.b", "a0", "a_b", "b"];
    for name in ["b", "a_b", "a", "Z", "a0", "a-b", "a.b"] {
        metadata.put_manifest(new("one", "m", &[], &[name])).await.expect("put");
        metadata
            .put_manifest(new(&format!("r{name}"), "m", &[], &[]))
            .await
            .expect("put");
    }
    for limit in [0, 1, 3, 7, 8] {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let part = Keyset {
                after: after.as_deref(),
                limit,
            };
            let page = metadata.tags("one", part).await.expect("a page");
            let told = metadata.tag_names("one", part).await.expect("a page");
            let same: Vec<_> = page.items.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!((told.items, &told.next), (same, &page.next));
            assert!(page.items.len() <= limit);
            found.extend(page.items.into_iter().map(|(name, _)| name));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected = if limit == 0 { &[][..] } else { &names[..] };
        assert_eq!(found, expected, "{limit}");
    }
    let part = Keyset {
        after: Some("ra-"),
        limit: 2,
    };
    let page = metadata.repositories(part).await.expect("a page");
    assert_eq!(
        (page.items, page.next),
        (vec!["ra-b".to_owned(), "ra.b".to_owned()], Some("ra.b".to_owned()))
    );
}

pub(crate) async fn referrers_are_found_by_type(open: &Open) {
    let metadata = open();
    let subject = Digest::of(b"subject");
    let mut expected = BTreeMap::new();
    for (content, artifact_type) in [("a", Some("x/sbom")), ("b", Some("x/signature")), ("c", None)] {
        let mut about = new("one", content, &[], &[]);
        let mut descriptor = Descriptor::new(MediaType::OciManifest, about.digest, 1);
        descriptor.artifact_type = artifact_type.map(str::to_owned);
        descriptor.annotations.insert("of".to_owned(), content.to_owned());
        about.subject = Some((subject, descriptor.clone()));
        metadata.put_manifest(about.clone()).await.expect("put");
        about.repository = "two".to_owned();
        metadata.put_manifest(about).await.expect("put");
        expected.insert(descriptor.digest, descriptor);
    }
    let all = metadata.referrers("one", &subject, None).await.expect("asked");
    assert_eq!(all, expected.into_values().collect::<Vec<_>>(), "by digest");
    let some = metadata
        .referrers("one", &subject, Some("x/sbom"))
        .await
        .expect("asked");
    assert_eq!(
        some.iter().map(|found| found.digest).collect::<Vec<_>>(),
        [Digest::of(b"a")]
    );
    assert_eq!(metadata.referrers("three", &subject, None).await.expect("asked"), []);
    assert_eq!(
        metadata.referrers("one", &Digest::of(b"a"), None).await.expect("asked"),
        []
    );
}

pub(crate) async fn what_is_referenced_or_leased_stays(open: &Open) {
    let metadata = open();
    let named = put(&*metadata, "one", b"named").await;
    let loose = put(&*metadata, "one", b"loose").await;
    assert!(
        metadata
            .mount("one", "two", &loose.digest, Millis(300))
            .await
            .expect("mounted")
    );
    metadata
        .put_manifest(new("one", "m", &[named.digest], &["v1"]))
        .await
        .expect("put");
    let review = async |now| metadata.review(Millis(now), Millis(now), 10).await.expect("reviewed");
    let nothing = Reviewed::default();
    assert_eq!(review(99).await, nothing, "nothing is due");
    let before = metadata.unreferenced(None, 10).await.expect("asked");
    let told: Vec<_> = before
        .iter()
        .map(|found| (found.repository.as_str(), found.digest, found.elsewhere))
        .collect();
    assert_eq!(told, [("one", loose.digest, 1), ("two", loose.digest, 1)]);
    let rest = metadata
        .unreferenced(Some(("one", &loose.digest)), 10)
        .await
        .expect("asked");
    assert_eq!(rest, before[1..]);
    // In "one" its lease was extended by the mount.
    assert_eq!(review(200).await, Reviewed { looked: 2, ..nothing });
    assert_eq!(review(200).await, nothing);
    assert_eq!(
        review(300).await,
        Reviewed {
            looked: 2,
            unlinked: 2,
            blobs: 1,
            bytes: 5
        }
    );
    assert_eq!(metadata.tombstones(Millis(300), 10).await.expect("asked"), [loose]);
    assert!(metadata.blob("one", &named.digest).await.expect("asked").is_some());
    assert!(!metadata.has_repository("two").await.expect("asked"));
    // Found by somebody after its lease was over, and before it was looked at: it stays.
    assert!(
        metadata
            .remove_manifest("one", &Digest::of(b"m"), movable(), Millis(400))
            .await
            .expect("removed")
    );
    assert!(
        metadata
            .extend("one", &named.digest, Millis(500))
            .await
            .expect("extended")
    );
    assert_eq!(review(400).await, Reviewed { looked: 1, ..nothing });
    // Named again, it stays though the lease is over; and is looked at anew when that manifest goes too.
    metadata
        .put_manifest(new("one", "again", &[named.digest], &[]))
        .await
        .expect("put");
    assert_eq!(review(600).await, Reviewed { looked: 1, ..nothing });
    assert_eq!(review(600).await, nothing);
    metadata
        .remove_manifest("one", &Digest::of(b"again"), movable(), Millis(700))
        .await
        .expect("removed");
    let gone = Reviewed {
        looked: 1,
        unlinked: 1,
        blobs: 1,
        bytes: 5,
    };
    assert_eq!(review(700).await, gone);
    assert_eq!(
        metadata.tombstones(Millis(700), 10).await.expect("asked"),
        [loose, named]
    );
}

pub(crate) async fn a_repository_goes_with_what_is_in_it(open: &Open) {
    let metadata = open();
    let digest = put(&*metadata, "one", b"content").await.digest;
    metadata.put_manifest(new("one", "m", &[], &["v1"])).await.expect("put");
    assert!(metadata.remove_blob("one", &digest, Millis(1)).await.expect("removed"));
    assert!(metadata.has_repository("one").await.expect("asked"));
    assert!(
        metadata
            .remove_manifest("one", &Digest::of(b"m"), movable(), Millis(1))
            .await
            .expect("removed")
    );
    assert!(!metadata.has_repository("one").await.expect("asked"));
    assert_eq!(
        metadata.repositories(ALL).await.expect("asked").items,
        Vec::<String>::new()
    );
    assert_eq!(
        metadata
            .review(Millis(9999), Millis(1), 10)
            .await
            .expect("reviewed")
            .unlinked,
        0
    );
    put(&*metadata, "one", b"content").await;
    assert_eq!(metadata.repositories(ALL).await.expect("asked").items, ["one"]);
}

pub(crate) async fn sessions_are_kept(open: &Open) {
    let metadata = open();
    let session = |id: &str, touched| Session {
        id: id.to_owned(),
        repository: "one".to_owned(),
        algorithm: Algorithm::Sha512,
        offset: 0,
        midstate: vec![1, 2, 3],
        touched: Millis(touched),
    };
    metadata.begin_session(session("a", 1), 2).await.expect("begun");
    assert_eq!(
        kind(metadata.begin_session(session("a", 1), 2).await),
        ErrorKind::Conflict
    );
    metadata.begin_session(session("b", 2), 2).await.expect("begun");
    assert_eq!(
        kind(metadata.begin_session(session("c", 3), 2).await),
        ErrorKind::Throttled
    );
    assert!(!metadata.has_repository("one").await.expect("asked"), "nothing was put");
    let come = Session {
        offset: 77,
        midstate: vec![4; 300],
        ..session("a", 9)
    };
    assert!(metadata.record_session(come.clone()).await.expect("recorded"));
    assert!(!metadata.record_session(session("c", 9)).await.expect("asked"));
    drop(metadata);
    let metadata = open();
    assert_eq!(metadata.session("a").await.expect("asked"), Some(come));
    assert_eq!(metadata.session("c").await.expect("asked"), None);
    assert_eq!(metadata.idle_sessions(Millis(10), 10).await.expect("asked"), ["b", "a"]);
    assert_eq!(metadata.idle_sessions(Millis(9), 10).await.expect("asked"), ["b"]);
    metadata.end_session("b").await.expect("ended");
    metadata.end_session("b").await.expect("ended again");
    let blob = NewBlob {
        repository: "one".to_owned(),
        place: place(b"content"),
        size: 7,
        lease: Millis(100),
        due: Millis(1),
        session: Some("a".to_owned()),
    };
    metadata.put_blob(blob).await.expect("put");
    assert_eq!(
        metadata.session("a").await.expect("asked"),
        None,
        "it ends with its blob"
    );
}

/// Each of many that write at once is done or refused by itself.
pub(crate) async fn many_write_at_once(open: &Open) {
    let metadata = open();
    let writes = (0..300).map(|n| {
        let metadata = &metadata;
        async move {
            let repository = format!("r{}", n % 7);
            if n % 3 == 0 {
                let absent = Digest::of(b"absent");
                let refused = metadata.put_manifest(new(&repository, "no", &[absent], &["no"])).await;
                return assert_eq!(kind(refused), ErrorKind::MissingChildren(vec![absent]));
            }
            let content = format!("blob {n}");
            let digest = put(&**metadata, &repository, content.as_bytes()).await.digest;
            let tag = format!("v{n}");
            metadata
                .put_manifest(new(&repository, &tag, &[digest], &[&tag]))
                .await
                .expect("put");
            assert!(
                metadata.tag(&repository, &tag).await.expect("asked").is_some(),
                "it is read at once"
            );
        }
    });
    join_all(writes).await;
    let mut tags = 0;
    for n in 0..7 {
        tags += metadata.tags(&format!("r{n}"), ALL).await.expect("asked").items.len();
    }
    assert_eq!(tags, 200);
}

pub(crate) async fn what_was_put_is_there_when_it_is_opened_again(open: &Open) {
    let metadata = open();
    let place = put(&*metadata, "one", b"content").await;
    metadata
        .put_manifest(new("one", "m", &[place.digest], &["v1"]))
        .await
        .expect("put");
    drop(metadata);
    let metadata = open();
    let blob = metadata
        .blob("one", &place.digest)
        .await
        .expect("asked")
        .expect("there");
    assert_eq!(blob.place, place);
    let tag = metadata.tag("one", "v1").await.expect("asked").expect("there");
    assert_eq!(tag.digest, Digest::of(b"m"));
}
