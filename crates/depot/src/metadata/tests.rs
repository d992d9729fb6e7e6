//! Is SQLite a metadata as every other, and one that is not written by who knows less than it?

use std::sync::Arc;

use rusqlite::Connection;
use teu_store::{ErrorKind, suite::run};

use super::{Metadata, Session, Sqlite, group::About, suite::metadata_suite};
use crate::place::Millis;

fn sqlite() -> impl Fn() -> Arc<dyn Metadata> {
    let directory = tempfile::tempdir().expect("a directory");
    move || Arc::new(Sqlite::open(&directory.path().join("metadata.sqlite")).expect("opened"))
}

metadata_suite!(sqlite);

#[test]
fn what_a_newer_version_wrote_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("metadata.sqlite");
    drop(Sqlite::open(&path).expect("made"));
    let connection = Connection::open(&path).expect("opened");
    connection.pragma_update(None, "user_version", 99).expect("set");
    drop(connection);
    let error = Sqlite::open(&path).err().expect("newer");
    assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("a newer teu reads it"), "{error}");
}

/// SQLite says that it is full: what asked for room is refused by a kind of its own, nothing of it is there, and what makes room goes on.
#[test]
fn no_room_is_said_and_nothing_is_lost() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("metadata.sqlite");
        let metadata = Sqlite::open(&path).expect("made");
        let session = |id: &str, length| Session {
            id: id.to_owned(),
            repository: "one".to_owned(),
            algorithm: teu_spec::Algorithm::Sha256,
            offset: 0,
            midstate: vec![1; length],
            touched: Millis(1),
        };
        metadata.begin_session(session("small", 10), 100).await.expect("begun");
        let limited = |connection: &Connection| {
            let pages: i64 = connection
                .query_row("PRAGMA page_count", [], |row| row.get(0))
                .expect("a count");
            connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                .expect("set");
            Ok(())
        };
        metadata.writer.write(About::Content, limited).await.expect("limited");
        for _ in 0..3 {
            let error = metadata
                .begin_session(session("large", 1 << 20), 100)
                .await
                .expect_err("no room");
            assert_eq!(error.kind(), &ErrorKind::Quota, "{error}");
            assert_eq!(metadata.session("large").await.expect("asked"), None);
        }
        let come = session("small", 20);
        assert!(metadata.record_session(come.clone()).await.expect("recorded"));
        assert_eq!(metadata.session("small").await.expect("asked"), Some(come));
        metadata.end_session("small").await.expect("ended");
        // None of those that there was no room for counts.
        metadata.begin_session(session("next", 10), 1).await.expect("begun");
        let error = metadata.begin_session(session("another", 10), 1).await;
        assert_eq!(error.expect_err("one is there").kind(), &ErrorKind::Throttled);
    });
}
