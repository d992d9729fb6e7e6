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

/// Why the next bytes are not there.
enum Missing {
    /// They did not come in time.
    Late,
    /// The connection broke, and so.
    Broken(String),
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
    /// It was told that nothing came for [`HELD`].
    is_silent: bool,
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
            is_silent: false,
            parsed: 0,
            beside: None,
        }
    }

    /// The next bytes; none at the end. Bytes without any, once, where none came for [`HELD`]: who holds memory for more of them is to give that to others.
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
        // Where it is given up soon nothing is held for long. Else as much time is left as what begins to come at last may be held for.
        let tells = !self.is_silent && self.idle >= 2 * HELD;
        let patience = match tells {
            true => HELD,
            false if self.is_silent => self.idle.saturating_sub(HELD),
            false => self.idle,
        };
        match self.within(patience).await {
            Ok(bytes) => {
                self.is_silent = false;
                Ok(bytes)
            }
            Err(Missing::Late) if tells => {
                self.is_silent = true;
                // Who sends next to nothing leaves the others their pieces.
                (self.beside, self.parsed) = (None, 0);
                Ok(Some(Bytes::new()))
            }
            Err(Missing::Late) => Err(silent(self.idle)),
            Err(Missing::Broken(error)) => Err(broken_off(&error)),
        }
    }

    /// The next that comes within this time, through the parser or beside it.
    async fn within(&mut self, patience: Duration) -> Result<Option<Bytes>, Missing> {
        if !self.is_direct {
            match tokio::time::timeout(patience, self.chunks.next()).await {
                Ok(Some(Ok(bytes))) => {
                    self.count(bytes.len());
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(error))) => return Err(Missing::Broken(error)),
                Ok(None) => self.is_direct = true,
                Err(_) => return Err(Missing::Late),
            }
        }
        let Some(direct) = &mut self.direct else {
            return Ok(None);
        };
        direct.next(patience).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Missing::Late,
            _ => Missing::Broken(error.to_string()),
        })
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

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Who sends something, and then something late or nothing more.
    fn slow(waits: impl IntoIterator<Item = u64>, idle: u64) -> Incoming {
        let waits: Vec<u64> = waits.into_iter().collect();
        let chunks = stream::iter(waits).then(async |seconds| {
            sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Error>(Frame::data(Bytes::from_static(b"some")))
        });
        Incoming::new(StreamBody::new(Box::pin(chunks)), None, Duration::from_secs(idle))
    }

    /// What came of it, and when: how many bytes, or the status.
    async fn told(mut content: Incoming) -> Vec<(u64, usize)> {
        let begun = Instant::now();
        let mut all = Vec::new();
        loop {
            let next = content.next().await;
            let at = begun.elapsed().as_secs();
            match next {
                Ok(Some(bytes)) => all.push((at, bytes.len())),
                Ok(None) => return all,
                Err(problem) => {
                    all.push((at, usize::from(problem.status.as_u16())));
                    return all;
                }
            }
        }
    }

    /// Else who gathers it in a piece keeps that from others for as long as it waits.
    #[tokio::test(start_paused = true)]
    async fn that_nothing_comes_is_told_once_before_it_is_given_up() {
        // Each silence by itself.
        let expected = [(0, 4), (5, 0), (8, 4), (13, 0), (38, 408)];
        assert_eq!(told(slow([0, 8, 100], 30)).await, expected);
        assert_eq!(told(slow([4, 4], 30)).await, [(4, 4), (8, 4)]);
        // Where that is given up sooner.
        for idle in [5, 9] {
            assert_eq!(told(slow([4, 100], idle)).await, [(4, 4), (4 + idle, 408)]);
        }
        assert_eq!(told(slow([4, 100], 10)).await, [(4, 4), (9, 0), (14, 408)]);
    }
}
