//! What lasts, when many write at once and when it is opened again?

use super::*;

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
    for (before, empty, expected) in [(10, false, &["b", "a"][..]), (9, false, &["b"]), (10, true, &["b"])] {
        let idle = metadata.idle_sessions(Millis(before), empty, 10).await.expect("asked");
        assert_eq!(idle, expected, "{before}, {empty}");
    }
    let is_full = async |id| kind(metadata.begin_session(session(id, 3), 2).await) == ErrorKind::Throttled;
    assert!(is_full("c").await, "those of before count");
    metadata.end_session("b").await.expect("ended");
    metadata.end_session("b").await.expect("ended again");
    metadata.begin_session(session("c", 3), 2).await.expect("there is room");
    assert!(is_full("d").await);
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
    metadata.begin_session(session("d", 3), 2).await.expect("there is room");
    assert!(is_full("e").await);
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
