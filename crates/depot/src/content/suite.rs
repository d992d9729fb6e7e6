//! What does every content do? Each behaviour takes a way to open it anew, as after a restart.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use teu_spec::Digest;
use teu_store::{ErrorKind, Reader};

use super::{Content, PARTS};
use crate::place::{Millis, Place, Ulid};

/// Makes one test of each behaviour. The argument can be called for something that can be called for a content: the same each time.
macro_rules! content_suite {
    ($make:expr) => {
        $crate::content::suite::content_suite!(@each $make;
            what_is_placed_is_read
            what_was_begun_is_gone_on_with
            what_is_dropped_stays_only_if_it_should
            what_is_not_there_is_none
            each_place_is_in_one_part
            names_are_checked
        );
    };
    (@each $make:expr; $($behaviour:ident)*) => {
        $(
            #[test]
            fn $behaviour() {
                let open = ($make)();
                teu_store::suite::run(async { $crate::content::suite::$behaviour(&open).await });
            }
        )*
    };
}
pub(crate) use content_suite;

/// Opens the content.
pub(crate) type Open = dyn Fn() -> Arc<dyn Content> + Sync;

fn place(content: &[u8]) -> Place {
    Place {
        digest: Digest::of(content),
        ulid: Ulid::new(Millis(1)).expect("random numbers"),
    }
}

async fn all(mut reader: Reader) -> Bytes {
    let mut all = BytesMut::new();
    while let Some(bytes) = reader.next().await {
        all.extend_from_slice(&bytes.expect("a chunk"));
    }
    all.freeze()
}

async fn read(content: &dyn Content, place: &Place, size: u64) -> Option<Bytes> {
    match content.read(place, size, 0..size).await.expect("read") {
        Some(reader) => Some(all(reader).await),
        None => None,
    }
}

pub(crate) async fn what_is_placed_is_read(open: &Open) {
    let content = open();
    for length in [0, 1, 70_000, 3 << 20] {
        let bytes: Bytes = (0..length).map(|n: usize| (n % 251) as u8).collect();
        let (place, again) = (place(&bytes), place(&bytes));
        for place in [place, again] {
            let mut writing = content.begin("one", false).await.expect("begun");
            for chunk in bytes.chunks(100_000) {
                writing.write(Bytes::copy_from_slice(chunk)).await.expect("written");
            }
            assert_eq!(all(writing.read().await.expect("a reader")).await, bytes);
            writing.place(Box::new(move || Ok(place))).await.expect("placed");
        }
        assert_eq!(content.begun().await.expect("names"), Vec::<String>::new());
        let content = open();
        let size = length as u64;
        assert_eq!(read(&*content, &place, size).await, Some(bytes.clone()));
        if length > 10 {
            for range in [3..size, 3..9, size - 1..size] {
                let found = content
                    .read(&place, size, range.clone())
                    .await
                    .expect("read")
                    .expect("there");
                assert_eq!(all(found).await, bytes.slice(range.start as usize..range.end as usize));
            }
        }
        let wrong = content.read(&place, size + 1, 0..size + 1).await;
        assert_eq!(wrong.err().expect("another size").kind(), &ErrorKind::Mismatch);
        if let Some(files) = content.files() {
            let file = files.open(&place, size).expect("opened").expect("there");
            assert_eq!(file.metadata().expect("metadata").len(), size);
        }
        content.remove(&place).await.expect("removed");
        assert_eq!(read(&*content, &place, size).await, None);
        assert_eq!(
            read(&*content, &again, size).await,
            Some(bytes),
            "the other place is another"
        );
    }
}

pub(crate) async fn what_was_begun_is_gone_on_with(open: &Open) {
    let content = open();
    let mut writing = content.begin("one", true).await.expect("begun");
    writing.write(Bytes::from_static(b"recorded ")).await.expect("written");
    writing.sync().await.expect("synced");
    writing.write(Bytes::from_static(b"and more")).await.expect("written");
    drop(writing);
    let content = open();
    assert_eq!(content.begun().await.expect("names"), ["one"]);
    assert!(
        content.reopen("one", 100).await.expect("reopened").is_none(),
        "it has not so many bytes"
    );
    let mut writing = content.reopen("one", 9).await.expect("reopened").expect("there");
    writing
        .write(Bytes::from_static(b"and gone on with"))
        .await
        .expect("written");
    let whole = b"recorded and gone on with";
    let place = place(whole);
    writing.place(Box::new(move || Ok(place))).await.expect("placed");
    assert_eq!(read(&*content, &place, 25).await, Some(Bytes::from_static(whole)));
    assert_eq!(content.begun().await.expect("names"), Vec::<String>::new());
}

pub(crate) async fn what_is_dropped_stays_only_if_it_should(open: &Open) {
    let content = open();
    for (name, stays) in [("stays", true), ("goes", false), ("forgotten", true)] {
        let mut writing = content.begin(name, stays).await.expect("begun");
        writing.write(Bytes::from_static(b"content")).await.expect("written");
        let taken = content.begin(name, stays).await.err().expect("the name is taken");
        assert_eq!(taken.kind(), &ErrorKind::Conflict);
        if name == "forgotten" {
            writing.forget().await.expect("forgotten");
        }
    }
    assert_eq!(content.begun().await.expect("names"), ["stays"]);
    content.forget("stays").await.expect("forgotten");
    content.forget("stays").await.expect("forgotten again");
    assert_eq!(content.begun().await.expect("names"), Vec::<String>::new());
}

pub(crate) async fn what_is_not_there_is_none(open: &Open) {
    let content = open();
    let aside = place(b"aside");
    let mut writing = content.begin("one", false).await.expect("begun");
    writing.write(Bytes::from_static(b"aside")).await.expect("written");
    writing.place(Box::new(move || Ok(aside))).await.expect("placed");
    content.quarantine(&aside).await.expect("set aside");
    assert_eq!(read(&*content, &aside, 5).await, None);
    let place = place(b"absent");
    assert_eq!(read(&*content, &place, 6).await, None);
    content.remove(&place).await.expect("nothing to remove");
    assert!(content.reopen("absent", 0).await.expect("reopened").is_none());
}

pub(crate) async fn each_place_is_in_one_part(open: &Open) {
    let content = open();
    let mut expected = Vec::new();
    for n in 0..40_u8 {
        let place = place(&[n]);
        let mut writing = content.begin("one", false).await.expect("begun");
        writing.write(Bytes::copy_from_slice(&[n])).await.expect("written");
        writing.place(Box::new(move || Ok(place))).await.expect("placed");
        expected.push(place.to_string());
    }
    let mut found = Vec::new();
    for part in 0..PARTS {
        found.extend(
            content
                .part(part)
                .await
                .expect("a part")
                .iter()
                .map(ToString::to_string),
        );
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

pub(crate) async fn names_are_checked(open: &Open) {
    let content = open();
    for name in ["", "..", "../x", "a/b", "A", "a.b", &"a".repeat(81)] {
        let error = content.begin(name, true).await.err().expect("no name");
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{name}");
        assert!(content.reopen(name, 0).await.is_err() && content.forget(name).await.is_err());
    }
}
