//! Who is told that there will be no more, however fast content comes? Who has to make room, and who the turn to write?

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream};
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use teu_depot::{Depot, Settings};
use teu_store::{Error, Intent, ManyInMemory};
use tokio::{task::yield_now, time::advance};

use super::*;

/// Content that has come whenever somebody asks, without an end; behind so much of it the server is to stop.
struct Unending {
    uploads: Arc<Uploads>,
    given: usize,
}

const STOPS_AT: usize = 3;

impl Body for Unending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.given += 1;
        assert!(self.given <= STOPS_AT, "more is asked for by who was told to stop");
        if self.given == STOPS_AT {
            self.uploads.closing.send_replace(true);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
    }
}

async fn begin(uploads: &Uploads, places: &dyn Repositories) -> Result<Arc<Upload>, Problem> {
    let store = places.open("app", Intent::Write).await.expect("a store");
    uploads.begin(places, "app", store, Algorithm::Sha256).await
}

#[tokio::test]
async fn content_that_never_pauses_is_no_reason_to_go_on() {
    let uploads = Arc::new(Uploads::new(&Limits::default()));
    let upload = begin(&uploads, &ManyInMemory::new()).await.expect("an upload");
    let body = Unending {
        uploads: Arc::clone(&uploads),
        given: 0,
    };
    let mut content = Incoming::new(body, None, Duration::from_secs(30));
    let mut writer = upload.writer.lock().await;
    let problem = upload
        .take(&mut writer, &mut content, None)
        .await
        .expect_err("it stops");
    assert_eq!(problem.status, stopping().status);
    // What came before is there, and is told of when it is kept.
    assert_eq!(upload.written(), 0);
    upload.keep(&mut writer).await.expect("kept");
    assert_eq!(upload.written(), 4 * STOPS_AT as u64);
    assert!(writer.is_some());
}

/// Content that begins and goes on no more, as of a client whose cable was cut.
fn cut() -> Incoming {
    let some = stream::iter([Ok::<_, Error>(Frame::data(Bytes::from_static(b"some")))]);
    Incoming::new(
        StreamBody::new(some.chain(stream::pending())),
        None,
        Duration::from_secs(60),
    )
}

/// Who comes back need not wait until the server gives its request of before up.
#[tokio::test(start_paused = true)]
async fn who_is_silent_leaves_the_turn_to_who_asks_for_it() {
    let uploads = Arc::new(Uploads::new(&Limits::default()));
    let upload = begin(&uploads, &ManyInMemory::new()).await.expect("an upload");
    let first = tokio::spawn({
        let upload = Arc::clone(&upload);
        async move {
            let mut turn = upload.turn().await.expect("nobody has it");
            let taken = upload.take(&mut turn, &mut cut(), None).await;
            upload.keep(&mut turn).await.expect("kept");
            taken.map_err(|problem| problem.status)
        }
    });
    yield_now().await;
    assert!(upload.turn().await.is_none());
    advance(SILENT - Duration::from_millis(1)).await;
    assert!(upload.turn().await.is_none(), "something came a moment ago");
    advance(Duration::from_millis(1)).await;
    assert!(!first.is_finished(), "nobody wants its turn");
    let mut turn = upload.turn().await.expect("the turn");
    let ended = first.await.expect("it ends");
    assert_eq!((ended, upload.written()), (Err(StatusCode::REQUEST_TIMEOUT), 4));
    // Whoever has it now was not meant.
    let mut content = cut();
    let goes_on = upload.take(&mut turn, &mut content, None);
    assert!(timeout(SILENT * 2, goes_on).await.is_err());
}

/// Threat 94, where nothing is kept.
#[tokio::test(start_paused = true)]
async fn an_upload_of_which_nothing_came_makes_room() {
    let limits = Limits {
        uploads: 2,
        ..Limits::default()
    };
    let (uploads, places) = (Uploads::new(&limits), ManyInMemory::new());
    let some = begin(&uploads, &places).await.expect("an upload");
    let mut turn = some.turn().await.expect("nobody has it");
    let taken = timeout(SILENT, some.take(&mut turn, &mut cut(), None)).await;
    assert!(taken.is_err() && some.came.load(Ordering::Acquire) == 4);
    drop(turn);
    let (some, empty) = (
        some.id.clone(),
        begin(&uploads, &places).await.expect("an upload").id.clone(),
    );
    advance(EMPTY).await;
    let refused = begin(&uploads, &places).await.err().expect("they are young");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    advance(Duration::from_millis(1)).await;
    let new = begin(&uploads, &places).await.expect("there is room").id.clone();
    let mut open: Vec<String> = uploads.all().keys().cloned().collect();
    let mut expected = [some, new];
    open.sort();
    expected.sort();
    assert_eq!(open, expected, "{empty} is gone");
}

/// Where they are kept they are closed before that, so that the place may have their room.
#[tokio::test]
async fn an_upload_that_is_kept_is_closed_soon_where_nothing_came() {
    let directory = tempfile::tempdir().expect("a directory");
    let depot = Depot::open(&directory.path().join("depot"), Settings::default()).await;
    let (uploads, depot) = (Uploads::new(&Limits::default()), depot.expect("a depot"));
    let upload = begin(&uploads, &depot).await.expect("an upload");
    let id = upload.id.clone();
    drop(upload);
    uploads.expire();
    assert_eq!(uploads.count(), 1);
    tokio::time::pause();
    advance(EMPTY + Duration::from_millis(1)).await;
    tokio::time::resume();
    uploads.expire();
    assert_eq!(uploads.count(), 0);
    let store = depot.open("app", Intent::Write).await.expect("a store");
    let found = uploads.find(&depot, "app", &id, async || Ok(store)).await;
    assert_eq!(found.expect("it is found").written(), 0);
}

/// Who waited for the turn of one that failed knows that one alone; another goes on with what it was opened as again.
#[tokio::test]
async fn an_upload_that_failed_takes_none_off_that_is_open_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let depot = Depot::open(&directory.path().join("depot"), Settings::default()).await;
    let (uploads, depot) = (Uploads::new(&Limits::default()), depot.expect("a depot"));
    let failed = begin(&uploads, &depot).await.expect("an upload");
    *failed.writer.lock().await = None;
    uploads.forget(&failed);
    assert_eq!(uploads.count(), 0);
    let store = depot.open("app", Intent::Write).await.expect("a store");
    let again = uploads.find(&depot, "app", &failed.id, async || Ok(store)).await;
    let again = again.expect("it is found");
    uploads.forget(&failed);
    assert_eq!(uploads.count(), 1, "it is open");
    uploads.forget(&again);
    assert_eq!(uploads.count(), 0);
}
