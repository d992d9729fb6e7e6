//! What is in an answer, and what comes with a request? Bytes as they come, never whole but for what is small.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use teu_store::{
    Error, Reader,
    blocking::pieces::{Beside, HELD},
};

use crate::{
    budget::{Budget, Room},
    direct::Rest,
    problem::{Code, Problem},
};

/// How long content may take to come that is gathered in memory: so many times as long as nothing of it may come.
const PATIENCE: u32 = 5;

/// How much comes through the server's parser until that counts: what is less is no more than what each connection has.
const LITTLE: usize = 64 << 10;

/// The content of an answer.
pub type Body = UnsyncBoxBody<Bytes, Error>;

pub(crate) fn empty() -> Body {
    full(Bytes::new())
}

pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn stream(reader: Reader) -> Body {
    StreamBody::new(reader.map_ok(Frame::data)).boxed_unsync()
}

/// The content of a request, on its way.
pub(crate) struct Incoming {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>,
    /// What follows them, where it is large.
    direct: Option<Rest>,
    /// Whether they have come to their end.
    is_direct: bool,
    /// Why nothing more comes, when that is told.
    end: Option<Problem>,
    idle: Duration,
    /// How much came of the chunks, up to what is no more little; and then what counts it.
    parsed: usize,
    beside: Option<Beside>,
}

impl Incoming {
    pub(crate) fn new<B>(body: B, direct: Option<Rest>, idle: Duration) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let chunks = BodyStream::new(body).filter_map(|frame| {
            std::future::ready(match frame {
                // Trailers say nothing here.
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(error) => Some(Err(error.to_string())),
            })
        });
        Self {
            chunks: Box::pin(chunks),
            direct,
            is_direct: false,
            end: None,
            idle,
            parsed: 0,
            beside: None,
        }
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// 408 where nothing came for too long, 400 where the connection broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some(problem) = self.end.take() {
            return Err(problem);
        }
        match self.chunk().await {
            Err(problem) => match self.rest() {
                None => Err(problem),
                rest => {
                    self.end = Some(problem);
                    Ok(rest)
                }
            },
            chunk => chunk,
        }
    }

    /// What came and was not given yet, and some of what is there, where no more is waited for.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        // Before that, what is there belongs to the parser.
        self.direct.as_mut().filter(|_| self.is_direct)?.came()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        if !self.is_direct {
            match self.by_parser().await? {
                Some(bytes) => return Ok(Some(bytes)),
                None => self.is_direct = true,
            }
        }
        let Some(direct) = &mut self.direct else {
            return Ok(None);
        };
        direct.next(self.idle).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => silent(self.idle),
            _ => broken_off(&error.to_string()),
        })
    }

    /// The next that comes through the parser.
    async fn by_parser(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut left = self.idle;
        loop {
            let patience = match self.beside {
                Some(_) => left.min(HELD),
                None => left,
            };
            match tokio::time::timeout(patience, self.chunks.next()).await {
                Ok(Some(Ok(bytes))) => {
                    self.count(bytes.len());
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(error))) => return Err(broken_off(&error)),
                Ok(None) => return Ok(None),
                Err(_) if patience < left => {
                    // Who sends next to nothing leaves the others their pieces.
                    (self.beside, self.parsed) = (None, 0);
                    left -= patience;
                }
                Err(_) => return Err(silent(self.idle)),
            }
        }
    }

    /// So much came through the parser, in memory that was not asked for here.
    fn count(&mut self, bytes: usize) {
        if self.beside.is_none() {
            self.parsed += bytes;
            self.beside = (self.parsed > LITTLE).then(Beside::begin);
        }
    }

    /// All of it, if it has no more than `limit` bytes, and the room that it has; else none.
    ///
    /// # Errors
    /// 503 where there is no room for too long, 408 where it takes longer than [`PATIENCE`], and those of [`Self::next`].
    pub(crate) async fn small(self, limit: u64, budget: &Budget) -> Result<Option<(Bytes, Room)>, Problem> {
        let longest = self.idle.saturating_mul(PATIENCE);
        match tokio::time::timeout(longest, self.gathered(limit, budget)).await {
            Ok(gathered) => gathered,
            Err(_) => Err(slow(longest)),
        }
    }

    async fn gathered(mut self, limit: u64, budget: &Budget) -> Result<Option<(Bytes, Room)>, Problem> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut all = budget.gather(most);
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > most {
                return Ok(None);
            }
            all.take(&bytes).await?;
        }
        Ok(Some(all.done()))
    }
}

fn broken_off(error: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        Code::SizeInvalid,
        format!("the content did not come to its end: {error}"),
    )
}

fn slow(longest: Duration) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        Code::SizeInvalid,
        format!("the content did not come to its end in {} seconds", longest.as_secs()),
    )
}

fn silent(idle: Duration) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        Code::SizeInvalid,
        format!("nothing came for {} seconds", idle.as_secs()),
    )
}
