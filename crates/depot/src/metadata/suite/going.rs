//! What goes, and what stays as long as something needs it?

use super::*;

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
    assert_eq!(metadata.tombstones(Millis(300), 0, 10).await.expect("asked"), [loose]);
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
        metadata.tombstones(Millis(700), 0, 10).await.expect("asked"),
        [loose, named]
    );
    assert_eq!(metadata.tombstones(Millis(700), 1, 10).await.expect("asked"), [named]);
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
