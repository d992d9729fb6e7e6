//! How does a body get to the registry while it comes? In one request under way, which may end before the body does.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Body, Method, Request,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue},
};
use teu_store::{Error, ErrorKind, Result};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    super::{answer::Answer, broken::Failure, origin::Origin},
    Upload, Way,
    session::{range, with_digest},
};

/// How many chunks of a body wait for the connection.
const WAITING: usize = 2;

/// A request whose body is being sent.
pub(super) struct Flight {
    pub(super) body: mpsc::Sender<Result<Bytes>>,
    pub(super) answer: JoinHandle<std::result::Result<Answer, Failure>>,
    /// Whether its success makes the blob.
    pub(super) commits: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        // A body that merely ended could look complete.
        self.answer.abort();
    }
}

impl Upload {
    /// Begins the request that sends the bytes from `offset` on.
    pub(super) async fn take_off(&mut self, offset: u64) -> Result<()> {
        let whole = self.way == Way::Whole && offset == 0;
        let (method, url) = match self.expected.digest {
            Some(digest) if whole => (Method::PUT, with_digest(&self.location, &digest)),
            _ => (Method::PATCH, self.location.clone()),
        };
        let (sender, receiver) = mpsc::channel::<Result<Bytes>>(WAITING);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        });
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let (Way::Whole, Some(size)) = (self.way, self.expected.size) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(size - offset));
            if offset > 0 {
                headers.insert(CONTENT_RANGE, range(offset, size - offset)?);
            }
        }
        *request.body_mut() = Some(Body::wrap_stream(stream));
        let repository = self.repository.clone();
        let authorization = repository.registry().authorization(&repository.need()).await?;
        self.authorization.clone_from(&authorization);
        let answer = tokio::spawn(async move {
            let registry = repository.registry();
            let home = Origin::of(registry.base());
            registry.inner.http.stream(request, &home, authorization.as_ref()).await
        });
        self.flight = Some(Flight {
            body: sender,
            answer,
            commits: whole,
        });
        Ok(())
    }

    /// Hands bytes to the request under way; an error says that it ended, or stalled.
    pub(super) async fn load(&mut self, bytes: Bytes) -> std::result::Result<(), ()> {
        let idle = self.repository.settings().timeouts.idle;
        let flight = self.flight.as_ref().ok_or(())?;
        let sent = tokio::time::timeout(idle, flight.body.send(Ok(bytes))).await;
        sent.map_err(|_| ())?.map_err(|_| ())
    }

    /// Ends the request under way and waits for its answer.
    pub(super) async fn land(&mut self) -> std::result::Result<(Answer, bool), Failure> {
        let Some(mut flight) = self.flight.take() else {
            let error = Error::new(ErrorKind::Io, "the upload has no request under way");
            return Err(Failure::Broken(error));
        };
        // The channel's end is the body's.
        let (ended, _) = mpsc::channel(1);
        flight.body = ended;
        let patience = self.repository.settings().timeouts.answer;
        match tokio::time::timeout(patience, &mut flight.answer).await {
            Ok(Ok(answer)) => answer.map(|answer| (answer, flight.commits)),
            Ok(Err(_)) => Err(Failure::Broken(Error::new(
                ErrorKind::Cancelled,
                "the upload was cancelled",
            ))),
            Err(_) => {
                let message = format!("no answer to the upload for {} s", patience.as_secs_f32());
                Err(Failure::Broken(Error::new(ErrorKind::Io, message)))
            }
        }
    }

    /// Why a request that takes no more bytes ended; it is dropped if it only stalled.
    pub(super) async fn crash(&mut self) -> std::result::Result<(Answer, bool), Failure> {
        match self.flight.take() {
            Some(mut flight) => match tokio::time::timeout(Duration::from_secs(1), &mut flight.answer).await {
                Ok(Ok(answer)) => answer.map(|answer| (answer, flight.commits)),
                _ => Err(Failure::Broken(Error::new(
                    ErrorKind::Io,
                    "the registry stopped reading the upload",
                ))),
            },
            None => Err(Failure::Broken(Error::new(ErrorKind::Io, "the upload broke off"))),
        }
    }
}
