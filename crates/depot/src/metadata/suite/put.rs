//! What comes to be there, where, and what may be set?

use super::*;

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
    assert_eq!(metadata.tombstones(Millis(99), 0, 10).await.expect("asked"), []);
    assert!(metadata.remove_blob("one", &digest, Millis(9)).await.expect("removed"));
    assert_eq!(
        metadata.unknown(vec![place]).await.expect("asked"),
        [],
        "a tombstone knows it"
    );
    assert_eq!(metadata.tombstones(Millis(8), 0, 10).await.expect("asked"), []);
    assert_eq!(metadata.tombstones(Millis(9), 0, 10).await.expect("asked"), [place]);
    metadata.bury(vec![place]).await.expect("buried");
    assert_eq!(metadata.tombstones(Millis(9), 0, 10).await.expect("asked"), []);
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
    assert_eq!(metadata.tombstones(Millis(5), 0, 10).await.expect("asked"), [first]);
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
    sparse.children[1].is_required = false;
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
    index.children = vec![named(digest, &[Role::Manifest])];
    metadata.put_manifest(index.clone()).await.expect("put");
    index.children = vec![named(here, &[Role::Manifest])];
    assert_eq!(
        kind(metadata.put_manifest(index).await),
        ErrorKind::MissingChildren(vec![here])
    );
    let refused = metadata.remove_blob("one", &here, Millis(1)).await;
    assert_eq!(kind(refused), ErrorKind::Conflict);
    // What is not there cannot be removed, whatever names it.
    let removed = metadata.remove_blob("one", &absent, Millis(1)).await;
    assert!(!removed.expect("asked"));
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
    // It is not removed where it is not what is expected; and where it is not there, that is what is said.
    for (expect, outcome) in [
        (Expect::Digest(a), Err(ErrorKind::Conflict)),
        (Expect::Absent, Err(ErrorKind::Conflict)),
        (Expect::Digest(b), Ok(true)),
        (Expect::Digest(b), Ok(false)),
        (Expect::Any, Ok(false)),
    ] {
        let removed = metadata.remove_tag("one", "taken", expect, Millis(2)).await;
        assert_eq!(removed.map_err(|error| error.kind().clone()), outcome, "{expect:?}");
    }
    assert_eq!(tag("taken").await, None);
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
