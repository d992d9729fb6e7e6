//! Who is told that there will be no more, however fast content comes?

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame};
use teu_store::{Intent, ManyInMemory};

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

#[tokio::test]
async fn content_that_never_pauses_is_no_reason_to_go_on() {
    let uploads = Arc::new(Uploads::new(&Limits::default()));
    let places = ManyInMemory::new();
    let store = places.open("app", Intent::Write).await.expect("a store");
    let upload = uploads.begin(&places, "app", store, Algorithm::Sha256).await;
    let upload = upload.expect("an upload");
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
